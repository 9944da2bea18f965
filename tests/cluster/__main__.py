"""`python -m tests.cluster`: the test node by hand."""

from __future__ import annotations

import argparse

from .images import all_images
from .node import cache, images, layout, node, requirements


def main() -> None:
    """Run one command; what it needs from the machine is checked first."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("command", choices=_COMMANDS)
    command = parser.parse_args().command
    if reason := requirements.why_not():
        raise SystemExit(reason)
    _COMMANDS[command]()


def _up() -> None:
    with cache.lock(*node.LOCK):
        node.up()


def _down() -> None:
    with cache.lock(*node.LOCK):
        node.down()


def _images() -> None:
    images.load(*all_images())


def _env() -> None:
    print(f"export KUBECONFIG={layout.KUBECONFIG} PATH={layout.BIN}:$PATH")


def _status() -> None:
    print("up" if node.running() else "down")


_COMMANDS = {"up": _up, "down": _down, "images": _images, "status": _status, "env": _env}

main()
