"""Typed keys for what handlers find in the application and keep in a request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from ..access.keys import Keys
from ..access.ratelimit import RateLimiter
from ..config import Config
from ..conversions.archives import Archives
from ..conversions.engine import Engine
from ..media.playlists import Playlists
from ..media.readiness import Readiness
from ..metrics import Metrics
from ..storage.artifacts import Artifacts
from .compressed import Asset
from .connections import Connections
from .idempotency import Idempotency
from .long_answers import LongAnswers
from .unbelieved import Unbelieved

CONFIG = web.AppKey("config", Config)
CONNECTIONS = web.AppKey("connections", Connections)
KEYS = web.AppKey("keys", Keys)
LIMITER = web.AppKey("limiter", RateLimiter)
ENGINE = web.AppKey("engine", Engine)
ARCHIVES = web.AppKey("archives", Archives)
ARTIFACTS = web.AppKey("artifacts", Artifacts)
LONG_ANSWERS = web.AppKey("long_answers", LongAnswers)
METRICS = web.AppKey("metrics", Metrics)
IDEMPOTENCY = web.AppKey("idempotency", Idempotency)
PLAYLISTS = web.AppKey("playlists", Playlists)
READINESS = web.AppKey("readiness", Readiness)
UNBELIEVED = web.AppKey("unbelieved", Unbelieved)
#: Set when an essential part has failed; the server then stops.
BROKEN = web.AppKey("broken", asyncio.Event)
#: The files of the page, by the name they are served under.
ASSETS = web.AppKey[Mapping[str, Asset]]("assets", Mapping)

#: In a request: its id, the name of its key, and the headers that its handler adds to every answer.
REQUEST_ID = web.RequestKey("request_id", str)
KEY_NAME = web.RequestKey("key_name", str)
EXTRA_HEADERS = web.RequestKey[dict[str, str]]("extra_headers", dict)
#: Set in a request whose answer may take any time, so that its duration says nothing.
WITHOUT_DEADLINE = web.RequestKey("without_deadline", bool)
