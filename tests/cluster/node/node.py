"""The node as a whole: up from nothing or from the remains of an earlier one, and down again."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import binaries, cache, config, daemons, images, layout, network, packages, processes
from .progress import step
from .shell import run

# A machine has one node: who uses it or changes it holds this lock.
LOCK = ("node", "another user of the node")


def up() -> None:
    """A fresh node, ready for pods; what it needs is installed and built first."""
    packages.ensure(*packages.NODE, *packages.IMAGES)
    programs = binaries.go_programs()
    down()
    with step("starting the node"):
        _write_configuration(programs)
        network.up()
        _start()


def running() -> bool:
    """Whether all daemons of a node run, from the programs that are current."""
    every = (*daemons.BASE, *daemons.REST)
    up_to_date = layout.BIN.exists() and layout.BIN.resolve() == binaries.go_programs()
    return up_to_date and all(daemon.running() for daemon in every)


@contextmanager
def in_use() -> Iterator[None]:
    """A running node for this program alone. One that was up before stays up afterwards."""
    with ExitStack() as held:
        held.enter_context(cache.lock(*LOCK))
        if not running():
            up()
            held.callback(down)
        yield


def down() -> None:
    """Kill whatever belongs to a node and remove its traces; without a node, do nothing."""
    if not layout.WORK.exists():
        return
    with step("removing the node"):
        for group in (processes.DAEMONS, processes.PODS):
            processes.kill(group)
        _unmount()
        network.down()
        shutil.rmtree(layout.WORK)


def _start() -> None:
    for daemon in daemons.BASE:
        daemon.start()
    daemons.CONTAINERD.wait()
    images.load(images.PAUSE)
    daemons.API_SERVER.wait()
    for daemon in daemons.REST:
        daemon.start()
    for daemon in daemons.REST:
        daemon.wait()


def _write_configuration(programs: Path) -> None:
    for folder in layout.FOLDERS:
        folder.mkdir(parents=True)
    layout.BIN.symlink_to(programs)
    passwords = {user: secrets.token_hex(16) for user in config.USERS}
    layout.TOKENS.touch(mode=0o600)
    layout.TOKENS.write_text(config.tokens(passwords))
    for user, password in passwords.items():
        config.kubeconfig_path(user).write_text(config.kubeconfig(password))
    (layout.CONFIG / "kubelet.json").write_text(config.kubelet())
    (layout.CONFIG / "proxy.json").write_text(config.proxy())
    (layout.CONFIG / "containerd.toml").write_text(config.containerd())
    (layout.CNI / "pods.conflist").write_text(config.pod_network())
    run("openssl", "genrsa", "-out", layout.SERVICE_ACCOUNT_KEY, "2048")


def _unmount() -> None:
    """Undo every mount below the work folder, the latest first."""
    table = Path("/proc/self/mounts").read_text().splitlines()
    targets = [line.split()[1] for line in table]
    for target in reversed(targets):
        if target.startswith(f"{layout.WORK}/"):
            run("umount", target)
