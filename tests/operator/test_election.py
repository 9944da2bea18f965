from __future__ import annotations

from wsroute_operator.election import DURATION, RENEW_DEADLINE, RETRY, Candidate, Lease

OTHERS = Lease("other", transitions=4, renewed="t1")


def test_the_first_one_makes_the_lease() -> None:
    assert Candidate("me").bid(None, 0) == Lease("me", transitions=0)


def test_a_lease_that_another_renews_is_left_alone() -> None:
    me = Candidate("me")
    assert me.bid(OTHERS, 0) is None
    assert me.bid(Lease("other", 4, renewed="t2"), DURATION - 1) is None
    assert me.bid(Lease("other", 4, renewed="t2"), 2 * DURATION - 2) is None


def test_a_lease_without_renewal_is_taken_after_its_duration_as_one_transition() -> None:
    me = Candidate("me")
    assert me.bid(OTHERS, 100) is None
    assert me.bid(OTHERS, 100 + DURATION - 0.1) is None
    assert me.bid(OTHERS, 100 + DURATION) == Lease("me", transitions=5)


def test_a_released_lease_is_taken_at_once_as_one_transition() -> None:
    assert Candidate("me").bid(Lease("", transitions=4), 0) == Lease("me", transitions=5)


def test_ones_own_lease_is_renewed_without_a_transition() -> None:
    me = Candidate("me")
    assert me.bid(Lease("me", 4, renewed="t1"), 0) == Lease("me", transitions=4)


def test_a_deleted_lease_comes_back_with_a_higher_count() -> None:
    me = Candidate("me")
    me.bid(OTHERS, 0)
    assert me.bid(None, 1) == Lease("me", transitions=5)


def test_a_leader_that_is_cut_off_stops_before_another_starts() -> None:
    assert RENEW_DEADLINE + RETRY < DURATION + RETRY
    assert RENEW_DEADLINE > 2 * RETRY
