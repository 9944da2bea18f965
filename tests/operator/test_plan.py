from __future__ import annotations

import msgspec

from tests.operator.build import pod, route
from wsroute_api.types import Table
from wsroute_operator.objects import Pod, RouteObject, Sidecar
from wsroute_operator.plan import Plan, naming, plan


def made(routes: list[RouteObject], pods: list[Pod]) -> Plan:
    return plan("shop", routes, pods)


def table(planned: Plan, name: str) -> Table:
    return msgspec.json.decode(planned.tables[f"uid-{name}"].encoded, type=Table)


def names(planned: Plan, name: str) -> list[str]:
    return [item.name for item in table(planned, name).routes]


def test_each_pod_gets_the_routes_that_select_it() -> None:
    planned = made(
        [route("chat", app="chat"), route("shop", app="shop")],
        [pod("c", app="chat"), pod("s", app="shop"), pod("x", app="other")],
    )
    assert names(planned, "c") == ["chat"]
    assert names(planned, "s") == ["shop"]
    assert names(planned, "x") == [], "an empty table is a table"
    assert table(planned, "x").namespace == "shop"
    assert [p.name for p in planned.verdicts["uid-chat"].pods] == ["c"]


def test_a_route_with_mistakes_is_left_out_and_harms_no_other() -> None:
    bad = route("bad", spec={"selector": {"matchLabels": {"app": "chat"}}, "rules": []})
    assert bad.mistakes or bad.route
    broken = route("broken", spec={"rules": "nonsense"})
    planned = made([broken, route("good")], [pod("p")])
    assert names(planned, "p") == ["good"]
    assert planned.verdicts["uid-broken"].pods == ()


def test_tables_are_in_order_of_age_and_equal_content_has_an_equal_digest() -> None:
    old = route("z-old", created="2024-01-01T00:00:00Z", path="/a")
    new = route("a-new", created="2025-01-01T00:00:00Z", path="/b")
    one = made([old, new], [pod("p"), pod("q")])
    other = made([new, old], [pod("q"), pod("p")])
    assert names(one, "p") == ["z-old", "a-new"]
    assert one.tables == other.tables
    assert one.tables["uid-p"] is one.tables["uid-q"], "pods alike share a table"


def test_only_ports_that_a_route_names_are_in_the_table() -> None:
    pods = [pod("p", ports={"web": 8080, "admin": 9000})]
    assert table(made([route("r", port="web")], pods), "p").ports == {"web": 8080}
    assert table(made([route("r", port=8080)], pods), "p").ports == {}


def test_a_named_port_is_each_pods_own() -> None:
    planned = made([route("r", port="web")], [pod("p"), pod("q", ports={"web": 3000})])
    assert table(planned, "p").ports == {"web": 8080}
    assert table(planned, "q").ports == {"web": 3000}


def test_a_pod_without_the_named_port_goes_without_the_route_which_says_so() -> None:
    planned = made(
        [route("named", port="web"), route("numbered", path="/n")],
        [pod("p"), pod("q", ports={})],
    )
    assert names(planned, "p") == ["named", "numbered"]
    assert names(planned, "q") == ["numbered"]
    (sentence,) = planned.verdicts["uid-named"].missing_ports
    assert sentence.startswith(
        "spec.rules[0].backend.port: no container port called 'web' in pod q"
    )


def test_the_loser_of_an_exact_tie_is_told_who_wins_and_stays_in_the_table() -> None:
    older = route("older", created="2024-01-01T00:00:00Z", path="/ws")
    younger = route("younger", path="/ws/")
    planned = made([younger, older], [pod("p")])
    assert planned.verdicts["uid-older"].lost == ()
    (sentence,) = planned.verdicts["uid-younger"].lost
    assert "spec.rules[0].matches[0]" in sentence
    assert "of route shop/younger matches" in sentence
    assert "of route shop/older, which goes first" in sentence
    assert names(planned, "p") == ["older", "younger"]


def test_routes_that_share_no_pod_do_not_tie() -> None:
    planned = made(
        [route("a", app="chat"), route("b", app="shop")], [pod("c"), pod("s", app="shop")]
    )
    assert planned.verdicts["uid-a"].lost == planned.verdicts["uid-b"].lost == ()


def test_a_route_that_ties_with_itself_is_told_so() -> None:
    rule = {"matches": [{"path": {"value": "/a"}}], "backend": {"port": 1}}
    spec = {"selector": {"matchLabels": {"app": "chat"}}, "rules": [rule, rule]}
    (sentence,) = made([route("r", spec=spec)], [pod("p")]).verdicts["uid-r"].lost
    assert sentence.startswith(
        "spec.rules[1].matches[0] matches the same requests as spec.rules[0]"
    )


def test_which_pods_have_tables_and_which_count() -> None:
    planned = made(
        [route("r")],
        [
            pod("running"),
            pod("starting", phase="Pending", sidecar=Sidecar(keys=())),
            pod("bare", sidecar=None),
            pod("going", deleting=True),
            pod("done", phase="Succeeded"),
        ],
    )
    assert planned.tables.keys() == {"uid-running", "uid-starting"}
    assert [p.name for p in planned.verdicts["uid-r"].pods] == ["bare", "running"]
    assert planned.verdicts["uid-r"].starting == 1


def test_generations_are_known_by_uid() -> None:
    planned = made([route("r", generation=7)], [pod("p")])
    assert planned.tables["uid-p"].generations == {"uid-r": 7}
    assert planned.verdicts["uid-r"].generation == 7


def test_a_message_names_ten_pods_and_counts_the_rest() -> None:
    assert naming(["a"]) == "pod a"
    assert naming(["b", "a"]) == "pods a, b"
    assert naming([f"p{n:02}" for n in range(12)]).endswith("p09 and 2 more")
