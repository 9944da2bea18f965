"""The command lines of the node's clients."""

from __future__ import annotations

from . import layout

CTR = ("ctr", "--address", str(layout.CONTAINERD_SOCKET), "--namespace", "k8s.io")
KUBECTL = (str(layout.BIN / "kubectl"), f"--kubeconfig={layout.KUBECONFIG}")
HELM = (str(layout.BIN / "helm"), f"--kubeconfig={layout.KUBECONFIG}")
