"""Kubernetes' label selectors, and the index that answers them without asking every pod."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from wsroute_api.types import LabelSelector, LabelSelectorRequirement
from wsroute_operator.objects import Pod


def matches(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether `labels` satisfy all of `selector`."""
    return all(labels.get(k) == v for k, v in selector.match_labels.items()) and all(
        _holds(requirement, labels) for requirement in selector.match_expressions
    )


def _holds(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    """As labels.Requirement.Matches of Kubernetes: NotIn also holds without the label."""
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case _:
            return value is None


class PodsByLabel:
    """Pods of one namespace, found by the rarest label that a selector asks for."""

    def __init__(self, pods: Iterable[Pod]) -> None:
        """O(labels)."""
        self._all = list(pods)
        self._having: dict[tuple[str, str], list[Pod]] = defaultdict(list)
        for pod in self._all:
            for label in pod.labels.items():
                self._having[label].append(pod)

    def select(self, selector: LabelSelector) -> list[Pod]:
        """The pods that `selector` matches, in the order in which they were given."""
        candidates = min(
            (self._having.get(label, []) for label in selector.match_labels.items()),
            key=len,
            default=self._all,
        )
        if len(selector.match_labels) == 1 and not selector.match_expressions:
            return list(candidates)
        return [pod for pod in candidates if matches(selector, pod.labels)]
