from __future__ import annotations

import msgspec
import pytest

from tests.operator.build import RUNNING, changed, pod, route
from wsroute_operator.delivery import Answer, Delivery, Failed, Held, Outrun, read
from wsroute_operator.plan import PodTable, plan

POD = pod("p")
RESTARTED = changed(POD, sidecar=msgspec.structs.replace(RUNNING, container_id="c2"))
MOVED = changed(POD, address="10.0.0.9")


def table(path: str = "/") -> PodTable:
    return plan("shop", [route("r", path=path)], [POD]).tables["uid-p"]


def delivery(epoch: int = 3) -> Delivery:
    return Delivery(POD, table(), epoch)


def hear(subject: Delivery, *answers: Answer) -> None:
    for answer in answers:
        subject.heard(subject.attempt(), answer)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        pytest.param(200, b'{"digest":"d","epoch":1,"seq":2}', Held(), id="taken"),
        pytest.param(409, b'{"error":"older","epoch":4,"seq":2}', Outrun((4, 2)), id="outrun"),
    ],
)
def test_good_answers(status: int, body: bytes, expected: Answer) -> None:
    assert read(status, body) == expected


@pytest.mark.parametrize(
    ("status", "body", "says", "lasting"),
    [
        pytest.param(403, b'{"error":"expired"}', "expired", True, id="not trusted"),
        pytest.param(413, b"{}", "too large", True, id="too large"),
        pytest.param(421, b'{"error":"u2"}', "another pod", False, id="another pod"),
        pytest.param(422, b'{"error":"x is unknown"}', "x is unknown", True, id="refused"),
        pytest.param(429, b"{}", "fewer", False, id="rate"),
        pytest.param(500, b"oops", "HTTP status 500", False, id="broken"),
        pytest.param(302, b"", "HTTP status 302", False, id="redirect"),
        pytest.param(409, b'{"error":"older"}', "older", False, id="outrun by nothing"),
        pytest.param(
            409, b'{"epoch":9007199254740992,"seq":1}', "409", False, id="outrun by nonsense"
        ),
        pytest.param(409, b'{"epoch":1,"seq":-1}', "409", False, id="outrun by less than nothing"),
    ],
)
def test_failures_say_what_and_whether_they_last(
    status: int, body: bytes, says: str, lasting: bool
) -> None:
    answer = read(status, body)
    assert isinstance(answer, Failed)
    assert says in answer.reason
    assert answer.lasting is lasting


def test_what_a_sidecar_says_is_cut_and_made_printable() -> None:
    answer = read(422, msgspec.json.encode({"error": "a\nb\x1b[31m" + "x" * 9999}))
    assert isinstance(answer, Failed)
    assert answer.reason.isprintable()
    assert len(answer.reason) < 400


def test_due_until_the_table_is_held() -> None:
    subject = delivery()
    assert subject.due
    assert not subject.settled
    hear(subject, Held())
    assert not subject.due
    assert subject.settled


def test_not_due_while_the_pod_cannot_be_reached() -> None:
    subject = Delivery(changed(POD, sidecar=None), table(), 1)
    assert not subject.due
    assert subject.settled


def test_another_table_is_due_and_is_worth_waking_up_for() -> None:
    subject = delivery()
    hear(subject, Held())
    assert subject.update(POD, table("/b"))
    assert subject.due


def test_the_same_table_again_is_nothing_new() -> None:
    subject = delivery()
    hear(subject, Held())
    assert not subject.update(POD, table())
    assert not subject.due


@pytest.mark.parametrize("instance", [RESTARTED, MOVED], ids=["container restarted", "new address"])
def test_another_process_may_know_nothing(instance: object) -> None:
    subject = delivery()
    hear(subject, Failed("x", lasting=True), Held())
    assert subject.update(instance, table())  # type: ignore[arg-type]
    assert subject.due
    assert subject.failure is None


def test_an_answer_of_a_process_that_has_gone_is_not_heeded() -> None:
    subject = delivery()
    attempt = subject.attempt()
    subject.update(RESTARTED, table())
    subject.heard(attempt, Held())
    assert subject.due


def test_a_table_that_was_overtaken_on_its_way_leaves_the_newest_due() -> None:
    subject = delivery()
    attempt = subject.attempt()
    subject.update(POD, table("/b"))
    subject.heard(attempt, Held())
    assert subject.due
    assert subject.held == table()


def test_versions_grow_and_leap_over_what_was_heard_of() -> None:
    subject = delivery(epoch=3)
    assert subject.attempt().version == (3, 1)
    assert subject.attempt().version == (3, 2)
    hear(subject, Outrun((3, 9)))
    assert subject.attempt().version == (3, 10)
    hear(subject, Outrun((5, 1)))
    assert subject.attempt().version == (5, 2)
    hear(subject, Outrun((1, 1)))
    assert subject.attempt().version == (5, 4)


def test_a_sidecar_that_always_claims_more_is_failing_at_last() -> None:
    subject = delivery()
    hear(subject, Outrun((3, 9)))
    assert subject.failure is None
    hear(subject, *[Outrun((3, n)) for n in range(20, 23)])
    assert subject.failure is not None


def test_pauses_double_up_to_half_a_minute_and_start_anew_after_success() -> None:
    subject = delivery()
    pauses = []
    for _ in range(10):
        hear(subject, Failed("away"))
        pauses.append(subject.delay(1.0))
    assert pauses[:3] == [0.2, 0.4, 0.8]
    assert pauses[-1] == 30.0
    assert subject.delay(0.0) == 15.0, "chance spreads them"
    hear(subject, Held(), Failed("away"))
    assert subject.delay(1.0) == 0.2


def test_a_lasting_refusal_is_not_repeated_soon() -> None:
    subject = delivery()
    hear(subject, Failed("refused", lasting=True))
    assert subject.delay(0.0) == 45.0
