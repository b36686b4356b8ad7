"""What is on the disk: the finished files, and the database of what a restart must know.

It promises that a file under a final name is complete, that what was acknowledged is on the disk, and that one odd
record or a vanished folder stops nothing. It knows records, not what they mean.

May import: no other room.
"""
