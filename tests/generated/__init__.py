"""A client generated from the description converts a link; see `__main__.py`."""
