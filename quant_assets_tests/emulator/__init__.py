"""Test the emulator."""
