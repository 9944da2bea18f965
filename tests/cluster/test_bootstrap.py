"""Pods start while replicas of the operator serve the webhook, and none of them leads."""

from __future__ import annotations

from tests.support.waiting import until

from . import release
from .echo import APP, Echo
from .kube import apply, wait_for
from .objects import route, rule
from .tunnels import LIMIT, Traffic, handshake


def _serves(echo: Echo, path: str) -> bool:
    return handshake(echo.url(path))[0] == 101


def test_a_pod_that_starts_while_nobody_leads_serves_the_routes_of_its_admission(
    installed: str, namespace: str
) -> None:
    apply(namespace, route("first", rule("/first"), app=APP))
    wait_for("ResolvedRefs=false", namespace, "wsr/first")
    with release.no_leader():
        echo = Echo.start(namespace)  # it is ready, so it has routes
        assert _serves(echo, "/first")
        with Traffic(echo.url("/first")) as traffic:
            apply(namespace, route("later", rule("/later"), app=APP))
            assert not _serves(echo, "/later")
            release.let_lead()
            until(lambda: _serves(echo, "/later"), "the first push", LIMIT)
            traffic.more()
    wait_for("Ready", namespace, "wsr/first", "wsr/later")
