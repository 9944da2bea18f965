"""A pod is deleted while it has tunnels: clients are told, and so is the backend."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosedOK
from websockets.frames import Close

from .echo import APP, Echo
from .kube import kubectl
from .node.clients import KUBECTL
from .objects import rule
from .tunnels import LIMIT, tunnel

CODE, REASON = 1001, "pod is going away"
TUNNELS = 5
WINDOW = 2
GRACE = 20


def _delete_pod(echo: Echo) -> str:
    """Delete the pod while it has tunnels; what the server has printed when it is gone.

    Each client has got the code and reason, and the pod has gone before its grace was over.
    """
    echo.apply("drained", rule("/", drain={"timeout": f"{WINDOW}s"}))
    place = f"--namespace={echo.namespace}"
    follow = (*KUBECTL, "logs", "--follow", f"pod/{APP}", place)
    with ExitStack() as held, subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as log:
        tunnels = [held.enter_context(tunnel(echo.url("/"))) for _ in range(TUNNELS)]
        kubectl("delete", f"pod/{APP}", place, "--wait=false")
        begun = time.monotonic()
        for opened in tunnels:
            with pytest.raises(ConnectionClosedOK) as ended:
                opened.recv(timeout=LIMIT)
            assert ended.value.rcvd == Close(CODE, REASON)
        kubectl("wait", "--for=delete", f"pod/{APP}", place)
        assert time.monotonic() - begun < GRACE
        return log.communicate(timeout=LIMIT)[0]


def test_both_sides_are_told_within_the_grace_period_where_the_server_lingers(
    installed: str, namespace: str
) -> None:
    linger = {"lifecycle": {"preStop": {"sleep": {"seconds": WINDOW + 1}}}}
    echo = Echo.start(namespace, container=linger, terminationGracePeriodSeconds=GRACE)
    assert _delete_pod(echo).count(f"closed /: {CODE} {REASON}\n") == TUNNELS


def test_clients_are_told_even_where_the_server_ends_at_once(
    installed: str, namespace: str
) -> None:
    _delete_pod(Echo.start(namespace, terminationGracePeriodSeconds=GRACE))
