"""Everything that CI runs, one step after the other; a step that fails does not keep the others from running.

    python course.py test                 all of it
    python course.py test --only 01       the steps about lessons, for lesson 01 only
    python course.py test --full          solutions in full mode: real data, headline results, patience
    python course.py test --device cuda   solutions on the GPU
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from authoring import lint as notebook_lint
from authoring.build import EXECUTION, build
from authoring.lessonfiles import AuthorError, name_of, number_of, read_verified, solutions
from authoring.prove import prove_all
from helpers.lessons import LESSONS, exercises
from helpers.notebooks import ROOT


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py test", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NN", default=[], help="only these lessons")
    parser.add_argument("--full", action="store_true", help="solutions in full mode")
    parser.add_argument("--device", default="", help="cpu, cuda or mps for the solutions (default: cpu)")
    options = parser.parse_args(arguments)
    try:
        paths = solutions(options.only)
    except AuthorError as problem:
        print(f"✗ {problem}")
        return 2
    os.chdir(ROOT)

    everything: list[tuple[str, Callable[[], list[str]]]] = [
        ("lint", _lint), ("unit tests", _unit_tests),
    ] if not options.only else []
    everything += [
        ("pairs", lambda: build(options.only, check=True)),
        ("solutions under nbval", lambda: _solutions(paths, options.full, options.device)),
        ("exercises unsolved, proof of the checks", lambda: _proofs(paths)),
        ("browser", lambda: _browser(options.only)),
    ]
    failed, rows = [], []
    for name, step in everything:
        print(f"\n== {name}", flush=True)
        started = time.monotonic()
        try:
            problems = step()
        except AuthorError as problem:
            problems = [str(problem)]
        for problem in problems:
            print(f"✗ {problem}", flush=True)
        rows.append((name, len(problems), time.monotonic() - started))
        failed += [name] if problems else []
    print("\n== summary")
    for name, count, seconds in rows:
        print(f"{'✗' if count else '✓'} {name:<42}{f'{count} problems' if count else 'green':<14}{seconds:6.0f} s")
    print(f"{len(rows) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def _lint() -> list[str]:
    ruff = subprocess.run([sys.executable, "-m", "ruff", "check", "--quiet", "."], cwd=ROOT)
    return (["ruff found something, see above"] if ruff.returncode else []) + notebook_lint.lint()


def _unit_tests() -> list[str]:
    done = subprocess.run([sys.executable, "-m", "pytest", "tests", "--ignore", "tests/browser", "-n", "2",
                           "--dist", "loadscope"], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return [f"pytest ended with {done.returncode}"] if done.returncode else []


def _browser(numbers: list[str]) -> list[str]:
    """Slides and widgets in a headless Chromium; with ``numbers``, the tests whose names say that they are about these."""
    chosen = ["-k", " or ".join(f"lesson{n}" for n in numbers)] if numbers else []
    done = subprocess.run([sys.executable, "-m", "pytest", "tests/browser", "-rs", *chosen], cwd=ROOT,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    nothing_chosen = numbers and done.returncode == 5
    return [f"pytest ended with {done.returncode}"] if done.returncode and not nothing_chosen else []


def _solutions(paths: list[Path], full: bool, device: str) -> list[str]:
    """Run the solutions under nbval; count the checks that passed and print CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, **EXECUTION, "COURSE_PROGRESS": "off", "COURSE_NBVAL_REPORT": folder,
               "COURSE_MODE": "full" if full else "fast", "COURSE_DEVICE": device or "cpu"}
        env.pop("COURSE_PUBLISH")
        command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-n", "2", "--dist", "loadscope",
                   "-p", "no:cacheprovider", *[str(p.relative_to(ROOT)) for p in paths]]
        done = subprocess.run(command, cwd=ROOT, env=env)
        problems = [f"nbval ended with {done.returncode}"] if done.returncode else []
        total = 0.0
        print(f"{'solution':<36}{'checks passed':>15}{'CPU-seconds':>13}")
        for path in paths:
            count, asked = _passed(Path(folder) / f"{path.stem}.checks"), _number_of_exercises(path)
            report = Path(folder) / f"{path.stem}.json"
            seconds = json.loads(report.read_text())["cpu_seconds"] if report.is_file() else float("nan")
            total += seconds
            print(f"{path.stem:<36}{f'{count} of {asked}':>15}{seconds:>13.1f}")
            if count != asked:
                problems.append(f"{path.name}: {count} checks passed, the lesson has {asked} exercises")
            if not report.is_file():
                problems.append(f"{path.name}: did not run to its end")
        print(f"{'all':<36}{'':>15}{total:>13.1f}")
    return problems


def _passed(log: Path) -> int:
    """Exercises whose check passed: the log has one line a check, ``01.1 passed``."""
    lines = log.read_text(encoding="utf-8").split("\n") if log.is_file() else []
    return len({line.split(" ", 1)[0] for line in lines if line.endswith(" passed")})


def _number_of_exercises(path: Path) -> int:
    lesson = next(lesson for lesson in LESSONS if lesson.name == name_of(path))
    return len(exercises(lesson.module()))


def _proofs(paths: list[Path]) -> list[str]:
    problems = []
    published = read_verified()
    for report in prove_all([number_of(path) for path in paths], jobs=2):
        number = report.number
        print(report.row(), flush=True)
        problems += [f"{number}: {finding}" for finding in report.findings]
        for survivor in report.survivors:
            print(f"  survivor: {survivor}")
        score = [report.refused, report.total, report.equivalent]
        if published.get(number, {}).get("mutants") != score:
            problems.append(f"{number}: the README's score of the checks is not this one: run python course.py build {number}")
    return problems


if __name__ == "__main__":
    sys.exit(main())
