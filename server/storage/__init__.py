"""The finished files on disk, and the database that a restart reads.

It promises that a file under a final name is complete, that acknowledged data is on disk, and that neither a damaged
record nor a missing folder stops the server. It stores records and does not interpret them.

May import: no other package.
"""
