"""The node's bridge, and what is left of the machine's network when the node goes."""

from __future__ import annotations

import json

from . import layout
from .shell import run


def up() -> None:
    """Make the bridge before the daemons start: its address is the node's.

    Traffic to an address that no Service has (yet) ends on the bridge, not on the way outside.
    """
    if layout.BRIDGE not in _links():
        run("ip", "link", "add", layout.BRIDGE, "type", "bridge")
    prefix = layout.POD_CIDR.rpartition("/")[2]
    run("ip", "address", "replace", f"{layout.NODE_IP}/{prefix}", "dev", layout.BRIDGE)
    run("ip", "link", "set", layout.BRIDGE, "up")
    run("ip", "route", "replace", layout.SERVICE_CIDR, "dev", layout.BRIDGE)


def down() -> None:
    """Remove the bridge and kube-proxy's rules."""
    if layout.BRIDGE in _links():
        run("ip", "link", "delete", layout.BRIDGE)
    if layout.BIN.exists():
        run(layout.BIN / "kube-proxy", "--cleanup")


def _links() -> set[str]:
    return {link["ifname"] for link in json.loads(run("ip", "-json", "link"))}
