"""Chromium and Firefox of Debian's, behind one small interface.

Both are told to leave the network alone but for the page that they are given.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from playwright.sync_api import Page, sync_playwright
from selenium.webdriver import Firefox, FirefoxOptions, FirefoxService

from .node.binaries import geckodriver

_CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_FIREFOX_PREFERENCES: dict[str, bool | str] = {
    "app.normandy.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.region.network.url": "",
    "dom.push.connection.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.enabled": False,
}


class Browser(Protocol):
    """A browser with one page."""

    def open(self, url: str) -> None:
        """Load a page and wait for its load event."""

    def run(self, function: str, *arguments: Any) -> Any:
        """Call a JavaScript function in the page and return what its promise gives, as JSON."""


class _Chromium:
    def __init__(self, page: Page) -> None:
        self._page = page

    def open(self, url: str) -> None:
        self._page.goto(url)

    def run(self, function: str, *arguments: Any) -> Any:
        return self._page.evaluate(f"(given) => ({function})(...given)", list(arguments))


class _Firefox:
    def __init__(self, driver: Firefox) -> None:
        self._driver = driver

    def open(self, url: str) -> None:
        self._driver.get(url)

    def run(self, function: str, *arguments: Any) -> Any:
        # A promise that a WebDriver script returns is awaited.
        return self._driver.execute_script(f"return ({function})(...arguments)", *arguments)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A new Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=_CHROMIUM_FLAGS
        )
        yield _Chromium(browser.new_page())
        browser.close()


@contextmanager
def firefox() -> Iterator[Browser]:
    """A new Firefox."""
    options = FirefoxOptions()
    options.binary_location = shutil.which("firefox-esr") or ""
    options.add_argument("--headless")
    for name, value in _FIREFOX_PREFERENCES.items():
        options.set_preference(name, value)
    driver = Firefox(options, FirefoxService(str(geckodriver())))
    try:
        yield _Firefox(driver)
    finally:
        driver.quit()
