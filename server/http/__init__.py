"""What a client sees: addresses, answers, downloads and events.

It promises that every error is the JSON envelope of the contract, that no stream looks whole when it is not, and that
an answer shows only what its key may see. A handler admits, reads, asks the engine, and shows what it got.

May import: access, conversions, media, storage.
"""
