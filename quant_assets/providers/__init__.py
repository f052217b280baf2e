"""Providers of derivative data, one package each."""
