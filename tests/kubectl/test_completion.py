"""What may stand where the cursor is, and the shells that ask."""

from __future__ import annotations

import subprocess

import pytest

from tests.cluster.node import binaries
from tests.kubectl.standin import COMMAND, StandIn, pod, wsr


@pytest.mark.parametrize(
    ("words", "candidates"),
    [
        ([""], ["connections", "close", "drain", "status", "trace", "completion"]),
        (["c"], ["connections", "close", "completion"]),
        (["status", ""], ["chat"]),
        (["connections", ""], ["chat", "pod/a"]),
        (["connections", "pod/"], ["pod/a"]),
        (["connections", "-o", ""], ["table", "wide", "json"]),
        (["drain", ""], ["a"]),
        (["drain", "--w"], ["--wait"]),
        (["close", "--route", ""], ["chat"]),
        (["close", "--reason", ""], []),
        (["completion", "z"], ["zsh"]),
        (["-n", "shop", "dr"], ["drain"]),
        (["-n", "shop", "status", ""], ["chat"]),
        (["--con"], ["--context"]),
    ],
)
def test_what_fits_is_offered(words: list[str], candidates: list[str], cluster: StandIn) -> None:
    cluster.answer("websocketroutes", {"items": [wsr()]})
    cluster.answer("pods", {"items": [pod("a")]})

    assert cluster.run("__complete", *words).stdout.split() == candidates


def test_names_are_those_of_the_namespace_that_was_typed(cluster: StandIn) -> None:
    cluster.answer("--context=c websocketroutes.wsroute.dev --namespace=shop", {"items": [wsr()]})

    words = ["status", "-n", "shop", "--context", "c", ""]
    assert cluster.run("__complete", *words).stdout.split() == ["chat"]


def test_an_error_completes_nothing_and_says_nothing(cluster: StandIn) -> None:
    cluster.fail("get", "no rights")
    done = cluster.run("__complete", "status", "")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.cluster  # for kubectl, which is built with the node's programs
def test_kubectl_itself_completes_the_plugin_and_no_files(cluster: StandIn) -> None:
    path = f"{COMMAND.parent}:{cluster.environ['PATH']}"
    done = subprocess.run(
        [binaries.go_programs() / "kubectl", "__complete", "wsroute", "dr"],
        env=cluster.environ | {"PATH": path}, check=True, capture_output=True, text=True,
    )  # fmt: skip

    assert done.stdout.split() == ["drain", ":4"]


def test_bash_completes_the_command(cluster: StandIn) -> None:
    script = cluster.run("completion", "bash").stdout
    asking = 'COMP_WORDS=(kubectl-wsroute dr); COMP_CWORD=1; _kubectl_wsroute; echo "$COMPREPLY"'
    environ = cluster.environ | {"PATH": f"{COMMAND.parent}:{cluster.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{asking}"],
        env=environ, check=True, capture_output=True, text=True,
    )  # fmt: skip

    assert done.stdout == "drain\n"
