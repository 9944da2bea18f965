"""Container images, built without a registry and given to containerd as archives.

An archive is kept in the cache under the digest of what it was made of, so an image whose inputs
are unchanged is neither built nor packed again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import base, cache, layout
from .buildah import buildah
from .clients import CTR
from .progress import step
from .shell import run


@dataclass(frozen=True)
class Image:
    """How an image is built: `inputs` are the files below `context` that its build reads."""

    tag: str
    dockerfile: Path
    context: Path
    inputs: tuple[Path, ...]
    target: str = ""
    from_base: bool = True


PAUSE = Image(
    layout.PAUSE_IMAGE,
    Path(__file__).with_name("pause") / "Dockerfile",
    context=layout.BIN,
    inputs=(layout.BIN / "pause",),
    from_base=False,
)


def load(*images: Image) -> None:
    """Give images to the node; what the cache lacks is built first."""
    for image in images:
        archive = _archive(image)
        loaded = layout.IMAGES / _file_name(image)
        if not (loaded.exists() and loaded.read_text() == archive.name):
            with step(f"loading {image.tag}"):
                run(*CTR, "images", "import", archive)
            loaded.write_text(archive.name)


def files_below(context: Path, *paths: str) -> tuple[Path, ...]:
    """The files of a git checkout below some of its paths, less those that it ignores."""
    listed = run(
        "git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *paths, cwd=context
    )
    return tuple(path for name in listed.splitlines() if (path := context / name).is_file())


def _archive(image: Image) -> Path:
    name = _file_name(image)
    archive = cache.root() / f"{name}-{cache.digest(_parts(image))}.tar"
    if image.from_base and not archive.exists():
        base.ensure()
    cache.entry(archive.name, lambda part: _build(image, part))
    for stale in set(cache.root().glob(f"{name}-*.tar")) - {archive}:
        stale.unlink()
    return archive


def _file_name(image: Image) -> str:
    return image.tag.replace("/", "-").replace(":", "-")


def _parts(image: Image) -> Iterable[bytes]:
    yield f"{image.tag} {image.target} {base.NAME} {base.RUST}".encode()
    yield image.dockerfile.read_bytes()
    for file in image.inputs:
        yield str(file.relative_to(image.context)).encode()
        yield file.read_bytes()


def _build(image: Image, archive: Path) -> None:
    options = [f"--file={image.dockerfile}", f"--tag={image.tag}", *_host_settings()]
    if image.target:
        options.append(f"--target={image.target}")
    if image.from_base:
        options += [f"--build-arg=BASE={base.NAME}", f"--build-arg=RUST={base.RUST}"]
    with step(f"building {image.tag}"):
        buildah("bud", "--layers", *options, image.context)
        buildah("push", image.tag, f"docker-archive:{archive}:{image.tag}")


def _host_settings() -> list[str]:
    """What lets pip reach its index during a build as it does on this machine."""
    shared = [path for path in ("/etc/pip.conf", "/etc/ssl/certs") if Path(path).exists()]
    return ["--network=host", *(f"--volume={path}:{path}:ro" for path in shared)]
