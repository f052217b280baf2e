"""Shared basics: settings, time and windows, atomic files, TOML files, text, progress."""
