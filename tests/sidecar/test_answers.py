"""The verdict on a 101 of `handshake.py` and `headers.py`, and the engine's own."""

from __future__ import annotations

import pytest

from tests.sidecar.answer_cases import ACCEPT, CASES, Case, judged
from wsroute_sidecar.forward import Judge
from wsroute_sidecar.handshake import Upgrade
from wsroute_sidecar.headers import NO_CHANGE, Modifier

cases = pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])


@cases
def test_a_judge_opens_what_the_table_says(case: Case) -> None:
    assert judged(case.head) == case.opens


@cases
def test_the_engine_opens_what_is_plain(case: Case) -> None:
    relay = pytest.importorskip("wsroute_sidecar._relay")
    opens = None if case.judged else case.opens
    found = relay.opening(case.head + b"\x81\x00", ACCEPT)
    assert found == (opens and (*opens, len(case.head)))


def test_a_101_that_is_changed_on_its_way_is_judged() -> None:
    changes = Modifier(added=((b"X", b"y"),))
    accepts = [Judge(Upgrade(ACCEPT, ()), modifier).accept for modifier in (NO_CHANGE, changes)]
    assert accepts == [ACCEPT, None]
