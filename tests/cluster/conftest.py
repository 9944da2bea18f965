"""The fixtures of the cluster tests: a running node, the project's images in it, browsers."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack

import pytest

from tests.support.sight import in_sight

from . import browsers, release
from .browsers import Browser
from .echo import Echo
from .images import all_images
from .kube import describe, temporary_namespace
from .node import node as the_node
from .node import packages, requirements
from .node.binaries import geckodriver
from .node.images import load
from .node.shell import CommandError

_WHY_NOT = pytest.StashKey[str]()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests of this folder."""
    item.add_marker(pytest.mark.cluster)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the chosen cluster tests out, in plain sight, where they cannot run.

    Raises:
        pytest.UsageError: They cannot run in CI, which must run them.
    """
    chosen = [item for item in items if item.get_closest_marker("cluster")]
    if not chosen or not (reason := requirements.why_not()):
        return
    if os.environ.get("CI") == "true":
        raise pytest.UsageError(reason)
    config.stash[_WHY_NOT] = f"{len(chosen)} cluster tests left out: {reason}"
    config.hook.pytest_deselected(items=chosen)
    items[:] = [item for item in items if item not in chosen]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say at the end which tests were left out and why."""
    if line := config.stash.get(_WHY_NOT, None):
        terminalreporter.write_line(line, yellow=True, bold=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the cluster knows of a failed test's namespaces to the test's report."""
    report = yield
    fixtures = getattr(item, "funcargs", {})
    for name in ("namespace", "module_namespace", "installed"):
        if report.failed and name in fixtures:
            report.sections.append((f"namespace {fixtures[name]}", describe(fixtures[name])))
    return report


@pytest.fixture(scope="session")
def node(pytestconfig: pytest.Config) -> Iterator[None]:
    """A running node. One that was up before stays up; otherwise it goes with the session."""
    with ExitStack() as held:
        with in_sight(pytestconfig):
            held.enter_context(the_node.in_use())
        yield


@pytest.fixture(scope="session")
def images(node: None, pytestconfig: pytest.Config) -> None:
    """The project's images and the test backends', in the node."""
    with in_sight(pytestconfig):
        load(*all_images())


@pytest.fixture
def namespace(node: None) -> Iterator[str]:
    """A namespace of the test's own."""
    with temporary_namespace() as name:
        yield name


@pytest.fixture(scope="module")
def module_namespace(node: None) -> Iterator[str]:
    """A namespace for all tests of a module."""
    with temporary_namespace() as name:
        yield name


@pytest.fixture(scope="session")
def installed(images: None) -> Iterator[str]:
    """The chart, installed with the images of this checkout; the value is its namespace."""
    with ExitStack() as held:
        try:
            held.enter_context(release.installed())
        except CommandError as error:
            pytest.fail(f"{error}\n{describe(release.NAMESPACE)}")
        yield release.NAMESPACE


@pytest.fixture(scope="module")
def echo(installed: str, module_namespace: str) -> Echo:
    """A pod that echoes, for all tests of a module; each brings its own routes."""
    return Echo.start(module_namespace)


@pytest.fixture(scope="session")
def _browser_programs(pytestconfig: pytest.Config) -> None:
    with in_sight(pytestconfig):
        packages.ensure(*packages.BROWSERS)
        geckodriver()


@pytest.fixture
def chromium(_browser_programs: None) -> Iterator[Browser]:
    """A new Chromium."""
    with browsers.chromium() as browser:
        yield browser


@pytest.fixture
def firefox(_browser_programs: None) -> Iterator[Browser]:
    """A new Firefox."""
    with browsers.firefox() as browser:
        yield browser
