"""What `status` tells of a route and of its pods."""

from __future__ import annotations

from typing import Any

from tests.kubectl.standin import StandIn, pod, wsr


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def holding(generation: int) -> list[dict[str, Any]]:
    return [{"namespace": "shop", "name": "chat", "generation": generation, "spec": {}}]


def test_each_pod_says_what_it_holds_and_the_conditions_say_why(cluster: StandIn) -> None:
    failing = "1 of 3 pods serve generation 3. Failing: b: refused."
    conditions = [
        condition("Accepted", "True", "Accepted", "The route is valid."),
        condition("Programmed", "False", "PodsNotProgrammed", failing),
        condition("Ready", "False", "PodsNotProgrammed", failing),
    ]
    cluster.answer("websocketroutes", wsr(observedGeneration=3, conditions=conditions))
    cluster.answer("get pods --selector=app=chat", {"items": [pod("a"), pod("b"), pod("c")]})
    for name, held in (("a", holding(3)), ("b", holding(2)), ("c", [])):
        cluster.answer(f"{name} --container=wsroute -- wsroute-sidecar routes", held)
    done = cluster.run("status", "chat")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "shop/chat, generation 3: not ready",
        "",
        "CONDITION   STATUS  REASON             MESSAGE",
        "Accepted    True    Accepted           The route is valid.",
        f"Programmed  False   PodsNotProgrammed  {failing}",
        "",
        "POD  GENERATION  STATE",
        "a    3           serves it",
        "b    2           serves another generation: see Programmed",
        "c    -           does not hold the route: see Accepted, ResolvedRefs and Programmed",
    ]


def test_a_route_that_all_serve_is_ready(cluster: StandIn) -> None:
    ready = condition("Ready", "True", "Ready", "1 of 1 pods serve generation 3.")
    cluster.answer("websocketroutes", wsr(observedGeneration=3, conditions=[ready]))
    cluster.answer("get pods", {"items": [pod("a")]})
    cluster.answer("exec", holding(3))

    assert cluster.run("status", "chat").stdout.startswith("shop/chat, generation 3: ready\n")


def test_a_route_that_the_operator_has_not_seen_says_where_to_look(cluster: StandIn) -> None:
    ready = condition("Ready", "True", "Ready", "1 of 1 pods serve generation 2.")
    cluster.answer("websocketroutes", wsr(observedGeneration=2, conditions=[ready]))
    cluster.answer("get pods", {"items": []})
    lines = cluster.run("status", "chat").stdout.splitlines()

    assert lines[0] == "shop/chat, generation 3: not ready"
    assert "is it running? kubectl get pods -A" in lines[1]
    assert "spec.selector selects no pod" in lines[-1]


def test_a_pod_that_cannot_be_asked_stands_in_the_table_and_in_the_exit_status(
    cluster: StandIn,
) -> None:
    cluster.answer("websocketroutes", wsr())
    cluster.answer("get pods", {"items": [pod("a", sidecar=False)]})
    done = cluster.run("status", "chat")

    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("a    -           has no sidecar")


def test_a_long_message_is_broken_into_lines_that_fit_the_terminal(cluster: StandIn) -> None:
    words = "1 of 3 pods serve generation 3. Failing: chat-7d4b9c5f6d-5p2bq: refused its routes."
    conditions = [condition("Programmed", "False", "PodsNotProgrammed", words)]
    cluster.answer("websocketroutes", wsr(observedGeneration=3, conditions=conditions))
    cluster.answer("get pods", {"items": []})
    lines = cluster.seen("status", "chat", columns=80).splitlines()

    head = "Programmed  False   PodsNotProgrammed  1 of 3 pods serve generation 3. Failing:"
    assert head in lines
    assert f"{'':39}chat-7d4b9c5f6d-5p2bq: refused its" in lines
    assert f"{'':39}routes." in lines
