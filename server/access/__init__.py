"""Who may ask, and how often: API keys and their rate limits.

It promises that a plain key is kept nowhere, that a change of the key file counts within two seconds, and that a
refused request costs nothing. It knows no HTTP and no conversion.

May import: no other room.
"""
