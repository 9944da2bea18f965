"""Listing, closing and draining over many pods."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from tests.kubectl.standin import COMMAND, StandIn, connection, pod, wsr


def listed(*connections: object) -> dict[str, object]:
    return {"connections": connections, "ended": []}


@pytest.fixture
def two_pods(cluster: StandIn) -> StandIn:
    cluster.answer("pods --selector=", {"items": [pod("a"), pod("b")]})
    cluster.answer("get pod a", pod("a"))
    cluster.answer("get websocketroutes.wsroute.dev chat", wsr())
    cluster.answer("a --container=wsroute -- wsroute-sidecar connections", listed(connection("1")))
    cluster.answer(
        "b --container=wsroute -- wsroute-sidecar connections", listed(connection("2", age=99.0))
    )
    return cluster


def test_the_tunnels_of_all_pods_are_one_table_the_oldest_first(two_pods: StandIn) -> None:
    done = two_pods.run("connections")

    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = (line.split() for line in done.stdout.splitlines())
    assert head[:3] == ["POD", "ID", "ROUTE"]
    assert [row[:2] for row in rows] == [["b", "2"], ["a", "1"]]


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ([], "get pods --selector=wsroute.dev/inject=true --output=json"),
        (["-A"], "get pods --selector=wsroute.dev/inject=true --all-namespaces --output=json"),
        (["-n", "shop", "pod/a"], "get pod a --namespace=shop --output=json"),
        (["chat"], "get pods --selector=app=chat --output=json"),
        (
            ["--context", "c", "--kubeconfig", "k"],
            "get --context=c --kubeconfig=k pods --selector=wsroute.dev/inject=true --output=json",
        ),
    ],
)
def test_the_choice_of_pods_and_of_the_cluster_is_kubectls(
    words: list[str], call: str, two_pods: StandIn
) -> None:
    assert two_pods.run("connections", *words).returncode == 0
    assert call in two_pods.calls


def test_of_a_route_only_its_tunnels_are_asked_for(two_pods: StandIn) -> None:
    head, *_ = two_pods.run("connections", "chat").stdout.splitlines()

    assert head.split() == ["POD", "ID", "CLIENT", "AGE", "IDLE", "IN", "OUT"]
    asked = [call for call in two_pods.calls if call.startswith("exec")]
    assert len(asked) == 2
    assert all(call.endswith("connections --route=shop/chat --output=json") for call in asked)


def test_wide_adds_what_is_known_of_the_backend(two_pods: StandIn) -> None:
    head, row, _ = two_pods.run("connections", "-A", "-o", "wide").stdout.splitlines()

    assert head.split()[:2] == ["NAMESPACE", "POD"]
    assert head.split()[-3:] == ["BACKEND-RTT", "PORT", "SUBPROTOCOL"]
    assert row.split()[-3:] == ["1.2ms", "8080", "-"]


def test_json_says_of_each_tunnel_whose_it_is(two_pods: StandIn) -> None:
    answer = json.loads(two_pods.run("connections", "-o", "json").stdout)

    places = [(c["namespace"], c["pod"], c["id"]) for c in answer["connections"]]
    assert places == [("shop", "a", "1"), ("shop", "b", "2")]
    assert answer["ended"] == []


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        pytest.param(
            'Error from server (Forbidden): pods "b" is forbidden\n', "is forbidden", id="no right"
        ),
        pytest.param(
            "wsroute-sidecar: no sidecar listens on x\ncommand terminated with exit code 1\n",
            "no sidecar listens on x",
            id="the sidecar's own words",
        ),
    ],
)
def test_a_pod_that_cannot_be_asked_is_one_line_and_the_rest_is_shown(
    errors: str, said: str, cluster: StandIn
) -> None:
    cluster.answer("get pods", {"items": [pod("a"), pod("b")]})
    cluster.fail("b --container=wsroute", errors)
    cluster.answer("exec", listed(connection("1")))
    done = cluster.run("connections")

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("kubectl-wsroute: shop pod/b: ")
    assert line.endswith(said)
    assert done.stdout.splitlines()[1].startswith("a    1 ")


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (pod("b", sidecar=False), "has no sidecar: it is older than its label, make it anew"),
        (
            pod(
                "b",
                initContainerStatuses=[
                    {"name": "wsroute", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
                ],
            ),
            "its sidecar does not run (CrashLoopBackOff): kubectl describe pod tells more",
        ),
        (
            pod("b", initContainerStatuses=[]),
            "its sidecar is not there yet: kubectl describe pod tells more",
        ),
    ],
)
def test_a_pod_without_a_running_sidecar_is_not_asked(
    found: dict[str, object], why: str, cluster: StandIn
) -> None:
    cluster.answer("get pods", {"items": [found]})
    done = cluster.run("connections")

    assert (done.returncode, done.stderr) == (1, f"kubectl-wsroute: shop pod/b: {why}\n")


@pytest.mark.parametrize(
    ("words", "found", "said"),
    [
        ([], [pod("a", phase="Succeeded")], "no pod that runs here has the label wsroute.dev"),
        (["chat"], [], "spec.selector selects no pod of the namespace"),
        ([], [pod("a")], "no tunnel is open in 1 pod\n"),
        (["chat"], [pod("a"), pod("b")], "no tunnel is open in 2 pods\n"),
    ],
)
def test_where_there_is_nothing_a_person_is_told_so(
    words: list[str], found: list[object], said: str, cluster: StandIn
) -> None:
    cluster.answer("websocketroutes", wsr())
    cluster.answer("get pods", {"items": found})
    cluster.answer("exec", listed())
    done = cluster.run("connections", *words)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(said)


def test_pods_that_fail_alike_are_one_line(cluster: StandIn) -> None:
    cluster.answer("get pods", {"items": [pod(name, sidecar=False) for name in "abcde"]})
    (line,) = cluster.run("connections").stderr.splitlines()

    assert line.startswith("kubectl-wsroute: shop pod/a, pod/b, pod/c and 2 more: has no sidecar")


def test_a_right_that_is_missing_is_named_once(cluster: StandIn) -> None:
    cluster.answer("get pods", {"items": [pod("a"), pod("b"), pod("c", sidecar=False)]})
    for name in "ab":
        cluster.fail(f"{name} --container", f'Error from server (Forbidden): pods "{name}"\n')
    cluster.fail("auth can-i create pods --subresource=exec --namespace=shop", "", said="no\n")
    right, sidecar = cluster.run("connections").stderr.splitlines()

    assert right.startswith("kubectl-wsroute: shop pod/a, pod/b: you may not ask its sidecar")
    assert right.endswith("lets you")
    assert sidecar.startswith("kubectl-wsroute: shop pod/c: has no sidecar")


def test_progress_is_told_to_a_terminal_and_taken_back(two_pods: StandIn) -> None:
    seen = two_pods.seen("connections")

    assert "1 of 2 pods have answered ...\r\x1b[KPOD" in seen


def test_a_watched_table_is_cut_to_the_screen(cluster: StandIn) -> None:
    cluster.answer("get pods", {"items": [pod("a")]})
    cluster.answer("exec", listed(*(connection(str(number)) for number in range(4000))))

    assert len(cluster.run("connections").stdout.splitlines()) == 4001
    seen = cluster.seen("connections", "--watch", enough="... and 3979 more", lines=24)
    assert len([line for line in seen.splitlines() if line.startswith("a  ")]) == 21


def test_what_a_pod_says_is_shown_and_not_obeyed(cluster: StandIn) -> None:
    cluster.answer("get pods", {"items": [pod("a")]})
    cluster.answer("exec", listed(connection("\x1b[2J")))

    assert "\\x1b[2J" in cluster.run("connections").stdout


def test_a_watcher_sees_the_table_again_until_interrupted(two_pods: StandIn) -> None:
    with subprocess.Popen(
        [COMMAND, "connections", "--watch"],
        env=two_pods.environ, stdout=subprocess.PIPE, text=True,
    ) as watch:  # fmt: skip
        assert watch.stdout is not None
        lines = [watch.stdout.readline().split()[:2] for _ in range(7)]
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 0

    assert lines[:4] == [["POD", "ID"], ["b", "2"], ["a", "1"], []]
    assert lines[4:] == lines[:3]


def test_close_sends_the_order_to_the_pod_that_has_the_tunnel(two_pods: StandIn) -> None:
    two_pods.answer("wsroute-sidecar close", {"closed": 1})
    done = two_pods.run("close", "7f", "--pod", "a", "--code", "4001", "--reason", "log in again")

    assert (done.returncode, done.stdout) == (0, "1 tunnel closed\n")
    assert two_pods.calls[-1].endswith(
        "close --output=json --code=4001 --reason=log in again -- 7f"
    )


def test_a_tunnel_that_is_not_there_is_one_line_in_the_sidecars_words(cluster: StandIn) -> None:
    cluster.answer("get pod a", pod("a"))
    words = "wsroute-sidecar: close: there is no tunnel 7f"
    cluster.fail("exec", f"{words}\ncommand terminated with exit code 1\n")
    done = cluster.run("close", "7f", "--pod", "a")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"kubectl-wsroute: shop pod/a: {words}\n"


def test_close_by_route_counts_over_all_its_pods(two_pods: StandIn) -> None:
    two_pods.answer("close --output=json --code=1001", {"closed": 2})
    done = two_pods.run("close", "--route", "chat")

    assert (done.returncode, done.stdout) == (0, "4 tunnels closed\n")
    assert {call.split()[-1] for call in two_pods.calls[-2:]} == {"--route=shop/chat"}


def test_drain_tells_what_the_sidecar_answers(cluster: StandIn) -> None:
    cluster.answer("get pod a", pod("a"))
    cluster.answer("drain", "draining; 2 tunnels are open\n")
    done = cluster.run("drain", "pod/a", "--wait", "-n", "shop")

    assert (done.returncode, done.stdout) == (0, "draining; 2 tunnels are open\n")
    assert cluster.calls[-1] == (
        "exec --namespace=shop a --container=wsroute -- wsroute-sidecar drain --wait"
    )


def test_a_pod_without_a_sidecar_is_not_drained(cluster: StandIn) -> None:
    cluster.answer("get pod a", pod("a", sidecar=False))
    done = cluster.run("drain", "a")

    assert (done.returncode, len(cluster.calls)) == (1, 1)
    assert done.stderr.startswith("kubectl-wsroute: shop pod/a has no sidecar")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["close", "7f"], "name a tunnel with ID --pod POD"),
        (["close", "7f", "--pod", "a", "--route", "chat"], "or all of a route with --route"),
        (["connections", "chat", "-A"], "chat is in one namespace"),
        (["status", "gone"], 'Error from server (NotFound): "gone" not found'),
        (["drain", "done"], "done has finished"),
        (["drain", "a"], "Unable to connect to the server"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words: list[str], said: str, cluster: StandIn) -> None:
    cluster.answer("get pod a", pod("a"))
    cluster.answer("get pod done", pod("done", phase="Succeeded"))
    cluster.fail("gone", 'Error from server (NotFound): "gone" not found\n')
    cluster.fail("exec", "E1 memcache.go] attempt\nUnable to connect to the server: timeout\n")
    done = cluster.run(*words)

    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert said in line
