"""Telling somebody: notices, and the ways they go."""
