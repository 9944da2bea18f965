from __future__ import annotations

from typing import Any

import pytest

from tests.support.sidecar import route
from wsroute_api.matching import Ambiguous, Facts
from wsroute_api.problems import route_from_object
from wsroute_sidecar.routes import Compiled, Unprogrammable


def compiled(*manifests: dict[str, Any], **ports: int) -> Compiled:
    return Compiled(map(route_from_object, manifests), ports)


def admin(port: int | str) -> dict[str, Any]:
    matches = [{"path": {"type": "PathPrefix", "value": "/admin"}}]
    return route(port, name="admin", matches=matches)


def test_a_request_finds_its_match_with_the_policy_of_its_rule() -> None:
    found = compiled(route(1), admin("http"), http=2).find(Facts("", "/admin/x"))
    assert isinstance(found, tuple)
    match, policy = found
    assert (match.route.name, policy.key, policy.port) == ("admin", "default/admin", 2)


def test_without_a_match_there_is_nothing_and_two_readings_are_told() -> None:
    table = compiled(admin(1))
    assert table.find(Facts("", "/other")) is None
    assert isinstance(table.find(Facts("", "/%61dmin")), Ambiguous)


def test_all_rules_have_a_policy() -> None:
    assert sorted(policy.port for policy in compiled(route(1), admin(2)).policies()) == [1, 2]


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        pytest.param(
            admin("ws"), r"default/admin: spec.rules\[0\].backend.port: no port 'ws'", id="a port"
        ),
        pytest.param(
            route(9300), r"default/app: spec.rules\[0\].backend.port: 9300", id="the sidecar's port"
        ),
        pytest.param(
            route(1, matches=[{"path": {"type": "RegularExpression", "value": "("}}]),
            r"default/app: spec.rules\[0\].matches\[0\].path.value",
            id="an expression",
        ),
    ],
)
def test_a_table_with_a_mistake_is_refused_whole_with_route_and_field(
    manifest: dict[str, Any], why: str
) -> None:
    with pytest.raises(Unprogrammable, match=why):
        compiled(route(1, name="good"), manifest)


@pytest.mark.parametrize("port", [9300, 9301, 9302])
def test_a_named_port_that_is_the_sidecars_own_is_refused(port: int) -> None:
    with pytest.raises(Unprogrammable, match="own port"):
        compiled(admin("http"), http=port)


def test_two_routes_of_one_name_are_refused() -> None:
    with pytest.raises(Unprogrammable, match="default/app"):
        compiled(route(1), route(2))


def test_an_empty_table_serves_nothing() -> None:
    assert compiled().find(Facts("", "/")) is None
