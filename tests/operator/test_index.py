from __future__ import annotations

import pytest

from tests.operator.build import changed, pod, route
from wsroute_operator.index import KINDS, Index


@pytest.fixture
def index() -> Index:
    return Index()


def fill(index: Index) -> None:
    index.put(route("r"), 1)
    index.put(pod("p"), 2)
    index.take_dirty()


def test_what_is_put_in_is_found_in_its_namespace_which_is_dirty(index: Index) -> None:
    index.put(route("r"), 1)
    index.put(pod("p"), 2)
    assert index.namespace("shop").routes == {"uid-r": route("r")}
    assert index.namespace("shop").pods == {"uid-p": pod("p")}
    assert index.changed.is_set()
    assert index.take_dirty() == {"shop"}
    assert not index.changed.is_set()


def test_an_event_that_changes_nothing_of_interest_leaves_the_namespace_clean(index: Index) -> None:
    fill(index)
    index.put(pod("p"), 3)
    index.put(route("r"), 3)
    assert index.take_dirty() == set()


@pytest.mark.parametrize("item", [changed(pod("p"), address="10.0.0.2"), route("r", generation=2)])
def test_a_change_makes_the_namespace_dirty(index: Index, item: object) -> None:
    fill(index)
    index.put(item, 3)  # type: ignore[arg-type]
    assert index.take_dirty() == {"shop"}


def test_a_version_older_than_what_is_known_is_ignored(index: Index) -> None:
    index.put(pod("p", address="new"), 5)
    index.put(pod("p", address="old"), 4)
    assert index.namespace("shop").pods["uid-p"].address == "new"


def test_a_drop_forgets_and_makes_dirty_and_an_unknown_object_does_not(index: Index) -> None:
    fill(index)
    index.drop("pods", "uid-x")
    assert index.take_dirty() == set()
    index.drop("pods", "uid-p")
    assert index.take_dirty() == {"shop"}
    assert index.namespace("shop").pods == {}


def test_the_last_object_takes_its_namespace_with_it(index: Index) -> None:
    fill(index)
    index.drop("pods", "uid-p")
    index.drop("routes", "uid-r")
    assert index.take_dirty() == {"shop"}
    index.mark_all()
    assert index.take_dirty() == set()


def test_what_was_known_before_a_list_and_is_not_in_it_has_gone(index: Index) -> None:
    fill(index)
    before = index.known("pods")
    index.put(pod("younger than the list"), 9)
    assert index.reconcile("pods", before, {}) == 1
    assert [p.name for p in index.namespace("shop").pods.values()] == ["younger than the list"]


def test_complete_once_everything_listed_has_been_shown(index: Index) -> None:
    index.reconcile("services", (), {})
    index.reconcile("routes", (), {"uid-r": 1})
    index.put(route("r"), 1)
    assert not index.complete.is_set(), "pods have not been listed"
    index.reconcile("pods", (), {"uid-p": 2, "uid-q": 3})
    index.put(pod("p"), 1)
    index.drop("pods", "uid-q")
    assert not index.complete.is_set(), "a pod is known in an older version only"
    index.put(pod("p"), 2)
    assert index.complete.is_set()


def test_an_empty_cluster_is_complete_when_all_kinds_were_listed(index: Index) -> None:
    for kind in KINDS:
        assert not index.complete.is_set()
        index.reconcile(kind, (), {})
    assert index.complete.is_set()


def test_what_went_while_the_list_was_made_is_not_waited_for(index: Index) -> None:
    fill(index)
    before = index.known("pods")
    index.drop("pods", "uid-p")
    index.reconcile("pods", before, {"uid-p": 2})
    index.reconcile("routes", (), {})
    index.reconcile("services", (), {})
    assert index.current.is_set()


def test_current_is_what_has_all_of_the_latest_lists(index: Index) -> None:
    for kind in KINDS:
        index.reconcile(kind, (), {})
    assert index.current.is_set()
    index.reconcile("pods", (), {"uid-p": 2})
    assert index.complete.is_set()
    assert not index.current.is_set()
    index.put(pod("p"), 2)
    assert index.current.is_set()


def test_behind_are_the_unknown_and_the_outdated(index: Index) -> None:
    index.put(pod("p"), 2)
    assert index.behind("pods", {"uid-p": 2, "uid-q": 1}) == {"uid-q": 1}
    assert index.behind("pods", {"uid-p": 3}) == {"uid-p": 3}
