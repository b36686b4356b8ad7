"""The mark of tests that run examples for curl."""

from __future__ import annotations

import shutil

import pytest

needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="NOT TESTED: examples for curl (none is on PATH)")
