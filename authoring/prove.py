"""Proof that the checks tell right from wrong.

    python -m authoring.prove             every lesson
    python -m authoring.prove 01          lesson 01
    python -m authoring.prove --no-cache  even where nothing has changed since the last proof
    python -m authoring.prove --survivors each survivor also as an entry for EQUIVALENT, its reason still to be written

For each lesson: the unsolved notebook runs to its end with nothing but "not attempted"; each solution passes; each known
mistake is refused with its own message; impostors and one-step mutants of the solutions are refused; right answers in other
styles pass, over seeds, threads, default dtypes, and on the GPU where there is one.

``tests/lessons/test_<name>.py`` says what only a person can know::

    RIGHT = {"01.1": [answer, another], ...}                          # at least two right answers in different styles
    EQUIVALENT = {"01.1": {"<the mutant's name>": "why it is right"}} # mutants that are right answers, at most 3 %
    ACCEPTED_IMPOSTORS = {"01.2": {"list": "why it is right"}}        # impostors that are right answers
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import functools
import hashlib
import importlib
import importlib.metadata
import json
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import unittest.mock
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from authoring.lessonfiles import AuthorError, exercise_path, name_of, number_of, solutions, tests_module
from authoring.mutants import Mutant, mutants
from helpers import guard, notebooks
from helpers.checking import ERROR, NOT_ATTEMPTED, PASSED, WRONG, Exercise, same_facts
from helpers.comparing import is_tensor
from helpers.lessons import exercises
from helpers.notebooks import BEGIN, ROOT

MUST_REFUSE = 0.95         # of a lesson's mutants, those that are right answers left out
MUST_REFUSE_EACH = 0.80    # of an exercise's mutants: a lesson's good checks must not hide an empty one
FEW = 5                    # with fewer mutants than this a share says nothing
MAY_BE_EQUIVALENT = 0.03   # of a lesson's mutants
MUTANTS = 120              # an exercise; longer solutions are sampled evenly
MUTANT_SECONDS = 2.0
RUNS = 20
SILENCE = 600.0            # seconds without a sign of life before the proof of a lesson is stopped
MEMORY = 4 << 30           # bytes that a mutant may add

Say = Callable[[str], None]


# ------------------------------------------------------------------------------------------------ the report

@dataclass(frozen=True)
class Survivor:
    """A mutant that passed its check: the exercise, where it is, and what was changed."""

    exercise: str
    place: str
    line: int
    text: str
    change: str

    @property
    def key(self) -> str:
        return f"{self.text} | {self.change}"

    def __str__(self) -> str:
        return f"{self.exercise}  {self.place}, line {self.line}: {self.key}"


@dataclass
class Report:
    """What the proof of one lesson found. ``findings`` are failures, one text each; none means that it is proven.

    ``refused``, ``total`` and ``equivalent`` count mutants. Those in ``survivors`` are not allow-listed.
    """

    number: str
    name: str = ""
    exercises: int = 0
    passed: int = 0
    mistakes: int = 0
    impostors: int = 0
    generated: int = 0
    total: int = 0
    refused: int = 0
    by_time: int = 0
    equivalent: int = 0
    right: int = 0
    runs: int = 0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)
    survivors: list[Survivor] = field(default_factory=list)
    cached: bool = False

    @property
    def raw_score(self) -> float:
        """Refused mutants of all mutants, from 0 to 1."""
        return self.refused / self.total if self.total else 0.0

    @property
    def score(self) -> float:
        """Refused mutants of those that are not right answers themselves."""
        wrong = self.total - self.equivalent
        return self.refused / wrong if wrong else 0.0

    def row(self) -> str:
        """The lesson's line of the table."""
        mark = "✗" if self.findings else "✓"
        sampled = f" (of {self.generated})" if self.generated > self.total else ""
        when = "cached" if self.cached else f"{self.seconds:.0f} s"
        return (f"{mark} {self.number} {self.name:<18} {self.passed}/{self.exercises} solutions · {self.mistakes} mistakes · "
                f"{self.impostors} impostors · {self.refused}/{self.total} mutants{sampled} {100 * self.raw_score:.1f} % "
                f"({100 * self.score:.1f} % without {self.equivalent} equivalent, {self.by_time} by time) · "
                f"{self.right} right answers, {self.runs} runs · {when}")


def _from_json(data: dict) -> Report:
    survivors = [Survivor(**s) for s in data.pop("survivors")]
    return Report(**data, survivors=survivors)


@dataclass
class _Lesson:
    """What the proof reads."""

    number: str
    name: str
    solution: Path
    exercise: Path
    module: ModuleType
    answers: ModuleType | None

    @property
    def exercises(self) -> list[Exercise]:
        return exercises(self.module)

    def allowed(self, name: str) -> dict:
        return getattr(self.answers, name, {})

    def solved(self, exercise: Exercise) -> dict:
        """A fresh namespace in which the exercise is solved."""
        return notebooks.solved_namespace(self.solution, exercise.name)


# ------------------------------------------------------------------------------------------------ 1 unsolved

def _unsolved(lesson: _Lesson, report: Report, say: Say) -> None:
    """The generated notebook, as it is, in a fresh kernel: not attempted, not attempted, ... and no failure."""
    if not lesson.exercise.is_file():
        report.findings.append(f"notebooks/{lesson.exercise.name} is missing: python course.py build {lesson.number}")
        return
    known = {e.name: e for e in lesson.exercises}
    checks, errors = _run_notebook(lesson.exercise, known, say)
    report.findings += errors
    for exercise in lesson.exercises:
        found = checks.get(exercise.name, [])
        if len(found) != 1:
            report.findings.append(f"{exercise.title}: {len(found)} check cells in {lesson.exercise.name}, not one")
        for cell, lines in found:
            if lines != [f"{exercise.id} {NOT_ATTEMPTED}"]:
                report.findings.append(f"{exercise.title}: unsolved, the check in cell {cell} gives {lines or 'nothing'}, "
                                       f"not just {NOT_ATTEMPTED!r}")
        result = exercise.examine(_stub(lesson.exercise, exercise.name))
        if result.outcome != NOT_ATTEMPTED:
            report.findings.append(f"{exercise.title}: its stub is {result.outcome!r}, not {NOT_ATTEMPTED!r}: "
                                   f"{_line(result.text)}")


def _stub(path: Path, name: str):
    try:
        return notebooks.solved_namespace(path, name)[name]
    except NotImplementedError:  # a value's cell raises by itself, and the name stays at its dots
        return ...


def _run_notebook(path: Path, known: dict[str, Exercise], say: Say) -> tuple[dict[str, list], list[str]]:
    """Run the notebook. Returns what the log of checks got in each check cell, by exercise, and the failures."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    nb = nbformat.read(path, as_version=4)
    checks: dict[str, list] = {}
    with tempfile.TemporaryDirectory() as folder:
        work, log = Path(folder) / "work", Path(folder) / "checks.txt"
        work.mkdir()
        environment = {
            **os.environ, "COURSE_KEEP_GOING": "1", "COURSE_PROGRESS": "off", "COURSE_CHECK_LOG": str(log),
            "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
            "IPYTHONDIR": str(Path(folder) / "ipython"),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(path.parent.parent), os.environ.get("PYTHONPATH")])),
        }
        read = 0

        def after(cell, cell_index, execute_reply):
            nonlocal read
            say(f"unsolved notebook, cell {cell.id}")
            lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
            for name in _checked_in(cell.source, known):
                checks.setdefault(name, []).append((cell.id, lines[read:]))
            read = len(lines)

        client = NotebookClient(nb, timeout=300, startup_timeout=180, kernel_name="python3", allow_errors=True,
                                store_widget_state=False, on_cell_executed=after, resources={"metadata": {"path": str(work)}})
        try:
            client.execute(env=environment, stderr=subprocess.DEVNULL)
        except (CellTimeoutError, DeadKernelError) as problem:
            return checks, [f"{path.name}: {_line(problem)}"]
    failed = [(cell.id, out) for cell in nb.cells for out in cell.get("outputs", []) if out.output_type == "error"]
    more = [f"{path.name}: {len(failed) - 3} more cells fail"] if len(failed) > 3 else []
    return checks, [f"{path.name}: cell {cell} fails: {out.ename}: {_line(out.evalue)}" for cell, out in failed[:3]] + more


def _checked_in(source: str, known: dict[str, Exercise]) -> list[str]:
    """Exercises that a cell checks under their own name: ``lesson.predict.check(predict)`` (not a demonstration's)."""
    try:
        calls = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
    except SyntaxError:  # a line for the shell
        return []
    found = []
    for call in calls:
        target = call.func
        if isinstance(target, ast.Attribute) and target.attr == "check" and isinstance(target.value, ast.Attribute):
            name = target.value.attr
            if name in known and [getattr(a, "id", "") for a in call.args] == [name]:
                found.append(name)
    return found


# ------------------------------------------------------------------------------------------------ 2 solutions

def _solutions_pass(lesson: _Lesson, report: Report, say: Say) -> dict[str, Any]:
    """Each solution passes; returns them by the id of their exercise, those that failed left out."""
    listed = lesson.exercises
    report.exercises = len(listed)
    if not listed:
        report.findings.append(f"helpers/lessons/{lesson.name}.py has no exercise")
    ids = [e.id for e in listed]
    report.findings += [f"{i}: two exercises have this number" for i in sorted({i for i in ids if ids.count(i) > 1})]
    solved = {}
    for exercise in listed:
        say(f"{exercise.title}: its solution")
        if exercise.lesson != lesson.number:
            report.findings.append(f"{exercise.title}: stands in lesson {lesson.number}")
        try:
            solution = lesson.solved(exercise)[exercise.name]
            result = exercise.examine(solution)
        except Exception as problem:
            report.findings.append(f"{exercise.title}: its solution cannot be run: {_named(problem)}")
            continue
        if result.outcome == PASSED:
            solved[exercise.id] = solution
        else:
            report.findings.append(f"{exercise.title}: the solution is {result.outcome}: {_line(result.text)}")
    report.passed = len(solved)
    names = {e.name for e in listed}
    for source in notebooks.code_cells(lesson.solution):
        if BEGIN in source and not notebooks.defined_names(source) & names:
            report.findings.append(f"{lesson.solution.name}: a solution region belongs to no exercise: "
                                   f"{source.splitlines()[0]}")
    return solved


# ------------------------------------------------------------------------------------------------ 3 mistakes, impostors

def _mistakes(exercise: Exercise, report: Report) -> None:
    """Each known mistake is refused, recognized as itself and told apart from the others."""
    for place, mistake in enumerate(exercise.mistakes):
        title = f"{exercise.title}: mistake {place + 1} ({_line(mistake.diagnosis, 50)})"
        twins = [other for other in range(place) if same_facts(
            exercise.mistake_facts(other), exercise.mistake_facts(place), exercise._tolerance)]
        if twins:
            report.findings.append(f"{title} has the same facts as mistake {twins[0] + 1}")
            continue
        result = exercise.examine(mistake.example)
        if result.outcome == PASSED:
            report.findings.append(f"{title} passes")
        elif result.outcome != WRONG or result.mistake is not mistake:
            report.findings.append(f"{title} is not recognized; the check says: {_line(result.text)}")
        elif "".join(mistake.diagnosis.split()) not in "".join(result.text.split()):
            report.findings.append(f"{title} is recognized, but its message does not say so: {_line(result.text)}")
        else:
            report.mistakes += 1


def _impostors(exercise: Exercise, right, accepted: dict[str, str], report: Report) -> None:
    """Answers that are wrong in the same way for every exercise. Each is the right answer with its result disguised.

    Where the disguise changed no result of the whole observation (a list for a function that returns an int), the impostor
    *is* a right answer and does not count.
    """
    used = set()
    for kind in IMPOSTORS:
        impostor, disguise = _disguised(kind, right, exercise.kind)
        try:
            passed = exercise.examine(impostor).outcome == PASSED
        except Exception as problem:
            report.findings.append(f"{exercise.title}: the check itself fails on the impostor {kind!r}: {_named(problem)}")
            continue
        if not disguise.changed_something:
            continue
        if not passed:
            report.impostors += 1
        elif kind in accepted:
            used.add(kind)
        else:
            report.findings.append(f"{exercise.title}: the impostor {kind!r} passes: {IMPOSTORS[kind]}")
    for kind in sorted(set(accepted) - used):
        report.findings.append(f"{exercise.title}: ACCEPTED_IMPOSTORS names {kind!r}, which does not pass: remove it")


IMPOSTORS = {
    "identity": "it returns its first argument",
    "constant": "it returns its first result every time",
    "zeros": "every number of the result is 0",
    "dtype": "float32 for float64, float64 for float32 and for integers, integers for booleans",
    "list": "lists where arrays or tensors are asked for",
    "shape": "arrays or tensors with one more dimension in front",
    "detached": "results without their gradient",
}


@dataclass
class _Disguise:
    kind: str
    changed_something: bool = False
    first_results: dict = field(default_factory=dict)

    def __call__(self, result, inputs=(), owner=None):
        if self.kind == "identity":
            new = inputs[0] if len(inputs) else result
        elif self.kind == "constant":
            new = self.first_results.setdefault(owner, result)
        else:
            new = _mapped(result, {"zeros": _zeros, "dtype": _other_dtype, "list": _as_list, "shape": _one_more_dimension,
                                   "detached": _detached}[self.kind])
        self.changed_something |= not _identical(result, new)
        return new


def _disguised(kind: str, right, what: str) -> tuple[Any, _Disguise]:
    """The right answer, disguised: a function's result, a value, or what the public methods of a class return."""
    disguise = _Disguise(kind)

    def around(function, skip: int):
        @functools.wraps(function)
        def impostor(*args, **kwargs):
            return disguise(function(*args, **kwargs), [*args[skip:], *kwargs.values()], function)
        return impostor

    if what == "value":
        return disguise(right), disguise
    if isinstance(right, type):
        methods = {name: around(value, 1) for name, value in vars(right).items()
                   if callable(value) and not isinstance(value, type) and (not name.startswith("_") or name == "__call__")}
        return type(right)(right.__name__, (right,), {**methods, "__module__": right.__module__}), disguise
    return around(right, 0), disguise


def _mapped(value, change):
    if isinstance(value, tuple | list) and type(value) in (tuple, list):
        return type(value)(_mapped(v, change) for v in value)
    if type(value) is dict:
        return {k: _mapped(v, change) for k, v in value.items()}
    return change(value)


def _zeros(value):
    if isinstance(value, np.ndarray):
        return np.zeros_like(value) if value.dtype.kind in "biufc" else value
    if is_tensor(value):
        return value * 0 if value.is_floating_point() else value.new_zeros(value.shape)
    return type(value)(0) if isinstance(value, bool | int | float | complex | np.generic) else value


def _other_dtype(value):
    """Scalars too, but not floats: 0.5 is 0.5 in every precision."""
    if isinstance(value, np.ndarray):
        new = {"f": np.float32 if value.dtype == np.float64 else np.float64, "i": np.float64, "u": np.float64, "b": np.int64}
        return value.astype(new[value.dtype.kind]) if value.dtype.kind in new else value
    if is_tensor(value):
        import torch

        if value.is_floating_point():
            return value.to(torch.float32 if value.dtype == torch.float64 else torch.float64)
        return value.to(torch.int64 if value.dtype == torch.bool else torch.float32)
    if isinstance(value, bool | np.bool_):
        return int(value)
    return float(value) if isinstance(value, int | np.integer) else value


def _as_list(value):
    return value.tolist() if isinstance(value, np.ndarray) or is_tensor(value) else value


def _one_more_dimension(value):
    return value[None] if isinstance(value, np.ndarray) or is_tensor(value) else value


def _detached(value):
    return value.detach() if is_tensor(value) and value.requires_grad else value


def _identical(a, b) -> bool:
    """The same in every respect: kind, dtype, shape, every number, and whether a gradient flows."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    if is_tensor(a):
        alike = a.dtype == b.dtype and a.shape == b.shape and a.device == b.device and a.requires_grad == b.requires_grad
        return alike and bool(((a == b) | ((a != a) & (b != b))).all())
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(_identical(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return list(a) == list(b) and all(_identical(a[k], b[k]) for k in a)
    try:
        return bool(a == b)
    except Exception:
        return False


# ------------------------------------------------------------------------------------------------ 4 mutants

NO_MUTANT, REFUSED, TIMED_OUT, SURVIVED = "no mutant", "refused", "timed out", "survived"


def _mutants(lesson: _Lesson, exercise: Exercise, report: Report, say: Say) -> None:
    """Every small slip in the solution must be noticed."""
    source = notebooks.exercise_cell(lesson.solution, exercise.name)
    if BEGIN not in source:
        report.findings.append(f"{exercise.title}: its cell in {lesson.solution.name} has no solution region")
        return
    found, generated = mutants(source, MUTANTS)
    base = lesson.solved(exercise)
    probe = dataclasses.replace(exercise, seconds=min(MUTANT_SECONDS, exercise.seconds), mistakes=(),
                                _facts=exercise.expected_facts())
    allowed, used = lesson.allowed("EQUIVALENT").get(exercise.id, {}), set()
    place = f"solutions/{lesson.solution.name} cell {_cell_id(lesson.solution, source)}"
    total = refused = equivalent = 0
    for mutant in found:
        say(f"{exercise.title}, {place}, line {mutant.line}: {mutant.key}")
        outcome = _examine(mutant, base, probe, report)
        if outcome == NO_MUTANT:
            continue
        total += 1
        refused += outcome != SURVIVED
        report.by_time += outcome == TIMED_OUT
        if outcome != SURVIVED:
            continue
        if mutant.key in allowed:
            equivalent += 1
            used.add(mutant.key)
        else:
            report.survivors.append(Survivor(exercise.id, place, mutant.line, mutant.text, mutant.change))
    report.generated += generated - len(found) + total
    report.total, report.refused, report.equivalent = (
        report.total + total, report.refused + refused, report.equivalent + equivalent)
    report.findings += [f"{exercise.title}: EQUIVALENT names a mutant that does not survive, remove it: {key}"
                        for key in allowed if key not in used]
    wrong = total - equivalent
    if wrong >= FEW and refused < MUST_REFUSE_EACH * wrong:
        report.findings.append(f"{exercise.title}: its check refuses only {refused} of {wrong} mutants")
    if exercise.examine(lesson.solved(exercise)[exercise.name]).outcome != PASSED:
        report.findings.append(f"{exercise.title}: after its mutants the solution no longer passes: one left something behind")


def _examine(mutant: Mutant, base: dict, probe: Exercise, report: Report) -> str:
    """What becomes of the mutant. One that was stopped without having computed gets more time: the machine was busy."""
    for patience in (1, 5):
        started = time.process_time()
        outcome = _examine_once(mutant, base, dataclasses.replace(probe, seconds=patience * probe.seconds), report)
        if outcome != TIMED_OUT or time.process_time() - started > probe.seconds / 2:
            break
    return outcome


def _examine_once(mutant: Mutant, base: dict, probe: Exercise, report: Report) -> str:
    namespace = dict(base)
    namespace.pop(probe.name, None)
    try:
        with guard.same_random_state(), guard.time_limit(probe.seconds):
            exec(compile(mutant.tree, f"<mutant of {probe.name}>", "exec"), namespace)
        student = namespace[probe.name]
    except guard.TimeUp:
        return TIMED_OUT
    except Exception:  # its cell cannot even be run, so no check will ever see it
        return NO_MUTANT
    started = time.monotonic()
    try:
        result = probe.examine(student)
    except Exception as problem:
        report.findings.append(f"{probe.title}: the check itself fails on a mutant (line {mutant.line}: {mutant.key}): "
                               f"{_named(problem)}")
        return REFUSED
    if result.outcome == PASSED:
        return SURVIVED
    stopped = result.outcome == ERROR and time.monotonic() - started >= probe.seconds
    return TIMED_OUT if stopped else REFUSED


def _cell_id(path: Path, source: str) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return next((c.get("id", str(n)) for n, c in enumerate(cells) if "".join(c["source"]) == source), "?")


@contextlib.contextmanager
def _memory_limit() -> Iterator[None]:
    """A mutant that asks for too much memory gets a MemoryError, where the system can do that (Linux)."""
    statm = Path("/proc/self/statm")
    try:
        import resource
    except ImportError:
        resource = None
    if resource is None or not statm.is_file():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = int(statm.read_text().split()[0]) * resource.getpagesize() + MEMORY
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


# ------------------------------------------------------------------------------------------------ 5 and 6 right answers

def _right_answers(lesson: _Lesson, exercise: Exercise, solution, report: Report) -> list:
    """At least two answers written differently from each other and from the solution, and each passes; returns those.

    A value has no style: two are asked for, and they may be equal.
    """
    answers = []
    written = {repr(_code(solution))}
    different = 0
    for place, answer in enumerate(lesson.allowed("RIGHT").get(exercise.id, []), 1):
        result = exercise.examine(answer)
        if result.outcome == PASSED:
            report.right += 1
            answers.append(answer)
        else:
            report.findings.append(f"{exercise.title}: right answer {place} is refused: {_line(result.text)}")
        code = repr(_code(answer))
        different += code not in written or exercise.kind == "value"
        written.add(code)
    if different < 2:
        report.findings.append(f"{exercise.title}: {different} right answers in another style in "
                               f"tests/lessons/test_{lesson.name}.py RIGHT[{exercise.id!r}], at least 2 are needed")
    return answers


def _code(answer):
    """What an answer does, step by step, without the names that it gives its variables, comments and docstring."""
    if isinstance(answer, type):
        return [(name, _code(value)) for name, value in sorted(vars(answer).items()) if hasattr(value, "__code__")]
    if isinstance(answer, functools.partial):
        return [_code(answer.func), repr(answer.args), repr(answer.keywords)]
    code = getattr(answer, "__code__", answer)
    if not hasattr(code, "co_code"):
        return repr(answer)
    unsaid = (None, getattr(answer, "__doc__", None))
    consts = [_code(c) if hasattr(c, "co_code") else repr(c) for c in code.co_consts if c not in unsaid]
    return [code.co_code.hex(), code.co_names, consts]


def _runs(lesson: _Lesson, answers: dict[str, list], report: Report, say: Say) -> None:
    """Right answers pass whatever the seed, the number of threads, the default dtype and the device."""
    torch = sys.modules.get("torch") if _needs_torch(lesson.solution) else None
    devices = ["cpu", "cuda"] if torch and torch.cuda.is_available() else ["cpu"]
    draw = random.Random(f"runs of lesson {lesson.number}")
    for run in range(RUNS):
        seed, threads = draw.randrange(2**31), (1, 2, 4)[run % 3]
        dtype, device = ("float32", "float64")[run % 2], devices[run // 2 % len(devices)]
        setting = f"seed {seed}" + (f", {threads} threads, default {dtype}, {device}" if torch else "")
        say(f"right answers, {setting}")
        with _setting(torch, seed, threads, dtype, device):
            for exercise in lesson.exercises:
                mine = answers.get(exercise.id)
                if not mine:
                    continue
                # What is expected is worked out anew in each run: it may depend on the setting as answers do.
                fresh = dataclasses.replace(exercise, _facts=None, _mistake_facts={}, _last_passed=None)
                result = fresh.examine(mine[run % len(mine)])
                if result.outcome != PASSED:
                    which = f"right answer {run % len(mine)}" if run % len(mine) else "the solution"
                    report.findings.append(f"{exercise.title}: {which} is refused with {setting}: {_line(result.text)}")
        report.runs += 1


@contextlib.contextmanager
def _setting(torch, seed: int, threads: int, dtype: str, device: str) -> Iterator[None]:
    seeded = guard.same_random_state
    before = dict(os.environ)
    was = (torch.get_num_threads(), torch.get_default_dtype()) if torch else None
    os.environ["COURSE_DEVICE"] = device
    if torch:
        torch.set_num_threads(threads)
        torch.set_default_dtype(getattr(torch, dtype))
    try:
        with unittest.mock.patch.object(guard, "same_random_state", lambda seed_=0: seeded(seed)):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        if torch:
            torch.set_num_threads(was[0])
            torch.set_default_dtype(was[1])


# ------------------------------------------------------------------------------------------------ one lesson

def prove_here(number: str, root: Path = ROOT, say: Say = lambda step: None) -> Report:
    """Prove one lesson in this process; ``prove`` does it in a child, which may die without harm.

    Raises AuthorError if there is no such lesson. ``say`` hears each step before it is taken.
    """
    started = time.monotonic()
    path = solutions([number], root)[0]
    report = Report(number, name_of(path))
    with _quiet():
        try:
            module = importlib.import_module(f"helpers.lessons.{report.name}")
            answers = tests_module(report.name, root)
        except Exception as problem:
            report.findings.append(f"lesson module or tests cannot be imported: {_named(problem)}")
            return report
        lesson = _Lesson(number, report.name, path, exercise_path(path), module, answers)
        with _step(report, "unsolved notebook"):
            _unsolved(lesson, report, say)
        solved: dict[str, Any] = {}
        with _step(report, "solutions"):
            solved = _solutions_pass(lesson, report, say)
        right: dict[str, list] = {}
        for exercise in lesson.exercises:
            say(f"{exercise.title}: known mistakes")
            with _step(report, f"{exercise.title}, mistakes"):
                _mistakes(exercise, report)
            if exercise.id not in solved:
                continue
            say(f"{exercise.title}: impostors")
            with _step(report, f"{exercise.title}, impostors"):
                _impostors(exercise, solved[exercise.id], lesson.allowed("ACCEPTED_IMPOSTORS").get(exercise.id, {}), report)
            say(f"{exercise.title}: right answers")
            with _step(report, f"{exercise.title}, right answers"):
                right[exercise.id] = [solved[exercise.id], *_right_answers(lesson, exercise, solved[exercise.id], report)]
        with _step(report, "runs"):
            _runs(lesson, right, report, say)
        with _memory_limit():
            for exercise in lesson.exercises:
                if exercise.id in solved:
                    with _step(report, f"{exercise.title}, mutants"):
                        _mutants(lesson, exercise, report, say)
        _judge(lesson, report)
    report.seconds = time.monotonic() - started
    return report


def _judge(lesson: _Lesson, report: Report) -> None:
    wrong = report.total - report.equivalent
    if report.exercises and not report.total:
        report.findings.append("there is not one mutant")
    elif report.refused < MUST_REFUSE * wrong:
        report.findings.append(f"{report.refused} of {wrong} mutants are refused, {100 * report.score:.1f} %: "
                               f"at least {100 * MUST_REFUSE:.0f} % are needed")
    if report.equivalent > MAY_BE_EQUIVALENT * report.total:
        report.findings.append(f"{report.equivalent} of {report.total} mutants are listed in EQUIVALENT: "
                               f"at most {100 * MAY_BE_EQUIVALENT:.0f} % may be")
    ids = {e.id for e in lesson.exercises}
    for table in ("RIGHT", "EQUIVALENT", "ACCEPTED_IMPOSTORS"):
        report.findings += [f"{table} of tests/lessons/test_{lesson.name}.py names {key!r}, which is no exercise"
                            for key in lesson.allowed(table) if key not in ids]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Wrong answers print and warn a lot."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere), \
            contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _step(report: Report, name: str) -> Iterator[None]:
    """An exception in one step of the proof is a finding, and the next step is taken."""
    try:
        yield
    except Exception as problem:
        last = traceback.extract_tb(problem.__traceback__)[-1]
        report.findings.append(f"{name}: {_named(problem)} ({Path(last.filename).name}, line {last.lineno})")


def _named(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {_line(problem)}"


def _line(text, limit: int = 200) -> str:
    words = " ".join(str(text).split())
    return words if len(words) <= limit else words[:limit] + " ..."


# ------------------------------------------------------------------------------------------------ children and cache

def prove(number: str, *, root: Path = ROOT, cache: bool = True) -> Report:
    """Prove one lesson in a child process; raises AuthorError if there is no such lesson."""
    return prove_all([number], root=root, cache=cache)[0]


def prove_all(numbers: list[str] | None = None, *, root: Path = ROOT, cache: bool = True, jobs: int = 1) -> list[Report]:
    """Prove lessons (default: all), ``jobs`` at a time. A report without findings is kept until something changes."""
    paths = solutions(numbers, root)
    reports: dict[Path, Report] = {}
    for path in paths:
        if cache and (kept := _kept(path, root)):
            reports[path] = kept
    # Lessons without torch first: a fork after the import of torch would carry it along.
    waiting = sorted((p for p in paths if p not in reports), key=lambda p: (_needs_torch(p), p))
    running: list[_Child] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_Child(waiting.pop(0), root))
            time.sleep(0.05)
            for child in [c for c in running if c.is_over()]:
                running.remove(child)
                reports[child.path] = child.report()
    finally:
        for child in running:
            child.stop()
    for path in paths:
        if not reports[path].findings and not reports[path].cached:
            _keep(path, root, reports[path])
    return [reports[p] for p in paths]


class _Child:
    """A process that proves a lesson: a fork on Linux (torch is imported once), elsewhere a new interpreter."""

    def __init__(self, path: Path, root: Path):
        self.path, self.number = path, number_of(path)
        self.folder = tempfile.TemporaryDirectory()
        place = Path(self.folder.name)
        self.step_file, self.report_file = place / "step", place / "report.json"
        self.heard, self.heard_at, self.silent = "", time.monotonic(), False
        self.process = self.popen = None
        # macOS's own libraries do not survive a fork, Windows has none; another root needs its own helpers.
        if sys.platform == "linux" and root == ROOT:
            if _needs_torch(path):
                _import_torch()
            self.process = multiprocessing.get_context("fork").Process(target=_in_child, args=(self.number, root, place))
            self.process.start()
        else:
            python_path = [str(root), str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "authoring.prove", "--child", self.number, str(place)], cwd=root,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, python_path))})

    def is_over(self) -> bool:
        heard = self._last_step()
        if heard != self.heard:
            self.heard, self.heard_at = heard, time.monotonic()
        if self._running() and time.monotonic() - self.heard_at > SILENCE:
            self.silent = True
            self.stop()
        return not self._running()

    def report(self) -> Report:
        if self.report_file.is_file() and not self.silent:
            report = _from_json(json.loads(self.report_file.read_text(encoding="utf-8")))
        else:
            end = f"was stopped after {SILENCE:.0f} s of silence" if self.silent else "died"
            report = Report(self.number, name_of(self.path),
                            findings=[f"the proof {end} at this step: {self._last_step() or 'its start'}"])
        self.folder.cleanup()
        return report

    def stop(self) -> None:
        (self.process or self.popen).kill()
        self.process.join() if self.process else self.popen.wait()

    def _running(self) -> bool:
        return self.process.is_alive() if self.process else self.popen.poll() is None

    def _last_step(self) -> str:
        return self.step_file.read_text(encoding="utf-8") if self.step_file.is_file() else ""


def _in_child(number: str, root: Path, folder: Path) -> None:
    """Prove, and leave the report in ``folder``."""
    os.environ.update(COURSE_PROGRESS="off", MPLBACKEND="agg", NO_COLOR="1")
    os.environ.setdefault("COURSE_DEVICE", "cpu")  # the runs of right answers use the GPU too
    os.environ.setdefault("COURSE_MODE", "fast")
    os.environ.pop("COURSE_CHECK_LOG", None)
    os.environ.pop("COURSE_KEEP_GOING", None)
    path = solutions([number], root)[0]
    if _needs_torch(path):
        _import_torch()
    step = folder / "step"
    report = prove_here(number, root, lambda text: step.write_text(text, encoding="utf-8"))
    unfinished = folder / "unfinished.json"
    unfinished.write_text(json.dumps(dataclasses.asdict(report)), encoding="utf-8")
    unfinished.replace(folder / "report.json")


def _needs_torch(path: Path) -> bool:
    """True if the solution notebook or the lesson module imports torch."""
    module = path.parent.parent / "helpers" / "lessons" / f"{name_of(path)}.py"
    text = module.read_text(encoding="utf-8") if module.is_file() else ""
    return any(re.search(r"(?m)^\s*(import|from) torch\b", t) for t in [text, *notebooks.code_cells(path)])


def _import_torch() -> None:
    import torch

    torch.set_num_threads(1)
    # The first optimizer imports a large part of torch, for seconds: here, not within an answer's time limit.
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)


def _fingerprint(path: Path, root: Path) -> str:
    """A hash of all that a proof depends on."""
    name = name_of(path)
    digest = hashlib.sha256()
    for notebook in (path, exercise_path(path)):
        digest.update("\x00".join(notebooks.code_cells(notebook) if notebook.is_file() else []).encode())
    here = Path(__file__).resolve().parent
    files = [root / "helpers" / "lessons" / f"{name}.py", root / "tests" / "lessons" / f"test_{name}.py",
             *sorted((root / "helpers").glob("*.py")), here / "prove.py", here / "mutants.py", here / "lessonfiles.py",
             *sorted(p for p in (root / "tests" / "lessons").glob("*.py") if not p.name.startswith("test_"))]
    for file in files:
        digest.update(file.name.encode() + (file.read_bytes() if file.is_file() else b"missing"))
    versions = [importlib.metadata.version(p) for p in ("numpy", "torch")]
    settings = [os.environ.get(n, "") for n in ("COURSE_DATA", "COURSE_DATA_DIR", "COURSE_DEVICE", "COURSE_MODE")]
    gpu = shutil.which("nvidia-smi") or ""
    digest.update(repr([sys.version, sys.platform, versions, settings, gpu]).encode())
    return digest.hexdigest()


def _cache_file(path: Path, root: Path) -> Path:
    return root / ".course-cache" / "prove" / f"{number_of(path)}.json"


def _kept(path: Path, root: Path) -> Report | None:
    try:
        data = json.loads(_cache_file(path, root).read_text(encoding="utf-8"))
        if data["fingerprint"] == _fingerprint(path, root):
            report = _from_json(data["report"])
            report.cached = True
            return report
    except (OSError, ValueError, KeyError, TypeError):  # no cache, or a damaged one
        pass
    return None


def _keep(path: Path, root: Path, report: Report) -> None:
    file = _cache_file(path, root)
    with contextlib.suppress(OSError):  # a read-only folder has no cache
        file.parent.mkdir(parents=True, exist_ok=True)
        data = {"fingerprint": _fingerprint(path, root), "report": dataclasses.asdict(report)}
        file.write_text(json.dumps(data), encoding="utf-8")


# ------------------------------------------------------------------------------------------------ the command

def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["--child"]:
        _in_child(arguments[1], ROOT, Path(arguments[2]))
        return 0
    parser = argparse.ArgumentParser(prog="python -m authoring.prove", description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", metavar="NN", help="lessons to prove (default: all)")
    parser.add_argument("--no-cache", action="store_true", help="prove even what has not changed")
    parser.add_argument("--survivors", action="store_true", help="list survivors in a form to copy into EQUIVALENT")
    options = parser.parse_args(arguments)
    try:
        reports = prove_all(options.lessons, cache=not options.no_cache, jobs=os.cpu_count() or 1)
    except AuthorError as problem:
        print(f"✗ {problem}")
        return 2
    for report in reports:
        print(report.row())
        for survivor in report.survivors:
            print(f"  survivor {survivor}")
            if options.survivors:
                print(f"    {survivor.exercise!r}: {{{survivor.key!r}: \"\"}},")
        for finding in report.findings:
            print(f"  ✗ {finding}")
    return 1 if any(r.findings for r in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
