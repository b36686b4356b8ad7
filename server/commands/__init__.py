"""What a person types: one file per command, and the checks of `doctor`.

It promises that whatever the operator must change is one line and exit status 2, and that Ctrl-C ends every command in
order.

May import: access, app, conversions, http, media, offline, storage.
"""
