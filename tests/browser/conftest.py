"""A headless Chromium for the tests in this folder, the system's own driven by playwright, and a JupyterLab for it."""

from collections.abc import Iterator

import pytest

from tests.browser import chromium as finder
from tests.browser import jupyterlab


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """A playwright ``Browser``; tests open their own contexts and pages in it."""
    path = finder.find()
    if path is None:
        finder.missing("no Chromium, Chrome or Edge on this machine (COURSE_BROWSER=... names one)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as problem:
        finder.missing(f"playwright cannot be imported ({problem})")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Iterator[jupyterlab.Lab]:
    """A running JupyterLab with an empty folder."""
    with jupyterlab.running(tmp_path_factory.mktemp("lab")) as server:
        yield server
