"""Programs built from source: Kubernetes, etcd and Helm from Go modules, geckodriver from a crate.

All Go programs come from one module, so one `go build` compiles what they share once.
"""

from __future__ import annotations

from pathlib import Path

from . import cache, versions
from .progress import step
from .shell import run_build

KUBERNETES = "k8s.io/kubernetes"
HELM = "helm.sh/helm/v3"


def go_programs() -> Path:
    """The folder of kube-*, kubelet, kubectl, etcd, helm and pause."""
    sources = [versions.GO_MOD, versions.GO_MOD.parent / "pause" / "main.go"]
    key = cache.digest(source.read_bytes() for source in sources)
    return cache.entry(f"kubernetes-{versions.of_module(KUBERNETES)}-{key}", _build_go)


def geckodriver() -> Path:
    """The path of geckodriver, Firefox's WebDriver server."""
    folder = cache.entry(f"geckodriver-{versions.GECKODRIVER}", _build_geckodriver)
    return folder / "bin" / "geckodriver"


def _build_go(folder: Path) -> None:
    folder.mkdir()
    with step("building Kubernetes, etcd and Helm (once; about 7 minutes on two cores)"):
        run_build(
            *("go", "build", "-mod=readonly", "-trimpath", "-ldflags", " ".join(_ldflags())),
            *("-o", f"{folder}/", "tool", "./pause"),
            cwd=versions.GO_MOD.parent,
            env={"CGO_ENABLED": "0"},
        )
    (folder / "server").rename(folder / "etcd")


def _ldflags() -> list[str]:
    """Without these the API server calls itself v0.0.0, and clients refuse to talk to it."""
    kubernetes = versions.of_module(KUBERNETES)
    major, minor, _ = kubernetes.split(".")
    about = {
        "k8s.io/component-base/version.gitVersion": f"v{kubernetes}",
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        f"{HELM}/internal/version.version": f"v{versions.of_module(HELM)}",
    }
    return ["-s", "-w", *(f"-X={name}={value}" for name, value in about.items())]


def _build_geckodriver(folder: Path) -> None:
    with step("building geckodriver (once; about 2 minutes)"):
        run_build(
            *("cargo", "install", "--quiet", "--locked", "--version", versions.GECKODRIVER),
            *("--root", folder, "geckodriver"),
        )
