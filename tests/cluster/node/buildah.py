"""buildah, with a storage of its own in the cache: its layers make the next build short."""

from __future__ import annotations

from pathlib import Path

from . import cache
from .shell import run_build


def buildah(*arguments: str | Path) -> str:
    """Run buildah and return what it prints."""
    storage = [f"--root={cache.root() / 'buildah'}", "--runroot=/run/wsroute-buildah"]
    settings = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "overlay"}
    return run_build("buildah", *storage, *arguments, env=settings)
