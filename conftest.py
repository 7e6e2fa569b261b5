"""How the solution notebooks run as tests: the environment, what is compared, and what is counted."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

# A check prints or raises the same wherever it runs; a test never writes into a person's progress.
os.environ.setdefault("COURSE_PROGRESS", "off")
os.environ["COURSE_KEEP_GOING"] = "0"
os.environ["NO_COLOR"] = "1"
os.environ.pop("COURSE_CHECK_LOG", None)


def pytest_collection_modifyitems(items):
    """Progress bars write to stderr; what they write is not compared."""
    for item in items:
        parent = item.parent
        if hasattr(parent, "skip_compare") and "stderr" not in parent.skip_compare:
            parent.skip_compare = (*parent.skip_compare, "stderr")


def pytest_configure(config):
    """Let each notebook report its CPU seconds and its checks when its kernel stops (see authoring/test.py)."""
    folder = os.environ.get("COURSE_NBVAL_REPORT")
    try:
        from nbval.plugin import IPyNbFile
    except ImportError:
        return
    if not folder or getattr(IPyNbFile, "_course", False):
        return
    IPyNbFile._course = True
    setup, teardown = IPyNbFile.setup, IPyNbFile.teardown

    def setup_with_log(self):
        os.environ["COURSE_CHECK_LOG"] = str(Path(folder) / f"{Path(self.path).stem}.checks")
        setup(self)

    def teardown_with_report(self):
        if self.kernel is not None and self.kernel.is_alive():
            import psutil

            used = psutil.Process(self.kernel.km.provisioner.pid).cpu_times()
            report = {"cpu_seconds": round(used.user + used.system, 1)}
            (Path(folder) / f"{Path(self.path).stem}.json").write_text(json.dumps(report), encoding="utf-8")
        teardown(self)

    IPyNbFile.setup, IPyNbFile.teardown = setup_with_log, teardown_with_report


@pytest.fixture
def quiet_progress(tmp_path, monkeypatch):
    """A progress record of the test's own; returns its path."""
    place = tmp_path / "progress.json"
    monkeypatch.setenv("COURSE_PROGRESS", str(place))
    return place
