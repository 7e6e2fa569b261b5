"""What every notebook must hold to, and how it reads: ids, outputs, counts, alt texts, lengths of cells.

    python -m authoring.lint          lint all notebooks; exit 1 on a problem
"""

from __future__ import annotations

import re
import statistics
import sys
from pathlib import Path

import nbformat

from authoring.lessonfiles import exercise_path, name_of, solutions
from helpers.lessons import LESSONS, exercises

MAX_WORDS = 120           # in one text cell
MEDIAN_LINES = 5          # of a code cell
NINTH_DECILE_LINES = 18
NOTES = "**For instructors.**"
FORBIDDEN = [
    (r"(?<![\w.])(/home/|/Users/|/root/|/work/|/tmp/|[A-Z]:\\Users\\)", "a path of somebody's machine"),
    (r"<(?:Figure|matplotlib)[^>]* at 0x", "the repr of a figure object: end the cell with plots.show"),
    (r"object at 0x[0-9a-f]+", "an address in memory, which changes with every run"),
]


def lint() -> list[str]:
    """Problems in all notebooks, one line each."""
    problems = []
    for path in solutions():
        nb = nbformat.read(path, as_version=4)
        problems += [f"{path.name}: {p}" for p in [*_both(nb), *_solved(nb), *_style(nb), *_exercises_present(nb, path)]]
        target = exercise_path(path)
        if target.is_file():
            problems += [f"{target.name}: {p}" for p in [*_both(nbformat.read(target, as_version=4)), *_unsolved(target)]]
    return problems


def _both(nb) -> list[str]:
    found = []
    ids = [c.get("id", "") for c in nb.cells]
    found += [f"two cells have the id {i}" for i in sorted({i for i in ids if ids.count(i) > 1})]
    if any(not i for i in ids):
        found.append("a cell without an id")
    if nb.metadata.get("kernelspec", {}).get("name") != "python3":
        found.append("the kernel must be python3, which every installation has")
    for cell in nb.cells:
        if cell.get("attachments"):
            found.append(f"cell {cell.id}: an attachment; draw the picture in a cell instead")
        if cell.cell_type == "markdown" and re.search(r"!\[[^\]]*\]\((?!https?:)|<img", cell.source):
            found.append(f"cell {cell.id}: a picture from a file; the notebook must stand alone")
    return found


def _solved(nb) -> list[str]:
    found = []
    counts = [c.execution_count for c in nb.cells if c.cell_type == "code"]
    if counts != list(range(1, len(counts) + 1)):
        found.append("execution counts are not 1, 2, 3 ...: run python course.py build")
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                found.append(f"cell {cell.id}: a stored error; show it inside `with expect(...)`")
            data = output.get("data", {})
            if "image/png" in data and not output.get("metadata", {}).get("image/png", {}).get("alt"):
                found.append(f"cell {cell.id}: a picture without alt text; use plots.show(fig, alt=...)")
            text = output.get("text", "") + "".join(v for k, v in data.items() if k.startswith("text/"))
            found += [f"cell {cell.id}: its output holds {what}" for pattern, what in FORBIDDEN if re.search(pattern, text)]
        found += [f"cell {cell.id} holds {what}" for pattern, what in FORBIDDEN[:1] if re.search(pattern, cell.source)]
        if "slideshow" not in cell.metadata:
            found.append(f"cell {cell.id}: no slide type (slide, subslide, fragment, skip or notes)")
    return found + _notes(nb)


def _notes(nb) -> list[str]:
    """Each slide has notes before the next slide begins."""
    found, open_slide = [], ""
    for cell in nb.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        if kind == "slide":
            if open_slide:
                found.append(f"slide {open_slide} has no notes")
            open_slide = cell.id
        elif kind == "notes":
            open_slide = ""
            if not cell.source.startswith(NOTES):  # the solutions are read on the web too, where notes look like text
                found.append(f"cell {cell.id}: notes begin with {NOTES}")
    return found + ([f"slide {open_slide} has no notes"] if open_slide else [])


def _style(nb) -> list[str]:
    code = [_shown_lines(c) for c in nb.cells if c.cell_type == "code" and not _hidden(c)]
    found = []
    if code and statistics.median(code) > MEDIAN_LINES:
        found.append(f"the median code cell has {statistics.median(code)} lines, at most {MEDIAN_LINES} read well")
    if len(code) >= 10 and statistics.quantiles(code, n=10)[-1] > NINTH_DECILE_LINES:
        found.append(f"more than one code cell in ten has over {NINTH_DECILE_LINES} lines")
    for cell in nb.cells:
        words = len(_prose(cell.source).split())
        if cell.cell_type == "markdown" and words > MAX_WORDS:
            found.append(f"cell {cell.id}: {words} words in one piece, at most {MAX_WORDS}")
    return found


def _hidden(cell) -> bool:
    return cell.metadata.get("jupyter", {}).get("source_hidden", False) or "hide-input" in cell.metadata.get("tags", [])


def _shown_lines(cell) -> int:
    """Lines of code, without docstrings, comments and blank lines, which explain rather than burden."""
    source = re.sub(r'""".*?"""', '""', cell.source, flags=re.S)
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in source.splitlines())


def _prose(source: str) -> str:
    """The words of a text cell: tables, formulas and code blocks are looked at, not read through."""
    source = re.sub(r"```.*?```|\$\$.*?\$\$", " ", source, flags=re.S)
    return "\n".join(line for line in source.splitlines() if not line.lstrip().startswith("|"))


def _exercises_present(nb, path: Path) -> list[str]:
    """Each exercise of the lesson module is checked exactly once in its notebook."""
    lesson = next(lesson for lesson in LESSONS if lesson.name == name_of(path))
    code = "\n".join(c.source for c in nb.cells if c.cell_type == "code")
    found = []
    for e in exercises(lesson.module()):
        times = len(re.findall(rf"(?m)^lesson\.{e.name}\.check\({e.name}\)", code))
        if times != 1:
            found.append(f"lesson.{e.name}.check({e.name}) stands {times} times, once is right")
    return found


def _unsolved(path: Path) -> list[str]:
    nb = nbformat.read(path, as_version=4)
    return [f"cell {c.id}: an exercise notebook has no outputs" for c in nb.cells
            if c.get("outputs") or c.get("execution_count")]


def main() -> int:
    problems = lint()
    for problem in problems:
        print(f"✗ {problem}")
    if not problems:
        print("✓ notebooks are tidy")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
