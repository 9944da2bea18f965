"""Running kubectl: arguments in, its answer or one line of error out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from wsroute_api import contract

LIMIT: Final = 30.0
"""Seconds for one answer."""

_SIDECAR: Final = "wsroute-sidecar"
_NO: Final = "no"
"""What `kubectl auth can-i` says, with a status of 1, of a right that the user lacks."""


class KubectlError(Exception):
    """kubectl, or the command that it ran in a pod, failed; the text is its last words."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl with the user's choice of cluster and namespace; None is kubectl's own choice."""

    context: str | None = None
    kubeconfig: str | None = None
    namespace: str | None = None

    def get(self, *arguments: str, everywhere: bool = False) -> Any:
        """What `kubectl get` finds, parsed; in all namespaces if `everywhere`."""
        scope = ["--all-namespaces"] if everywhere else self._place(None)
        return json.loads(self._run("get", *arguments, *scope, "--output=json"))

    def ask(
        self,
        pod: str,
        *command: str,
        namespace: str | None = None,
        limit: float | None = LIMIT,
    ) -> str:
        """What `wsroute-sidecar COMMAND` prints in the sidecar of `pod`, within `limit` seconds."""
        place = self._place(namespace)
        where = ("exec", *place, pod, f"--container={contract.CONTAINER}")
        return self._run(*where, "--", _SIDECAR, *command, limit=limit)

    def may_ask(self, namespace: str | None) -> bool:
        """Whether the user has the right that `ask` needs, as far as the API server tells."""
        right = ("can-i", "create", "pods", "--subresource=exec")
        try:
            self._run("auth", *right, *self._place(namespace))
        except KubectlError as error:
            return str(error) != _NO
        return True

    def _place(self, namespace: str | None) -> list[str]:
        chosen = namespace or self.namespace
        return [f"--namespace={chosen}"] if chosen else []

    def _flags(self) -> Iterator[str]:
        if self.context:
            yield f"--context={self.context}"
        if self.kubeconfig:
            yield f"--kubeconfig={self.kubeconfig}"

    def _run(self, verb: str, *arguments: str, limit: float | None = LIMIT) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - a list of arguments, and no shell
                ["kubectl", verb, *self._flags(), *arguments],  # noqa: S607 - the user's kubectl
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                timeout=limit,
            )
        except FileNotFoundError as error:
            raise KubectlError(
                "kubectl is not on the PATH: install it, or add its folder"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise KubectlError(
                f"kubectl {verb} has not answered within {limit:.0f} s: try again, or see whether "
                "the cluster can be reached"
            ) from error
        if done.returncode:
            said = last_words(done.stderr) or last_words(done.stdout)
            raise KubectlError(said or f"kubectl: status {done.returncode}")
        return done.stdout


def last_words(errors: str) -> str:
    """The line of `errors` that says what went wrong.

    kubectl logs its attempts first, and reports a failed command's status after what it said.
    """
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith("command terminated with exit code")]
    return (said or lines or [""])[-1]
