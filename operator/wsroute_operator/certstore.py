"""The webhook's certificates in the cluster: their Secret, and the authorities of API servers.

Every replica does all of this, whoever leads. What it writes names the version that it read, so
of two replicas that renew at the same moment one is refused (409) and takes what the other made.
The webhook's configuration is read before the Secret: whoever holds an outdated Secret then
holds an outdated configuration too, and cannot put old authorities in the place of new ones.
The Secret belongs to that configuration, so that Kubernetes removes it with the release.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from kubernetes.aio.client import (
    AdmissionregistrationV1Api,
    ApiClient,
    CoreV1Api,
    V1MutatingWebhookConfiguration,
    V1ObjectMeta,
    V1OwnerReference,
    V1Secret,
)
from kubernetes.aio.client.exceptions import NotFoundException

from wsroute_operator.certs import Certificates, renewed
from wsroute_operator.kube import TIMEOUT, ConflictError, translated
from wsroute_operator.settings import Settings

_MERGE: Final = "application/merge-patch+json"
_STRATEGIC_MERGE: Final = "application/strategic-merge-patch+json"


class CertificateStore:
    """The one place where all replicas find the same certificates."""

    def __init__(
        self,
        api: ApiClient,
        settings: Settings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._secrets = CoreV1Api(api)
        self._configurations = AdmissionregistrationV1Api(api)
        self._configuration = settings.webhook_configuration
        self._managed = settings.webhook_certificates == "managed"
        self._namespace = settings.namespace
        self._name = settings.webhook_secret
        self._names = [f"{settings.webhook_service}.{settings.namespace}.svc"]
        self._clock = clock

    async def refresh(self) -> Certificates:
        """What to serve with: renewed where it is due, and already trusted by the API server.

        Raises KubeError when the API server does not do its part.
        """
        while True:
            try:
                with translated():
                    return await self._refresh()
            except ConflictError:
                continue

    async def _refresh(self) -> Certificates:
        configuration = await self._configurations.read_mutating_webhook_configuration(
            self._configuration, _request_timeout=TIMEOUT
        )
        held = await (self._renewed(configuration) if self._managed else self._existing())
        if held.authorities:
            await self._trust(configuration, held.authorities)
        return held

    async def _renewed(self, configuration: V1MutatingWebhookConfiguration) -> Certificates:
        """What the Secret is to hold; where there is none, who was trusted so far is, still."""
        try:
            secret = await self._read()
        except NotFoundException:
            lost = Certificates(authorities=_published(configuration))
            made = renewed(lost, self._names, self._clock())
            await self._create(made, _owner(configuration))
            return made
        held = _content(secret)
        due = renewed(held, self._names, self._clock())
        if due is not held:
            await self._replace(due, secret)
        return due

    async def _existing(self) -> Certificates:
        return _content(await self._read())

    async def _read(self) -> V1Secret:
        return await self._secrets.read_namespaced_secret(
            self._name, self._namespace, _request_timeout=TIMEOUT
        )

    async def _create(self, certificates: Certificates, owner: V1OwnerReference) -> None:
        secret = V1Secret(
            metadata=V1ObjectMeta(name=self._name, owner_references=[owner]),
            type="kubernetes.io/tls",
            data=_encoded(certificates),
        )
        await self._secrets.create_namespaced_secret(
            self._namespace, secret, _request_timeout=TIMEOUT
        )

    async def _replace(self, certificates: Certificates, read: V1Secret) -> None:
        await self._secrets.patch_namespaced_secret(
            self._name,
            self._namespace,
            {"metadata": {"resourceVersion": _version(read)}, "data": _encoded(certificates)},
            _content_type=_MERGE,
            _request_timeout=TIMEOUT,
        )

    async def _trust(
        self, configuration: V1MutatingWebhookConfiguration, authorities: bytes
    ) -> None:
        """Have API servers trust `authorities` when they call the webhook."""
        bundle = base64.b64encode(authorities).decode()
        webhooks = configuration.webhooks or []
        stale = [w.name for w in webhooks if w.client_config.ca_bundle != bundle]
        if not stale:
            return
        changes = [{"name": name, "clientConfig": {"caBundle": bundle}} for name in stale]
        await self._configurations.patch_mutating_webhook_configuration(
            self._configuration,
            {"metadata": {"resourceVersion": _version(configuration)}, "webhooks": changes},
            _content_type=_STRATEGIC_MERGE,
            _request_timeout=TIMEOUT,
        )


def _version(read: V1Secret | V1MutatingWebhookConfiguration) -> str | None:
    return read.metadata.resource_version if read.metadata else None


def _owner(read: V1MutatingWebhookConfiguration) -> V1OwnerReference:
    metadata = read.metadata or V1ObjectMeta()
    return V1OwnerReference(
        api_version="admissionregistration.k8s.io/v1",
        kind="MutatingWebhookConfiguration",
        name=metadata.name or "",
        uid=metadata.uid or "",
    )


def _published(configuration: V1MutatingWebhookConfiguration) -> bytes:
    bundles = [w.client_config.ca_bundle or "" for w in configuration.webhooks or []]
    return b"".join(map(base64.b64decode, bundles))


def _content(secret: V1Secret) -> Certificates:
    data = (secret.data or {}).items()
    return Certificates.from_secret({name: base64.b64decode(value) for name, value in data})


def _encoded(certificates: Certificates) -> dict[str, bytes | str]:
    data = certificates.to_secret().items()
    return {name: base64.b64encode(value).decode() for name, value in data}
