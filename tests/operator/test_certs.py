from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from wsroute_operator.certs import AUTHORITY_LIFE, SERVING_LIFE, SETTLING, Certificates, renewed

NAME = "wsroute-webhook.wsroute-system.svc"
NAMES = [NAME]
START = datetime(2030, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def trusts(authorities: bytes, certificate: bytes, at: datetime, name: str = NAME) -> bool:
    """Whether a client that trusts `authorities` would accept `certificate` for `name`."""
    store = Store(x509.load_pem_x509_certificates(authorities))
    verifier = PolicyBuilder().store(store).time(at).build_server_verifier(x509.DNSName(name))
    try:
        verifier.verify(x509.load_pem_x509_certificate(certificate), [])
    except VerificationError:
        return False
    return True


def serves(held: Certificates, at: datetime, name: str = NAME) -> bool:
    """Whether `held` makes a server that its own authorities stand for."""
    key = load_pem_private_key(held.key, password=None).public_key()
    fits = x509.load_pem_x509_certificate(held.certificate).public_key() == key
    return fits and trusts(held.authorities, held.certificate, at, name)


def count(authorities: bytes) -> int:
    return len(x509.load_pem_x509_certificates(authorities))


@pytest.fixture(scope="module")
def first() -> Certificates:
    return renewed(Certificates(), NAMES, START)


def test_certificates_are_made_from_nothing(first: Certificates) -> None:
    assert serves(first, START)
    assert count(first.authorities) == 1


def test_they_are_for_the_webhooks_name_only(first: Certificates) -> None:
    assert not serves(first, START, "other.wsroute-system.svc")


def test_an_api_server_whose_clock_is_behind_accepts_them(first: Certificates) -> None:
    assert serves(first, START - 4 * MINUTE)


def test_they_survive_the_way_through_a_secret(first: Certificates) -> None:
    assert Certificates.from_secret(first.to_secret()) == first


def test_nothing_changes_before_it_is_due(first: Certificates) -> None:
    assert renewed(first, NAMES, START + SERVING_LIFE / 2) is first


def test_the_serving_certificate_is_renewed_by_the_same_authority(first: Certificates) -> None:
    later = START + SERVING_LIFE * 0.7
    next_ = renewed(first, NAMES, later)
    assert next_.certificate != first.certificate
    assert (next_.authorities, next_.authority_key) == (first.authorities, first.authority_key)
    assert serves(next_, later)


def test_another_name_is_served_at_once(first: Certificates) -> None:
    next_ = renewed(first, ["renamed.wsroute-system.svc"], START)
    assert serves(next_, START, "renamed.wsroute-system.svc")
    assert next_.authorities == first.authorities


def test_a_new_authority_is_trusted_before_it_signs(first: Certificates) -> None:
    at = START + AUTHORITY_LIFE * 0.7
    serving = renewed(first, NAMES, at - SERVING_LIFE / 2)

    trusted = renewed(serving, NAMES, at)
    assert count(trusted.authorities) == 2
    assert trusted.certificate == serving.certificate
    assert renewed(trusted, NAMES, at + SETTLING - MINUTE) is trusted

    signing = renewed(trusted, NAMES, at + SETTLING)
    assert signing.certificate != serving.certificate
    assert serves(signing, at + SETTLING)


def years() -> Iterator[datetime]:
    """Every third day for three years, and minutes after each of them."""
    for day in range(0, 3 * 365, 3):
        yield from (START + day * DAY, START + day * DAY + MINUTE, START + day * DAY + 15 * MINUTE)


def test_there_is_no_moment_at_which_replicas_and_api_servers_could_disagree() -> None:
    """Whoever is one step behind, in what it serves or in what it trusts, still understands."""
    before = held = renewed(Certificates(), NAMES, START)
    authorities, certificates = {held.authorities}, {held.certificate}
    for now in years():
        before, held = held, renewed(held, NAMES, now)
        assert serves(held, now)
        assert trusts(before.authorities, held.certificate, now)
        assert trusts(held.authorities, before.certificate, now)
        authorities.add(held.authorities)
        certificates.add(held.certificate)
        assert count(held.authorities) <= 2
    assert len(authorities) > 4
    assert len(certificates) > 15


def test_what_has_expired_altogether_is_replaced_whole(first: Certificates) -> None:
    late = START + AUTHORITY_LIFE + DAY
    next_ = renewed(first, NAMES, late)
    assert serves(next_, late)
    assert count(next_.authorities) == 1


def test_an_authority_whose_key_is_lost_stays_trusted(first: Certificates) -> None:
    next_ = renewed(replace(first, authority_key=b""), NAMES, START)
    assert count(next_.authorities) == 2
    assert next_.certificate == first.certificate
    later = renewed(next_, NAMES, START + SETTLING)
    assert later.certificate != first.certificate
    assert serves(later, START + SETTLING)


def test_who_was_trusted_stays_trusted_when_all_keys_are_lost(first: Certificates) -> None:
    next_ = renewed(Certificates(authorities=first.authorities), NAMES, START)
    assert serves(next_, START)
    assert trusts(next_.authorities, first.certificate, START)


def test_the_trusted_do_not_become_ever_more(first: Certificates) -> None:
    held = first
    for _ in range(10):
        held = renewed(replace(held, authority_key=b"", certificate=b""), NAMES, START)
        assert serves(held, START)
    assert count(held.authorities) == 4


def test_an_expired_serving_certificate_does_not_wait_for_a_new_authority(
    first: Certificates,
) -> None:
    late = START + AUTHORITY_LIFE * 0.7
    next_ = renewed(first, NAMES, late)
    assert serves(next_, late)
    assert renewed(next_, NAMES, late) is next_


OTHER = renewed(Certificates(), NAMES, START)
RSA_KEY = rsa.generate_private_key(65537, 2048).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"authorities": b""}, id="no authorities"),
        pytest.param({"authorities": b"junk"}, id="junk for authorities"),
        pytest.param({"authorities": OTHER.authorities}, id="authorities of others"),
        pytest.param({"authority_key": b""}, id="no authority's key"),
        pytest.param({"authority_key": RSA_KEY}, id="a key of another kind"),
        pytest.param({"authority_key": OTHER.authority_key}, id="another authority's key"),
        pytest.param({"certificate": b""}, id="no certificate"),
        pytest.param({"certificate": OTHER.certificate}, id="a certificate for another key"),
        pytest.param({"key": b"junk"}, id="junk for a key"),
        pytest.param({"key": OTHER.key}, id="another key"),
    ],
)
def test_what_is_of_no_use_is_replaced(first: Certificates, change: dict[str, bytes]) -> None:
    assert serves(renewed(replace(first, **change), NAMES, START), START)
