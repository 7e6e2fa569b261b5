"""A record that survives killed kernels, damage, read-only folders and two notebooks at once."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from helpers import lessons, progress
from helpers.notebooks import ROOT


def test_entries_add_up(quiet_progress):
    progress.record("exercises", "01.1", attempts=+1, outcome="wrong")
    progress.record("exercises", "01.1", attempts=+1, outcome="passed", passed=True)
    progress.record("quiz", "01.3", right=True)
    data = progress.read()
    assert data["exercises"]["01.1"] == {"attempts": 2, "outcome": "passed", "passed": True}
    assert data["quiz"]["01.3"] == {"right": True}


def test_it_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", "off")
    assert progress.path() is None
    assert progress.record("exercises", "01.1", attempts=+1) == {}
    assert progress.read()["exercises"] == {}


@pytest.mark.parametrize("damage", [
    "", "{", "[]", '{"exercises": 3}', '{"exercises": {"01.1": {"attempts": "x"}}}', "\x00\xff",
])
def test_damage_is_put_aside_and_a_new_record_begins(quiet_progress, damage, capsys):
    quiet_progress.write_text(damage, encoding="latin-1")
    assert progress.read()["exercises"] == {}
    progress._told.clear()
    progress.record("exercises", "01.1", attempts=+1)
    assert progress.read()["exercises"]["01.1"]["attempts"] == 1
    assert quiet_progress.with_suffix(".damaged.json").read_text(encoding="latin-1") == damage
    assert "damaged" in capsys.readouterr().out


def test_a_place_that_cannot_be_written_is_said_once(tmp_path, monkeypatch, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("COURSE_PROGRESS", str(blocked / "progress.json"))
    progress._told.clear()
    for _ in range(2):
        assert progress.record("exercises", "01.1", attempts=+1) == {}
    assert capsys.readouterr().out.count("not recorded") == 1


WRITER = """
import sys
from helpers import lessons, progress
for n in range(int(sys.argv[2])):
    progress.record("exercises", sys.argv[1], attempts=+1)
"""


def _writer(key, times, place):
    return subprocess.Popen([sys.executable, "-c", WRITER, key, str(times)], cwd=ROOT,
                            env={**os.environ, "COURSE_PROGRESS": str(place)})


def test_two_notebooks_at_once_lose_nothing(quiet_progress):
    writers = [_writer("01.1", 60, quiet_progress), _writer("01.1", 60, quiet_progress)]
    assert [w.wait() for w in writers] == [0, 0]
    assert progress.read()["exercises"]["01.1"]["attempts"] == 120


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_kernel_killed_while_it_writes_leaves_a_whole_record(quiet_progress):
    for _ in range(3):
        writer = _writer("01.2", 100_000, quiet_progress)
        deadline = time.monotonic() + 20
        while not quiet_progress.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert json.loads(quiet_progress.read_text())["exercises"]["01.2"]["attempts"] > 0
    assert progress.record("exercises", "01.2", passed=True)["passed"] is True


def test_the_report_names_each_lesson(quiet_progress, capsys):
    progress.progress()
    out = capsys.readouterr().out
    assert "passed" in out.splitlines()[0]
    assert "on this machine only" in out


def test_the_report_says_what_is_wrong_with_the_record(quiet_progress, capsys):
    progress.progress(full_path=True)
    assert f"Kept in {quiet_progress}, on this machine" in capsys.readouterr().out
    progress.progress()
    assert str(quiet_progress.parent) not in capsys.readouterr().out
    quiet_progress.write_text("{")
    progress.progress()
    assert "is damaged. The next check keeps it as progress.damaged.json" in capsys.readouterr().out.splitlines()[-1]
    assert quiet_progress.read_text() == "{"  # looking changes nothing
    quiet_progress.unlink()
    quiet_progress.mkdir()
    progress.progress()
    assert "cannot be read" in capsys.readouterr().out.splitlines()[-1]


def test_the_report_shows_whole_titles(quiet_progress, capsys):
    progress.progress()
    lines = capsys.readouterr().out.splitlines()
    for lesson in lessons.LESSONS:
        assert not lesson.is_here() or any(line.startswith(f"{lesson.number} {lesson.title} ") for line in lines)
    assert len({line.index("/") for line in lines if line[:2].isdigit()}) == 1  # the columns stand below each other
