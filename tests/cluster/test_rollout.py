"""A Deployment is rolled over while clients hold tunnels, and come back whenever theirs end."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, Final, Self

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.support.waiting import until
from wsroute_api.contract import DATA_PORT

from .echo import APP
from .kube import apply, kubectl, service_address, wait_for
from .objects import container, injected, pod, route, rule, service
from .tunnels import LIMIT, handshake, tunnel

CLIENTS: Final = 8
WINDOW: Final = 2
LINGER: Final = 5 + WINDOW + 2
"""Seconds that the server stays: the sidecar takes in late comers for five, then drains."""


def _deployment() -> dict[str, Any]:
    """Two echo servers, of which one is there at any time."""
    server = container(
        APP, "backends", "python", "/echo.py",
        ports=[{"containerPort": 8080}],
        readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        lifecycle={"preStop": {"sleep": {"seconds": LINGER}}},
    )  # fmt: skip
    template = injected(pod(APP, server, terminationGracePeriodSeconds=30))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": APP},
        "spec": {
            "replicas": 2,
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": {"app": APP}},
            "template": {key: template[key] for key in ("metadata", "spec")},
        },
    }


class Clients:
    """Clients that reconnect at once, and one that does nothing but handshakes.

    Attributes:
        ends: How often tunnels ended with each close code.
        handshakes: How many succeeded.
        failures: Those that did not.
    """

    def __init__(self, url: str) -> None:
        self.ends: Final[Counter[int | None]] = Counter()
        self.handshakes = 0
        self.failures: Final[list[str]] = []
        self._url: Final = url
        self._leaving: Final = threading.Event()
        works = [self._hold] * CLIENTS + [self._knock]
        self._threads: Final = [threading.Thread(target=work) for work in works]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        until(lambda: self.handshakes > CLIENTS or self.failures, "tunnels", LIMIT)
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        for thread in self._threads:
            thread.join()

    def _hold(self) -> None:
        while not self._leaving.is_set():
            try:
                with tunnel(self._url) as opened:
                    self.handshakes += 1
                    self._until_it_ends(opened)
            except Exception as failure:  # noqa: BLE001 - told to the test, in its own thread
                self.failures.append(repr(failure))

    def _until_it_ends(self, opened: ClientConnection) -> None:
        while not self._leaving.is_set():
            try:
                opened.recv(timeout=0.2)
            except TimeoutError:
                continue
            except ConnectionClosed as closed:
                self.ends[closed.rcvd.code if closed.rcvd else None] += 1
                return

    def _knock(self) -> None:
        while not self._leaving.wait(0.01):
            try:
                status, _ = handshake(self._url)
                assert status == 101, status
                self.handshakes += 1
            except Exception as failure:  # noqa: BLE001 - as above
                self.failures.append(repr(failure))


def test_a_rollout_ends_every_tunnel_politely_and_fails_no_handshake(
    installed: str, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"--namespace={namespace}"
    apply(namespace, _deployment(), service(APP, DATA_PORT),
          route(APP, rule("/", drain={"timeout": f"{WINDOW}s"}), app=APP))  # fmt: skip
    kubectl("rollout", "status", f"deployment/{APP}", place)
    wait_for("Ready", namespace, f"wsr/{APP}")
    pods = kubectl("get", "pods", "--output=name", place).split()
    address = service_address(namespace, APP)
    with Clients(f"ws://{address}/") as clients:
        kubectl("rollout", "restart", f"deployment/{APP}", place)
        kubectl("rollout", "status", f"deployment/{APP}", place)
        kubectl("wait", "--for=delete", *pods, place)
    with capsys.disabled():
        print(f"\na rollout: {clients.handshakes} handshakes, tunnels ended with {clients.ends}")
    assert clients.failures == []
    assert set(clients.ends) == {1001}
    assert clients.ends[1001] >= CLIENTS
    assert "Injected" in kubectl("events", place)
