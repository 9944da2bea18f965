"""What is in the images, and what must not be."""

from __future__ import annotations

import json

import pytest

from .kube import apply, kubectl
from .objects import container, pod

_LOOK = """
import importlib.util, json, os, shutil
modules = ("wsroute_api", "wsroute_sidecar", "wsroute_sidecar._relay", "wsroute_operator",
           "wsroute_kubectl", "aiohttp", "cryptography", "kopf", "kubernetes", "pip")
def has(name):
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:  # of the package that it is in
        return None
commands = ("wsroute-sidecar", "wsroute-operator", "kubectl-wsroute")
print(json.dumps({
    "user": os.getuid(),
    "modules": [name for name in modules if has(name)],
    "commands": [name for name in commands if shutil.which(name)],
}))
"""


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("image", "modules", "command"),
    [
        (
            "sidecar",
            ["wsroute_api", "wsroute_sidecar", "wsroute_sidecar._relay", "aiohttp"],
            "wsroute-sidecar",
        ),
        (
            "operator",
            ["wsroute_api", "wsroute_operator", "aiohttp", "cryptography", "kopf", "kubernetes"],
            "wsroute-operator",
        ),
    ],
    ids=["sidecar", "operator"],
)
def test_an_image_has_one_plane_and_no_root(
    namespace: str, image: str, modules: list[str], command: str
) -> None:
    look = container("look", image, "python", "-c", _LOOK)
    apply(namespace, pod("look", look, restartPolicy="Never"))
    place = f"--namespace={namespace}"
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/look", place)
    found = json.loads(kubectl("logs", "look", place))
    assert found == {"user": 65532, "modules": modules, "commands": [command]}
