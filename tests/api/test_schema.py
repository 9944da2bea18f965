"""The chart's CRD is the types', and it is a structural schema that Kubernetes accepts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wsroute_api import contract, crd
from wsroute_api.matching import compile_re2
from wsroute_api.schema import custom_resource_definition, spec_schema

CRD = Path(__file__).parents[2] / "charts/wsroute/templates/crd.yaml"

Node = tuple[str, dict[str, Any]]


def nodes(schema: dict[str, Any], where: str = "spec") -> Iterator[Node]:
    yield where, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{where}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from nodes(schema[name], f"{where}.{name}")


NODES = list(nodes(spec_schema()))


def test_the_charts_crd_is_up_to_date() -> None:
    assert CRD.read_text(encoding="utf-8") == crd.template(), "run `make crd`"


def test_the_name_is_what_kubernetes_derives() -> None:
    made = custom_resource_definition()
    assert made["metadata"]["name"] == f"{contract.PLURAL}.{contract.GROUP}"
    (version,) = made["spec"]["versions"]
    assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)
    assert version["subresources"] == {"status": {}}


def test_each_field_has_one_type_and_nothing_that_kubernetes_refuses() -> None:
    wrong = [
        where
        for where, schema in NODES
        if ("type" in schema) == schema.get("x-kubernetes-int-or-string", False)
        or {"$ref", "anyOf", "title"} & schema.keys()
        or schema.get("additionalProperties") is False
    ]
    assert wrong == []


def test_each_pattern_holds_from_the_start_to_the_end_in_the_way_of_re2() -> None:
    patterns = {schema["pattern"] for _, schema in NODES if "pattern" in schema}
    assert len(patterns) > 5
    assert all(re.match(r"\^.+\$$|\^/$", pattern) for pattern in patterns)
    assert all(compile_re2(pattern) for pattern in patterns)


def test_each_list_and_text_is_bounded_so_that_the_cost_of_rules_is() -> None:
    bounds = {"array": {"maxItems"}, "string": {"maxLength", "enum", "pattern"}}
    unbounded = [
        where
        for where, schema in NODES
        if schema.get("type") in bounds and not bounds[schema["type"]] & schema.keys()
    ]
    assert unbounded == []


def test_each_number_has_both_bounds() -> None:
    half = [where for where, schema in NODES if ("minimum" in schema) != ("maximum" in schema)]
    assert half == []


def test_every_field_is_explained() -> None:
    silent = [
        where
        for where, schema in NODES
        if "description" not in schema and not where.endswith(("items", "additionalProperties"))
    ]
    assert silent == []


def test_a_status_condition_has_all_that_kubernetes_asks_for() -> None:
    status = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"][
        "properties"
    ]["status"]
    conditions = status["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert conditions["items"]["required"] == [
        "type",
        "status",
        "reason",
        "message",
        "lastTransitionTime",
    ]


def test_the_template_obeys_both_values_of_the_chart() -> None:
    text = crd.template()
    assert text.count("{{- if") == text.count("{{- end") == 2
    assert ".Values.crds.enabled" in text
    assert "helm.sh/resource-policy: keep" in text
