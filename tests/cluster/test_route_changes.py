"""Routes are added, edited, deleted and mistaken while tunnels carry traffic."""

from __future__ import annotations

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.waiting import until

from .echo import APP, Echo
from .kube import apply, kubectl, kubectl_json, wait_for
from .objects import route, rule
from .tunnels import LIMIT, Traffic, handshake, tunnel


def _answers_with(edition: str) -> dict[str, object]:
    """A filter that puts a header into each answer."""
    header = {"name": "X-Edition", "value": edition}
    return {
        "type": "ResponseHeaderModifier",
        "responseHeaderModifier": {"set": [header]},
    }


def _edition(echo: Echo, path: str) -> str | None:
    status, headers = handshake(echo.url(path))
    assert status == 101
    return headers.get("X-Edition")


def _refused(echo: Echo, path: str) -> bool:
    return handshake(echo.url(path))[0] == 404


def _condition(echo: Echo, name: str, kind: str) -> dict[str, str]:
    found = kubectl_json("get", "wsr", name, f"--namespace={echo.namespace}")
    (condition,) = (c for c in found["status"]["conditions"] if c["type"] == kind)
    return {key: condition[key] for key in ("status", "reason", "message")}


def test_tunnels_lose_nothing_while_routes_come_change_and_go(echo: Echo) -> None:
    echo.apply("steady", rule("/steady"))
    echo.apply("edited", rule("/edited", filters=[_answers_with("1")]))
    with (
        Traffic(echo.url("/steady")) as steady,
        Traffic(echo.url("/edited")) as edited,
    ):
        assert _edition(echo, "/edited") == "1"
        echo.apply("edited", rule("/edited", filters=[_answers_with("2")]))
        assert _edition(echo, "/edited") == "2"

        assert _refused(echo, "/added")
        echo.apply("added", rule("/added"))
        assert _edition(echo, "/added") is None

        echo.delete("edited", "added")
        until(lambda: _refused(echo, "/edited"), "the end of a deleted route", LIMIT)
        assert _refused(echo, "/added")
        steady.more()
        edited.more()
    echo.delete("steady")


def test_a_route_can_ask_that_a_change_closes_its_tunnels(echo: Echo) -> None:
    close = {"onRouteChange": "Close", "closeCode": 1012}
    echo.apply("closing", rule("/closing", drain=close))
    with tunnel(echo.url("/closing")) as opened:
        echo.apply("closing", rule("/closing", drain=close, connection={"idleTimeout": "5m"}))
        with pytest.raises(ConnectionClosed) as ended:
            opened.recv(timeout=LIMIT)
    assert ended.value.rcvd is not None
    assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1012, "route has changed")
    echo.delete("closing")


def test_a_mistake_is_told_where_it_is_and_harms_no_other_route(echo: Echo) -> None:
    echo.apply("sound", rule("/sound"))
    mistaken = rule("(/a|/b")
    mistaken["matches"][0]["path"]["type"] = "RegularExpression"
    with Traffic(echo.url("/sound")) as sound:
        apply(echo.namespace, route("mistaken", mistaken, app=APP))
        wait_for("Accepted=False", echo.namespace, "wsr/mistaken")
        echo.apply("sound", rule("/sound", filters=[_answers_with("2")]))
        assert _edition(echo, "/sound") == "2"
        sound.more()

    assert _condition(echo, "mistaken", "Accepted") == {
        "status": "False",
        "reason": "UnsupportedValue",
        "message": "spec.rules[0].matches[0].path.value: '(/a|/b' is not an RE2 expression: "
        "missing ): (/a|/b",
    }
    assert _condition(echo, "mistaken", "Ready")["reason"] == "UnsupportedValue"
    told = ("events", f"--namespace={echo.namespace}", "--for=wsr/mistaken")
    until(lambda: "is not an RE2 expression" in kubectl(*told), "an Event", LIMIT)
    echo.delete("sound", "mistaken")


def test_of_two_routes_for_the_same_requests_the_later_one_is_told(echo: Echo) -> None:
    echo.apply("first", rule("/same", filters=[_answers_with("first")]))
    apply(
        echo.namespace,
        route(
            "second",
            rule("/same", filters=[_answers_with("second")]),
            rule("/own", filters=[_answers_with("second")]),
            app=APP,
        ),
    )
    wait_for("PartiallyInvalid", echo.namespace, "wsr/second")
    conflict = _condition(echo, "second", "PartiallyInvalid")
    assert conflict["reason"] == "Conflicted"
    assert "spec.rules[0].matches[0]" in conflict["message"]
    assert f"{echo.namespace}/first" in conflict["message"]
    wait_for("Ready", echo.namespace, "wsr/first")
    assert _condition(echo, "second", "Ready")["status"] == "False"

    assert _edition(echo, "/same") == "first"
    assert _edition(echo, "/own") == "second"
    echo.delete("first")
    wait_for("Ready", echo.namespace, "wsr/second")
    assert _edition(echo, "/same") == "second"
    echo.delete("second")
