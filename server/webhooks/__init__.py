"""Webhooks: tells another program by an HTTP request that a conversion has ended.

It promises that every end is told at least once while the receiver answers within a day, that no outsider's address
leads into the owner's network, and that a receiver that does not answer holds no other key up.

May import: storage.
"""
