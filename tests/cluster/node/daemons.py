"""The node's daemons: how each is started, and when it counts as ready."""

from __future__ import annotations

import socket
from contextlib import suppress

from . import layout
from .clients import CTR, KUBECTL
from .config import kubeconfig_path
from .daemon import Daemon
from .shell import run


def _services_answer() -> bool:
    with suppress(OSError), socket.create_connection(layout.API_SERVICE, timeout=1):
        return True
    return False


ETCD = Daemon(
    "etcd",
    (
        layout.BIN / "etcd",
        f"--data-dir={layout.WORK / 'etcd'}",
        f"--listen-client-urls={layout.ETCD}",
        f"--advertise-client-urls={layout.ETCD}",
        f"--listen-peer-urls={layout.ETCD_PEER}",
        f"--initial-advertise-peer-urls={layout.ETCD_PEER}",
        f"--initial-cluster=default={layout.ETCD_PEER}",
        "--unsafe-no-fsync",
    ),
)

CONTAINERD = Daemon(
    "containerd",
    ("containerd", f"--config={layout.CONFIG / 'containerd.toml'}"),
    lambda: bool(run(*CTR, "version")),
)

API_SERVER = Daemon(
    "kube-apiserver",
    (
        layout.BIN / "kube-apiserver",
        f"--etcd-servers={layout.ETCD}",
        f"--bind-address={layout.NODE_IP}",
        f"--advertise-address={layout.NODE_IP}",
        f"--service-cluster-ip-range={layout.SERVICE_CIDR}",
        f"--cert-dir={layout.PKI}",
        f"--token-auth-file={layout.TOKENS}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={layout.SERVICE_ACCOUNT_KEY}",
        f"--service-account-signing-key-file={layout.SERVICE_ACCOUNT_KEY}",
    ),
    lambda: run(*KUBECTL, "get", "--raw=/readyz") == "ok",
)

CONTROLLER_MANAGER = Daemon(
    "kube-controller-manager",
    (
        layout.BIN / "kube-controller-manager",
        f"--kubeconfig={kubeconfig_path('controller-manager')}",
        f"--service-account-private-key-file={layout.SERVICE_ACCOUNT_KEY}",
        f"--root-ca-file={layout.API_CERTIFICATE}",
        "--use-service-account-credentials",
        "--controllers=*,-node-ipam-controller",
        "--leader-elect=false",
        "--secure-port=0",
    ),
    # A namespace without its default service account admits no pod.
    lambda: bool(run(*KUBECTL, "get", "serviceaccount", "default")),
)

SCHEDULER = Daemon(
    "kube-scheduler",
    (
        layout.BIN / "kube-scheduler",
        f"--kubeconfig={kubeconfig_path('scheduler')}",
        "--leader-elect=false",
        "--secure-port=0",
    ),
)

KUBELET = Daemon(
    "kubelet",
    (
        layout.BIN / "kubelet",
        f"--config={layout.CONFIG / 'kubelet.json'}",
        f"--kubeconfig={kubeconfig_path('kubelet')}",
        f"--root-dir={layout.KUBELET}",
        f"--cert-dir={layout.KUBELET / 'pki'}",
        f"--hostname-override={layout.NAME}",
        f"--node-ip={layout.NODE_IP}",
    ),
    lambda: "Ready=True" in run(
        *KUBECTL, "get", "node", layout.NAME,
        "--output=jsonpath={range .status.conditions[*]}{.type}={.status} {end}",
    ).split(),
)  # fmt: skip

PROXY = Daemon(
    "kube-proxy",
    (layout.BIN / "kube-proxy", f"--config={layout.CONFIG / 'proxy.json'}"),
    _services_answer,
)

# Started together; the rest needs the API server, and the image of the pods' sandboxes.
BASE = (ETCD, CONTAINERD, API_SERVER)
REST = (CONTROLLER_MANAGER, SCHEDULER, KUBELET, PROXY)
