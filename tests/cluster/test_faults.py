"""The leader, or the API server, fails, and a tunnel through a pod does not notice."""

from __future__ import annotations

import os
import time
from typing import Final

from tests.support.convergence import converges

from . import release
from .echo import Echo
from .kube import kill_container, kubectl, kubectl_json
from .node.daemons import API_SERVER
from .objects import rule
from .tunnels import Traffic

_PLACE: Final = f"--namespace={release.NAMESPACE}"
_AWAY: Final = 60 if os.environ.get("WSROUTE_FAULTS") == "full" else 12
"""Seconds."""


def _change(echo: Echo, number: int) -> None:
    """Make the route another one, and wait until it is served so."""
    echo.apply("steady", rule("/", connection={"idleTimeout": f"{number}m"}))


def _kill_leader() -> None:
    holder = kubectl_json("get", "lease", "wsroute-operator", _PLACE)["spec"]["holderIdentity"]
    pod = kubectl_json("get", "pod", holder.partition("_")[0], _PLACE)
    (container,) = pod["status"]["containerStatuses"]
    kill_container(container)


def test_another_replica_goes_on_when_the_leader_is_killed(echo: Echo) -> None:
    _change(echo, 1)
    with Traffic(echo.url("/")) as traffic:
        _kill_leader()
        with converges("the leader was killed on the node", within=15):
            _change(echo, 2)
        traffic.more()
    echo.delete("steady")
    kubectl("rollout", "status", "deployment/wsroute-operator", _PLACE)


def test_an_api_server_that_was_away_is_all_the_operator_waits_for(echo: Echo) -> None:
    _change(echo, 1)
    with Traffic(echo.url("/")) as traffic:
        API_SERVER.stop()
        time.sleep(_AWAY)
        traffic.more()
        API_SERVER.start()
        API_SERVER.wait()
        with converges(f"the node's API server was stopped for {_AWAY} s", within=40):
            _change(echo, 2)
        traffic.more()
    echo.delete("steady")
