"""The files of a lesson: solution notebook, exercise notebook, lesson module, tests; and what is known of it."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

from filelock import FileLock

from helpers.notebooks import ROOT

VERIFIED = ROOT / "helpers" / "lessons" / "verified.json"


class AuthorError(Exception):
    """Something in a lesson that its author must mend; the text says what and where."""


def solutions(numbers: list[str] | None = None, root: Path = ROOT) -> list[Path]:
    """The solution notebooks, all or those of the lessons named ("01"); raises AuthorError for one that is not there."""
    found = {p.name.split("_")[0]: p for p in sorted((root / "solutions").glob("[0-9][0-9]_*_solution.ipynb"))}
    if not numbers:
        return list(found.values())
    missing = [n for n in numbers if n not in found]
    if missing:
        raise AuthorError(f"There is no lesson {', '.join(missing)}. Lessons here: {', '.join(found) or 'none'}.")
    return [found[n] for n in numbers]


def number_of(path: Path) -> str:
    """``01`` for 01_perceptron.ipynb and for 01_perceptron_solution.ipynb."""
    return path.name.split("_")[0]


def name_of(path: Path) -> str:
    """``perceptron`` for 01_perceptron.ipynb and for 01_perceptron_solution.ipynb."""
    return re.sub(r"^\d\d_|_solution$", "", path.stem)


def exercise_path(solution: Path) -> Path:
    return solution.parent.parent / "notebooks" / f"{number_of(solution)}_{name_of(solution)}.ipynb"


def tests_module(name: str, root: Path = ROOT) -> ModuleType | None:
    """``tests/lessons/test_<name>.py`` as a module (right answers, allow-lists); None where there is none."""
    path = root / "tests" / "lessons" / f"test_{name}.py"
    if not path.is_file():
        return None
    full_name = f"tests.lessons.test_{name}"
    if full_name in sys.modules:
        return sys.modules[full_name]
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))  # the tests of lessons share helper functions
    spec = importlib.util.spec_from_file_location(full_name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[full_name] = module
    spec.loader.exec_module(module)
    return module


def read_verified() -> dict:
    """What is known of each lesson's last run: {"01": {"date", "torch", "python", "cpu_seconds", "result", ...}}."""
    return json.loads(VERIFIED.read_text(encoding="utf-8")) if VERIFIED.is_file() else {}


def update_verified(number: str, **facts) -> None:
    """Change what is known of one lesson; two builds at once do not undo each other."""
    with FileLock(str(VERIFIED) + ".lock"):
        data = read_verified()
        data.setdefault(number, {}).update(facts)
        VERIFIED.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
