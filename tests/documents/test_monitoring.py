"""The dashboard and the alert rules ask only for what is there."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import wsroute_api
import wsroute_operator
import wsroute_sidecar
from tests.documents.exposed import of_the_operator, of_the_sidecar
from tests.documents.values import CHART

SERIES = {
    name: labels
    for family in (*of_the_sidecar(), *of_the_operator())
    for name, labels in family.series.items()
}
TARGET = {"namespace", "pod", "container"}
"""Labels that a PodMonitor gives to all that it scrapes."""

_NAME = re.compile(r"\b(?:wsroute|process)_\w+\b(?:\{([^}]*)\})?")
_SELECTOR = re.compile(r'(\w+)\s*(?:=~|=|!~|!=)\s*"([^"]*)"')
_BY = re.compile(r"\bby \(([^)]*)\)")
_SHOWN = re.compile(r"\{\{\s*(?:\$labels\.)?([a-z]\w*)\s*\}\}")


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads((CHART / "monitoring/dashboard.json").read_text("utf-8"))
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((CHART / "monitoring/alerts.yaml").read_text("utf-8"))["groups"]
    return list(group["rules"])


def queries() -> Iterator[Any]:
    """Each expression, and the texts in which its labels are shown."""
    for panel in panels():
        for target in panel["targets"]:
            yield pytest.param(target["expr"], target["legendFormat"], id=panel["title"])
    for alert in alerts():
        shown = " ".join(alert["annotations"].values())
        yield pytest.param(alert["expr"], shown, id=alert["alert"])


QUERIES = list(queries())


@pytest.mark.parametrize(("expression", "shown"), QUERIES)
def test_metrics_and_labels_are_those_that_are_exposed(expression: str, shown: str) -> None:
    grouped = {part.strip() for by in _BY.findall(expression) for part in by.split(",")}
    found = list(_NAME.finditer(expression))
    assert found
    known = set(TARGET)
    for use in found:
        name = use[0].partition("{")[0]
        assert name in SERIES
        known |= SERIES[name]
        assert {label for label, _ in _SELECTOR.findall(use[1] or "")} <= SERIES[name] | TARGET
    assert grouped <= known
    assert set(_SHOWN.findall(shown)) <= (grouped or known)


@pytest.mark.parametrize(("expression", "shown"), QUERIES)
def test_values_that_are_asked_for_are_words_of_the_code(expression: str, shown: str) -> None:
    values = [value for _, value in _SELECTOR.findall(expression) if "$" not in value]
    words = {word for value in values for word in value.split("|")}
    assert words <= code_words()


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert alert["annotations"]["summary"].endswith(".")
    assert alert["annotations"]["description"]


def code_words() -> set[str]:
    packages = (wsroute_api, wsroute_sidecar, wsroute_operator)
    folders = [Path(inspect.getfile(package)).parent for package in packages]
    return {
        word
        for folder in folders
        for file in folder.glob("*.py")
        for word in re.findall(r"\w+", file.read_text("utf-8"))
    }
