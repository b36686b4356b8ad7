"""API keys and their rate limits.

It promises that no plain key is stored, that a change of the key file counts within two seconds, and that a refused
request costs nothing. It does not know HTTP or conversions.

May import: no other package.
"""
