"""A child of a forkserver that becomes another program, such as ffmpeg. See `tools.py`."""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import sys

from . import sandbox
from .forkserver import NICENESS

#: The descriptors of a request are kept out of the way of those that the program gets.
_ABOVE = 32


def become(work: int, stdout: int, stderr: int, *lent: int) -> None:
    """Run the program with these descriptors.

    `lent` are its standard input, if the work says so, and what is open in it as 3, 4 and so on.
    """
    with os.fdopen(work, "rb") as file:
        argv, variables, group, rules, has_input = pickle.load(file)  # noqa: S301  # the server wrote it
    stdin, *passed = lent if has_input else (os.open(os.devnull, os.O_RDONLY), *lent)
    own = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for one in (stdin, stdout, stderr, *passed)]
    for number, descriptor in enumerate(own):
        os.dup2(descriptor, number)
    try:
        os.setpgid(0, group)
        os.nice(NICENESS)
        for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):  # Python's own ways would be inherited
            signal.signal(number, signal.SIG_DFL)
        sandbox.enter(*rules)
        os.execvpe(argv[0], argv, variables)  # noqa: S606  # no shell
    except OSError as error:
        sys.stderr.write(f"{argv[0]} could not be started: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(127)
