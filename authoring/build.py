"""From the solution notebooks, make everything else: outputs, exercise notebooks, the table in the README.

    python course.py build            re-execute what changed, regenerate exercises and table
    python course.py build --check    change nothing; print a diff and exit 1 if something is not as build would make it
    python course.py build 01 --force re-execute lesson 01 whether or not it changed
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import datetime
import difflib
import hashlib
import importlib.metadata
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from authoring.lessonfiles import (
    AuthorError,
    exercise_path,
    name_of,
    number_of,
    read_verified,
    solutions,
    tests_module,
    update_verified,
)
from helpers.lessons import LESSONS, exercises
from helpers.notebooks import BEGIN, END, ROOT

MAX_BYTES = 600_000
WIDGET = "application/vnd.jupyter.widget-view+json"
STUB = "raise NotImplementedError"
SHORT_LINE = 16  # a solution line with fewer characters (blanks aside) gives nothing away
EXECUTION = {  # how solutions are executed: the same on every machine, as far as that is possible
    "COURSE_MODE": "fast", "COURSE_DEVICE": "cpu", "COURSE_KEEP_GOING": "0", "COURSE_PUBLISH": "1",
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NO_COLOR": "1",
}


# ------------------------------------------------------------------------------------------------ the exercise

def exercise_notebook(solution: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The exercise notebook of a solved one: regions cleared to stubs, no outputs, no notes, quiz unanswered.

    nbgrader's ClearSolutions and nbconvert's ClearOutputPreprocessor do the clearing.
    Raises AuthorError where a generated cell is not valid Python.
    """
    from nbconvert.preprocessors import ClearOutputPreprocessor
    from nbgrader.preprocessors import ClearSolutions
    from traitlets.config import Config

    nb = copy.deepcopy(solution)
    nb.cells = [c for c in nb.cells if not _for_instructors(c)]
    for cell in nb.cells:
        cell.source = _unsolved(cell)
    config = Config()
    config.ClearSolutions.code_stub = {"python": STUB}
    config.ClearSolutions.enforce_metadata = False
    nb, _ = ClearSolutions(config=config).preprocess(nb, {})
    nb, _ = ClearOutputPreprocessor().preprocess(nb, {})
    for cell in nb.cells:
        keep = {"tags", "jupyter"}
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in keep})
        cell.metadata.pop("tags", None) if not _student_tags(cell) else cell.metadata.update(tags=_student_tags(cell))
        if cell.cell_type == "code":
            _compile(cell)
    return _canonical(nb)


def _tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def _student_tags(cell) -> list[str]:
    return [t for t in _tags(cell) if t in ("hide-input", "remove-cell")]


def _for_instructors(cell) -> bool:
    return cell.metadata.get("slideshow", {}).get("slide_type") == "notes" or "slide-only" in _tags(cell)


def _unsolved(cell) -> str:
    """The changes that nbgrader does not make: title, value stubs, quiz answers, written answers."""
    source = cell.source
    if cell.cell_type == "markdown":
        if "solution" in _tags(cell):
            return "*Your answer here.*"
        return re.sub(r"(?m)^(# .*?) \(solution\)$", r"\1", source, count=1)
    source = re.sub(r"(\.quiz\[\d+\]\.answer\()\s*[\"'][a-z][\"']\s*\)", r"\1...)", source)
    value = rf"(?m)^(\w+(?:: [^\n=]+)? = \.\.\.[^\n]*\n)^{BEGIN}\n(?:.*\n)*?^{END}\n?"
    return re.sub(value, r"\1", source).rstrip("\n") if re.search(value, source) else source


def _compile(cell) -> None:
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        compile(TransformerManager().transform_cell(cell.source), cell.id, "exec")
    except SyntaxError as problem:
        raise AuthorError(f"cell {cell.id}: the generated cell is not valid Python: {problem}\n{cell.source}") from None


def _canonical(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Only what belongs into a file under version control; keeps the ids of cells."""
    kept = {k: v for k, v in nb.metadata.items() if k == "course"}
    nb.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"}, **kept,
    })
    nb.nbformat, nb.nbformat_minor = 4, 5
    for cell in nb.cells:
        for volatile in ("execution", "collapsed", "scrolled", "trusted", "ExecuteTime", "nbgrader"):
            cell.metadata.pop(volatile, None)
    return nb


def as_text(nb: nbformat.NotebookNode) -> str:
    """Canonical JSON: sorted keys, one space of indent, LF, a line break at the end."""
    nbformat.validate(nb)
    return nbformat.writes(nb, version=4).rstrip("\n") + "\n"


# ------------------------------------------------------------------------------------------------ leak guard

def leaks(solution: nbformat.NotebookNode, exercise: nbformat.NotebookNode, name: str) -> list[str]:
    """Lines of solution regions that also stand in the exercise notebook, a hint, a diagnosis or the quiz."""
    module = next(lesson.module() for lesson in LESSONS if lesson.name == name)
    tests = tests_module(name)
    allowed = {_squeezed(line) for line in getattr(tests, "LEAKS_ALLOWED", {})}
    places = {f"cell {c.id}": _squeezed(c.source) for c in exercise.cells}
    for e in exercises(module):
        places |= {f"hint {n} of {e.id}": _squeezed(h) for n, h in enumerate(e.hints, 1)}
        places |= {f"a mistake's diagnosis in {e.id}": _squeezed(" ".join(m.diagnosis for m in e.mistakes))}
    found = []
    for cell in solution.cells:
        for line in region_lines(cell.source) if cell.cell_type == "code" else []:
            squeezed = _squeezed(line)
            if len(squeezed) < SHORT_LINE or squeezed in allowed:
                continue
            found += [f"{where} shows a line of the solution: {line.strip()}" for where, text in places.items()
                      if squeezed in text]
    return found


def region_lines(source: str) -> list[str]:
    """The lines between the marks, without comments."""
    inside, lines = False, []
    for line in source.splitlines():
        if BEGIN in line or END in line:
            inside = BEGIN in line
        elif inside and line.strip() and not line.strip().startswith("#"):
            lines.append(re.sub(r"\s+# .*$", "", line))
    return lines


def _squeezed(text: str) -> str:
    return "".join(text.split())


# ------------------------------------------------------------------------------------------------ execution

def fingerprint(nb: nbformat.NotebookNode) -> str:
    """A hash of what a run depends on: the code cells and the helpers that they import, directly or not.

    Comments and docstrings of helpers do not count. Nor does the list of lessons, except for a lesson that shows the list: a
    new lesson makes no other one stale.
    """
    code = [c.source for c in nb.cells if c.cell_type == "code"]
    digest = hashlib.sha256("\n\x00".join(code).encode())
    for path in sorted(_helpers_used("\n".join(_plain_python(c) for c in code))):
        bare = _bare_code(path)
        digest.update(path.name.encode() + bare.encode())
        if "LESSONS" in bare and path.parent.name == "lessons":
            digest.update(repr([(lesson, lesson.is_here()) for lesson in LESSONS]).encode())
    return digest.hexdigest()[:16]


def _plain_python(source: str) -> str:
    return re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", source)


def _helpers_used(source: str) -> set[Path]:
    found: set[Path] = set()
    todo = [_imported(source)]
    while todo:
        for name in todo.pop():
            path = ROOT / (name.replace(".", "/") + ".py")
            if path.is_file() and path not in found:
                found.add(path)
                todo.append(_imported(path.read_text(encoding="utf-8")))
    return found


def _imported(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{a.name}" for a in node.names}
    return {n for n in names if n.startswith("helpers.")}


def _bare_code(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) \
                and isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
            node.body = body[1:] or [ast.Pass()]
    return repr(_shape(tree))


def _shape(node):
    """The tree as nested tuples without what is empty: one Python's parser or `ast.dump` gives it, the next one's does not."""
    if isinstance(node, ast.JoinedStr):
        return ("JoinedStr", *(_shape(part) for part in node.values if getattr(part, "value", None) != ""))
    if isinstance(node, ast.AST):
        fields = ((name, _shape(value)) for name, value in ast.iter_fields(node) if value not in (None, []))
        return (type(node).__name__, *fields)
    return tuple(map(_shape, node)) if isinstance(node, list) else node


def execute(path: Path, nb: nbformat.NotebookNode) -> tuple[nbformat.NotebookNode, dict]:
    """Run a solution notebook in a fresh kernel; returns it with outputs, and the facts of the run.

    Raises AuthorError if a cell fails, naming the cell.
    """
    import psutil
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    nb = copy.deepcopy(nb)
    with tempfile.TemporaryDirectory() as temporary, _environment(Path(temporary)):
        client = NotebookClient(nb, timeout=900, kernel_name="python3", store_widget_state=False,
                                resources={"metadata": {"path": str(path.parent)}})
        started = time.monotonic()
        with client.setup_kernel():
            for index, cell in enumerate(nb.cells):
                try:
                    client.execute_cell(cell, index)
                except CellExecutionError as problem:
                    text = re.sub(r"\x1b\[[0-9;]*m", "", str(problem))
                    raise AuthorError(f"{path.name}, cell {cell.id}:\n{text}") from None
            used = psutil.Process(client.km.provisioner.pid).cpu_times()
            sources = _data_sources(client)
    facts = {
        "cpu_seconds": round(used.user + used.system, 1), "wall_seconds": round(time.monotonic() - started, 1),
        "date": datetime.date.today().isoformat(), "python": ".".join(map(str, sys.version_info[:2])),
        "torch": importlib.metadata.version("torch").split("+")[0], "data": sources,
        "result": _result(nb),
    }
    _clean_outputs(nb)
    return nb, facts


@contextlib.contextmanager
def _environment(temporary: Path):
    """The environment of the run. Progress goes to a record of its own, in a folder with the usual name."""
    before = dict(os.environ)
    work = temporary / "work"
    work.mkdir()
    os.environ.update(EXECUTION, COURSE_PROGRESS=str(work / "progress.json"))
    os.environ.pop("COURSE_CHECK_LOG", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _data_sources(client) -> dict[str, str]:
    """Ask the kernel which source each data set came from: {"mnist": "folder"}."""
    probe = nbformat.v4.new_code_cell(
        "import sys, json\nprint(json.dumps(getattr(sys.modules.get('helpers.data'), 'used', {})))")
    client.nb.cells.append(probe)
    try:
        client.execute_cell(probe, len(client.nb.cells) - 1)
        return json.loads("".join(o.get("text", "") for o in probe.outputs))
    finally:
        client.nb.cells.pop()


def _result(nb) -> str:
    """The lesson's headline: the last line that the cell with the tag ``result`` printed."""
    for cell in nb.cells:
        if "result" in _tags(cell):
            printed = "".join(o.get("text", "") for o in cell.outputs if o.output_type == "stream")
            return printed.strip().splitlines()[-1] if printed.strip() else ""
    return ""


def _clean_outputs(nb) -> None:
    """Counts 1, 2, 3 ...; no progress bars, no widget state, no paths of temporary files."""
    nb.metadata.pop("widgets", None)
    count = 0
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        kept = []
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                continue
            if WIDGET in output.get("data", {}):
                continue
            if output.output_type == "execute_result":
                output.execution_count = count
            if output.output_type == "stream" and kept and kept[-1].output_type == "stream":
                kept[-1].text += output.text
                continue
            kept.append(output)
        cell.outputs = kept


# ------------------------------------------------------------------------------------------------ the README's table

TABLE = re.compile(r"(<!-- lessons -->\n).*?(<!-- /lessons -->)", re.S)


def readme_table() -> str:
    """One row a lesson, from the list of lessons and what the last run of each found."""
    verified = read_verified()
    rows = ["| lesson | afterwards you can | minutes | exercises | result | mutants refused | last verified |",
            "|---|---|--:|--:|---|--:|---|"]
    for lesson in LESSONS:
        if not lesson.is_here():
            continue
        facts = verified.get(lesson.number, {})
        refused, total, equivalent = facts.get("mutants", [0, 0, 0])
        score = f"{refused} of {total} ({100 * refused / total:.1f} %)" if total else "no run yet"
        if equivalent:
            score += f", {equivalent} more change nothing"
        when = (f"{facts['date']}, torch {facts['torch']}, Python {facts['python']}, {facts['cpu_seconds']:.0f} CPU-s"
                if "date" in facts else "no run yet")
        rows.append(f"| [{lesson.number} {lesson.title}](notebooks/{lesson.stem}.ipynb) | {lesson.outcome} | {lesson.minutes} "
                    f"| {len(exercises(lesson.module()))} | {facts.get('result', '')} | {score} | {when} |")
    coming = [f"{lesson.number} {lesson.title}" for lesson in LESSONS if not lesson.is_here()]
    if coming:
        rows += ["", f"Planned, not in this version: {' · '.join(coming)}."]
    return "\n".join(rows) + "\n"


def readme_text(text: str) -> str:
    if not TABLE.search(text):
        raise AuthorError("README.md lacks the marks <!-- lessons --> and <!-- /lessons --> around its table.")
    return TABLE.sub(lambda m: m[1] + readme_table() + m[2], text)


# ------------------------------------------------------------------------------------------------ the command

def build(numbers: list[str] | None = None, check: bool = False, force: bool = False) -> list[str]:
    """Build, or with ``check`` compare. Returns the problems, one text each; raises AuthorError for a broken lesson."""
    problems: list[str] = []
    for path in solutions(numbers):
        number, name = number_of(path), name_of(path)
        text = path.read_text(encoding="utf-8")
        nb = nbformat.reads(text, as_version=4)
        problems += _quiz_problems(nb, name)
        if check and (stale := _stale(nb)):
            problems.append(f"{path.name}: {stale}. Run: python course.py build {number}")
        if not check and (force or _stale(nb)):
            print(f"{path.name}: executing ...", flush=True)
            nb, facts = execute(path, nb)
            nb.metadata["course"] = nbformat.from_dict({"fingerprint": fingerprint(nb), "data": facts["data"]})
            update_verified(number, **facts)
            print(f"{path.name}: {facts['cpu_seconds']} CPU-s, data: {facts['data'] or 'none'}", flush=True)
        problems += _compare_or_write(path, text, as_text(_canonical(nb)), check)
        exercise = exercise_notebook(nb)
        exercise.metadata.pop("course", None)
        target = exercise_path(path)
        old = target.read_text(encoding="utf-8") if target.is_file() else ""
        problems += _compare_or_write(target, old, as_text(exercise), check)
        if not check:
            update_verified(number, mutants=_mutation_score(number))
        problems += [f"{path.name}: {leak}" for leak in leaks(nb, exercise, name)]
        size = len(as_text(nb).encode())
        if size > MAX_BYTES:
            problems.append(f"{path.name}: {size:,} bytes with its outputs, at most {MAX_BYTES:,}: fewer or smaller figures.")
    if not numbers:
        known = {exercise_path(p).name for p in solutions()}
        problems += [f"notebooks/{p.name} has no solution notebook." for p in sorted((ROOT / "notebooks").glob("*.ipynb"))
                     if p.name not in known]
    readme = ROOT / "README.md"
    if readme.is_file():
        old = readme.read_text(encoding="utf-8")
        problems += _compare_or_write(readme, old, readme_text(old), check)
    return problems


def _mutation_score(number: str) -> list[int]:
    from authoring.prove import prove

    report = prove(number)
    return [report.refused, report.total, report.equivalent]


def _stale(nb) -> str:
    if "course" not in nb.metadata:
        return "never executed by build"
    if nb.metadata["course"].get("fingerprint") != fingerprint(nb):
        return "its code or a helper changed since its outputs were made"
    return ""


def _quiz_problems(nb, name: str) -> list[str]:
    """The question cells must show what the lesson module says, and each answer in the solution must be right."""
    module = next((lesson.module() for lesson in LESSONS if lesson.name == name), None)
    if module is None:
        raise AuthorError(f"helpers/lessons/__init__.py has no lesson named {name}.")
    quiz = getattr(module, "quiz", None)
    if quiz is None:
        return []
    cells = {c.id: c.source for c in nb.cells}
    code = "\n".join(c.source for c in nb.cells if c.cell_type == "code")
    problems = []
    for item in quiz.items:
        if cells.get(f"quiz-{item.number}", "").strip() != item.markdown().strip():
            problems.append(f"{name}: cell quiz-{item.number} must be lesson.quiz[{item.number}].markdown():\n"
                            f"{item.markdown()}")
        if f'.quiz[{item.number}].answer("{item.right_letter}")' not in code:
            problems.append(f"{name}: the solution must answer question {item.number} with \"{item.right_letter}\".")
    return problems


def _compare_or_write(path: Path, old: str, new: str, check: bool) -> list[str]:
    if old == new:
        return []
    if not check:
        path.parent.mkdir(exist_ok=True)
        path.write_text(new, encoding="utf-8", newline="\n")
        print(f"{path.relative_to(ROOT)}: written")
        return []
    name = str(path.relative_to(ROOT))
    diff = list(difflib.unified_diff(old.splitlines(), new.splitlines(), name, f"{name} as build makes it", lineterm="", n=2))
    more = [f"... {len(diff) - 60} more lines"] if len(diff) > 60 else []
    return [f"{name} differs from what build makes:\n" + "\n".join(line[:200] for line in [*diff[:60], *more])]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py build", description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", metavar="NN", help="lessons to build (default: all)")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 if something differs")
    parser.add_argument("--force", action="store_true", help="execute even what has not changed")
    options = parser.parse_args(arguments)
    try:
        problems = build(options.lessons, options.check, options.force)
    except AuthorError as problem:
        problems = [str(problem)]
    for problem in problems:
        print(f"✗ {problem}")
    if not problems:
        print("✓ pairs agree" if options.check else "✓ built")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
