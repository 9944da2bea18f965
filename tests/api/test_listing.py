from __future__ import annotations

from typing import Any

import pytest

from wsroute_api import listing


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0s"),
        (119, "119s"),
        (120, "2m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 20 * 60, "3h20m"),
        (2 * 86400, "2d"),
        (2 * 86400 + 4 * 3600, "2d4h"),
    ],
)
def test_a_duration_reads_as_kubectl_writes_an_age(seconds: float, text: str) -> None:
    assert listing.duration(seconds) == text


def connection(**fields: Any) -> dict[str, Any]:
    return {
        "id": "667f00",
        "route": "shop/chat",
        "rule": "rooms",
        "client": "192.0.2.7",
        "age": 61.0,
        "idle": 3.2,
        "bytesIn": 999,
        "bytesOut": 1_572_864,
        "messagesIn": 5,
        "messagesOut": 70_000,
        "clientRtt": 0.0123,
        "subprotocol": "",
    } | fields


def test_the_table_lists_the_oldest_first_in_aligned_columns() -> None:
    young = connection(id="aa", age=1.0, clientRtt=None, subprotocol="chat")

    assert listing.table([young, connection()], listing.COLUMNS).splitlines() == [
        "ID      ROUTE      RULE   CLIENT     AGE  IDLE  IN   OUT   MESSAGES  RTT     SUBPROTOCOL",
        "667f00  shop/chat  rooms  192.0.2.7  61s  3s    999  1.5M  5/70000   12.3ms  -",
        "aa      shop/chat  rooms  192.0.2.7  1s   3s    999  1.5M  5/70000   -       chat",
    ]


def test_without_tunnels_the_table_is_its_head() -> None:
    assert listing.table([], listing.COLUMNS).startswith("ID  ROUTE  RULE")


def test_a_cell_shows_what_a_terminal_would_obey() -> None:
    assert listing.aligned([["NAME"], ["a\x1b[2Jb\n"]]) == "NAME\na\\x1b[2Jb\\n"
