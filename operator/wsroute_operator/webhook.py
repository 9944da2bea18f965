"""The injecting webhook: an aiohttp server that API servers call over TLS when a pod is created.

It decides nothing itself: `inject` says what becomes of a pod, `certstore` what is served with.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import ssl
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec
from aiohttp import web
from kubernetes.aio.client import ApiClient

from wsroute_api import log
from wsroute_operator import inject
from wsroute_operator.certs import Certificates
from wsroute_operator.certstore import CertificateStore
from wsroute_operator.container import Json, Sidecar
from wsroute_operator.kube import KubeError
from wsroute_operator.settings import Settings

_REFRESH_SECONDS: Final = 30.0
_RETRY_SECONDS: Final = 2.0
# From the publication of an authority until all API servers have surely seen it.
_SPREAD_SECONDS: Final = 3.0
# An API server takes requests of up to 3 MiB, and sends the pod once, with little around it.
_MAX_BYTES: Final = 4 * 1024 * 1024

Keys = Callable[[], Sequence[str]]
"""Gives the public keys that sidecars trust now, as texts."""
Sign = Callable[[Json, str, str], str | None]
"""Gives the first snapshot for a pod, by its namespace and the nonce of its admission."""


class _Request(msgspec.Struct):
    uid: str
    object: Json
    namespace: str = ""


class _Review(msgspec.Struct):
    """What is needed of an AdmissionReview."""

    request: _Request


async def serve(settings: Settings, keys: Keys, sign: Sign, api: ApiClient) -> None:
    """Serve the webhook, and keep its certificates fresh and trusted, until cancelled."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    runner = web.AppRunner(application(settings, keys, sign), access_log=None)
    await runner.setup()
    try:
        address = settings.webhook_listen
        await web.TCPSite(runner, address.host, address.port, ssl_context=tls).start()
        await _keep_fresh(CertificateStore(api, settings), tls)
    finally:
        await runner.cleanup()


async def _keep_fresh(store: CertificateStore, tls: ssl.SSLContext) -> None:
    """Load what is due into `tls`; handshakes fail before the first time, and so does readiness."""
    loaded = None
    while True:
        try:
            held = await store.refresh()
            if held != loaded:
                if loaded:
                    await asyncio.sleep(_SPREAD_SECONDS)
                _load(held, tls)
                log.info("webhook_certificate_loaded")
            loaded = held
        except (KubeError, ssl.SSLError) as error:
            log.warning("webhook_certificate_not_refreshed", error=str(error))
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            await asyncio.sleep(_REFRESH_SECONDS)


def _load(certificates: Certificates, tls: ssl.SSLContext) -> None:
    """Have new connections use `certificates`; Python's ssl takes them from a file only."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificates.certificate + certificates.key)
        file.flush()
        tls.load_cert_chain(file.name)


def application(settings: Settings, keys: Keys, sign: Sign) -> web.Application:
    """The webhook's HTTP side, apart from its certificates."""
    sidecar = Sidecar(
        image=settings.sidecar_image,
        pull_policy=settings.sidecar_pull_policy,
        log_level=settings.sidecar_log_level,
        resources=settings.sidecar_resources,
        trusted_proxies=settings.sidecar_trusted_proxies,
    )

    async def ready(_: web.Request) -> web.Response:
        return web.Response(status=200 if keys() else 503)

    async def admit(request: web.Request) -> web.Response:
        try:
            review = msgspec.json.decode(await request.read(), type=_Review)
        except msgspec.MsgspecError as error:
            return web.Response(status=400, text=f"this is no AdmissionReview: {error}")
        trusted = keys()
        if not trusted:  # an open connection may outlive readiness
            return web.Response(status=503, text="there is no signing key yet")
        response = web.json_response(_answer(review.request, sidecar, trusted, sign))
        # On a kept connection an API server could send the next review just as this replica goes.
        response.force_close()
        return response

    app = web.Application(client_max_size=_MAX_BYTES)
    app.add_routes([web.get("/readyz", ready), web.post("/inject", admit)])
    return app


def _answer(request: _Request, sidecar: Sidecar, keys: Sequence[str], sign: Sign) -> Json:
    """The AdmissionReview that answers `request`."""
    response: Json = {"uid": request.uid, "allowed": True}
    try:
        operations = inject.patch(
            request.object,
            sidecar,
            keys,
            nonce=secrets.token_urlsafe(16),
            sign=partial(sign, request.object, request.namespace),
        )
    except inject.RefusedError as error:
        log.info("pod_refused", namespace=request.namespace, reason=str(error))
        response |= {"allowed": False, "status": {"code": 422, "message": str(error)}}
    else:
        if operations:
            encoded = base64.b64encode(msgspec.json.encode(operations)).decode()
            response |= {"patchType": "JSONPatch", "patch": encoded}
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": response,
    }
