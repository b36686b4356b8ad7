"""Clients that leave in the middle, try keys, or send what is no text."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time

import pytest
from conftest import NewServer
from support import attacks
from support.serverprocess import KEY, ServerProcess

BODY = f"POST /convert HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 100\r\n\r\n{{".encode()

pytestmark = pytest.mark.long


@pytest.fixture
def server(new_server: NewServer) -> ServerProcess:
    server = new_server()
    server.start()
    return server


def test_those_that_leave_in_mid_body_leave_no_traceback(server: ServerProcess) -> None:
    logged = len(server.log)
    for number in range(200):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
            one.sendall(BODY)
            if number % 2:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    took, conversion = attacks.converted(server, "good-client")
    written = server.log[logged:]
    print(f"good client {took:.2f} s, log {len(written)} bytes")
    assert conversion["status"] == "completed"
    assert "Traceback" not in written and " error " not in written
    assert len(written) < 40_000


def test_whoever_tries_keys_is_slow_and_a_good_key_is_not(server: ServerProcess) -> None:
    logged, over, tried = len(server.log), threading.Event(), [0] * 20

    def guess(place: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        while not over.is_set():
            connection.request("GET", "/status", headers={"Authorization": f"Bearer guess-{place}-{tried[place]}"})
            assert connection.getresponse().read()
            tried[place] += 1
        connection.close()

    threads = [threading.Thread(target=guess, args=(place,)) for place in range(len(tried))]
    for thread in threads:
        thread.start()
    time.sleep(1)  # the first few are refused at once
    before, began = sum(tried), time.monotonic()
    with attacks.watched(server) as seen:
        took, conversion = attacks.converted(server, "good-client")
    rate = (sum(tried) - before) / (time.monotonic() - began)
    over.set()
    for thread in threads:
        thread.join()
    print(f"good client {took:.2f} s, /healthz {seen}, {rate:.0f} keys/s, log {len(server.log) - logged} bytes")
    assert conversion["status"] == "completed" and seen.failures == []
    assert rate < 2 * len(tried)
