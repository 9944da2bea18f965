from __future__ import annotations

import pytest

from wsroute_api.types import LabelSelector, LabelSelectorRequirement
from wsroute_operator.objects import Pod
from wsroute_operator.selectors import PodsByLabel, matches

LABELS = {"app": "chat", "tier": "web"}


def needs(key: str, operator: str, *values: str) -> LabelSelector:
    requirement = LabelSelectorRequirement(key=key, operator=operator, values=list(values))  # type: ignore[arg-type]
    return LabelSelector(match_expressions=[requirement])


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param(LabelSelector(match_labels={"app": "chat"}), True, id="label"),
        pytest.param(LabelSelector(match_labels={"app": "shop"}), False, id="other value"),
        pytest.param(LabelSelector(match_labels={"a": "b"}), False, id="label missing"),
        pytest.param(
            LabelSelector(match_labels={"app": "chat", "tier": "web"}), True, id="all labels"
        ),
        pytest.param(
            LabelSelector(match_labels={"app": "chat", "tier": "db"}), False, id="one label wrong"
        ),
        pytest.param(needs("app", "In", "chat", "shop"), True, id="in"),
        pytest.param(needs("app", "In", "shop"), False, id="not among"),
        pytest.param(needs("x", "In", "shop"), False, id="in, missing"),
        pytest.param(needs("app", "NotIn", "shop"), True, id="not in"),
        pytest.param(needs("app", "NotIn", "chat"), False, id="not in, among"),
        pytest.param(needs("x", "NotIn", "chat"), True, id="not in, missing"),
        pytest.param(needs("app", "Exists"), True, id="exists"),
        pytest.param(needs("x", "Exists"), False, id="exists, missing"),
        pytest.param(needs("x", "DoesNotExist"), True, id="does not exist"),
        pytest.param(needs("app", "DoesNotExist"), False, id="does not exist, there"),
    ],
)
def test_selector_and_labels(selector: LabelSelector, expected: bool) -> None:
    assert matches(selector, LABELS) is expected


def test_pods_are_found_by_labels_and_by_expressions_alike() -> None:
    pods = [Pod(uid=n, namespace="s", name=n, labels={"app": n[0]}) for n in ("a1", "a2", "b1")]
    by_label = PodsByLabel(pods)
    found = by_label.select(LabelSelector(match_labels={"app": "a"}))
    assert [pod.name for pod in found] == ["a1", "a2"]
    assert [pod.name for pod in by_label.select(needs("app", "NotIn", "a"))] == ["b1"]
    assert by_label.select(LabelSelector(match_labels={"app": "c"})) == []
