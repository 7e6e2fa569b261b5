"""Finds the browser of the browser tests, and decides what its absence means."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge", "microsoft-edge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe", r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)


def find() -> str | None:
    """The path of a Chromium or one of its kin; ``COURSE_BROWSER`` names another one."""
    if os.environ.get("COURSE_BROWSER"):
        return os.environ["COURSE_BROWSER"]
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    return found or next((place for place in PLACES if Path(place).is_file()), None)


def missing(what: str) -> NoReturn:
    """What a browser test needs is not here: a failure in CI, where a skip would go unseen; elsewhere a skip."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{what}; in CI (CI={os.environ['CI']}) the browser tests must run", pytrace=False)
    pytest.skip(what)
