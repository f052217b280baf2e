"""The strategies of the user's folder are modules of this package; `registry.py` sets the folder as its path."""
