from __future__ import annotations

import msgspec
import pytest

from tests.operator.build import changed, pod, route
from wsroute_operator import conditions
from wsroute_operator.conditions import PodReport, news, report, settled
from wsroute_operator.delivery import Delivery, Failed, Held
from wsroute_operator.objects import Json, Pod, RouteObject
from wsroute_operator.plan import Verdict, plan

ROUTE = route("r", generation=2)
BROKEN = route("r", spec={"rules": "nonsense"})
POD = pod("p")
WELL = Verdict(generation=1, pods=(POD,))
DONE = PodReport("p", programmed=True)
NOW = "2025-06-01T00:00:00Z"


def status(
    item: RouteObject = ROUTE,
    verdict: Verdict = WELL,
    *reports: PodReport,
    before: Json | None = None,
) -> Json:
    return conditions.status(item, verdict, reports, before=before or {}, now=NOW)


def found(result: Json) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in result["conditions"]}


GOOD = {
    "Accepted": ("True", "Accepted"),
    "ResolvedRefs": ("True", "ResolvedRefs"),
    "Programmed": ("True", "Programmed"),
    "Ready": ("True", "Ready"),
}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        pytest.param(status(ROUTE, WELL, DONE), {}, id="all well"),
        pytest.param(
            status(BROKEN, Verdict(generation=1)),
            {
                "Accepted": ("False", "UnsupportedValue"),
                "ResolvedRefs": ("Unknown", "Pending"),
                "Programmed": ("False", "Invalid"),
                "Ready": ("False", "UnsupportedValue"),
            },
            id="mistake",
        ),
        pytest.param(
            status(ROUTE, Verdict(generation=1)),
            {
                "ResolvedRefs": ("False", "NoMatchingPods"),
                "Programmed": ("False", "Pending"),
                "Ready": ("False", "NoMatchingPods"),
            },
            id="no pods",
        ),
        pytest.param(
            status(ROUTE, Verdict(generation=1, starting=2)),
            {
                "ResolvedRefs": ("False", "Pending"),
                "Programmed": ("False", "Pending"),
                "Ready": ("False", "Pending"),
            },
            id="pods only starting",
        ),
        pytest.param(
            status(
                ROUTE, Verdict(generation=1, pods=(POD,), missing_ports=("spec: no port",)), DONE
            ),
            {"ResolvedRefs": ("False", "BackendNotFound"), "Ready": ("False", "BackendNotFound")},
            id="missing port",
        ),
        pytest.param(
            status(ROUTE, WELL, DONE, PodReport("q")),
            {"Programmed": ("False", "Pending"), "Ready": ("False", "Pending")},
            id="push under way",
        ),
        pytest.param(
            status(ROUTE, WELL, DONE, PodReport("q", failure="it hangs")),
            {
                "Programmed": ("False", "PodsNotProgrammed"),
                "Ready": ("False", "PodsNotProgrammed"),
            },
            id="push failed",
        ),
        pytest.param(
            status(ROUTE, Verdict(generation=1, pods=(POD,), lost=("a is b",)), DONE),
            {"PartiallyInvalid": ("True", "Conflicted"), "Ready": ("False", "Conflicted")},
            id="conflict",
        ),
        pytest.param(
            status(ROUTE, Verdict(generation=1, pods=(POD,), bypassed=("a leads past",)), DONE),
            {"Bypassed": ("True", "ServiceBypassesSidecar")},
            id="way past the sidecar",
        ),
    ],
)
def test_conditions(result: Json, expected: dict[str, tuple[str, str]]) -> None:
    assert found(result) == GOOD | expected
    assert result["conditions"][-1]["type"] == "Ready"
    assert all(
        c["observedGeneration"] == result["observedGeneration"] for c in result["conditions"]
    )
    assert all(c["message"] for c in result["conditions"])


def test_pods_are_counted() -> None:
    result = status(ROUTE, WELL, DONE, PodReport("q", failure="x"), PodReport("r"))
    assert result["pods"] == {"selected": 3, "programmed": 1, "summary": "1/3"}


def test_ten_failing_pods_are_named_and_the_rest_counted() -> None:
    reports = [PodReport(f"p{n:02}", failure="away") for n in range(12)]
    message = found_message(status(ROUTE, WELL, *reports), "Programmed")
    assert "p09: away; and 2 more." in message
    assert "p10" not in message


def test_pods_that_fail_alike_are_named_together() -> None:
    reports = [PodReport(name, failure=why) for name, why in (("a", "x"), ("b", "y"), ("c", "x"))]
    message = found_message(status(ROUTE, WELL, *reports), "Programmed")
    assert "Failing: a, c: x; b: y." in message


def test_a_way_past_the_sidecar_is_a_warning_that_is_told_once() -> None:
    verdict = Verdict(generation=1, pods=(POD,), bypassed=("Service s leads past",))
    result = status(ROUTE, verdict, DONE)
    message = found_message(result, "Ready")
    assert message == "1 of 1 pods serve generation 2. But Service s leads past."
    assert [finding.reason for finding in news({}, result)] == ["ServiceBypassesSidecar"]
    assert list(news(result, result)) == []


def test_no_pods_says_what_to_compare() -> None:
    message = found_message(status(ROUTE, Verdict(generation=1)), "Ready")
    assert "spec.selector" in message
    assert "wsroute.dev/inject=true" in message
    assert "-n shop" in message


def found_message(result: Json, kind: str) -> str:
    message: str = next(c["message"] for c in result["conditions"] if c["type"] == kind)
    return message


def test_the_time_is_that_of_the_last_change_of_a_status() -> None:
    before = status(ROUTE, WELL, PodReport("p"))
    for condition in before["conditions"]:
        condition["lastTransitionTime"] = "2020-01-01T00:00:00Z"
    times = {
        c["type"]: c["lastTransitionTime"]
        for c in status(ROUTE, WELL, DONE, before=before)["conditions"]
    }
    assert times["Accepted"] == "2020-01-01T00:00:00Z"
    assert times["Programmed"] == times["Ready"] == NOW


def test_what_has_not_changed_gives_an_equal_status() -> None:
    before = status(ROUTE, WELL, DONE)
    after = conditions.status(ROUTE, WELL, [DONE], before=before, now="2030-01-01T00:00:00Z")
    assert after == before


def delivered(item: RouteObject, subject: Pod = POD) -> Delivery:
    delivery = Delivery(subject, plan("shop", [item], [subject]).tables["uid-p"], 1)
    delivery.heard(delivery.attempt(), Held())
    return delivery


def test_a_pod_that_holds_the_generation_is_programmed() -> None:
    assert report(ROUTE, POD, delivered(ROUTE)) == DONE


def test_a_pod_that_holds_an_earlier_generation_is_not() -> None:
    delivery = delivered(route("r", generation=1))
    assert report(ROUTE, POD, delivery) == PodReport("p")
    delivery.heard(delivery.attempt(), Failed("it is full"))
    assert report(ROUTE, POD, delivery) == PodReport("p", failure="it is full")


def test_a_pod_that_cannot_be_pushed_to_says_why() -> None:
    assert "no sidecar" in report(ROUTE, changed(POD, sidecar=None), None).failure


def test_a_pod_that_is_left_out_for_want_of_a_port_says_so() -> None:
    named = route("r", port="web")
    bare = changed(POD, ports={})
    delivery = Delivery(bare, plan("shop", [named], [bare]).tables["uid-p"], 1)
    left_out = report(named, bare, delivery)
    assert "lacks a port" in left_out.failure
    verdict = Verdict(generation=1, pods=(bare,), missing_ports=("spec: no port",))
    told = news({}, status(named, verdict, left_out))
    assert [finding.type for finding in told] == ["ResolvedRefs"], "one mistake, one Event"


def test_a_pod_that_was_never_planned_for_is_under_way() -> None:
    assert report(ROUTE, POD, None) == PodReport("p")


def test_settled_when_every_outcome_is_known() -> None:
    assert settled([DONE, PodReport("q", failure="x")])
    assert not settled([DONE, PodReport("q")])
    assert settled([])


def test_news_is_what_went_wrong_and_was_not_said_before() -> None:
    good = status(ROUTE, WELL, DONE)
    bad = status(
        ROUTE,
        Verdict(generation=1, pods=(POD,), lost=("a is b",)),
        DONE,
        PodReport("q", failure="x"),
    )
    assert [f.reason for f in news(good, bad)] == ["PodsNotProgrammed", "Conflicted"]
    assert list(news(bad, bad)) == []
    assert list(news(bad, good)) == []
    other = msgspec.structs.replace(ROUTE, mistakes=("spec.x: is wrong",))
    told = news({}, status(other, Verdict(generation=1)))
    assert [finding.message for finding in told] == ["spec.x: is wrong"]


def test_that_other_pods_fail_is_no_news_until_an_edit() -> None:
    def failing(item: RouteObject, *names: str) -> Json:
        return status(item, WELL, *(PodReport(name, failure="x") for name in names))

    assert list(news(failing(ROUTE, "a"), failing(ROUTE, "a", "b"))) == []
    edited = msgspec.structs.replace(ROUTE, generation=3)
    (told,) = news(failing(ROUTE, "a"), failing(edited, "a", "b"))
    assert told.reason == "PodsNotProgrammed"


def test_a_push_under_way_is_no_news() -> None:
    assert list(news({}, status(ROUTE, WELL, PodReport("p")))) == []
