"""A route's selector, in the words of kubectl's --selector."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wsroute_api.types import LabelSelector
from wsroute_kubectl.pods import selector_text


def requirement(operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]}


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({"matchLabels": {"app": "chat", "tier": "gold"}}, "app=chat,tier=gold"),
        (requirement("In", "a", "b"), "tier in (a,b)"),
        (requirement("NotIn", "a"), "tier notin (a)"),
        (requirement("Exists"), "tier"),
        (requirement("DoesNotExist"), "!tier"),
        ({"matchLabels": {"app": "chat"}} | requirement("Exists"), "app=chat,tier"),
    ],
)
def test_a_selector_is_told_to_kubectl_whole(selector: dict[str, Any], text: str) -> None:
    assert selector_text(msgspec.convert(selector, LabelSelector)) == text
