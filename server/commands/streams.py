"""Standard streams that are closed, full, or read by nobody any more: no command ends in its middle for that."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO, cast

#: The exit status of a program whose output nobody reads any more, as in a shell.
BROKEN_PIPE = 128 + signal.SIGPIPE


class Output:
    """A text stream that swallows what cannot be written. `lost` is then the reason."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:  # of a locale that is not UTF-8
            encoding = self._stream.encoding or "ascii"
            return self.write(text.encode(encoding, "replace").decode(encoding))
        except OSError as error:
            self._lose(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        """From now on, the null device takes it, and what is still in the buffers."""
        self.lost = self.lost or error
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def kept() -> Iterator[Output]:
    """Standard output, while the block lasts; it and standard error are written as `Output` says."""
    _open_closed()
    output, errors = Output(sys.stdout), Output(sys.stderr)
    with redirect_stdout(cast(TextIO, output)), redirect_stderr(cast(TextIO, errors)):
        try:
            yield output
        finally:
            output.flush()
            errors.flush()


def is_lost() -> bool:
    """Whether something that a command printed has not arrived."""
    return getattr(sys.stdout, "lost", None) is not None


def status(output: Output, otherwise: int) -> int:
    """The exit status of a command that was to print something."""
    if output.lost is None or otherwise:
        return otherwise
    if output.lost.errno == errno.EPIPE:
        return BROKEN_PIPE
    print(f"ytmp3d: the output cannot be written: {output.lost.strerror}", file=sys.stderr)
    return 1


def _open_closed() -> None:
    """Open the null device where a standard stream is closed: no other file may get its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False, encoding="utf-8"))  # noqa: SIM115  # a number
