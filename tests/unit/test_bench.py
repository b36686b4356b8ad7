"""The benchmark's options. The figures themselves are no test's business."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bench import __main__ as bench

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_every_part_of_the_benchmark_is_named_in_the_readme() -> None:
    named = README.partition("`python -m tests.bench NAME`")[2].partition(".\n")[0]
    assert re.findall(r"`(\w+)`", named) == list(bench.PARTS)


def test_names_choose_parts_and_without_names_all_run(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, int]] = []
    for name, (_, usual) in bench.PARTS.items():
        part = (lambda folder, ffmpeg, rounds, name=name: ran.append((name, rounds)), usual)
        monkeypatch.setitem(bench.PARTS, name, part)
    bench.main(["saturated", "hour", "--rounds", "4"])
    assert ran == [("saturated", 4), ("hour", 1)]
    ran.clear()
    bench.main([])
    assert ran == [(name, usual) for name, (_, usual) in bench.PARTS.items()]


@pytest.mark.parametrize("arguments", [["singel"], ["--rounds", "0"], ["--rounds", "x"], ["short", "--svg", "x.svg"]])
def test_a_wrong_option_says_what_was_expected(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(arguments)
    assert "expected" in (said := capsys.readouterr().err) or "name it too" in said
