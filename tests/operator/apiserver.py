"""A real API server with etcd behind it and nothing else: no controller, and no pod ever runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from tests.cluster.node import binaries
from tests.support.sidecar import free_ports
from wsroute_api import contract
from wsroute_api.schema import custom_resource_definition

Json = dict[str, Any]

LIMIT: Final = 60.0
ADMIN: Final = "admin-token"
OPERATOR: Final = "operator-token"
ROUTES: Final = f"/apis/{contract.API_VERSION}"


class ApiServer:
    """etcd and kube-apiserver from `with` to its end, with the CRD and the operator's rights.

    Attributes:
        url: Where it listens.
        port: Its port there.
        folder: A folder of its own that ends with it.
    """

    def __init__(self) -> None:
        self._programs: Final = binaries.go_programs()
        self.folder: Final = Path(tempfile.mkdtemp(prefix="wsroute-api-"))
        self.port, self._etcd, self._peer = free_ports(3)
        self.url: Final = f"https://127.0.0.1:{self.port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    def __enter__(self) -> Self:
        tokens = f'{ADMIN},admin,1,"system:masters"\n{OPERATOR},operator,2,"system:authenticated"\n'
        (self.folder / "tokens.csv").write_text(tokens)
        self._start("etcd", *self._etcd_command())
        try:
            self.start()
            self.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                      custom_resource_definition())  # fmt: skip
            self._until(lambda: self.get(f"{ROUTES}/{contract.PLURAL}")["kind"], "the CRD")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("kube-apiserver", "etcd"):
            if (process := self._processes.pop(name, None)) is not None:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Start the API server on what etcd holds, and wait until it answers."""
        subprocess_ = self._start("kube-apiserver", *self._api_command())
        self._until(lambda: self._ready(subprocess_), "the API server")

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Stop the API server; etcd goes on."""
        process = self._processes.pop("kube-apiserver")
        process.send_signal(number)
        process.wait()

    def suspend(self) -> None:
        """Silence the API server without closing a connection."""
        self._processes["kube-apiserver"].send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End the silence."""
        self._processes["kube-apiserver"].send_signal(signal.SIGCONT)

    def kubeconfig(self, token: str = OPERATOR, port: int = 0) -> Path:
        """A kubeconfig for a user, by token, which may lead to another port."""
        port = port or self.port
        path = self.folder / f"{token}-{port}.kubeconfig"
        cluster = {
            "server": f"https://127.0.0.1:{port}",
            "certificate-authority": str(self.folder / "pki" / "apiserver.crt"),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        path.write_text(json.dumps(config))
        return path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints, as the administrator."""
        done = subprocess.run(
            [self._programs / "kubectl", f"--kubeconfig={self.kubeconfig(ADMIN)}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, path: str) -> Json:
        """GET as the administrator; urllib.error.HTTPError where that fails."""
        return self._request("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Json:
        """POST as the administrator."""
        return self._request("POST", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Json:
        """A JSON merge patch as the administrator."""
        return self._request("PATCH", path, body, "application/merge-patch+json")

    def delete(self, path: str) -> Json:
        """DELETE at once as the administrator."""
        return self._request("DELETE", path, {"gracePeriodSeconds": 0})

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None, kind: str = "application/json"
    ) -> Json:
        request = urllib.request.Request(  # noqa: S310 - the server of this test
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {ADMIN}", "Content-Type": kind},
        )
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=30) as response:  # noqa: S310
                answer: Json = json.loads(response.read())
        except urllib.error.HTTPError as error:
            error.add_note(error.read().decode())
            raise
        return answer

    def _ready(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, (self.folder / "kube-apiserver.log").read_text()[-3000:]
        return bool(self.get("/api/v1/namespaces/default"))

    def _until(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError(f"not within {LIMIT} s: {what}")

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [self._programs / name, *arguments],
                stdout=log,
                stderr=log,
                env=os.environ | {"GOMAXPROCS": "2"},
            )
        self._processes[name] = process
        return process

    def _etcd_command(self) -> list[str]:
        return [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{self._etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{self._etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{self._peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{self._peer}",
            f"--initial-cluster=default=http://127.0.0.1:{self._peer}",
            "--unsafe-no-fsync",
        ]

    def _api_command(self) -> list[str]:
        pki = self.folder / "pki"
        pki.mkdir(exist_ok=True)
        key = pki / "service-account.key"
        if not key.exists():
            subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True,
                           capture_output=True)  # fmt: skip
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={pki}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.97.0.0/24",
            "--endpoint-reconciler-type=none",
            "--disable-admission-plugins=ServiceAccount,DefaultTolerationSeconds",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--shutdown-delay-duration=0",
        ]
