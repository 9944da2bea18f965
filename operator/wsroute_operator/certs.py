"""The webhook's certificates: when new ones are due, and how they are made.

Rules:

- An authority of the operator's own signs the serving certificate. Each of the two is renewed
  when a third of its life is left.
- A new authority is only trusted at first. It signs when it has been in the hands of all API
  servers and replicas for a while, so none of them meets a certificate that it cannot check.
- Authorities are trusted until they expire, whatever becomes of their keys: a replica may still
  serve what they signed.
- A serving certificate that cannot be used is replaced at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE: Final = timedelta(days=365)
SERVING_LIFE: Final = timedelta(days=90)
SETTLING: Final = timedelta(minutes=10)
"""How long a new authority is only trusted before it signs."""
_TRUSTED: Final = 4
"""Authorities at most; two are usual, more come of Secrets that were deleted."""
_SKEW: Final = timedelta(minutes=5)
"""How far an API server's clock may be behind."""


@dataclass(frozen=True)
class Certificates:
    """All in PEM: the authorities to trust, the newest first, and what the webhook serves with."""

    authorities: bytes = b""
    authority_key: bytes = b""
    certificate: bytes = b""
    key: bytes = b""

    @classmethod
    def from_secret(cls, data: Mapping[str, bytes]) -> Certificates:
        """What a Secret of type kubernetes.io/tls holds; absent parts are empty."""
        return cls(*(data.get(name, b"") for name in _SECRET_KEYS))

    def to_secret(self) -> dict[str, bytes]:
        """The data of a Secret that `from_secret` reads."""
        parts = (self.authorities, self.authority_key, self.certificate, self.key)
        return dict(zip(_SECRET_KEYS, parts, strict=True))


_SECRET_KEYS: Final = ("ca.crt", "ca.key", "tls.crt", "tls.key")


def renewed(held: Certificates, names: Sequence[str], now: datetime) -> Certificates:
    """What to hold `now` in order to serve as the DNS `names`: `held` itself if nothing is due."""
    trusted = [a for a in _certificates(held.authorities) if now < a.not_valid_after_utc]
    if not trusted or not _fit(trusted[0], held.authority_key) or _due(trusted[0], now):
        newest = _new_authority(now)
        trusted = [*_certificates(newest.authorities), *trusted][:_TRUSTED]
        held = replace(held, authorities=_pem(trusted), authority_key=newest.authority_key)
    if _must_sign(held, trusted, names, now):
        return _signed(replace(held, authorities=_pem(trusted)), names, now)
    return held


def _must_sign(
    held: Certificates, trusted: Sequence[x509.Certificate], names: Sequence[str], now: datetime
) -> bool:
    """Whether the newest authority is to sign a serving certificate in the place of the held."""
    serving = next(iter(_certificates(held.certificate)), None)
    if (
        serving is None
        or not _fit(serving, held.key)
        or _names(serving) != list(names)
        or now >= serving.not_valid_after_utc
        or not any(_signed_by(authority, serving) for authority in trusted)
    ):
        return True
    settled = now >= trusted[0].not_valid_before_utc + _SKEW + SETTLING
    return settled and (_due(serving, now) or not _signed_by(trusted[0], serving))


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        return []


def _due(certificate: x509.Certificate, now: datetime) -> bool:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= end - (end - begin) / 3


def _fit(certificate: x509.Certificate, key: bytes) -> bool:
    try:
        return _private_key(key).public_key() == certificate.public_key()
    except (ValueError, TypeError):
        return False


def _signed_by(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError):
        return False
    return True


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return extension.value.get_values_for_type(x509.DNSName)


def _new_authority(now: datetime) -> Certificates:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"wsroute webhook authority of {now:%Y-%m-%d}")
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, name, key.public_key(), now, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return Certificates(authorities=_pem([certificate]), authority_key=_key_pem(key))


def _signed(held: Certificates, names: Sequence[str], now: datetime) -> Certificates:
    """`held` with a new serving certificate by its newest authority."""
    authority = x509.load_pem_x509_certificate(held.authorities)
    authority_key = _private_key(held.authority_key)
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(now + SERVING_LIFE, authority.not_valid_after_utc)
    issuer_key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    certificate = (
        _builder(_name("wsroute webhook"), authority.subject, key.public_key(), now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(issuer_key_id, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    return replace(held, certificate=_pem([certificate]), key=_key_pem(key))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """The key in `pem`; ValueError or TypeError if it is none of the kind that is made here."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("it is no key on an elliptic curve")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
