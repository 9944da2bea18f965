"""`kubectl wsroute` as a person uses it, on a real cluster, through kubectl's own plugin search."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from . import objects
from .echo import Echo
from .kube import kubectl
from .node import layout
from .node.clients import KUBECTL
from .node.shell import CommandError, run
from .tunnels import LIMIT, tunnel

ENV = {"PATH": f"{Path(sys.executable).parent}:{layout.BIN}:{os.environ['PATH']}"}
_FLAG = f"--kubeconfig={layout.KUBECONFIG}"


def wsroute(echo: Echo, *words: str) -> str:
    """What `kubectl wsroute` prints; kubectl takes its own flags only after a plugin's name."""
    place = ("-n", echo.namespace, _FLAG)
    return run(KUBECTL[0], "wsroute", *words, *place, env=ENV)


def test_a_person_finds_a_tunnel_and_ends_it(echo: Echo) -> None:
    echo.apply("rooms", objects.rule("/rooms", name="all"))
    assert wsroute(echo, "status", "rooms").startswith(
        f"{echo.namespace}/rooms, generation 1: ready\n"
    )
    assert "belongs to" in wsroute(echo, "trace", "rooms", "--url", "ws://h/rooms/1")
    assert "belongs to" in wsroute(echo, "trace", "pod/echo", "--url", "ws://h/rooms/1")

    with tunnel(echo.url("/rooms/1")) as client:
        (listed,) = json.loads(wsroute(echo, "connections", "rooms", "-o", "json"))["connections"]
        assert (listed["pod"], listed["rule"]) == ("echo", "all")
        words = ("close", listed["id"], "--pod=echo", "--code=4001", "--reason=log in again")
        assert wsroute(echo, *words) == "1 tunnel closed\n"
        with pytest.raises(ConnectionClosed) as ended:
            client.recv(timeout=LIMIT)
    assert ended.value.rcvd is not None
    assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (4001, "log in again")

    with pytest.raises(CommandError, match=f"there is no tunnel {listed['id']}"):
        wsroute(echo, *words)
    assert wsroute(echo, "drain", "echo", "--wait") == "draining; 0 tunnels are open\n"


def test_kubectl_completes_the_names_in_the_cluster(echo: Echo) -> None:
    words = ("drain", "-n", echo.namespace, _FLAG, "")

    assert run(KUBECTL[0], "__complete", "wsroute", *words, env=ENV).split() == ["echo", ":4"]


def test_one_who_may_not_exec_is_told_which_right_it_takes(echo: Echo, tmp_path: Path) -> None:
    place = f"--namespace={echo.namespace}"
    kubectl("create", "serviceaccount", "guest", place)
    kubectl("create", "role", "guest", place, "--verb=get,list", "--resource=pods")
    account = f"--serviceaccount={echo.namespace}:guest"
    kubectl("create", "rolebinding", "guest", place, "--role=guest", account)
    token = kubectl("create", "token", "guest", place).strip()
    config = tmp_path / "kubeconfig"
    shutil.copy(layout.KUBECONFIG, config)
    for words in (
        ("set-credentials", "guest", f"--token={token}"),
        ("set-context", "--current", "--user=guest"),
    ):
        run(KUBECTL[0], "config", f"--kubeconfig={config}", *words)

    with pytest.raises(CommandError, match="a role with create on pods/exec lets you"):
        run(KUBECTL[0], "wsroute", "connections", place, f"--kubeconfig={config}", env=ENV)
