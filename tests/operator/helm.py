"""The chart as Helm renders it, with Helm itself and without a cluster."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import yaml

from tests.cluster.node import binaries
from tests.documents.values import CHART

Json = dict[str, Any]
Objects = dict[tuple[str, str], Json]
"""Objects by kind and name."""


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(binaries.go_programs() / "helm"), *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def helm(*arguments: str, values: Json | None = None) -> subprocess.CompletedProcess[str]:
    """Helm without a cluster, as for the oldest Kubernetes that the chart allows."""
    return run(*arguments, "--kube-version=1.29.0", "--values=-", stdin=json.dumps(values or {}))


def rendering(values: Json | None = None, release: str = "wsroute") -> Objects:
    """The objects of the chart, by kind and name."""
    done = helm("template", release, str(CHART), "--namespace=wsroute-system", values=values)
    assert done.returncode == 0, done.stderr
    objects = [obj for obj in yaml.safe_load_all(done.stdout) if obj]
    found = {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}
    assert len(found) == len(objects)
    return found


def of_kind(objects: Objects, kind: str) -> list[str]:
    return [name for found, name in objects if found == kind]
