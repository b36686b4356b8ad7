"""The TLS context that yt-dlp's processes share is handed out where it is the right one, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import certifi
import pytest
from yt_dlp.networking import common

from server.media import trust

CERTIFI = {"verify": True, "legacy_support": False, "use_certifi": True}
SYSTEM = {**CERTIFI, "use_certifi": False}


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(common, "make_ssl_context", common.make_ssl_context)  # as it was, afterwards
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    path = tmp_path / "authorities.pem"
    path.write_bytes(Path(certifi.where()).read_bytes())
    return path


def test_runs_with_usual_settings_share_one_context(bundle: Path) -> None:
    trust.prepare()
    shared: Any = common.make_ssl_context(**CERTIFI)
    assert shared is common.make_ssl_context(**CERTIFI) and shared.cert_store_stats()["x509_ca"] > 50
    for other in ({**CERTIFI, "legacy_support": True}, {**CERTIFI, "verify": False}, SYSTEM):
        assert common.make_ssl_context(**other) is not shared


def test_a_bundle_is_read_once_until_it_is_another(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    trust.prepare()
    shared = common.make_ssl_context(**SYSTEM)
    assert shared is common.make_ssl_context(**SYSTEM)
    assert common.make_ssl_context(**CERTIFI) is not shared
    bundle.write_bytes(bundle.read_bytes() + b"\n")
    assert common.make_ssl_context(**SYSTEM) is not shared


def test_a_bundle_that_comes_later_is_read_by_each_run(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bundle.read_bytes()
    bundle.unlink()
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    trust.prepare()
    bundle.write_bytes(content)
    found: Any = common.make_ssl_context(**SYSTEM)
    assert found.cert_store_stats()["x509_ca"] > 50
