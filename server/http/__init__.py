"""The HTTP API, the downloads, the events and the pages.

It promises that every error has the same JSON form, that no incomplete stream looks whole, and that an answer shows
only what its key may see. A handler checks the key, reads the request, calls the engine, and renders the result.

May import: access, conversions, media, storage, webhooks.
"""
