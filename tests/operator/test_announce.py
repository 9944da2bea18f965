from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.operator.build import changed, pod
from tests.operator.fakes import FakeKube
from tests.support.waiting import eventually
from wsroute_operator.announce import Announcer, facts
from wsroute_operator.objects import Pod, Reference

OWNER = Reference("apps/v1", "ReplicaSet", "chat-1", "uid-chat-1")
SINCE, BEFORE, AFTER = "2025-06-01T00:00:00Z", "2025-05-31T23:59:59Z", "2025-06-01T00:00:01Z"


def young(name: str, **about: object) -> Pod:
    return changed(pod(name), **{"created": AFTER, "stamp": "1.0+ab", "owner": OWNER} | about)


def told(*pods: Pod) -> set[tuple[str, str, str]]:
    return {(f.kind, f.reason, f.about.name) for f in facts(pods, SINCE)}


INJECTED = ("Normal", "Injected", "chat-1")
SKIPPED = ("Warning", "InjectionSkipped", "chat-1")


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        pytest.param([young("a"), young("b")], {INJECTED}, id="once for an owner"),
        pytest.param(
            [young("a", owner=None)], {("Normal", "Injected", "a")}, id="a pod of its own"
        ),
        pytest.param([young("a", created=BEFORE)], set(), id="not young"),
        pytest.param(
            [young("a", sidecar=None), young("b", sidecar=None)],
            {SKIPPED, ("Warning", "InjectionSkipped", "a"), ("Warning", "InjectionSkipped", "b")},
            id="no sidecar",
        ),
        pytest.param(
            [young("a", sidecar=None, owner=None, created=BEFORE)],
            {("Warning", "InjectionSkipped", "a")},
            id="no sidecar, no owner, and old",
        ),
        pytest.param([young("a", sidecar=None, phase="Succeeded")], set(), id="done"),
    ],
)
def test_what_is_told_of_which_object(pods: list[Pod], expected: set[tuple[str, str, str]]) -> None:
    assert told(*pods) == expected


def test_another_version_is_told_again() -> None:
    pods = [young("a"), young("b", stamp="1.1+cd")]
    assert len(set(facts(pods, SINCE))) == 2


async def test_each_thing_is_posted_once_however_often_it_is_seen() -> None:
    kube, posts = FakeKube(), []

    async def create(namespace: str, event: dict[str, object]) -> None:
        posts.append((namespace, event["reason"]))

    kube.create_event = create  # type: ignore[method-assign]
    announcer = Announcer(kube)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    pods = [young(f"p{n}", created=now) for n in range(50)]
    for count in range(len(pods)):
        announcer.see("shop", pods[: count + 1])
    announcer.see("shop", [*pods, young("bare", sidecar=None)])
    await eventually(lambda: len(posts) == 3, "all told")
    announcer.see("shop", [*pods, young("bare", sidecar=None)])
    assert sorted(posts) == [
        ("shop", "Injected"),
        ("shop", "InjectionSkipped"),
        ("shop", "InjectionSkipped"),
    ]
    announcer.close()


async def test_an_event_that_cannot_be_posted_stops_no_other() -> None:
    kube = FakeKube()
    kube.away = True
    announcer = Announcer(kube)
    announcer.see("shop", [young("bare", sidecar=None)])
    await eventually(lambda: kube.tries == 2, "tried")
    kube.away = False
    announcer.see("shop", [young("bare", sidecar=None), young("other", sidecar=None)])
    await eventually(lambda: kube.events, "the other")
    announcer.close()
