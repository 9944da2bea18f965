"""A pod is deleted while it has tunnels: clients are told, and so is the backend."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.sync.client import ClientConnection

from .echo import APP, Echo
from .kube import kubectl
from .node.clients import KUBECTL
from .objects import rule
from .tunnels import LIMIT, tunnel

CODE, REASON = 1001, "pod is going away"
TUNNELS = 5
WINDOW = 2
GRACE = 20


def _delete_pod(echo: Echo) -> tuple[list[Close | None], str]:
    """Delete the pod while it has tunnels: how clients saw them end, and what the server printed.

    The pod has gone before its grace was over.
    """
    echo.apply("drained", rule("/", drain={"timeout": f"{WINDOW}s"}))
    place = f"--namespace={echo.namespace}"
    follow = (*KUBECTL, "logs", "--follow", f"pod/{APP}", place)
    with ExitStack() as held, subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as log:
        tunnels = [held.enter_context(tunnel(echo.url("/"))) for _ in range(TUNNELS)]
        kubectl("delete", f"pod/{APP}", place, "--wait=false")
        begun = time.monotonic()
        ends = [_end(opened) for opened in tunnels]
        kubectl("wait", "--for=delete", f"pod/{APP}", place)
        assert time.monotonic() - begun < GRACE
        return ends, log.communicate(timeout=LIMIT)[0]


def _end(opened: ClientConnection) -> Close | None:
    """The Close frame that ends a tunnel; none where it is cut."""
    with pytest.raises(ConnectionClosed) as ended:
        opened.recv(timeout=LIMIT)
    return ended.value.rcvd


def test_both_sides_are_told_within_the_grace_period_where_the_server_lingers(
    installed: str, namespace: str
) -> None:
    linger = {"lifecycle": {"preStop": {"sleep": {"seconds": WINDOW + 1}}}}
    echo = Echo.start(namespace, container=linger, terminationGracePeriodSeconds=GRACE)
    ends, printed = _delete_pod(echo)
    assert ends == [Close(CODE, REASON)] * TUNNELS
    assert printed.count(f"closed /: {CODE} {REASON}\n") == TUNNELS


def test_clients_are_told_even_where_the_server_ends_at_once(
    installed: str, namespace: str
) -> None:
    ends, _ = _delete_pod(Echo.start(namespace, terminationGracePeriodSeconds=GRACE))
    assert [end and end.code for end in ends] == [CODE] * TUNNELS
