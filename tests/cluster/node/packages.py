"""Debian packages: what is missing is installed."""

from __future__ import annotations

from .progress import step
from .shell import CommandError, run

NODE = ("containerd", "runc", "containernetworking-plugins", "iproute2", "iptables")
IMAGES = ("buildah", "debootstrap")
BROWSERS = ("chromium", "firefox-esr")

# Another apt may be at work, and waiting is better than failing.
_APT_GET = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=600")


def ensure(*names: str) -> None:
    """Install those of the packages that the machine lacks."""
    missing = [name for name in names if not _installed(name)]
    if not missing:
        return
    with step(f"installing Debian packages: {' '.join(missing)}"):
        run(*_APT_GET, "update")
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run(*_APT_GET, "install", "-y", "--no-install-recommends", *missing, env=quiet)


def _installed(name: str) -> bool:
    try:
        return run("dpkg-query", "-W", "-f", "${db:Status-Status}", name) == "installed"
    except CommandError:
        return False
