"""Alerts: notices and how they are delivered."""
