"""For tests of clients: an offline server as a process of its own, and the pytest plugin that brings it.

It runs in the tests' process, so it imports nothing but the standard library; only `plugin.py` imports pytest.

May import: no other package.
"""
