"""How much time, processor and memory a tree of processes takes. Linux (/proc)."""

from __future__ import annotations

import os
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICK = os.sysconf("SC_CLK_TCK")
_EVERY = 0.05


_tables: list[dict[str, Any]] = []


@dataclass
class Usage:
    """`cpu` in seconds; `peak` is the largest proportional set size seen, in MB: shared pages count once in all."""

    cpu: float = 0.0
    peak: float = 0.0


def family(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (stat := _stat(int(folder.name))):
            parents[int(folder.name)] = int(stat[1])
    members = [root]
    for member in members:
        members += [pid for pid, parent in parents.items() if parent == member]
    return members


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def cpu_seconds(root: int, *, alone: bool = False) -> float:
    """Of everything in the tree and everything that was reaped in it; or of the process `alone`."""
    if alone:
        return sum(map(int, (_stat(root) or ["0"] * 15)[11:13])) / _TICK
    total = 0
    for pid in family(root):
        if stat := _stat(pid):
            total += sum(map(int, stat[11:15]))
    return total / _TICK


def proportional(root: int, *, alone: bool = False) -> float:
    """The memory of the tree, or of the process `alone`, in MB. A page that several processes share is divided among
    them (PSS, proc(5)).
    """
    return sum(map(_pss, [root] if alone else family(root))) * 1024 / 1e6


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


@contextmanager
def watched(root: int) -> Iterator[Usage]:
    """What the tree below `root` uses while the block runs."""
    usage, before, ended = Usage(), cpu_seconds(root), threading.Event()

    def look() -> None:
        while not ended.wait(_EVERY):
            usage.peak = max(usage.peak, proportional(root))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield usage
    finally:
        usage.cpu = cpu_seconds(root) - before
        ended.set()
        thread.join()


def table(title: str, columns: list[str], rows: dict[str, list[list[float]]]) -> None:
    """Print the median of each column, with its smallest and largest, for each row, and keep every value."""
    _tables.append({"title": title, "columns": columns, "rows": rows})
    width = max(28, *(len(name) + 2 for name in rows))
    print(f"\n{title}\n{'':{width}}" + "".join(f"{column:>26}" for column in columns))
    for name, runs in rows.items():
        cells = []
        for values in zip(*runs, strict=True):
            known = [value for value in values if value == value]  # NaN: does not apply
            low, high = (min(known), max(known)) if known else (0.0, 0.0)
            cells.append(f"{statistics.median(known):9.2f} ({low:.2f}-{high:.2f})" if known else "-")
        print(f"{name:{width}}" + "".join(f"{cell:>26}" for cell in cells), flush=True)


def taken() -> list[dict[str, Any]]:
    """The tables since the last call, with each value that was measured."""
    tables = _tables.copy()
    _tables.clear()
    return tables
