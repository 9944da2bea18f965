"""The image that stands in for the official Python one: a minimal Debian of debootstrap's."""

from __future__ import annotations

from pathlib import Path

from . import cache, versions
from .buildah import buildah
from .progress import step
from .shell import run, run_build

_PACKAGES = "python3,python3-venv,ca-certificates"
_LEFT_OUT = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
)
_KEY = cache.digest(part.encode() for part in (_PACKAGES, *_LEFT_OUT))
NAME = f"wsroute/base:{versions.DEBIAN}-{_KEY}"
RUST = "cargo-web gcc libc6-dev"
"""Packages that build the native engine: this Debian's `cargo` is too old for it."""


def ensure() -> None:
    """Have the image `NAME` in buildah's storage."""
    folder = cache.entry(f"debian-{versions.DEBIAN}-{_KEY}", _build)
    if not buildah("images", "--quiet", f"--filter=reference={NAME}"):
        buildah("bud", f"--tag={NAME}", f"--file={folder / 'Dockerfile'}", folder)


def _build(folder: Path) -> None:
    rootfs = folder / "rootfs"
    with step("making the base image (once; about a minute)"):
        include = f"--include={_PACKAGES}"
        run_build("debootstrap", "--variant=minbase", include, versions.DEBIAN, rootfs)
        leave_out = [f"--exclude=./{path}/*" for path in _LEFT_OUT]
        run("tar", "--create", f"--file={rootfs}.tar", *leave_out, "--directory", rootfs, ".")
        run("rm", "-r", rootfs)
    (folder / "Dockerfile").write_text("FROM scratch\nADD rootfs.tar /\n")
