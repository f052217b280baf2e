"""What every room uses: settings, time and windows, files that are written whole, text, progress."""
