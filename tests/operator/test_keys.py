from __future__ import annotations

import base64

import pytest
from nacl.signing import SigningKey

from tests.operator.fakes import FakeKube
from wsroute_api.snapshot import key_text
from wsroute_operator.keys import Keyring, KeyStore, fresh, parse

OLD, NEW = SigningKey.generate(), SigningKey.generate()


def text(key: SigningKey) -> str:
    return key_text(key.verify_key)


def entry(key: SigningKey) -> str:
    return base64.b64encode(key_text(key).encode()).decode()


def test_a_pod_is_sent_what_the_newest_key_that_it_trusts_has_signed() -> None:
    ring = Keyring([OLD, NEW])
    assert ring.trusted_by([text(OLD), text(NEW)]) == NEW
    assert ring.trusted_by([text(OLD)]) == OLD
    assert ring.trusted_by(["another"]) is None
    assert ring.public() == [text(OLD), text(NEW)]


def test_keys_are_in_the_order_of_their_making() -> None:
    assert parse({"20250102T000000Z": entry(NEW), "20240101T000000Z": entry(OLD)}) == [OLD, NEW]


@pytest.mark.parametrize(
    "data", [{}, {"20240101T000000Z": base64.b64encode(b"nonsense").decode()}], ids=["none", "bad"]
)
def test_a_secret_without_a_good_key_is_a_mistake(data: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"no key|32 bytes|base64"):
        parse(data)


def test_a_fresh_key_is_named_after_its_time() -> None:
    data = fresh(0)
    assert list(data) == ["19700101T000000Z"]
    assert len(parse(data)) == 1


async def test_the_secret_is_made_where_it_is_missing() -> None:
    kube = FakeKube()
    store = KeyStore(kube, "keys")
    await store.load()
    assert store.loaded.is_set()
    assert store.keyring.public() == Keyring(parse(kube.secrets["keys"])).public()


async def test_of_two_replicas_that_make_it_at_once_both_use_the_same() -> None:
    kube = FakeKube()
    one, two = KeyStore(kube, "keys"), KeyStore(kube, "keys")
    kube.before_create = one.load
    await two.load()
    assert one.keyring.public() == two.keyring.public()


async def test_a_secret_that_is_deleted_comes_back_with_the_keys_that_pods_trust() -> None:
    kube = FakeKube()
    store = KeyStore(kube, "keys")
    await store.load()
    before = kube.secrets.pop("keys")
    await store.load()
    assert kube.secrets["keys"] == before


async def test_a_key_that_is_added_is_used() -> None:
    kube = FakeKube()
    kube.secrets["keys"] = {"1": entry(OLD)}
    store = KeyStore(kube, "keys")
    await store.load()
    kube.secrets["keys"] = {"1": entry(OLD), "2": entry(NEW)}
    await store.load()
    assert store.keyring.public() == [text(OLD), text(NEW)]
