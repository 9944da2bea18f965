"""What the daemons read, rendered from the layout. Kubernetes' own files are YAML, so JSON does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import layout

# A user of the API: its name, and the groups that RBAC and the node authorizer know it by.
USERS = {
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kubelet": (f"system:node:{layout.NAME}", "system:nodes"),
    "proxy": ("system:kube-proxy", ""),
}


def tokens(secrets: dict[str, str]) -> str:
    """The API server's token file, from each user's secret."""
    rows = ((secrets[key], name, group) for key, (name, group) in USERS.items())
    return "".join(f'{secret},{name},{name},"{group}"\n' for secret, name, group in rows)


def kubeconfig_path(user: str) -> Path:
    """Where the kubeconfig of one of `USERS` is."""
    return layout.CONFIG / f"{user}.kubeconfig"


def kubeconfig(token: str) -> str:
    """A kubeconfig; the API server's self-signed certificate is its own authority."""
    cluster = {"server": layout.API, "certificate-authority": str(layout.API_CERTIFICATE)}
    context = {"cluster": "node", "user": "user"}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "node", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "node", "context": context}],
            "current-context": "node",
        }
    )


def kubelet() -> str:
    """The kubelet's configuration: cgroups as it finds them, no eviction, images never removed.

    There is no name server: in a pod, a lookup is refused at once.
    """
    return _component("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration", {
        "address": layout.NODE_IP,
        "containerRuntimeEndpoint": f"unix://{layout.CONTAINERD_SOCKET}",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "localStorageCapacityIsolation": False,
        "evictionHard": {"memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,
        "healthzPort": 0,
        "clusterDNS": ["127.0.0.1"],
            "resolvConf": "",
    })  # fmt: skip


def proxy() -> str:
    """kube-proxy's configuration; the zeros leave the machine's conntrack settings alone.

    For NodePorts at localhost it would make a rule that looks at each of the machine's packets, and
    that stays when the node has gone.
    """
    return _component("kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration", {
        "mode": "iptables",
        "iptables": {"localhostNodePorts": False},
        "clusterCIDR": layout.POD_CIDR,
        "clientConnection": {"kubeconfig": str(kubeconfig_path("proxy"))},
        "hostnameOverride": layout.NAME,
        "healthzBindAddress": "127.0.0.1:10256",
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    })  # fmt: skip


def pod_network() -> str:
    """The CNI configuration: one bridge, whose address is also the node's.

    Pods have routes to pods, to the node and to Services, and to nothing else.
    """
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": layout.POD_CIDR, "gateway": layout.NODE_IP}]],
        "routes": [{"dst": layout.SERVICE_CIDR}],
        "dataDir": str(layout.WORK / "ipam"),
    }
    bridge = {"type": "bridge", "bridge": layout.BRIDGE, "isGateway": True, "hairpinMode": True}
    plugins = [
        {**bridge, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": plugins})


def containerd() -> str:
    """containerd's configuration.

    A machine without CAP_SYS_RESOURCE cannot lower an OOM score, hence restrict_oom_score_adj.
    """
    return f"""\
version = 2
root = "{layout.CONTAINERD}/root"
state = "{layout.CONTAINERD}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
address = "{layout.CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{layout.PAUSE_IMAGE}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{layout.CNI}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
Root = "{layout.CONTAINERD}/runc"
"""


def _component(api_version: str, kind: str, fields: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": api_version, "kind": kind, **fields})
