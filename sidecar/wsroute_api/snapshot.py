"""The signed snapshot: how a table travels from the operator to one pod's sidecar.

A snapshot is a compact JWS (RFC 7515) with the Ed25519 algorithm (RFC 8037). It is bound to its
pod by `aud`, ordered by (`epoch`, `seq`) and may be accepted until `exp`; once accepted, it stays
in use for as long as nothing newer comes. The signature is checked before anything is parsed.

The one that a pod is admitted with cannot name the pod, which has no UID yet. Its `aud` is the
`admission` that the pod's environment names, and its version comes `BEFORE_ALL` that are pushed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from wsroute_api.contract import SNAPSHOT_MAX_BYTES
from wsroute_api.types import Table

_HEADER: Final = base64.urlsafe_b64encode(b'{"alg":"EdDSA","typ":"wsroute+jws"}').rstrip(b"=")

BEFORE_ALL: Final = (-1, 0)


class Claims(msgspec.Struct, frozen=True):
    """What a snapshot says of itself; times are seconds since the epoch."""

    aud: str
    """UID of the pod that it is for, or its `admission`."""
    epoch: int
    """How often the leader has changed."""
    seq: int
    """Grows with every snapshot of an epoch."""
    iat: int
    exp: int
    digest: str
    """`digest` of the table."""
    table: msgspec.Raw
    """The table as JSON; decoded only after the claims were checked."""

    @property
    def version(self) -> tuple[int, int]:
        """(epoch, seq): what must never go back."""
        return (self.epoch, self.seq)


class UntrustedError(Exception):
    """The bytes are no snapshot that was signed with a known key."""


def admission(nonce: str) -> str:
    """What stands for a pod's UID at its admission."""
    return f"admission/{nonce}"


def encode_table(table: Table) -> bytes:
    """`table` as canonical JSON: equal tables give equal bytes."""
    return msgspec.json.encode(table, order="deterministic")


def digest(table: bytes) -> str:
    """SHA-256 of an encoded table, in hex: equal configuration has an equal digest."""
    return hashlib.sha256(table).hexdigest()


def sign(
    table: bytes, key: SigningKey, *, aud: str, epoch: int, seq: int, iat: int, exp: int
) -> bytes:
    """A snapshot of the encoded `table` for the pod `aud`."""
    claims = Claims(aud, epoch, seq, iat, exp, digest(table), msgspec.Raw(table))
    signed = _HEADER + b"." + _encode(msgspec.json.encode(claims))
    return signed + b"." + _encode(key.sign(signed).signature)


def verify(token: bytes, keys: Sequence[VerifyKey]) -> Claims:
    """The claims in `token`; UntrustedError unless one of `keys` signed exactly these bytes."""
    if len(token) > SNAPSHOT_MAX_BYTES:
        raise UntrustedError(f"it is larger than {SNAPSHOT_MAX_BYTES} bytes")
    signed, _, signature = token.rpartition(b".")
    header, _, payload = signed.partition(b".")
    if header != _HEADER:
        raise UntrustedError("it is not a snapshot signed with EdDSA")
    raw = _decode(signature)
    if not any(_signed_by(key, signed, raw) for key in keys):
        raise UntrustedError("its signature is by none of the known keys")
    try:
        claims = msgspec.json.decode(_decode(payload), type=Claims)
    except msgspec.MsgspecError as error:
        raise UntrustedError(f"its claims are malformed: {error}") from error
    if digest(bytes(claims.table)) != claims.digest:
        raise UntrustedError("its digest is not its table's")
    return claims


def decode_table(claims: Claims) -> Table:
    """The table of verified `claims`; msgspec.ValidationError where a field is unknown here."""
    return msgspec.json.decode(claims.table, type=Table)


def public_key(text: str) -> VerifyKey:
    """The key in `text` (URL-safe base64 of 32 bytes); ValueError otherwise."""
    return VerifyKey(_decode_key(text))


def private_key(text: str) -> SigningKey:
    """The signing key in `text` (URL-safe base64 of its 32-byte seed); ValueError otherwise."""
    return SigningKey(_decode_key(text))


def key_text(key: VerifyKey | SigningKey) -> str:
    """`key` as `public_key` or `private_key` read it."""
    return _encode(bytes(key)).decode()


def _signed_by(key: VerifyKey, message: bytes, signature: bytes) -> bool:
    try:
        key.verify(message, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def _decode_key(text: str) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise ValueError(f"{text!r} is not URL-safe base64") from error
    if len(raw) != 32:
        raise ValueError(f"an Ed25519 key has 32 bytes, this one {len(raw)}")
    return raw


def _encode(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise UntrustedError("it is not URL-safe base64") from error
