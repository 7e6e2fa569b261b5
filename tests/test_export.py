"""The lessons as an nbgrader course, taken through nbgrader itself: generate, submit, autograde."""

import copy
import dataclasses
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from traitlets.config.loader import PyFileConfigLoader

from authoring import export
from authoring.build import leaks, region_lines
from authoring.lessonfiles import AuthorError, solutions
from helpers import checking, notebooks, progress
from helpers.lessons import exercises, perceptron, start_here
from helpers.notebooks import BEGIN, END, ROOT

LESSON = "01_perceptron"
WRITTEN = "written-answer"


@pytest.fixture(scope="module", autouse=True)
def activated():
    """nbgrader starts a program of its environment by its bare name, so the environment must be on the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """Lessons 00 and 01 as ``course.py export nbgrader`` writes them, with generated hand-outs."""
    target = tmp_path_factory.mktemp("class") / "course"
    assert export.main(["nbgrader", "00", "01", "--to", str(target)]) == 0
    for name in ("00_start_here", LESSON):
        done = nbgrader(target).generate_assignment(name)
        assert done["success"], done
    return target


def nbgrader(target: Path) -> NbGraderAPI:
    """nbgrader as if it were started in the folder, with the configuration that lies there."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(target)).load_config()
    config.CourseDirectory.root = str(target)
    config.NbGraderAPI.log_level = "ERROR"
    return NbGraderAPI(config=config)


def solution(stem: str) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "solutions" / f"{stem}_solution.ipynb", as_version=4)


def source(course: Path, step: str, stem: str) -> nbformat.NotebookNode:
    return nbformat.read(course / step / stem / f"{stem}.ipynb", as_version=4)


# ------------------------------------------------------------------------------------------------ the hand-out

@pytest.mark.parametrize("stem", ["00_start_here", LESSON])
def test_hand_outs_hold_no_solution(course, stem):
    solved = solution(stem)
    text = (course / "release" / stem / f"{stem}.ipynb").read_text(encoding="utf-8")
    hand_out = nbformat.reads(text, as_version=4)
    assert BEGIN not in text and END not in text and "For instructors" not in text
    assert not any(cell.get("outputs") for cell in hand_out.cells)
    assert any(region_lines(cell.source) for cell in solved.cells) and leaks(solved, hand_out, stem[3:]) == []
    shown = "".join(cell.source for cell in hand_out.cells)
    answers = [cell.source for cell in solved.cells if "solution" in cell.metadata.get("tags", [])]
    assert answers and not [answer for answer in answers if answer in text]
    module = perceptron if stem == LESSON else start_here
    assert shown.count(".answer(...)") == len(module.quiz)
    stubs = [cell for cell in hand_out.cells if cell.cell_type == "code" and cell.source.endswith("raise NotImplementedError")]
    assert len(stubs) == len(exercises(module))


def test_points_and_locks(course):
    cells = {c.id: c for c in source(course, "release", LESSON).cells}
    marks = {i: c.metadata.nbgrader for i, c in cells.items() if "nbgrader" in c.metadata}
    graded = [m for m in marks.values() if m.grade and not m.solution]
    assert len(graded) == 8 and all(m.locked and m.points == 1 for m in graded)
    assert all(not cells[m.grade_id].metadata.editable for m in graded)
    assert marks[WRITTEN].grade and marks[WRITTEN].solution and cells[WRITTEN].source == "*Your answer here.*"
    assert [i for i, m in marks.items() if m.locked and not m.grade] == ["imports"]
    assert all(m.schema_version == 3 for m in marks.values())
    assert "nbgrader" not in cells["quiz-1-answer"].metadata
    assert export.points_of(source(course, "source", LESSON)) == (8, 1)


def test_only_notebooks_lie_in_source(course):
    """nbgrader hands out whatever else lies there."""
    files = {p.relative_to(course).as_posix() for p in (course / "source").rglob("*") if p.is_file()}
    assert files == {f"source/{stem}/{stem}.ipynb" for stem in ("00_start_here", LESSON)}
    assert (course / ".gitignore").read_text() == "*\n"


# ------------------------------------------------------------------------------------------------ submissions

def submit(course: Path, student: str, notebook: nbformat.NotebookNode, stem: str = LESSON) -> None:
    """What ``nbgrader collect`` does: put the notebook into submitted/STUDENT/ASSIGNMENT."""
    folder = course / "submitted" / student / stem
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / f"{stem}.ipynb")


def answered(course: Path, answers: dict[str, str]) -> nbformat.NotebookNode:
    """The hand-out of lesson 01 with the given texts in the given cells."""
    notebook = copy.deepcopy(source(course, "release", LESSON))
    cells = {c.id: c for c in notebook.cells}
    for name, text in answers.items():
        cells[name].source = text
    return notebook


def extra(notebook: nbformat.NotebookNode, place: int, text: str) -> None:
    notebook.cells.insert(place, nbformat.v4.new_code_cell(text))


def right_answers() -> dict[str, str]:
    cells = [c for c in solution(LESSON).cells if BEGIN in c.source]
    return {c.id: notebooks.without_marks(c.source) for c in cells}


def half_right_answers(right: dict[str, str]) -> dict[str, str]:
    """The first four are right; then a known mistake, a syntax error, a stub, and an answer of another shape."""
    first, (mistake, broken, stub, other) = list(right)[:4], list(right)[4:]
    answers = {name: right[name] for name in first}
    # A right answer that warns is right: nbgrader takes a word on the error stream for a failure.
    answers["gates-code"] += """

def noisy(function=gate_parameters):
    import os, sys, warnings
    warnings.warn("slow")
    print("note", file=sys.stderr)
    os.write(2, b"raw")
    return function()

gate_parameters = noisy
"""
    assert (mistake, broken, other) == ("flips-code", "train-code", "epoch-code") and stub not in answers
    return answers | {mistake: "def steps_to_flip(x, w, b, y, lr):\n    return 0",
                      broken: "def train_perceptron(X, y:\n    return",
                      other: "def multiclass_epoch(W, b, X, y, lr=1.0):\n    return W"}


@pytest.fixture(scope="module")
def graded(course, tmp_path_factory) -> Path:
    """Three submissions, autograded in one go, on a machine that has the solutions and the worst of settings."""
    right = right_answers()
    everything = answered(course, {**right, WRITTEN: "No line parts the two diagonals; a hidden layer moves the corners."})
    submit(course, "right", everything)
    half = answered(course, half_right_answers(right))
    half.cells = [c for c in half.cells if c.id != "epoch-check"]  # a check that was deleted
    submit(course, "half", half)
    wrong = answered(course, dict.fromkeys(right, "pass") | {
        "predict-code": "predict = lesson.predict.use(...)",
        "gates-code": "import contextlib, io\ntext = io.StringIO()\nwith contextlib.redirect_stdout(text):\n"
                      "    lesson.gate_parameters.solution()\nexec(text.getvalue())",
        "predict-check": "print('no check here')", "imports": "import numpy as np",
    })
    extra(wrong, 0, "%env COURSE_KEEP_GOING=1")
    submit(course, "wrong", wrong)
    (course / "submitted" / "wrong" / LESSON / "helpers.py").write_text("raise SystemExit('a stray file')\n")
    record = tmp_path_factory.mktemp("teacher") / "progress.json"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"COURSE_DATA": "standin", "COURSE_MODE": "fast", "COURSE_DEVICE": "cpu", "OMP_NUM_THREADS": "1",
                            "COURSE_KEEP_GOING": "1", "COURSE_PROGRESS": str(record),
                            "PYTHONPATH": str(ROOT)}.items():
            patch.setenv(name, value)
        patch.delenv("COURSE_CHECK_LOG", raising=False)
        for student in ("right", "half", "wrong"):
            done = nbgrader(course).autograde(LESSON, student)
            assert done["success"], done
    assert not record.exists()
    return course


def points(course: Path, student: str) -> dict[str, float | None]:
    """What nbgrader gave by itself: cell -> points, None for an answer that waits for a person."""
    with Gradebook(f"sqlite:///{course}/gradebook.db", "deep-learning-by-hand") as book:
        notebook = book.find_submission(LESSON, student).notebooks[0]
        return {grade.name: grade.auto_score for grade in notebook.grades}


def autograded(course: Path, student: str) -> nbformat.NotebookNode:
    return nbformat.read(course / "autograded" / student / LESSON / f"{LESSON}.ipynb", as_version=4)


def errors_in(notebook: nbformat.NotebookNode) -> dict[str, str]:
    return {c.id: o.evalue for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "error"}


def test_a_right_submission_gets_all_points(graded):
    got = points(graded, "right")
    assert got.pop(WRITTEN) is None  # a person reads it
    assert len(got) == 8 and set(got.values()) == {1}
    assert errors_in(autograded(graded, "right")) == {}  # the whole lesson runs, not only its checks


def test_a_half_right_submission_gets_half(graded):
    got = points(graded, "half")
    assert got.pop(WRITTEN) == 0  # untouched
    assert got.pop("epoch-check") is None  # deleted: nothing to give points for
    full = {name for name, score in got.items() if score == 1}
    assert full == {"predict-check", "gates-check", "xor-check", "step-check"}
    assert sum(got.values()) == 4 and len(got) == 7


def test_a_wrong_submission_gets_nothing(graded):
    """Not for COURSE_KEEP_GOING=1, nor for the course's own answer, nor for another text in a locked cell."""
    assert set(points(graded, "wrong").values()) == {0}
    notebook = autograded(graded, "wrong")
    cells = {c.id: c for c in notebook.cells}
    assert cells["predict-check"].source == "lesson.predict.check(predict)"
    assert "needs your own predict here" in errors_in(notebook)["predict-code"]
    assert not (graded / "autograded" / "wrong" / LESSON / "helpers.py").exists()


# ------------------------------------------------------------------------------------------------ while nbgrader runs

@pytest.mark.parametrize("run", ["autograde", "validate"])
def test_checks_raise_whatever_keep_going_says(monkeypatch, run):
    monkeypatch.setenv("COURSE_KEEP_GOING", "1")
    start_here.batches_per_epoch.check(lambda n_samples, batch_size, drop_last=False: 0)  # printed only
    monkeypatch.setenv("NBGRADER_EXECUTION", run)
    with pytest.raises(checking.WrongAnswer):
        start_here.batches_per_epoch.check(lambda n_samples, batch_size, drop_last=False: 0)
    with pytest.raises(checking.NotAttempted):
        start_here.batches_per_epoch.check(...)


def test_no_solution_is_handed_out(monkeypatch, capsys):
    exercise = dataclasses.replace(perceptron.predict, _own=None)
    assert callable(exercise.use(...))
    exercise = dataclasses.replace(perceptron.predict, _own=None)  # as in a fresh kernel
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(checking.NotAttempted, match="needs your own predict here"):
        exercise.use(...)
    exercise.solution()
    assert "comes without solutions" in capsys.readouterr().out


def test_what_a_right_answer_writes_to_stderr_costs_nothing(monkeypatch, capfd):
    def noisy(n_samples, batch_size, drop_last=False):
        print("note", file=sys.stderr)
        os.write(2, b"raw\n")
        return n_samples // batch_size if drop_last else -(-n_samples // batch_size)

    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    start_here.batches_per_epoch.check(noisy)
    out, err = capfd.readouterr()
    assert err == "" and "note" in out and "raw" in out and "passed" in out
    print("after", file=sys.stderr)
    os.write(2, b"too\n")
    assert set(capfd.readouterr().err.split()) == {"after", "too"}


def test_a_class_does_not_fill_the_teachers_progress(monkeypatch, quiet_progress):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert progress.path() is None
    monkeypatch.setenv("NBGRADER_EXECUTION", "validate")
    assert progress.path() == quiet_progress


# ------------------------------------------------------------------------------------------------ what students install

@pytest.fixture(scope="module")
def installed(course, tmp_path_factory) -> Path:
    """The package for students, unpacked as pip does it."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(next((course / "students").glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder


def as_student(installed: Path, folder: Path, program: str) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("COURSE_")}
    env |= {"PYTHONPATH": str(installed), "COURSE_OFFLINE": "1", "COURSE_PROGRESS": str(folder / "progress.json"),
            "MPLBACKEND": "agg", "PYTHONUTF8": "1"}
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, env=env, capture_output=True, encoding="utf-8",
                          check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_for_students_works_without_the_course(installed, tmp_path):
    assert not list(installed.rglob("*.ipynb")) and not (installed / "authoring").exists()
    assert (installed / "helpers" / "lessons" / "verified.json").is_file()
    out = as_student(installed, tmp_path, """
import helpers
from helpers import checking
from helpers.lessons import perceptron as lesson
from helpers.progress import progress
print(helpers.__file__)
try:
    lesson.predict.use(...)
except checking.NotAttempted as problem:
    print(problem)
lesson.predict.solution()
lesson.predict.check(lambda X, w, b: (X @ w + b >= 0).astype(int))
progress()
""")
    assert str(installed) in out.splitlines()[0]
    assert "needs your own predict here" in out and "comes without solutions" in out and "01.1 predict: passed" in out
    row = next(line for line in out.splitlines() if line.startswith("01 A line that learns"))
    assert "1/8" in row


# ------------------------------------------------------------------------------------------------ the command

def test_a_second_export_loses_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(export, "_wheel", lambda folder: "helpers.whl")
    target = tmp_path / "course"
    assert export.main(["nbgrader", "00", "--to", str(target)]) == 0
    assert "00_start_here: 2 points" in capsys.readouterr().out
    assert export.main(["nbgrader", "00", "--to", str(target)]) == 0
    assert "as before" in capsys.readouterr().out and not (target / "replaced").exists()
    file = target / "source" / "00_start_here" / "00_start_here.ipynb"
    file.write_text("mine", encoding="utf-8")
    (target / "nbgrader_config.py").write_text("# mine\n", encoding="utf-8")
    (target / "gradebook.db").write_text("grades", encoding="utf-8")
    assert export.main(["nbgrader", "--to", str(target), "00", "--no-written"]) == 0
    out = capsys.readouterr().out
    assert [p.read_text() for p in (target / "replaced").glob("*/00_start_here.ipynb")] == ["mine"]
    assert "new version" in out and "yours is different" in out
    assert (target / "nbgrader_config.py").read_text() == "# mine\n" and (target / "gradebook.db").read_text() == "grades"
    assert export.points_of(nbformat.read(file, as_version=4)) == (1, 0)
    readme = (target / "README.md").read_text(encoding="utf-8")
    assert "own words is" not in readme and "| 00_start_here | 1 | 0 | 1 |" in readme


def test_without_points_a_model_answer_is_not_handed_out_either():
    nb = solution(LESSON)
    model = next(c.source for c in nb.cells if c.id == WRITTEN)
    text = "".join(c.source for c in export.source_notebook(nb, "perceptron", written=False).cells)
    assert model not in text and "*Your answer here.*" in text


def _without_check(nb):
    nb.cells = [c for c in nb.cells if c.id != "predict-check"]


def _check_twice(nb):
    nb.cells.append(nbformat.v4.new_code_cell("lesson.predict.check(predict)"))


def _two_checks_in_a_cell(nb):
    cell = next(c for c in nb.cells if c.id == "gates-check")
    cell.source += "\nlesson.predict.check(predict)"


def _check_with_the_solution(nb):
    next(c for c in nb.cells if c.id == "predict-code").source += "\nlesson.predict.check(predict)"


@pytest.mark.parametrize(("damage", "words"), [
    (_without_check, "for each of predict"), (_check_twice, "for each of predict"),
    (_two_checks_in_a_cell, "one check a cell"), (_check_with_the_solution, "need a cell each"),
])
def test_a_lesson_that_cannot_be_graded_is_refused(damage, words):
    nb = solution(LESSON)
    damage(nb)
    with pytest.raises(AuthorError, match=words):
        export.source_notebook(nb, "perceptron")


def test_a_broken_lesson_leaves_no_half_a_course(tmp_path, monkeypatch, capsys):
    def second_fails(nb, name, written):
        if name == "perceptron":
            raise AuthorError("broken")
        return nb

    monkeypatch.setattr(export, "source_notebook", second_fails)
    assert export.main(["nbgrader", "--to", str(tmp_path / "course")]) == 1
    assert "✗ broken" in capsys.readouterr().out and not (tmp_path / "course").exists()


def test_wrong_words_get_one_line(tmp_path, capsys):
    assert export.main(["nbgrader", "99", "--to", str(tmp_path / "x")]) == 1
    assert "There is no lesson 99" in capsys.readouterr().out
    (tmp_path / "file").touch()
    assert export.main(["nbgrader", "00", "--to", str(tmp_path / "file" / "x")]) == 1
    assert "Name another folder with --to" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        export.main(["moodle"])


def test_every_lesson_can_be_exported():
    for path in solutions():
        stem = path.stem.removesuffix("_solution")
        by_itself, _ = export.points_of(export.source_notebook(nbformat.read(path, as_version=4), stem[3:]))
        assert by_itself > 0
