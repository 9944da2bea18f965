"""The images that the cluster tests run, from this checkout."""

from __future__ import annotations

from pathlib import Path

from .node.images import Image, files_below

_ROOT = Path(__file__).parents[2]
_BACKENDS = Path(__file__).with_name("backends")


def sidecar() -> Image:
    """The data plane."""
    return _target("sidecar")


def operator() -> Image:
    """The control plane."""
    return _target("operator")


def examples() -> Image:
    """The apps of `charts/examples`."""
    return _target("examples", "charts/examples")


def backends() -> Image:
    """Servers from elsewhere: Jupyter and Socket.IO."""
    files = files_below(_BACKENDS, ".")
    return Image("wsroute/backends:dev", _BACKENDS / "Dockerfile", _BACKENDS, files)


def _target(name: str, *more: str) -> Image:
    """A target of the project's Dockerfile."""
    project = (".dockerignore", "pyproject.toml", "README.md", "LICENSE", "requirements")
    files = files_below(_ROOT, *project, "sidecar", "operator", *more)
    return Image(f"wsroute/{name}:dev", _ROOT / "Dockerfile", _ROOT, files, target=name)
