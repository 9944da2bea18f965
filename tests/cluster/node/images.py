"""Container images, built without a registry and given to containerd as archives.

An archive is kept in the cache under the digest of what it was made of, so an image whose inputs
are unchanged is neither built nor packed again. The base is a minimal Debian of debootstrap's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import cache, layout, versions
from .clients import CTR
from .progress import step
from .shell import run, run_build

_BASE_PACKAGES = "python3,python3-venv,ca-certificates"
_LEFT_OUT = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale",
             "usr/share/man")  # fmt: skip
_ROOTFS = "rootfs.tar"


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
        loaded = layout.IMAGES / archive.name
        if not loaded.exists():
            with step(f"loading {image.tag}"):
                run(*CTR, "images", "import", archive)
            loaded.touch()


def files_below(context: Path, *paths: str) -> tuple[Path, ...]:
    """The files of a git checkout below some of its paths, less those that it ignores."""
    listed = run(
        "git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *paths, cwd=context
    )
    return tuple(path for name in listed.splitlines() if (path := context / name).is_file())


def _archive(image: Image) -> Path:
    base = _base() if image.from_base else ""
    name = image.tag.replace("/", "-").replace(":", "-")
    archive = cache.entry(
        f"{name}-{cache.digest(_parts(image, base))}.tar",
        lambda part: _build(image, base, part),
    )
    for stale in set(cache.root().glob(f"{name}-*.tar")) - {archive}:
        stale.unlink()
    return archive


def _parts(image: Image, base: str) -> Iterable[bytes]:
    yield f"{image.tag} {image.target} {base}".encode()
    yield image.dockerfile.read_bytes()
    for file in image.inputs:
        yield str(file.relative_to(image.context)).encode()
        yield file.read_bytes()


def _build(image: Image, base: str, archive: Path) -> None:
    options = [f"--target={image.target}"] if image.target else []
    if base:
        options.append(f"--build-arg=BASE={base}")
    with step(f"building {image.tag}"):
        _buildah("bud", "--layers", *options, *_host_settings(), f"--file={image.dockerfile}",
                 f"--tag={image.tag}", image.context)  # fmt: skip
        _buildah("push", image.tag, f"docker-archive:{archive}:{image.tag}")


def _host_settings() -> list[str]:
    """What lets pip reach its index during a build as it does on this machine."""
    shared = [path for path in ("/etc/pip.conf", "/etc/ssl/certs") if Path(path).exists()]
    return ["--network=host", *(f"--volume={path}:{path}:ro" for path in shared)]


def _base() -> str:
    """The name of the base image in buildah's storage."""
    key = (
        f"{versions.DEBIAN}-{cache.digest(part.encode() for part in (_BASE_PACKAGES, *_LEFT_OUT))}"
    )
    folder = cache.entry(f"debian-{key}", _debootstrap)
    name = f"wsroute/base:{key}"
    if not _buildah("images", "--quiet", f"--filter=reference={name}"):
        _buildah("bud", f"--tag={name}", f"--file={folder / 'Dockerfile'}", folder)
    return name


def _debootstrap(folder: Path) -> None:
    rootfs = folder / "rootfs"
    with step("making the base image's file system (once; about 2 minutes)"):
        include = f"--include={_BASE_PACKAGES}"
        run_build("debootstrap", "--variant=minbase", include, versions.DEBIAN, rootfs)
        leave_out = [f"--exclude=./{path}/*" for path in _LEFT_OUT]
        run("tar", "--create", "--file", folder / _ROOTFS, *leave_out, "-C", rootfs, ".")
        run("rm", "-r", rootfs)
    (folder / "Dockerfile").write_text(f"FROM scratch\nADD {_ROOTFS} /\n")


def _buildah(*arguments: str | Path) -> str:
    storage = [f"--root={cache.root() / 'buildah'}", "--runroot=/run/wsroute-buildah"]
    settings = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "overlay"}
    return run_build("buildah", *storage, *arguments, env=settings)
