"""Requests as people name them, and where `trace` finds the routes that compete."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.kubectl.standin import StandIn, pod, wsr
from wsroute_kubectl.trace import facts


@pytest.mark.parametrize(
    ("url", "headers", "host", "path"),
    [
        ("ws://A.Example", [], "a.example", "/"),
        ("wss://a.example.:8443/ws/%2e?v=1#x", [], "a.example", "/ws/%2e"),
        ("http://[::1]:80/x", [], "[::1]", "/x"),
        ("ws://10.96.0.9/ws", ["host: chat.example:80"], "chat.example", "/ws"),
    ],
)
def test_a_url_is_read_as_the_sidecar_reads_a_request(
    url: str, headers: list[str], host: str, path: str
) -> None:
    read = facts(url, headers, "GET", [])
    assert (read.host, read.path) == (host, path)


def test_headers_are_found_whatever_their_case_and_joined_when_repeated() -> None:
    read = facts("ws://h/?a=1", ["X-Tier: gold", "x-tier:  tin"], "GET", ["chat.v2"])

    assert read.headers.get("X-TIER") == "gold, tin"
    assert (read.query, read.subprotocols) == ("a=1", ("chat.v2",))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--url", "chat.example/ws"], "is not such as ws://"),
        (["--url", "ws://h/", "--header", "X-Tier"], "is not 'NAME: VALUE'"),
        (["--url", "ws://h/", "--method", "POST"], "a WebSocket begins with a GET"),
        (["--url", "http://h/", "--subprotocol", "a"], "only a WebSocket has them"),
        (["--url", "ws://h/", "chat"], "name a route, a pod as pod/NAME, or a file"),
    ],
)
def test_a_request_that_cannot_be_is_refused_in_one_line(
    words: list[str], said: str, cluster: StandIn
) -> None:
    done = cluster.run("trace", "-f", "unread", *words)

    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert said in line


def test_a_file_is_traced_without_a_cluster(cluster: StandIn, tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(yaml.safe_dump_all([wsr("chat"), wsr("news")]))
    done = cluster.run("trace", "-f", str(file), "--url", "ws://h/chat/room")

    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "GET h/chat/room belongs to shop/chat spec.rules[0].matches[0], port 8080",
        "not shop/news spec.rules[0].matches[0]",
        "    path: /chat/room is not at or below /news",
    ]


def test_a_request_that_no_rule_takes_is_told_and_fails(cluster: StandIn, tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(yaml.safe_dump(wsr()))
    done = cluster.run("trace", "-f", str(file), "--url", "ws://h/")

    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "GET h/ belongs to no match: 404")


def test_a_route_competes_with_those_of_the_same_selector(cluster: StandIn) -> None:
    apart = wsr("apart")
    apart["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    ready = {"type": "Ready", "status": "True"}
    cluster.answer("websocketroutes.wsroute.dev chat", wsr())
    chat = wsr(observedGeneration=3, conditions=[ready])
    cluster.answer("websocketroutes.wsroute.dev", {"items": [chat, wsr("news"), apart]})
    done = cluster.run("trace", "chat", "--url", "ws://h/news")

    (warning,) = done.stderr.splitlines()
    assert warning.startswith("news is not ready, so pods may differ: see status news")

    assert "belongs to shop/news" in done.stdout
    assert "not shop/chat" in done.stdout
    assert "apart" not in done.stdout


def test_a_pod_is_asked_for_the_routes_that_it_serves(cluster: StandIn) -> None:
    served = {key: wsr()[key] for key in ("spec",)} | {
        "namespace": "shop", "name": "chat", "generation": 3, "created": "",
    }  # fmt: skip
    cluster.answer("get pod a", pod("a"))
    cluster.answer("a --container=wsroute -- wsroute-sidecar routes", [served])

    assert cluster.run("trace", "pod/a", "--url", "ws://h/chat").returncode == 0


def test_a_route_with_a_mistake_takes_no_part_and_is_named(
    cluster: StandIn, tmp_path: Path
) -> None:
    wrong = wsr("wrong")
    wrong["spec"]["rules"][0]["backend"]["port"] = 9300
    file = tmp_path / "routes.yaml"
    file.write_text(yaml.safe_dump_all([wsr(), wrong]))
    done = cluster.run("trace", "-f", str(file), "--url", "ws://h/chat")

    assert done.returncode == 1
    assert "belongs to shop/chat" in done.stdout
    assert "shop/wrong is given to no pod: spec.rules[0].backend.port" in done.stderr
