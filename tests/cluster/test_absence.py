"""The operator, or a sidecar's process, is away and comes back."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import Any

from tests.support.convergence import converges
from tests.support.waiting import until
from wsroute_api.contract import PUSH_PORT, SNAPSHOT_PATH

from . import release
from .echo import APP, Echo
from .kube import apply, kill_container, wait_for
from .objects import route, rule
from .tunnels import LIMIT, Traffic, handshake


def _sidecar(echo: Echo) -> dict[str, Any]:
    """The status of the sidecar's container."""
    (sidecar,) = echo.pod()["status"]["initContainerStatuses"]
    return dict(sidecar)


def _kill_sidecar(echo: Echo) -> None:
    """Kill the sidecar's process, and wait until the kubelet has started another."""
    before = _sidecar(echo)
    kill_container(before)

    def started_again() -> bool:
        now = _sidecar(echo)
        return bool(now["started"]) and now["restartCount"] > before["restartCount"]

    until(started_again, "another process of the sidecar", LIMIT)


def _held(echo: Echo) -> tuple[int, int]:
    """Epoch and sequence of the snapshot that the sidecar holds."""
    connection = http.client.HTTPConnection(echo.pod()["status"]["podIP"], PUSH_PORT, timeout=LIMIT)
    with closing(connection):
        connection.request("GET", SNAPSHOT_PATH)
        held = json.loads(connection.getresponse().read())
    return held["epoch"], held["seq"]


def _opens(echo: Echo, path: str) -> bool:
    return handshake(echo.url(path))[0] == 101


def test_tunnels_and_routes_stay_without_the_operator_and_then_all_converges(echo: Echo) -> None:
    for name in ("kept", "edited", "deleted"):
        echo.apply(name, rule(f"/{name}"))
    with Traffic(echo.url("/kept")) as kept, Traffic(echo.url("/edited")) as edited:
        with release.no_operator():
            apply(echo.namespace, route("edited", rule("/edited-now"), app=APP))
            apply(echo.namespace, route("added", rule("/added"), app=APP))
            echo.delete("deleted")
            assert all(_opens(echo, f"/{name}") for name in ("kept", "edited", "deleted"))
            kept.more()
            edited.more()

        with converges("no operator ran on the node", within=40):
            wait_for("Ready", echo.namespace, "wsr/kept", "wsr/edited", "wsr/added")
        assert all(_opens(echo, path) for path in ("/kept", "/edited-now", "/added"))
        assert not any(_opens(echo, path) for path in ("/edited", "/deleted"))
        kept.more()
        edited.more()
    echo.delete("kept", "edited", "added")


def test_a_restarted_sidecar_serves_its_last_good_routes_and_is_brought_up_to_date(
    echo: Echo,
) -> None:
    echo.apply("good", rule("/good"))
    restarted = echo.past_the_service()
    with release.no_operator():
        held = _held(echo)  # the last replica to end may have led for a moment
        _kill_sidecar(echo)
        assert _held(echo) == held
        assert _opens(restarted, "/good")
        apply(echo.namespace, route("good", rule("/better"), app=APP))

    wait_for("Ready", echo.namespace, "wsr/good")
    assert _opens(restarted, "/better")
    assert _held(echo) > held
    echo.delete("good")


def test_the_operator_pushes_to_a_restarted_sidecar_at_once(installed: str, namespace: str) -> None:
    echo = Echo.start(namespace)
    echo.apply("good", rule("/good"))
    held = _held(echo)
    _kill_sidecar(echo)
    with converges("a sidecar was killed on the node", within=20):
        until(lambda: _held(echo) > held, "a push to the new process", LIMIT)
    assert _opens(echo.past_the_service(), "/good")
    wait_for("Ready", namespace, "wsr/good", f"pod/{APP}")
