"""The table of conversions, the queue and the life of each job.

It promises that accepted conversions survive a restart, that the same work is done once, that keys take turns, and that
every change is announced to its watchers. It receives the function that makes an MP3.

May import: storage.
"""
