"""What the documents and the examples tell people to apply, an API server takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documents.examples import objects_in
from tests.documents.values import CHART
from tests.operator.cluster import Cluster
from wsroute_api import contract
from wsroute_api.matching import compile_re2
from wsroute_api.problems import problems, route_from_object

pytestmark = pytest.mark.cluster  # for the API server, which is built with the node's programs

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]


def in_folder(path: Path) -> list[Json]:
    files = sorted(path.glob("*.yaml"))
    return [part for file in files for part in yaml.safe_load_all(file.read_text("utf-8"))]


def on_artifact_hub() -> list[Json]:
    annotations = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))["annotations"]
    return list(yaml.safe_load(annotations["artifacthub.io/crdsExamples"]))


def examples() -> Iterator[Any]:
    for path in (ROOT / "README.md", CHART / "MIGRATING.md"):
        yield pytest.param(objects_in(path), id=path.name)
    for folder in (ROOT / "charts" / "examples").iterdir():
        yield pytest.param(in_folder(folder), id=folder.name)
    yield pytest.param(on_artifact_hub(), id="Artifact Hub")


EXAMPLES = list(examples())


@pytest.mark.parametrize("objects", EXAMPLES)
def test_an_api_server_takes_it(cluster: Cluster, shop: str, objects: list[Json]) -> None:
    for obj in objects:
        obj["metadata"]["namespace"] = shop
    cluster.apply(shop, *objects)


@pytest.mark.parametrize("objects", EXAMPLES)
def test_its_routes_have_no_problem(objects: list[Json]) -> None:
    routes = [route_from_object(obj) for obj in objects if obj["kind"] == contract.KIND]
    assert routes
    assert [problem for route in routes for problem in problems(route.spec, compile_re2)] == []


@pytest.mark.parametrize("objects", EXAMPLES)
def test_its_services_and_routes_lead_to_pods_with_a_sidecar(objects: list[Json]) -> None:
    templates = [o["spec"]["template"] for o in objects if o["kind"] == "Deployment"]
    for labels in (template["metadata"]["labels"] for template in templates):
        assert labels[contract.INJECT_LABEL] == "true"
        for obj in objects:
            if obj["kind"] == "Service":
                assert obj["spec"]["selector"].items() <= labels.items()
                assert obj["spec"]["ports"][0]["targetPort"] == contract.DATA_PORT
            if obj["kind"] == contract.KIND:
                assert obj["spec"]["selector"]["matchLabels"].items() <= labels.items()
