"""Asks for known weaknesses of what is installed; see `__main__.py`."""
