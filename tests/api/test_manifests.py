from __future__ import annotations

import pytest
import yaml

from tests.support.sidecar import route
from wsroute_api.manifests import parse

OTHERS = [
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "chat"}},
    {"apiVersion": "wsroute.dev/v9", "kind": "WebSocketRoute"},
    "a text",
    ["a", "list"],
    None,
]


def names(text: str) -> list[str]:
    return [found.name for found in parse(text)]


def test_routes_of_several_documents_are_read_in_their_order() -> None:
    assert names(yaml.safe_dump_all([route(1, name="b"), route(2, name="a")])) == ["b", "a"]


def test_a_list_as_kubectl_prints_it_is_read() -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [route(1, name="a"), *OTHERS]}
    assert names(yaml.safe_dump(listed)) == ["a"]


@pytest.mark.parametrize("items", [None, 3, "x", {}], ids=repr)
def test_a_list_without_items_has_no_routes(items: object) -> None:
    assert names(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items})) == []


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n", "---\n---\n"], ids=repr)
def test_a_file_without_documents_has_no_routes(text: str) -> None:
    assert names(text) == []


def test_documents_of_other_kinds_are_passed_over() -> None:
    assert names(yaml.safe_dump_all([*OTHERS, route(1, name="a")])) == ["a"]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        pytest.param(
            route(1) | {"spec": {}},
            r"document 2 \(app\): spec: object missing required field `selector`",
            id="a mistake in the spec",
        ),
        pytest.param(
            route(1) | {"metadata": {}},
            r"document 2 \(without a name\): metadata: object missing",
            id="no name",
        ),
        pytest.param(
            route(1) | {"metadata": ["app"]},
            r"document 2 \(without a name\): metadata: expected `object`",
            id="metadata in a list",
        ),
        pytest.param(
            route(1) | {"metadata": None},
            r"document 2 \(without a name\): metadata: expected `object`",
            id="no metadata",
        ),
    ],
)
def test_a_wrong_document_is_named(document: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        names(yaml.safe_dump_all([route(1), document]))


def test_a_route_is_read_when_it_is_asked_for() -> None:
    routes = parse(yaml.safe_dump_all([route(1, name="a"), route(2) | {"spec": {}}]))
    assert next(routes).name == "a"
    with pytest.raises(ValueError, match="document 2"):
        next(routes)


@pytest.mark.parametrize(
    "text",
    ["a: [", "\t", "a: b: c", "!!python/object/apply:os.system [id]", "*a", "\x00"],
    ids=repr,
)
def test_what_is_no_yaml_is_told_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="it is not YAML: ") as refused:
        names(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("deep", ["[", "{a: ", "- "])
def test_what_is_nested_beyond_reason_is_told_and_crashes_nothing(deep: str) -> None:
    with pytest.raises(ValueError, match="nested more than 100 levels"):
        names(deep * 100_000)
