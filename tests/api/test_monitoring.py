"""The dashboard and the alert rules name metrics, labels and codes that a server really has."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.api import Api

from server import errors
from server.http.context import ARTIFACTS, CONFIG, METRICS, READINESS
from server.jobs import Status
from server.media import readiness, ytdlp

STATIC = Path(__file__).parents[2] / "static"
DASHBOARD = json.loads((STATIC / "grafana.json").read_text())
RULES: list[dict[str, Any]] = yaml.safe_load((STATIC / "alerts.yml").read_text())["groups"][0]["rules"]
EXPRESSIONS = [rule["expr"] for rule in RULES]
EXPRESSIONS += [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
#: Labels that Prometheus adds, and that of a histogram's buckets.
ADDED = {"instance", "job", "le"}


def names_and_labels(api: Api) -> dict[str, set[str]]:
    """The labels of every series by its name, also where nothing was counted yet."""
    collectors: dict[Any, list[str]] = api.app[METRICS].registry._collector_to_names
    return {name: set(collector._labelnames) for collector, names in collectors.items() for name in names}


async def test_every_metric_and_label_that_is_asked_for_is_there(api: Api) -> None:
    known = names_and_labels(api)
    for expression in EXPRESSIONS:
        for name, labels in re.findall(r"(ytmp3d_\w+)(?:\{([^}]*)\})?", expression):
            assert name in known, expression
            assert set(re.findall(r"(\w+)=", labels)) <= known[name] | ADDED, expression
        (of_any,) = [set[str]().union(*(known[name] for name in re.findall(r"ytmp3d_\w+", expression)))]
        for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
            assert set(group.split(", ")) <= of_any | ADDED, expression


def test_the_alert_about_failures_is_about_those_that_the_video_is_not_to_blame_for() -> None:
    retryable = sorted(code for code, error in errors.JOB_ERRORS.items() if error.retryable)
    (rule,) = [rule for rule in RULES if rule["alert"] == "Ytmp3dConversionsFail"]
    assert re.findall(r'code=~"([^"]+)"', rule["expr"]) == ["|".join(retryable)] * 2
    assert all(word in {one.value for one in Status} for word in re.findall(r'outcome="(\w+)"', rule["expr"]))
    (old,) = [rule for rule in RULES if rule["alert"] == "Ytmp3dYtDlpOld"]
    assert f"> {readiness.OLD_AFTER_DAYS} * 86400" in old["expr"]


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical"), rule
        assert all(rule["annotations"][part].endswith(".") for part in ("summary", "description")), rule
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


async def test_what_the_alerts_watch_is_measured(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def value(name: str) -> float:
        found = api.app[METRICS].registry.get_sample_value(f"ytmp3d_{name}")
        assert found is not None
        return found

    await api.app[ARTIFACTS].room()
    assert 0 < value("disk_free_bytes") < value("disk_bytes")
    assert value("disk_budget_bytes") == api.app[CONFIG].storage.disk_budget_mb << 20
    assert value("state_failing") == 0
    monkeypatch.setattr(api.app[READINESS], "versions", ytdlp.Versions("2026.01.31.1", runtime="deno"))
    assert value("yt_dlp_released_timestamp_seconds") == 1_769_817_600
    monkeypatch.setattr(api.app[READINESS], "versions", ytdlp.Versions("unknown", runtime="deno"))
    assert math.isnan(value("yt_dlp_released_timestamp_seconds"))


async def test_a_server_hands_out_both_files(api: Api) -> None:
    for name, kind in (("alerts.yml", "application/yaml"), ("grafana.json", "application/json")):
        answer = await api.get(f"/static/{name}", key=None)
        assert (answer.status, answer.headers["Content-Type"]) == (200, kind)


SAMPLES = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {{series: 'up{{job="ytmp3d", instance="a"}}', values: '0x120'}}
      - {{series: 'ytmp3d_exit_up{{instance="a", exit="home"}}', values: '0x120'}}
      - {{series: 'ytmp3d_exit_up{{instance="a", exit="work"}}', values: '1x120'}}
      - {{series: 'ytmp3d_disk_free_bytes{{instance="a"}}', values: '4x120'}}
      - {{series: 'ytmp3d_disk_bytes{{instance="a"}}', values: '100x120'}}
      - {{series: 'ytmp3d_state_failing{{instance="a"}}', values: '1x120'}}
      - {{series: 'ytmp3d_yt_dlp_released_timestamp_seconds{{instance="a"}}', values: '-7776000x120'}}
      - {{series: 'ytmp3d_conversions_total{{instance="a", outcome="failed", code="BOT_CHECK"}}', values: '0+1x120'}}
      - {{series: 'ytmp3d_conversions_total{{instance="a", outcome="failed", code="TOO_LONG"}}', values: '0+1x120'}}
      - {{series: 'ytmp3d_webhooks_total{{instance="a", outcome="given_up"}}', values: '0+1x120'}}
    promql_expr_test:
      - expr: count by (alertname, code, exit) (ALERTS{{alertstate="firing"}})
        eval_time: 100m
        exp_samples: [{expected}]
"""
FIRING = [
    'alertname="Ytmp3dConversionsFail", code="BOT_CHECK"',
    'alertname="Ytmp3dDiskNearlyFull"',
    'alertname="Ytmp3dDown"',
    'alertname="Ytmp3dExitDown", exit="home"',
    'alertname="Ytmp3dStateNotWritten"',
    'alertname="Ytmp3dWebhooksGivenUp"',
    'alertname="Ytmp3dYtDlpOld"',
]


@pytest.mark.skipif(not shutil.which("promtool"), reason="NOT TESTED: that the rules fire (needs promtool)")
def test_the_rules_fire_when_they_should(tmp_path: Path) -> None:
    expected = ", ".join(f"{{labels: '{{{labels}}}', value: 1}}" for labels in FIRING)
    file = tmp_path / "samples.yml"
    file.write_text(SAMPLES.format(rules=STATIC / "alerts.yml", expected=expected))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
