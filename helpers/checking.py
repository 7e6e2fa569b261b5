"""Exercises and how they are checked.

A lesson module describes each exercise once::

    def _observe(predict, see):
        for X, w, b in POINTS:
            see.call(predict, X, w, b)

    predict = Exercise(
        "01.1", "predict",
        observe=_observe,                      # turns an object into named facts on fixed inputs
        expected=_reference_predict,           # an independent right answer, observed in the same way ...
        mistakes=[Mistake("The bias is missing ...", lambda X, w, b: (X @ w >= 0).astype(int))],
        hints=["...", "...", "..."],
    )

``check`` observes the student's object and compares fact by fact. Where they differ, it observes the known mistakes too:
the mistake with exactly the same facts is the one that was made, and its diagnosis is printed.
"""

from __future__ import annotations

import contextlib
import dis
import inspect
import io
import linecache
import os
import random
import re
import site
import sys
import sysconfig
import textwrap
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from helpers import guard, notebooks, progress
from helpers.comparing import Difference, Raised, describe, difference, is_tensor, show_numbers, snapshot

PASSED, WRONG, NOT_ATTEMPTED, ERROR = "passed", "wrong", "not attempted", "error"
MARKS = {PASSED: "✓", WRONG: "✗", NOT_ATTEMPTED: "○", ERROR: "!"}
COLORS = {PASSED: "32", WRONG: "31", NOT_ATTEMPTED: "33", ERROR: "31"}
REMIND_AFTER = 3  # failed attempts, then the check reminds of the hints


# ---------------------------------------------------------------------------------------------- outcomes

class CheckFailed(Exception):
    """A check that did not pass. Notebooks show its short message instead of a traceback."""

    outcome = WRONG

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class WrongAnswer(CheckFailed):
    outcome = WRONG


class NotAttempted(CheckFailed):
    outcome = NOT_ATTEMPTED


class ErrorInYourCode(CheckFailed):
    outcome = ERROR


_EXCEPTIONS = {WRONG: WrongAnswer, NOT_ATTEMPTED: NotAttempted, ERROR: ErrorInYourCode}


_NOTHING = object()  # stands for an argument that was left out


@dataclass(frozen=True)
class Result:
    """What a check found: one of the four outcomes, the message, and the known mistake if one was recognized."""

    outcome: str
    text: str
    mistake: Mistake | None = None


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that many people give, and what to tell them.

    ``example`` is such an answer. A student's answer with exactly the facts of the example is recognized;
    ``when(facts)`` recognizes more of the kind, from a dict that maps each label to the value observed.
    """

    diagnosis: str
    example: Any
    when: Callable[[dict[str, Any]], bool] | None = None


# ---------------------------------------------------------------------------------------------- observing

@dataclass
class _Fact:
    value: Any
    rtol: float | None = None
    atol: float | None = None
    asked: str = ""           # how a message names what was tried; the label, if empty
    implied: Any = None       # the engine's own facts carry the expected value with them
    parts: Sequence[str] = ()  # what the values of a tuple are called
    returned: bool = False     # it came back from a call, so where it is None a `return` may be missing


class _Stop(BaseException):
    """Observation ends here: what follows would only be noise."""


@dataclass
class _Unfinished:
    """Why an observation stopped early: the exception, and whether it is a stub that has not been written."""

    problem: BaseException
    stub_of: str = ""


class Observer:
    """Collects facts about an object. An exercise's ``observe(student, see)`` gets one as ``see``."""

    def __init__(self, name: str, parameters: Sequence[str] = ()):
        self.name = name
        self.parameters = tuple(parameters)
        self.facts: dict[str, _Fact] = {}
        self.notes: list[str] = []
        self.remarks: list[str] = []
        self.unfinished: _Unfinished | None = None
        self.printed = _Printed()

    def call(self, function, *args, label: str = "", rtol: float | None = None, atol: float | None = None,
             record: bool = True, changes_inputs: bool = False, quiet: bool = False,
             asks: str = "a result", parts: Sequence[str] = (), **kwargs):
        """Call the student's ``function`` and record what it returns as a fact; returns the result.

        Arrays and tensors are passed as copies, and it is a fact that they come back unchanged
        (``changes_inputs=True`` passes the originals and allows changes). ``quiet`` makes it a fact that NumPy warned of
        nothing but underflow. ``record=False`` records only failures; use it for objects (a module, a function), and say with
        ``asks`` what kind. ``parts`` names the values of a tuple in messages: ``("the new w", "the new b")``.
        """
        label = self._new_label(label or self._call_text(function, args, kwargs))
        passed_args, passed_kwargs = (args, kwargs) if changes_inputs else (snapshot(args), snapshot(kwargs))
        self._check_arguments(function, passed_args, passed_kwargs, label)
        complaints: list[str] = []
        try:
            with _floating_point(complaints) if quiet else contextlib.nullcontext():
                result = function(*passed_args, **passed_kwargs)
        except Exception as problem:
            self._stop(label, problem)
        except (SystemExit, GeneratorExit, guard.TimeUp) as problem:
            self._stop(label, problem)
        if record or result is None:
            self.facts[label] = _Fact(snapshot(result), rtol, atol, parts=parts, returned=True)
            if not record:
                self.facts[label].implied = asks
        if not changes_inputs:
            for place, (before, after) in enumerate(zip([*args, *kwargs.values()],
                                                        [*passed_args, *passed_kwargs.values()], strict=True)):
                if difference(before, after, rtol=0, atol=0, nan_equal=True):
                    which = [*self.parameters, *[""] * 20][place] if place < len(args) else list(kwargs)[place - len(args)]
                    self.facts[f"{label}: its inputs stay as they are"] = _Fact(
                        f"the caller's {which or 'input'} was changed in place", implied="every input unchanged")
                    break
        if quiet:
            self.facts[f"{label}: no floating-point warning"] = _Fact(
                "; ".join(sorted(set(complaints))) or "no warning", implied="no warning")
        return result

    def raises(self, function, *args, error: type[Exception] = ValueError, label: str = "", **kwargs) -> None:
        """Record as a fact that the call ends with ``error`` (a subclass will do)."""
        label = self._new_label(label or self._call_text(function, args, kwargs))
        passed_args, passed_kwargs = snapshot(args), snapshot(kwargs)
        self._check_arguments(function, passed_args, passed_kwargs, label)
        try:
            result = function(*passed_args, **passed_kwargs)
        except error as problem:
            if _stub_of(problem) is not None:
                self._stop(label, problem)
            found = f"raises {error.__name__}"
        except Exception as problem:
            if _stub_of(problem) is not None:
                self._stop(label, problem)
            found = f"raises {type(problem).__name__}: {problem}"
        except (SystemExit, GeneratorExit, guard.TimeUp) as problem:
            self._stop(label, problem)
        else:
            found = f"returns {describe(result)}"
        self.facts[label] = _Fact(found, implied=f"raises {error.__name__}")

    def fact(self, label: str, value, rtol: float | None = None, atol: float | None = None, implied=None) -> None:
        """Record a fact that the exercise works out itself (a property, a gradient, a count).

        ``implied`` is the value it must have, for a fact that ``expected`` does not speak of (a structure, a shape).
        """
        self.facts[self._new_label(label)] = _Fact(snapshot(value), rtol, atol, implied=implied)

    def note(self, text: str) -> None:
        """A line for the message of a wrong answer, for instance a truth table."""
        self.notes.append(text)

    def remark(self, text: str) -> None:
        """A line to print after a right answer that could be better."""
        self.remarks.append(text)

    def values(self) -> dict[str, Any]:
        return {label: fact.value for label, fact in self.facts.items()}

    def _new_label(self, label: str) -> str:
        if label not in self.facts:
            return label
        return next(f"{label} ({n})" for n in range(2, 10_000) if f"{label} ({n})" not in self.facts)

    def _call_text(self, function, args, kwargs) -> str:
        name = self.name if not isinstance(function, type) else getattr(function, "__name__", self.name)
        shown = []
        for place, value in enumerate(args):
            parameter = self.parameters[place] if place < len(self.parameters) else ""
            shown.append(_argument_text(parameter, value))
        shown += [_argument_text(key, value) for key, value in kwargs.items()]
        return f"{name}({', '.join(shown)})"

    def _check_arguments(self, function, args, kwargs, label) -> None:
        """A function of another arity gets its own message, not a TypeError from inside the check."""
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # builtins written in C have none
            return
        try:
            signature.bind(*args, **kwargs)
        except TypeError as problem:
            known = self.parameters or not args
            wanted = f"{self.name}({', '.join(self.parameters)})" if known else f"{len(args)} arguments"
            self.facts[label] = _Fact(f"cannot be called like this: {problem}; yours is {self.name}{signature}",
                                      asked=wanted, implied=f"can be called as {wanted}")
            raise _Stop from None

    def _stop(self, label: str, problem: BaseException) -> None:
        self.facts[label] = _Fact(Raised(type(problem).__name__, str(problem)))
        self.unfinished = _Unfinished(problem, _stub_of(problem) or "")
        raise _Stop from None


class _Printed(io.TextIOBase):
    """Takes what the code under check prints: it runs on many inputs, and a hundred numbers would bury the message."""

    def __init__(self):
        self.text = ""

    def write(self, text: str) -> int:
        if len(self.text) < 200:  # the rest is not shown
            self.text += text
        return len(text)

    def first_line(self) -> str:
        lines = [line for line in self.text.splitlines() if line.strip()]
        return lines[0][:80] if lines else ""


def _argument_text(parameter: str, value) -> str:
    large = (isinstance(value, np.ndarray) or is_tensor(value)) and int(np.prod(value.shape)) > 6
    if large:
        return f"{parameter or 'array'} {tuple(value.shape)}"
    if isinstance(value, np.ndarray) or is_tensor(value):
        text = show_numbers(value)
        return f"{parameter}={text}" if parameter else text
    text = _plain(value)
    return f"{parameter}={text}" if parameter else text


def _plain(value) -> str:
    if isinstance(value, tuple | list) and len(value) <= 8:
        inside = ", ".join(_plain(v) for v in value)
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    text = str(value) if type(value).__name__ == "Fraction" else describe(value)
    return text


@contextlib.contextmanager
def _floating_point(complaints: list[str]):
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="warn", under="ignore"):
        warnings.simplefilter("always")
        yield
    complaints += [str(w.message) for w in caught if issubclass(w.category, RuntimeWarning)]


# ---------------------------------------------------------------------------------------------- whose line was it

_LIBRARIES = tuple({str(Path(p).resolve()) for p in [
    *site.getsitepackages(), site.getusersitepackages(), sysconfig.get_paths()["stdlib"], Path(__file__).parent,
]})


def _is_students(filename: str) -> bool:
    """Code from a notebook cell, a test or a file of the student's; not from a library and not from these helpers."""
    if filename.startswith("<"):
        return not filename.startswith("<frozen") and not filename.startswith("<__array_function__")
    return not str(Path(filename).resolve()).startswith(_LIBRARIES)


def _student_frames(problem: BaseException) -> list:
    found, step = [], problem.__traceback__
    while step is not None:
        if _is_students(step.tb_frame.f_code.co_filename):
            found.append(step)
        step = step.tb_next
    return found


def _stub_of(problem: BaseException) -> str | None:
    """The name of the function whose ``raise NotImplementedError`` this is; None for every other exception.

    PyTorch raises NotImplementedError itself, for instance for the mean of integers: then the last frame is the
    student's too, but the step that raised is a call and not a ``raise``.
    """
    if type(problem) is not NotImplementedError or problem.__traceback__ is None:
        return None
    last = problem.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    code = last.tb_frame.f_code
    if not _is_students(code.co_filename) or code.co_code[last.tb_lasti] != dis.opmap["RAISE_VARARGS"]:
        return None
    return getattr(code, "co_qualname", code.co_name)


def _students_line(problem: BaseException) -> str:
    frames = _student_frames(problem)
    if not frames:
        return ""
    step = frames[-1]
    source = linecache.getline(step.tb_frame.f_code.co_filename, step.tb_lineno).strip()
    return f"line {step.tb_lineno}: {source}" if source else f"line {step.tb_lineno}"


# ---------------------------------------------------------------------------------------------- the exercise

@dataclass
class Exercise:
    """One exercise of a lesson.

    Args:
        id: ``"01.4"``: the lesson's number, then the exercise's.
        name: the name that the student defines: a function, a class or a value.
        observe: ``observe(student, see)`` records facts about an object with an Observer.
        expected: an independent right answer to observe, or a dict that maps each label to the value it must have.
        mistakes, hints: see Mistake; hints from a nudge to nearly the answer.
        kind: ``"function"``, ``"class"`` or ``"value"``.
        rtol, atol: tolerance for all facts that name none of their own (default: by dtype, see helpers.comparing).
        seconds: a student's code is stopped after this long.
    """

    id: str
    name: str
    observe: Callable[[Any, Observer], None]
    expected: Any
    mistakes: Sequence[Mistake] = ()
    hints: Sequence[str] = ()
    kind: str = "function"
    rtol: float | None = None
    atol: float | None = None
    seconds: float = 10.0
    parameters: Sequence[str] = ()
    _facts: dict[str, _Fact] | None = field(default=None, repr=False)
    _mistake_facts: dict[int, dict[str, _Fact]] = field(default_factory=dict, repr=False)
    _last_passed: Any = field(default=None, repr=False)
    _own: Any = field(default=None, repr=False)  # the course's object, once ``use`` handed it out
    _next_hint: int = field(default=1, repr=False)

    def __post_init__(self):
        if not self.parameters and callable(self.expected) and self.kind == "function":
            self.parameters = tuple(inspect.signature(self.expected).parameters)

    def __repr__(self) -> str:
        return f"exercise {self.title}: .check({self.name}), .hint(), .solution(), .reset()"

    @property
    def lesson(self) -> str:
        return self.id.split(".")[0]

    @property
    def title(self) -> str:
        return f"{self.id} {self.name}"

    # -- checking

    def check(self, student=_NOTHING) -> None:
        """Print that the answer is right, or raise a short message that says what is not.

        With COURSE_KEEP_GOING=1 the message is printed instead, so that "Run all" goes on; nbgrader takes a cell that raises
        nothing for a right answer, so there the setting has no effect.
        """
        graded = _nbgrader_runs()
        with _errors_as_output() if graded else contextlib.nullcontext():
            result = self.examine(student)
        attempts = self._record(result)
        text = result.text
        if result.outcome in (WRONG, ERROR) and attempts >= REMIND_AFTER:
            more = f"lesson.{self.name}.hint()" if self._next_hint <= len(self.hints) else f"lesson.{self.name}.solution()"
            text += f"\n  {attempts} attempts so far. Help costs nothing: {more}"
        if result.outcome == PASSED:
            print(text)
        elif os.environ.get("COURSE_KEEP_GOING") == "1" and not graded:
            print(_colored(result.outcome, text))
        else:
            # No chained exceptions: the message is all there is to read.
            raise _EXCEPTIONS[result.outcome](_colored(result.outcome, text)) from None

    def examine(self, student) -> Result:
        """The check itself, without printing, raising or recording anything."""
        early = self._wrong_kind(student)
        if early:
            return early
        seen = self._observe(student, self.seconds)
        if seen.unfinished and seen.unfinished.stub_of:
            return self._not_attempted(seen.unfinished.stub_of)
        place, found = self._first_difference(seen)
        if found is None:
            self._last_passed = student
            remarks = "".join(f"\n  {r}" for r in seen.remarks)
            return Result(PASSED, f"{MARKS[PASSED]} {self.title}: passed{remarks}")
        mistake = self._recognize(seen)
        if mistake:
            return Result(WRONG, self._message(WRONG, place, found, mistake.diagnosis, seen), mistake)
        if seen.unfinished and isinstance(seen.unfinished.problem, guard.TimeUp):
            return Result(ERROR, self._error_message(list(seen.facts)[-1] if seen.facts else place, seen.unfinished.problem))
        fact = seen.facts.get(place)
        if seen.unfinished and fact is not None and isinstance(fact.value, Raised):
            return Result(ERROR, self._error_message(place, seen.unfinished.problem))
        return Result(WRONG, self._message(WRONG, place, found, found.likely, seen))

    def use(self, student):
        """The student's object if it passes its check, else the course's own, with one printed line.

        A storyline cell goes on with it, so that an unsolved exercise does not stop the lesson.
        """
        if student is not ... and (student is self._last_passed or self.examine(student).outcome == PASSED):
            return student
        try:
            if self._own is None:
                self._own = notebooks.solved_namespace(notebooks.solution_path(self.lesson), self.name)[self.name]
        except notebooks.NoSolution:
            raise NotAttempted(f"○ {self.title}: the lesson needs your own {self.name} here, since this hand-out has no "
                               f"solutions.\n  Write it, let its check pass, then run this cell again.") from None
        print(f"○ {self.title}: not passed yet, so the lesson goes on with the course's own {self.name}.")
        return self._own

    # -- help

    def hint(self, level: int | None = None) -> None:
        """Print the first hint, on the next call the second, then the third; ``hint(2)`` prints just the second.

        The record keeps the highest hint taken; the same hint again counts nothing.
        """
        last = len(self.hints)
        if level is not None and not (isinstance(level, int) and 1 <= level <= last):
            print(f"○ {self.title} has hints 1 to {last}.")
            return
        number = level or min(self._next_hint, last)
        if level is None:
            self._next_hint = number + 1
        progress.record("exercises", self.id, hints=number)
        more = f"lesson.{self.name}.hint() shows the next." if number < last else f"lesson.{self.name}.solution() is next."
        print(_wrapped(f"Hint {number} of {last}: ", self.hints[number - 1]) + f"\n  {more}")

    def solution(self) -> None:
        """Print the cell of the solution notebook. It is noted as seen in your progress, without penalty."""
        try:
            cell = notebooks.exercise_cell(notebooks.solution_path(self.lesson), self.name)
        except notebooks.NoSolution:
            print(f"○ {self.title}: this hand-out comes without solutions. The hints are here: lesson.{self.name}.hint()")
            return
        progress.record("exercises", self.id, solution=True)
        print(f"# The course's solution of {self.title}. Close it, then write it again in your own words.\n")
        print(notebooks.without_marks(cell))

    def reset(self) -> None:
        """Put the untouched stub into a new cell below. What you wrote stays in its cell and in a backup file."""
        try:
            stub = notebooks.exercise_cell(notebooks.exercise_path(self.lesson), self.name)
        except notebooks.NoSolution:
            print(f"○ {self.title}: the exercise notebook is not here, so there is no stub to bring back.")
            return
        shell = _shell()
        saved = self._back_up(shell)
        if shell is None:
            print(stub)
            return
        shell.set_next_input(stub, replace=False)
        print(f"○ {self.title}: a fresh stub stands in the cell below." + (f" Your text is kept in {saved}." if saved else ""))

    def _back_up(self, shell) -> str:
        """Save the last text that defined the exercise; returns the file's name, or nothing if there was none."""
        history = shell.user_ns.get("In", []) if shell else []
        texts = [t for t in history if self.name in notebooks.defined_names(t)]
        # The lesson's own line `name = lesson.name.use(name)` defines the name too, but nobody wants it back.
        texts = [t for t in texts if f".{self.name}.use(" not in t] or texts
        where = progress.path()
        if not texts or where is None:
            return ""
        folder = where.parent / "backups"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stamp = f"{self.id}_{self.name}_{time.strftime('%Y%m%d-%H%M%S')}"
            names = [f"{stamp}.py", *(f"{stamp}_{n}.py" for n in range(2, 1000))]
            file = next(folder / name for name in names if not (folder / name).exists())
            file.write_text(texts[-1] + "\n", encoding="utf-8", newline="\n")
        except OSError:
            return ""
        return f"{folder.name}/{file.name}"

    # -- the parts of a check

    def _wrong_kind(self, student) -> Result | None:
        if student is ...:
            return self._not_attempted(self.name)
        if student is _NOTHING:
            text = (f"{MARKS[NOT_ATTEMPTED]} {self.title}: not attempted\n"
                    f"  next      Say what to check: lesson.{self.name}.check({self.name})")
            return Result(NOT_ATTEMPTED, text)
        if self._own is not None and student is self._own:
            text = (f"{MARKS[NOT_ATTEMPTED]} {self.title}: not attempted\n" + _wrapped(
                "  next      ", f"{self.name} is the course's own at the moment, since yours had not passed when the lesson "
                f"went on. Run the cell with your {self.name} again, then this check."))
            return Result(NOT_ATTEMPTED, text)
        is_class = isinstance(student, type)
        article = {"function": "a function", "class": "a class", "value": "a value"}[self.kind]
        fits = {"function": callable(student) and not is_class, "class": is_class, "value": True}[self.kind]
        if fits:
            return None
        text = (f"{MARKS[WRONG]} {self.title}: wrong\n  expected  {article} named {self.name}\n"
                f"  got       {describe(student)}\n  next      Pass {self.name} itself: lesson.{self.name}.check({self.name})")
        return Result(WRONG, text)

    def _observe(self, student, seconds: float | None) -> Observer:
        seen = Observer(self.name, self.parameters)
        limit = guard.time_limit(seconds) if seconds else contextlib.nullcontext()
        # Warnings of cases that run in the background would point at the wrong thing.
        with guard.same_random_state(), contextlib.redirect_stdout(seen.printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                with limit:
                    self.observe(student, seen)
            except _Stop:
                pass
            except guard.TimeUp as problem:  # it rang between two calls
                seen.unfinished = _Unfinished(problem)
            except Exception as problem:
                stub = _stub_of(problem)
                if stub is None and seconds is None:
                    raise  # our own answers must be observable
                seen.unfinished = _Unfinished(problem, stub or "")
                if any(step.tb_frame.f_code is not self.observe.__code__ for step in _student_frames(problem)):
                    seen.facts.setdefault("your code", _Fact(Raised(type(problem).__name__, str(problem))))
        return seen

    def expected_facts(self) -> dict[str, _Fact]:
        if self._facts is None:
            if isinstance(self.expected, Mapping):
                self._facts = {label: _Fact(value) for label, value in self.expected.items()}
            else:
                self._facts = self._observe(self.expected, None).facts
        return self._facts

    def _first_difference(self, seen: Observer) -> tuple[str, Difference | None]:
        expected = self.expected_facts()
        for label, fact in seen.facts.items():
            if fact.implied is not None:
                if fact.value != fact.implied:
                    return label, Difference(str(fact.implied), describe(fact.value) if fact.value is None
                                             else str(fact.value), _implied_hint(fact))
                continue
            if label not in expected:
                if isinstance(fact.value, Raised):
                    return label, Difference("no exception", describe(fact.value))
                raise AssertionError(f"{self.title}: the check has no expected value for the fact {label!r}")
            found = difference(expected[label].value, fact.value, *self._tolerance(expected[label], fact))
            if found and fact.value is None and not fact.returned:
                found = replace(found, likely="")
            if found:
                return label, _with_names(found, fact.parts)
        missing = [label for label, fact in expected.items() if label not in seen.facts and fact.implied is None]
        if missing or seen.unfinished:
            label = missing[0] if missing else self.name
            problem = seen.unfinished.problem if seen.unfinished else None
            got = f"something the check could not go on with ({type(problem).__name__}: {problem})" if problem else "nothing"
            if label in expected:
                return label, Difference(describe(expected[label].value), got)
            return label, Difference("an answer", got)
        return "", None

    def _tolerance(self, *facts: _Fact) -> tuple[float | None, float | None]:
        rtol = next((f.rtol for f in facts if f.rtol is not None), self.rtol)
        atol = next((f.atol for f in facts if f.atol is not None), self.atol)
        return rtol, atol

    def mistake_facts(self, place: int) -> dict[str, _Fact]:
        if place not in self._mistake_facts:
            self._mistake_facts[place] = self._observe(self.mistakes[place].example, self.seconds).facts
        return self._mistake_facts[place]

    def _recognize(self, seen: Observer) -> Mistake | None:
        for place, mistake in enumerate(self.mistakes):
            if same_facts(self.mistake_facts(place), seen.facts, self._tolerance):
                return mistake
        for mistake in self.mistakes:
            if mistake.when is not None:
                with contextlib.suppress(Exception):  # a fact is missing where the observation stopped early
                    if mistake.when(seen.values()):
                        return mistake
        return None

    def _record(self, result: Result) -> int:
        _log_check(self.id, result.outcome)
        changes: dict[str, Any] = {"outcome": result.outcome}
        if result.outcome in (WRONG, ERROR, PASSED):
            changes["attempts"] = +1
        if result.outcome == PASSED:
            changes["passed"] = True
        return progress.record("exercises", self.id, **changes).get("attempts", 0)

    # -- messages

    def _message(self, outcome: str, label: str, found: Difference, likely: str, seen: Observer) -> str:
        lines = [f"{MARKS[outcome]} {self.title}: {outcome}"]
        if label:
            lines.append(_wrapped("  case      ", label))
        lines += [_wrapped("  expected  ", found.asked), _wrapped("  got       ", found.got)]
        lines += [f"            {line}" for note in seen.notes for line in note.splitlines()]
        if seen.printed.first_line():
            lines.append(_wrapped("  printed   ", seen.printed.first_line() + " (the first line; prints are not judged)"))
            if found.got == "None" and likely.startswith("Is a `return`"):
                likely = "`print` only shows a value; `return` hands it back."
        if likely:
            lines.append(_wrapped("  likely    ", likely))
        lines.append(f"  next      Change {self.name}, run its cell, then this check. Stuck? lesson.{self.name}.hint()")
        return "\n".join(lines)

    def _not_attempted(self, stub: str) -> Result:
        first = stub.split(".")[0]
        if first in (self.name, "<lambda>"):
            method = f" ({stub} is still a stub)" if "." in stub and "<locals>" not in stub else ""
            next_step = (f"Write {self.name}{method}, run its cell, then this check. You did? Then look whether the name is "
                         f"spelled {first}. A first push: lesson.{self.name}.hint()")
        else:
            next_step = f"{self.name} calls {first}, which is still a stub: write {first} first."
        text = f"{MARKS[NOT_ATTEMPTED]} {self.title}: not attempted\n" + _wrapped("  next      ", next_step)
        return Result(NOT_ATTEMPTED, text)

    def _error_message(self, label: str, problem: BaseException) -> str:
        lines = [f"{MARKS[ERROR]} {self.title}: error"]
        lines.append(_wrapped("  case      ", label))
        line = _students_line(problem)
        if line:
            lines.append(_wrapped("  yours     ", line))
        name = type(problem).__name__
        if isinstance(problem, guard.TimeUp):
            text = f"nothing: it was stopped after {self.seconds:g} s. Is this an endless loop?"
            lines.append(_wrapped("  raised    ", text))
        else:
            text = " ".join(str(problem).split())
            lines.append(_wrapped("  raised    ", f"{name}: {text}" if text else name))
        advice = _ADVICE.get(name, "Read that line, then the exception: it says what it could not do.")
        lines.append(_wrapped("  next      ", advice))
        return "\n".join(lines)


_ADVICE = {
    "TimeUp": "See whether what the loop waits for can ever come true.",
    "MemoryError": "This asks for more memory than there is: look at the shapes; a broadcast may have blown one up.",
    "RecursionError": "The function calls itself without end.",
    "NameError": "The name is not known here: is it spelled as in the signature, and has its cell been run?",
    "SystemExit": "Do not call exit() in a notebook; `return` the result.",
    "IndentationError": "Look at the spaces at the start of the lines.",
}


def _implied_hint(fact: _Fact) -> str:
    if fact.value is None and fact.returned:
        return "Is a `return` missing?"
    if "in place" in str(fact.value):
        return "Make a copy first, or compute a new array: `w + step` instead of `w += step`."
    return ""


def _with_names(found: Difference, parts: Sequence[str]) -> Difference:
    """"value 0 of the tuple: 3" becomes "the new w: 3"."""
    for place, name in enumerate(parts):
        start = f"value {place} of the tuple: "
        if found.asked.startswith(start):
            asked, got = (text.replace(start, f"{name}: ", 1) for text in (found.asked, found.got))
            return Difference(asked, got, found.likely)
    return found


def same_facts(a: dict[str, _Fact], b: dict[str, _Fact], tolerance) -> bool:
    """True when two observations found the same: the same facts with the same values (NaN like NaN)."""
    if set(a) != set(b):
        return False
    return not any(difference(a[label].value, b[label].value, *tolerance(a[label], b[label]), nan_equal=True)
                   for label in a)


def _wrapped(start: str, text: str) -> str:
    """``start`` and the text behind it, wrapped and indented; a line break in the text stays."""
    width = 96
    out = []
    for line in str(text).splitlines() or [""]:
        out += textwrap.wrap(line, width - len(start), break_on_hyphens=False) or [""]
    return "\n".join((start if n == 0 else " " * len(start)) + line for n, line in enumerate(out))


def _colored(outcome: str, text: str) -> str:
    """Color only the first line, and only where a notebook shows it; the words carry the meaning."""
    if os.environ.get("NO_COLOR") or _shell() is None:
        return text
    first, _, rest = text.partition("\n")
    return f"\x1b[1;{COLORS[outcome]}m{first}\x1b[0m" + (f"\n{rest}" if rest else "")


def _shell():
    """The running IPython shell, or None."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def _nbgrader_runs() -> bool:
    """True while nbgrader autogrades or validates a notebook: it sets NBGRADER_EXECUTION for the kernel."""
    return bool(os.environ.get("NBGRADER_EXECUTION"))


@contextlib.contextmanager
def _errors_as_output():
    """Let what goes to stderr go to stdout: nbgrader gives no points to a check cell with anything on stderr.

    A right answer may well cause a warning, or print one. The file descriptor is for code in C, which writes to it directly.
    """
    with contextlib.redirect_stderr(sys.stdout):
        try:
            kept = os.dup(2)
            os.dup2(1, 2)
        except OSError:  # no such descriptors, as under pythonw
            kept = None
        try:
            yield
        finally:
            if kept is not None:
                os.dup2(kept, 2)
                os.close(kept)


def _log_check(exercise: str, outcome: str) -> None:
    """Tests count the checks that passed: one line each in the file named by COURSE_CHECK_LOG."""
    place = os.environ.get("COURSE_CHECK_LOG")
    if place:
        with open(place, "a", encoding="utf-8") as file:
            file.write(f"{exercise} {outcome}\n")


# ---------------------------------------------------------------------------------------------- quiz

@dataclass(frozen=True)
class Question:
    """A quiz question. ``right`` and each of ``wrong`` are pairs (option, why)."""

    text: str
    right: tuple[str, str]
    wrong: Sequence[tuple[str, str]]


class Quiz:
    """The questions of a lesson, from 1: ``lesson.quiz[3].answer("b")``. The options are shuffled, always alike."""

    def __init__(self, lesson: str, questions: Sequence[Question]):
        self.items = [QuizItem(lesson, n, q) for n, q in enumerate(questions, 1)]

    def __getitem__(self, number: int) -> QuizItem:
        if not isinstance(number, int) or not 1 <= number <= len(self.items):
            raise IndexError(f"The quiz has questions 1 to {len(self.items)}.")
        return self.items[number - 1]

    def __len__(self) -> int:
        return len(self.items)


class QuizItem:
    def __init__(self, lesson: str, number: int, question: Question):
        self.id = f"{lesson}.{number}"
        self.number, self.question = number, question
        self.options = [question.right, *question.wrong]
        random.Random(f"quiz {self.id}").shuffle(self.options)

    @property
    def letters(self) -> str:
        return "abcdefgh"[: len(self.options)]

    @property
    def right_letter(self) -> str:
        return self.letters[self.options.index(self.question.right)]

    def markdown(self) -> str:
        """The question and its options as the notebook shows them."""
        options = "\n".join(f"- **{letter}** {text}" for letter, (text, _) in zip(self.letters, self.options, strict=True))
        return f"**Question {self.number}.** {self.question.text}\n\n{options}"

    def answer(self, letter) -> None:
        """Say whether the option is right, and why, or why this one is not."""
        if letter is ...:
            print(f"○ question {self.number}: not answered. Put a letter in place of the dots, for instance answer(\"a\").")
            return
        chosen = str(letter).strip().lower()
        if len(chosen) != 1 or chosen not in self.letters:
            print(f"○ question {self.number}: choose one of {', '.join(self.letters)}.")
            return
        option, why = self.options[self.letters.index(chosen)]
        right = chosen == self.right_letter
        progress.record("quiz", self.id, attempts=+1, right=right)
        verdict = "right" if right else "not this one"
        print(_wrapped(f"{MARKS[PASSED if right else WRONG]} question {self.number}: {verdict}. ", why))


# ---------------------------------------------------------------------------------------------- shown failures

@contextlib.contextmanager
def expect(error: type[BaseException], match: str = ""):
    """Show code that must fail: print its short message, and fail if it does not raise ``error`` (or not with ``match``).

    >>> with expect(ValueError, match="shape"):
    ...     np.ones((2, 3)) @ np.ones((2, 3))
    """
    try:
        yield
    except error as problem:
        text = str(problem)
        if match and not re.search(match, text):
            raise AssertionError(f"{type(problem).__name__} came as expected, but its text is {text!r}, "
                                 f"not like {match!r}") from problem
        last = traceback.format_exception_only(problem)[-1].strip()
        print(_wrapped("as expected: ", last))
    else:
        raise AssertionError(f"The code above should raise {error.__name__}, and it did not.")
