"""The images that the cluster tests run, from this checkout."""

from __future__ import annotations

from pathlib import Path

from .node.images import Image, files_below

_ROOT = Path(__file__).parents[2]
_BACKENDS = Path(__file__).with_name("backends")


def all_images() -> tuple[Image, ...]:
    """The project's images, and `backends` with servers from elsewhere: Jupyter, Socket.IO."""
    servers = files_below(_BACKENDS, ".")
    return (
        _target("sidecar"),
        _target("operator"),
        _target("examples", "charts/examples"),
        Image("wsroute/backends:dev", _BACKENDS / "Dockerfile", _BACKENDS, servers),
    )


def _target(name: str, *more: str) -> Image:
    """A target of the project's Dockerfile."""
    project = (".dockerignore", "pyproject.toml", "README.md", "LICENSE", "requirements")
    files = files_below(_ROOT, *project, "sidecar", "operator", *more)
    return Image(f"wsroute/{name}:dev", _ROOT / "Dockerfile", _ROOT, files, target=name)
