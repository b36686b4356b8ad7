"""Which conversions there are, whose turn it is, and what becomes of each.

It promises that what was accepted survives a restart, that the same work is done once, that no key keeps another
waiting, and that every change is announced to those who watch. It is given a function that makes the MP3 and does not
know how.

May import: storage.
"""
