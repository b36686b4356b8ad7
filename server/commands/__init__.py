"""The commands, one file each, and the checks of `doctor`.

It promises that a mistake of the operator's prints one line and exits with status 2, and that Ctrl-C ends every command
in order.

May import: access, app, conversions, http, media, offline, storage, webhooks.
"""
