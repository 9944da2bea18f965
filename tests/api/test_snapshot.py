from __future__ import annotations

import base64
import hashlib

import msgspec
import pytest
from nacl.signing import SigningKey

from tests.support.sidecar import route
from wsroute_api import contract, snapshot
from wsroute_api.problems import route_from_object
from wsroute_api.snapshot import UntrustedError
from wsroute_api.types import Table

KEY = SigningKey(b"k" * 32)
OTHER = SigningKey(b"o" * 32)
TABLE = Table(namespace="shop", routes=[route_from_object(route(8080))], ports={"http": 8080})


def signed(key: SigningKey = KEY, table: Table = TABLE) -> bytes:
    return snapshot.sign(
        snapshot.encode_table(table), key, aud="uid-1", epoch=2, seq=3, iat=1000, exp=1060
    )


def forged(payload: bytes, *, header: bytes | None = None) -> bytes:
    """`payload` as KEY would sign it, whatever it says."""
    first = signed().partition(b".")[0] if header is None else encoded(header)
    message = first + b"." + encoded(payload)
    return message + b"." + encoded(KEY.sign(message).signature)


def encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def test_what_was_signed_is_what_is_read() -> None:
    claims = snapshot.verify(signed(), [KEY.verify_key])
    assert (claims.aud, claims.version, claims.iat, claims.exp) == ("uid-1", (2, 3), 1000, 1060)
    assert snapshot.decode_table(claims) == TABLE


def test_any_of_the_known_keys_may_have_signed() -> None:
    keys = [OTHER.verify_key, KEY.verify_key]
    assert snapshot.verify(signed(), keys) == snapshot.verify(signed(), keys[1:])


def test_equal_tables_have_equal_digests_whatever_the_order_of_ports() -> None:
    one = Table(namespace="a", ports={"http": 1, "ws": 2})
    two = Table(namespace="a", ports={"ws": 2, "http": 1})
    assert snapshot.encode_table(one) == snapshot.encode_table(two)
    assert snapshot.digest(b"x") == hashlib.sha256(b"x").hexdigest()


def flipped(place: int) -> bytes:
    token = bytearray(signed())
    token[place] = ord("A") if token[place] != ord("A") else ord("B")
    return bytes(token)


@pytest.mark.parametrize(
    ("token", "why"),
    [
        pytest.param(signed(OTHER), "by none of the known keys", id="another key"),
        pytest.param(flipped(60), "by none of the known keys", id="a changed payload"),
        pytest.param(flipped(-50), "by none of the known keys", id="a changed signature"),
        pytest.param(b"", "not a snapshot", id="nothing"),
        pytest.param(b"..", "not a snapshot", id="two dots"),
        pytest.param(b"\xff\x00.x.y", "not a snapshot", id="bytes that are no text"),
        pytest.param(signed().rpartition(b".")[0], "by none of the known keys", id="no signature"),
        pytest.param(signed() + b"!", "base64", id="bytes after the signature"),
        pytest.param(signed() + b".", "by none of the known keys", id="an empty fourth part"),
        pytest.param(
            forged(b"{}", header=b'{"alg":"none"}'), "not a snapshot", id="the algorithm none"
        ),
        pytest.param(
            forged(b"{}", header=b'{"alg":"HS256"}'), "not a snapshot", id="another algorithm"
        ),
        pytest.param(forged(b"{}"), "claims are malformed", id="signed claims without fields"),
        pytest.param(forged(b"\xff"), "claims are malformed", id="signed bytes that are no JSON"),
        pytest.param(
            b"a" * (contract.SNAPSHOT_MAX_BYTES + 1), "larger than", id="more than the limit"
        ),
    ],
)
def test_what_no_known_key_signed_is_not_trusted(token: bytes, why: str) -> None:
    with pytest.raises(UntrustedError, match=why):
        snapshot.verify(token, [KEY.verify_key])


def test_without_known_keys_nothing_is_trusted() -> None:
    with pytest.raises(UntrustedError):
        snapshot.verify(signed(), [])


def test_a_digest_that_is_not_the_tables_is_not_trusted() -> None:
    claims = snapshot.verify(signed(), [KEY.verify_key])
    other = msgspec.structs.replace(claims, digest="0" * 64)
    with pytest.raises(UntrustedError, match="digest"):
        snapshot.verify(forged(msgspec.json.encode(other)), [KEY.verify_key])


def test_a_field_that_is_unknown_here_is_an_error_not_ignored() -> None:
    claims = snapshot.verify(signed(), [KEY.verify_key])
    later = msgspec.structs.replace(
        claims, table=msgspec.Raw(b'{"namespace":"shop","routes":[],"later":1}')
    )
    with pytest.raises(msgspec.ValidationError, match="later"):
        snapshot.decode_table(later)


def test_keys_are_read_as_they_are_written() -> None:
    text = snapshot.key_text(KEY)
    assert snapshot.private_key(text) == KEY
    assert snapshot.public_key(snapshot.key_text(KEY.verify_key)) == KEY.verify_key
    assert snapshot.public_key(snapshot.key_text(KEY.verify_key) + "=") == KEY.verify_key


@pytest.mark.parametrize("text", ["", "AAAA", "a" * 44, "not base64!", "é" * 43], ids=repr)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64|32"):
        snapshot.public_key(text)
