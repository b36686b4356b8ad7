"""The wall clock jumps an hour either way under a running server: nothing expires early, nothing running ends."""

from __future__ import annotations

import datetime
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import NewServer
from support.serverprocess import ServerProcess, until

SLOW = "x-slow-----"
HOUR = 3600
#: Stands before the C library in all Python processes and moves the wall clock, and only that one. Not in ffmpeg: it
#: sleeps until a moment by the wall clock, which the kernel would wait for by the one that has not moved.
JUMPING_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static long jump(void) {
    long seconds = 0;
    if (strncmp(program_invocation_short_name, "python", 6)) return 0;
    FILE *file = fopen(getenv("CLOCK_JUMP"), "r");
    if (file) {
        if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
        fclose(file);
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += jump();
    return result;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
"""

pytestmark = pytest.mark.long


@pytest.fixture
def jumping_clock(tmp_path: Path) -> dict[str, str]:
    """The environment in which a process's wall clock is as many seconds wrong as the file `jump` says."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/proc").exists():
        pytest.skip("NOT TESTED: a jumping clock (needs Linux and a C compiler)")
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(JUMPING_CLOCK)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True, timeout=60)
    (tmp_path / "jump").write_text("0")
    return {"LD_PRELOAD": str(library), "CLOCK_JUMP": str(tmp_path / "jump")}


def jump_seen_in(moment: str) -> float:
    """By how many seconds the server's wall clock is off, by a time that it gave just now."""
    told = datetime.datetime.fromisoformat(moment)
    return (told - datetime.datetime.now(datetime.UTC)).total_seconds()


def convert_slowly(server: ServerProcess, quality: str) -> str:
    conversion = server.convert(SLOW, quality)
    until(lambda: server.has_audio(conversion))
    return conversion


def test_a_jump_of_the_clock_expires_and_ends_nothing(
    new_server: NewServer, tmp_path: Path, jumping_clock: dict[str, str]
) -> None:
    server = new_server("[jobs]\nkeep_hours = 1\ntimeout = 1800", **jumping_clock)
    server.start()
    done = server.convert("plain-video")
    assert server.finished(done)["status"] == "completed"
    content = server.download(done)
    for jump, quality in ((HOUR, "high"), (-HOUR, "medium")):
        running = convert_slowly(server, quality)
        (tmp_path / "jump").write_text(str(jump))
        ended = server.finished(running)  # which takes longer than the pause between two looks at what expires
        assert ended["status"] == "completed", ended["error"]
        assert jump_seen_in(ended["finished_at"]) == pytest.approx(jump, abs=20)
        assert server.status(done)["status"] == "completed"
        assert server.download(done) == content
        assert server.download(running)
    assert len(server.artifacts()) == 3
