"""Things that are built once and kept in the user's cache folder.

An entry is one file or folder whose name carries its version or the digest of its inputs. It
appears under that name by a rename, so an entry that exists is complete, however its build ended.
A lock admits one builder at a time, so whatever a builder finds half-made is a dead one's.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .progress import say


def root() -> Path:
    """The folder of wsroute's cache; it is made where it is missing."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "wsroute"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest(parts: Iterable[bytes]) -> str:
    """Twelve hexadecimal digits that stand for the parts, in their order."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(hashlib.sha256(part).digest())
    return hashed.hexdigest()[:12]


def entry(name: str, build: Callable[[Path], object]) -> Path:
    """The cache's entry `name`; where it is missing, `build` makes it at the path it is given."""
    target = root() / name
    if not target.exists():
        with lock("build", "another build"):
            if not target.exists():
                _build(target, build)
    return target


def _build(target: Path, build: Callable[[Path], object]) -> None:
    part = root() / ".part"
    if part.is_dir():
        shutil.rmtree(part)
    part.unlink(missing_ok=True)
    build(part)
    part.rename(target)


@contextmanager
def lock(name: str, holder: str) -> Iterator[None]:
    """Hold a lock among all programs of this machine; say that `holder` is waited for, if it is."""
    with (root() / f".{name}.lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for {holder} to end")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
