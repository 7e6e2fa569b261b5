"""The lessons as an nbgrader course: source notebooks, a configuration, steps for the instructor, the helpers as a package.

    python course.py export nbgrader                       all lessons, into exported/nbgrader
    python course.py export nbgrader 00 01 --to ../class   these two, into another folder

Points: one for each exercise whose check passes, one for each answer in the student's own words (graded by hand;
``--no-written`` leaves them out). The quiz gives no points: it says at once what is right and may be tried again.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from authoring import build
from authoring.lessonfiles import AuthorError, name_of, number_of, solutions
from helpers.lessons import LESSONS, exercises
from helpers.notebooks import BEGIN, ROOT

TARGET = Path("exported") / "nbgrader"
POINTS = 1

CONFIG = '''\
# nbgrader reads this file when it is started in this folder. Everything else is nbgrader's default.
c = get_config()

c.CourseDirectory.course_id = "deep-learning-by-hand"

# What students find in place of a solution: the checks know this stub and say "not attempted".
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
c.ClearSolutions.text_stub = "*Your answer here.*"

# Seconds for one cell. A check stops an endless loop itself, after 10; this is for the other cells.
c.Execute.timeout = 300
c.Execute.interrupt_on_timeout = True

# A file of this name beside a submission would hide the real helpers, with the checks in them.
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "helpers", "helpers.py"]
'''

README = """\
# {title}: the nbgrader course

Made by `python course.py export nbgrader`. **`source/` holds the solutions: keep this folder where students cannot
read it.**

| assignment | checked by nbgrader | graded by hand | points |
|---|--:|--:|--:|
{table}

An exercise gives its points when its check passes, and none otherwise. {written}
The quiz gives no points: it says at once what is right and may be tried again. To change points, start `jupyter lab`
here, open a notebook of `source/` and use nbgrader's *Create Assignment* panel, before you release the assignment.

## Once: what the students' notebooks import

Notebooks import `helpers`: the checks, hints, data and figures of the course. In `students/` it lies as a package,
without any solution notebook. Install it where the students' notebooks run, on a JupyterHub into the environment of
the kernel:

```
python -m pip install students/{wheel}
```

(`--no-deps` if PyTorch, torchvision, matplotlib and the other packages of the course's `requirements.lock` are
there already.) Students who work on machines of their own get the file with the first assignment and run the same
line. Do not give them a folder of the course with `solutions/` in it. A class without a network shares its data in
one read-only folder: set `COURSE_DATA_DIR` for everyone. Without it each lesson draws a stand-in.

Where you grade, `helpers` and nbgrader must be there too: the environment of the course has both. Activate it in
the folder of the course, then come back here: `source .venv/bin/activate`, on Windows `.venv\\Scripts\\activate`.
(Without that, nbgrader does not find its own `alembic`.)

## For each assignment, in this folder

1. `nbgrader generate_assignment {first}` writes `release/{first}/`: stubs in place of the solutions.
2. Hand out that folder, on a hub with an exchange by `nbgrader release_assignment {first}`.
3. `nbgrader collect {first}`, or put what comes back into `submitted/NAME/{first}/{first}.ipynb`.
4. `nbgrader autograde {first}` runs every submission and writes its points into `gradebook.db`.
5. `jupyter lab` here, menu *Nbgrader*, *Formgrader*: grade the written answers. (`course.py lab` has no such menu.)
6. `nbgrader generate_feedback {first}` writes `feedback/`, and `nbgrader export` all points into `grades.csv`.

## Good to know

- While nbgrader runs a notebook, a check that fails always raises, whatever `COURSE_KEEP_GOING` says; what a
  student's code writes to the error stream costs no points; nothing is written into your own progress; and
  `lesson.NAME.use(...)` never hands out the course's own answer. So a later cell may end in an error where an
  exercise before it is open. Each check gets the student's own object and is graded by itself.
- A check that is missing from a submission gives no points. JupyterLab does not let students delete one.
- A written answer that was left untouched gets 0 points without your help. The model answers stand in `source/`.
- Autograding runs students' code on your machine, under your name. Use an account or a container that has nothing
  to lose.
- The checks are Python that students can read, and their notebook runs in one process with them. Where points have
  consequences, look at the cells too.
- Another `export` into this folder brings new versions of the lessons. What lay in `source/` moves to `replaced/`;
  releases, submissions, the gradebook, and the configuration if you changed it, stay as they are.
"""


# ------------------------------------------------------------------------------------------------ one notebook

def source_notebook(solution: nbformat.NotebookNode, name: str, written: bool = True) -> nbformat.NotebookNode:
    """The notebook for nbgrader's ``source/``: solved, with nbgrader's metadata, without outputs, notes and quiz letters.

    Args:   solution: the solution notebook; name: the lesson's module; written: grade written answers by hand.
    Raises AuthorError where an exercise has not exactly one cell with a region and one with its check.
    """
    module = next((lesson.module() for lesson in LESSONS if lesson.name == name), None)
    if module is None:
        raise AuthorError(f"helpers/lessons/__init__.py has no lesson named {name}.")
    names = [e.name for e in exercises(module)]
    nb = copy.deepcopy(solution)
    nb.cells = [c for c in nb.cells if not build._for_instructors(c)]
    checked = []
    for cell in nb.cells:
        tags = build._tags(cell)
        answer = cell.cell_type == "markdown" and "solution" in tags
        if not (answer and written) and BEGIN not in cell.source:
            cell.source = build._unsolved(cell)
        kept = {k: v for k, v in cell.metadata.items() if k == "jupyter"}
        if build._student_tags(cell):
            kept["tags"] = build._student_tags(cell)
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            checks = [n for n in names if _is_check(cell.source, n)]
            checked += checks
            if BEGIN in cell.source and checks:
                raise AuthorError(f"cell {cell.id}: a solution and its check need a cell each, so that nbgrader can lock one.")
            if BEGIN in cell.source:
                _mark(cell, solution=True)
            elif len(checks) == 1:
                _mark(cell, grade=True, locked=True, points=POINTS)
            elif checks:
                raise AuthorError(f"cell {cell.id} checks {', '.join(checks)}: one check a cell, each with its own points.")
            elif re.search(r"(?m)^from helpers\.lessons import \w+ as lesson", cell.source):
                _mark(cell, locked=True)  # a student who loses this line loses every check
        elif answer and written:
            _mark(cell, grade=True, solution=True, points=POINTS)
    if sorted(checked) != sorted(names):
        wrong = sorted({n for n in [*names, *checked] if checked.count(n) != 1})
        raise AuthorError(f"{name}: exactly one cell must be `lesson.NAME.check(NAME)` for each of {', '.join(wrong)}.")
    canonical = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    nb.metadata = nbformat.from_dict({"kernelspec": canonical, "language_info": {"name": "python"}})
    nb.nbformat, nb.nbformat_minor = 4, 5
    return nb


def _is_check(source: str, name: str) -> bool:
    return re.search(rf"(?m)^lesson\.{name}\.check\({name}\)\s*$", source) is not None


def _mark(cell, *, grade: bool = False, solution: bool = False, locked: bool = False, points: int | None = None) -> None:
    """nbgrader's metadata. The cell's id is the grade's name, so that later exports find the same cell again."""
    cell.metadata["nbgrader"] = {"schema_version": 3, "grade_id": cell.id, "grade": grade, "solution": solution,
                                 "locked": locked, "task": False}
    if points is not None:
        cell.metadata["nbgrader"]["points"] = points


def points_of(nb: nbformat.NotebookNode) -> tuple[int, int]:
    """Points that nbgrader gives by itself, and points given by hand."""
    marks = [c.metadata["nbgrader"] for c in nb.cells if c.metadata.get("nbgrader", {}).get("grade")]
    return (sum(m["points"] for m in marks if not m["solution"]), sum(m["points"] for m in marks if m["solution"]))


# ------------------------------------------------------------------------------------------------ the course

def export(target: Path, numbers: list[str] | None = None, written: bool = True) -> list[str]:
    """Write the nbgrader course into ``target``; returns what was done, one line each.

    Everything is prepared before the first file is written, so that a broken lesson leaves no half a course behind.
    """
    notebooks = {}
    for path in solutions(numbers):
        stem = f"{number_of(path)}_{name_of(path)}"
        notebooks[stem] = source_notebook(nbformat.read(path, as_version=4), name_of(path), written)
    if not notebooks:
        raise AuthorError("There are no lessons in solutions/.")
    lines = []
    target.mkdir(parents=True, exist_ok=True)
    # Inside the course's folder, version control must not pick up solutions, submissions and grades.
    (target / ".gitignore").write_text("*\n", encoding="utf-8", newline="\n")
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    for stem, nb in notebooks.items():
        text = build.as_text(nb)
        file = target / "source" / stem / f"{stem}.ipynb"
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            lines.append(f"{stem}: as before")
            continue
        if file.exists():
            # Not beside it: whatever lies in source/ is handed out by nbgrader.
            kept = target / "replaced" / stamp / file.name
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, kept)
            lines.append(f"{stem}: new version; the one that was there is now {kept.relative_to(target).as_posix()}")
        else:
            lines.append(f"{stem}: {sum(points_of(nb))} points")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")
    wheel = _wheel(target / "students")
    lines.append(f"students/{wheel}: what students install")
    config = target / "nbgrader_config.py"
    if not config.exists():
        config.write_text(CONFIG, encoding="utf-8", newline="\n")
    elif config.read_text(encoding="utf-8") != CONFIG:
        lines.append("nbgrader_config.py: yours is different from the course's and stays as it is")
    (target / "README.md").write_text(_readme(target, notebooks, wheel, written), encoding="utf-8", newline="\n")
    return lines


def _readme(target: Path, notebooks: dict, wheel: str, written: bool) -> str:
    everything = {p.stem: nbformat.read(p, as_version=4) for p in sorted((target / "source").glob("*/*.ipynb"))} | notebooks
    rows = []
    for stem, nb in sorted(everything.items()):
        by_itself, by_hand = points_of(nb)
        rows.append(f"| {stem} | {by_itself} | {by_hand} | {by_itself + by_hand} |")
    says = ("An answer in the student's own words is worth one point, which you give by hand." if written
            else "Answers in the student's own words give no points.")
    return README.format(title="Deep Learning with PyTorch, done by hand", table="\n".join(rows), wheel=wheel, written=says,
                         first=next(iter(notebooks)))


def _wheel(folder: Path) -> str:
    """Build ``helpers`` alone as a wheel, with no network; returns the file's name."""
    with tempfile.TemporaryDirectory() as temporary:
        copied, built = Path(temporary) / "course", Path(temporary) / "wheel"
        copied.mkdir()
        built.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, copied / name)
        shutil.copytree(ROOT / "helpers", copied / "helpers", ignore=shutil.ignore_patterns("__pycache__", "*.lock"))
        (copied / "MANIFEST.in").write_text("graft helpers\n", encoding="utf-8")  # the files that are not Python too
        program = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
        done = subprocess.run([sys.executable, "-c", program, str(built)], cwd=copied, capture_output=True, encoding="utf-8",
                              errors="replace", check=False)
        made = list(built.glob("*.whl"))
        if done.returncode or not made:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise AuthorError(f"The package for students could not be built: {last}")
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("deep_learning_done_by_hand-*.whl"):
            old.unlink()
        shutil.copy(made[0], folder / made[0].name)
        return made[0].name


# ------------------------------------------------------------------------------------------------ the command

def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py export", description=__doc__.splitlines()[0])
    parser.add_argument("form", choices=["nbgrader"], help="the only form there is")
    parser.add_argument("lessons", nargs="*", metavar="NN", help="lessons to export (default: all)")
    parser.add_argument("--to", type=Path, default=TARGET, metavar="FOLDER", help=f"where to (default: {TARGET.as_posix()})")
    parser.add_argument("--no-written", action="store_true", help="no points for answers in the student's own words")
    options = parser.parse_intermixed_args(arguments)
    target = options.to.expanduser()
    try:
        lines = export(target, options.lessons, written=not options.no_written)
    except AuthorError as problem:
        print(f"✗ {problem}")
        return 1
    except OSError as problem:
        print(f"✗ {target} cannot be written ({problem.strerror or problem}). Name another folder with --to.")
        return 1
    print("\n".join(lines))
    print(f"✓ {target.resolve()} is an nbgrader course. It holds the solutions: not for students. README.md there goes on.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
