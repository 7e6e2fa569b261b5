"""Lesson 00: its exercise, its tour, its map."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from helpers import notebooks
from helpers.checking import ERROR, NOT_ATTEMPTED, WRONG
from helpers.lessons import LESSONS, exercises, start_here
from helpers.notebooks import ROOT
from tests.lessons import common


def _by_rounding_up(n_samples, batch_size, drop_last=False):
    return n_samples // batch_size if drop_last else (n_samples + batch_size - 1) // batch_size


def _by_counting_starts(n_samples, batch_size, drop_last=False):
    return len(range(0, n_samples - (n_samples % batch_size) * drop_last, batch_size))


def _by_divmod(n_samples: int, batch_size: int, drop_last: bool = False) -> int:
    full, rest = divmod(n_samples, batch_size)
    if drop_last or not rest:
        return full
    return full + 1


def _by_upside_down_floor(n_samples, batch_size, drop_last=False):
    if drop_last:
        n_samples -= n_samples % batch_size
    return -(-n_samples // batch_size)


RIGHT = {"00.1": [_by_rounding_up, _by_counting_starts, _by_divmod, _by_upside_down_floor]}

EXERCISE = start_here.batches_per_epoch


def test_right_answers_pass():
    assert [e.id for e in exercises(start_here)] == list(RIGHT)
    common.right_answers_pass(EXERCISE, RIGHT["00.1"])


def test_mistakes_are_named_and_differ():
    common.mistakes_are_named(EXERCISE)
    common.mistakes_differ(EXERCISE)


def test_hostile_objects_get_a_message(monkeypatch):
    common.hostile_objects_get_a_message(EXERCISE, arity=2)
    common.endless_loop_is_stopped(EXERCISE, monkeypatch)


@pytest.mark.parametrize("answer, saying", [
    (lambda n, b, drop_last=False: n // b + 1, "One too many when it divides evenly"),
    (lambda n, b, drop_last=False: -(-n // b), "drop_last is ignored."),
    (lambda n, b, drop_last=False: round(n / b), "Rounding drops a batch smaller than half"),
    (lambda n, b, drop_last=False: n / b, "you return a float"),
    (lambda n, b, drop_last=False: np.ceil(n / b) if not drop_last else np.floor(n / b), "you return a float"),
    (lambda n, b, drop_last=False: math.floor(n / b) if drop_last else math.ceil(n / b), "off for huge numbers"),
])
def test_relatives_of_the_mistakes_are_recognized(answer, saying):
    common.refused(EXERCISE, answer, saying=saying)


@pytest.mark.parametrize("answer", [
    lambda n, b, drop_last=False: np.int64(n // b if drop_last else -(-n // b)),   # no plain int
    lambda n, b, drop_last=False: n // b if drop_last else max(1, -(-n // b)),     # one batch of nothing
    lambda n, b, drop_last=False: -(-n // b) if drop_last else n // b,             # the flag the wrong way round
    lambda n, b, drop_last=True: n // b if drop_last else -(-n // b),              # the wrong default
    lambda n, b, drop_last=False: n > 0,                                           # True is no count
    lambda n, b, drop_last=False: str(-(-n // b)),
])
def test_near_misses_are_refused(answer):
    common.refused(EXERCISE, answer)


def test_a_function_without_drop_last_is_told_the_signature():
    common.refused(EXERCISE, lambda n_samples, batch_size: -(-n_samples // batch_size), saying="drop_last")


# ---------------------------------------------------------------------------------------------- the tour

def test_the_untouched_cell_is_not_attempted(capsys):
    assert EXERCISE.examine(start_here.untouched_cell()).outcome == NOT_ATTEMPTED
    assert "raise NotImplementedError" in capsys.readouterr().out


def test_the_untouched_cell_is_the_one_of_the_exercise_notebook():
    assert start_here._STUB.rstrip() == notebooks.exercise_cell(notebooks.exercise_path("00"), EXERCISE.name)


def test_compare_prints_both_and_fails_where_they_part(capsys):
    def wrong(n_samples, batch_size, drop_last=False):
        return n_samples // batch_size

    start_here.compare(wrong, should_say="✗ 00.1 batches_per_epoch: wrong\nThe last, smaller batch is forgotten")
    out = capsys.readouterr().out
    assert "should say  ✗ 00.1" in out and "says        ✗ 00.1" in out
    with pytest.raises(AssertionError, match="passed"):
        start_here.compare(wrong, should_say="✓ 00.1 batches_per_epoch: passed")


def test_the_tour_counts_no_attempt(tmp_path, monkeypatch):
    record, log = tmp_path / "progress.json", tmp_path / "log"
    monkeypatch.setenv("COURSE_PROGRESS", str(record))
    monkeypatch.setenv("COURSE_CHECK_LOG", str(log))
    start_here.compare(start_here.untouched_cell(), should_say="○ 00.1 batches_per_epoch: not attempted")
    assert not record.exists() and not log.exists()


def test_four_answers():
    def misspelled(n_samples, batch_size, drop_last=False):
        return n_sample // batch_size  # noqa: F821

    outcomes = [EXERCISE.examine(a).outcome for a in (_by_divmod, lambda n, b, drop_last=False: 0, ..., misspelled)]
    assert outcomes == ["passed", WRONG, NOT_ATTEMPTED, ERROR]


# ---------------------------------------------------------------------------------------------- figures and map

def test_importing_the_lesson_leaves_torch_alone():
    code = "import sys\nfrom helpers.lessons import start_here\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_shells_are_two_rings_and_always_the_same():
    X, y = start_here.shells()
    radius = np.hypot(*X.T)
    assert X.shape == (400, 2) and X.dtype == np.float32 and np.bincount(y).tolist() == [200, 200]
    assert abs(radius[y == 0].mean() - 1) < 0.05 and abs(radius[y == 1].mean() - 2.2) < 0.05
    assert radius[y == 0].max() < radius[y == 1].min()
    assert np.array_equal(X, start_here.shells()[0])


def _best_by_turning(X, y, directions=3600):
    """Try every place of a line in many directions: another way to the best share, exact for few points."""
    sign, most = np.where(y == 1, 1, -1), 0
    for angle in np.linspace(0, np.pi, directions, endpoint=False):
        along = sign[np.argsort(X @ [np.cos(angle), np.sin(angle)])]
        right = (y == 1).sum() - np.append(0, np.cumsum(along))  # class 1 behind the line
        most = max(most, right.max(), (len(y) - right).max())
    return most / len(y)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 13])
def test_the_best_line_is_the_best(n):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(n, 2)), rng.integers(0, 2, n)
        share, loss, ends = start_here.best_line(X, y)
        assert share == pytest.approx(_best_by_turning(X, y)), (n, seed)
        assert 0 <= loss <= math.log(2) + 1e-3 and ends.shape == (2, 2)


def test_the_best_line_through_the_shells():
    X, y = start_here.shells()
    share, loss, ends = start_here.best_line(X, y)
    assert share == 0.7 == pytest.approx(_best_by_turning(X, y, 720))
    (x0, y0), (x1, y1) = ends
    left = (x1 - x0) * (X[:, 1] - y0) > (y1 - y0) * (X[:, 0] - x0)
    right = max((left == y).mean(), (left != y).mean())
    assert abs(right - share) < 2.5 / len(y)  # the two points on the line can go either way
    assert loss == pytest.approx(0.6919, abs=2e-4)


def test_a_sketch_says_that_its_lesson_is_coming(monkeypatch):
    here = {"10", "13"}
    monkeypatch.setattr(type(LESSONS[0]), "is_here", lambda self: self.number in here)
    assert start_here._where("13") == "lesson 13"
    assert start_here._where("15") == "lesson 15, coming"
    assert start_here._where("10", "11") == "lessons 10, 11, coming"


def test_every_lesson_has_its_place_and_arrows_point_down():
    assert set(start_here.PLACES) == {lesson.number for lesson in LESSONS}
    assert len(set(start_here.PLACES.values())) == len(LESSONS)
    for lesson in LESSONS:
        for earlier in lesson.after:
            assert start_here.PLACES[earlier][1] > start_here.PLACES[lesson.number][1]


def test_a_route_holds_what_its_lessons_need():
    before = {lesson.number: lesson.after for lesson in LESSONS}
    for name, numbers in start_here.ROUTES.items():
        for number in numbers:
            assert set(before[number]) <= set(numbers), f"route {name}: {number} needs {before[number]}"


def test_the_table_says_what_was_verified_and_what_is_coming(monkeypatch):
    entry = {"date": "2026-11-26", "torch": "2.15.0", "python": "3.11", "cpu_seconds": 7.3, "mutation": [41, 42]}
    here = {"00"}
    monkeypatch.setattr(start_here, "verified", lambda: {"00": entry, "01": entry})
    monkeypatch.setattr(type(LESSONS[0]), "is_here", lambda self: self.number in here)
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda thing: shown.append(thing.data))
    start_here.map_table()
    rows = [line for line in shown[0].splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(LESSONS)
    assert rows[1].endswith("| not needed | 2026-11-26, torch 2.15.0, Python 3.11, 7 s |")
    assert all(row.endswith("| coming |") for row in rows[2:])
    assert "In this version: 00." in shown[0]


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"00": 3}', '{"00": {"date": "2026-11-26"}}'])
def test_a_missing_or_odd_record_of_runs_is_no_error(text, tmp_path, monkeypatch):
    if text is not None:
        (tmp_path / "verified.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(start_here, "__file__", str(tmp_path / "start_here.py"))
    found = start_here.verified()
    assert isinstance(found, dict)
    assert start_here._verified_text(found.get("00")) in ("not yet", "2026-11-26")


# ---------------------------------------------------------------------------------------------- the notebook

def _cells():
    path = ROOT / "solutions" / "00_start_here_solution.ipynb"
    return {c["id"]: "".join(c["source"]) for c in json.loads(path.read_text(encoding="utf-8"))["cells"]}


def test_the_clinic_can_be_run_twice():
    cells = _cells()
    namespace = {}
    for cell in ("imports", *2 * ["clinic-shadow-code"], *2 * ["clinic-shadow-repair"], "clinic-shadow-code"):
        exec(cells[cell], namespace)
    for cell in 2 * ["clinic-twice", "clinic-twice-repair"]:
        exec(cells[cell], namespace)


def test_the_lesson_goes_on_without_the_answer(monkeypatch, capsys):
    """The cells after an open exercise say nothing of a pass, run with the course's function, and the check still waits."""
    monkeypatch.setattr(EXERCISE, "_last_passed", None)
    cells, namespace = _cells(), {"lesson": start_here, "batches_per_epoch": start_here.untouched_cell()}
    for cell in ("batches-use", "live-small", "live-large", "live-asserted"):
        exec(cells[cell], namespace)
    out = capsys.readouterr().out
    assert "passed\n" not in out and "the course's own" in out and out.endswith("all agree\n")
    assert EXERCISE.examine(namespace["batches_per_epoch"]).outcome == NOT_ATTEMPTED


def test_the_first_and_last_words_of_the_lesson():
    cells = list(_cells().values())
    motto = "**Do it, do not only read it.**"
    assert cells[0].splitlines()[2].startswith(motto) and cells[-1].splitlines()[-1] == motto


def test_adam_as_its_paper_has_it():
    import torch

    p, mean, square = (torch.full((3,), v, dtype=torch.float64) for v in (2.0, 0.0, 0.0))
    g1, g2 = torch.tensor([0.5, -3.0, 1e-3], dtype=torch.float64), torch.tensor([0.1, 1.0, 2e-3], dtype=torch.float64)
    start_here._adam(p, g1, mean, square, step=1)
    assert torch.allclose(p, 2 - 0.05 * g1.sign(), atol=1e-5)  # the first step is the learning rate, whatever the gradient
    start_here._adam(p, g2, mean, square, step=2)
    first, second = (0.09 * g1 + 0.1 * g2) / 0.19, (0.000999 * g1**2 + 0.001 * g2**2) / 0.001999
    assert torch.allclose(p, 2 - 0.05 * g1.sign() - 0.05 * first / second.sqrt(), atol=1e-5)


def test_the_backup_holds_what_the_student_wrote(tmp_path, monkeypatch):
    class Shell:
        user_ns = {"In": ["", "def batches_per_epoch(n):\n    return 3",
                          "batches_per_epoch = lesson.batches_per_epoch.use(batches_per_epoch)"]}

    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    saved = tmp_path / EXERCISE._back_up(Shell)
    assert saved.read_text(encoding="utf-8") == "def batches_per_epoch(n):\n    return 3\n"
