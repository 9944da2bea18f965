"""The node's paths and addresses: everything it writes is below one folder of its own."""

from __future__ import annotations

from pathlib import Path

NAME = "node"
NODE_IP = "10.244.0.1"
POD_CIDR = "10.244.0.0/24"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE = ("10.96.0.1", 443)
BRIDGE = "wsroute0"
API = f"https://{NODE_IP}:6443"
ETCD = "http://127.0.0.1:23790"
ETCD_PEER = "http://127.0.0.1:23800"

WORK = Path("/var/lib/wsroute-test-node")
BIN = WORK / "bin"  # a link to the programs in the cache
LOGS = WORK / "logs"
CONFIG = WORK / "config"
PKI = WORK / "pki"
IMAGES = WORK / "images"  # for each image, the archive that containerd was given last
CNI = WORK / "cni"
KUBELET = WORK / "kubelet"
CONTAINERD = WORK / "containerd"
CONTAINERD_SOCKET = CONTAINERD / "containerd.sock"

API_CERTIFICATE = PKI / "apiserver.crt"
SERVICE_ACCOUNT_KEY = PKI / "service-account.key"
TOKENS = PKI / "tokens.csv"
KUBECONFIG = CONFIG / "admin.kubeconfig"

PAUSE_IMAGE = "wsroute/pause:dev"

FOLDERS = (LOGS, CONFIG, PKI, IMAGES, CNI, KUBELET)
