"""The whole line, as a newcomer walks it: the chart, the example's manifests, a page, a chat."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.waiting import until

from .browsers import Browser
from .kube import kubectl, kubectl_json, service_address, temporary_namespace, wait_for

CHAT = Path(__file__).parents[2] / "charts" / "examples" / "chat"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
LIMIT = 20.0

_CONNECTED = "() => document.getElementById('state').className === 'open'"
_SAID = "() => [...document.querySelectorAll('#log .said')].map((line) => line.textContent)"
_PANEL = "() => document.getElementById('tunnel').innerText"
_SAY = """
(text) => {
  document.getElementById('text').value = text;
  document.getElementById('say').requestSubmit();
}
"""


@pytest.fixture(scope="module")
def shop(installed: str) -> Iterator[str]:
    """A namespace in which the example's manifests have been applied, and the route is ready."""
    with temporary_namespace(RESTRICTED) as name:
        kubectl("apply", f"--filename={CHAT}", f"--namespace={name}")
        wait_for("Ready", name, "wsr/chat")
        wait_for("Available", name, "deployment/chat")
        yield name


@pytest.fixture(scope="module")
def page(shop: str) -> str:
    """The page's URL at the Service."""
    return f"http://{service_address(shop, 'chat')}/"


def test_the_sidecar_is_a_native_one_beside_the_chat(shop: str) -> None:
    (pod,) = kubectl_json("get", "pods", f"--namespace={shop}")["items"]
    (sidecar,) = pod["spec"]["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("wsroute", "Always")
    statuses = pod["status"]["initContainerStatuses"] + pod["status"]["containerStatuses"]
    assert {s["name"]: (s["ready"], s["restartCount"]) for s in statuses} == {
        "wsroute": (True, 0),
        "chat": (True, 0),
    }


def test_kubectl_shows_the_route_ready(shop: str) -> None:
    table = kubectl("get", "wsr", f"--namespace={shop}", "--output=wide")
    header, row = (line.split() for line in table.splitlines())
    assert header == ["NAME", "READY", "PODS", "AGE", "REASON", "HOSTS"]
    assert (row[:3], row[4:]) == (["chat", "True", "1/1"], ["Ready"])


def test_the_page_comes_through_the_sidecar_as_it_is(page: str) -> None:
    with urllib.request.urlopen(page, timeout=LIMIT) as answer:  # noqa: S310 - http
        assert answer.read() == (CHAT / "index.html").read_bytes()


def test_two_browsers_chat_and_see_what_the_sidecar_does(
    shop: str, page: str, chromium: Browser, firefox: Browser
) -> None:
    for browser in (chromium, firefox):
        browser.open(page)
    for browser in (chromium, firefox):
        until(partial(browser.run, _CONNECTED), "a connection", LIMIT)

    chromium.run(_SAY, "hello from Chromium")
    until(partial(_says, firefox, "hello from Chromium"), "Chromium's message", LIMIT)
    firefox.run(_SAY, "hello from Firefox")
    until(partial(_says, chromium, "hello from Firefox"), "Firefox's message", LIMIT)

    for browser in (chromium, firefox):
        shown = until(partial(browser.run, _PANEL), "the tunnel in the panel", LIMIT)
        assert f"{shop}/chat" in shown
        assert "rooms" in shown


def test_a_second_pod_is_counted_when_it_serves(shop: str) -> None:
    chat = ("deployment/chat", f"--namespace={shop}")
    kubectl("scale", "--replicas=2", *chat)
    kubectl("rollout", "status", *chat)
    shown = ("get", "wsr", "chat", f"--namespace={shop}", "--no-headers")
    until(lambda: kubectl(*shown).split()[1:3] == ["True", "2/2"], "2 of 2 pods", LIMIT)


def _says(browser: Browser, text: str) -> bool:
    """Whether a line of the chat has the text; nicknames and times stand around it."""
    return any(text in line for line in browser.run(_SAID))
