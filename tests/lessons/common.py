"""What the tests of all lessons ask of an exercise's check.

A lesson's test module holds ``RIGHT``, a dict from an exercise's id to right answers in different styles, and gives each
exercise to these functions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from helpers import checking
from helpers.checking import ERROR, NOT_ATTEMPTED, PASSED, WRONG, Exercise


def passes(exercise: Exercise, answer) -> None:
    """The check takes the answer."""
    result = exercise.examine(answer)
    assert result.outcome == PASSED, result.text


def refused(exercise: Exercise, answer, *, saying: str = "", outcome: str = WRONG) -> str:
    """The check refuses the answer, in one short message that says ``saying``; returns the message."""
    result = exercise.examine(answer)
    assert result.outcome == outcome, f"{result.outcome}: {result.text}"
    assert saying in unwrapped(result.text), result.text
    lines = result.text.splitlines()
    assert lines[0].endswith(f"{exercise.title}: {outcome}")
    assert len(lines) <= 16, result.text
    assert all(len(line) <= 120 for line in lines), result.text
    assert "Traceback" not in result.text
    return result.text


def unwrapped(text: str) -> str:
    """A message without its line breaks and indentation."""
    return " ".join(text.split())


def right_answers_pass(exercise: Exercise, answers: Sequence) -> None:
    """At least two answers in different styles, and each of them passes."""
    assert len(answers) >= 2, f"{exercise.title}: at least two right answers, please"
    for answer in answers:
        passes(exercise, answer)


def mistakes_are_named(exercise: Exercise) -> None:
    """Each known mistake is refused with its own diagnosis, and the message prints it."""
    for mistake in exercise.mistakes:
        result = exercise.examine(mistake.example)
        assert result.outcome == WRONG, f"{mistake.diagnosis}: {result.text}"
        assert result.mistake is mistake, f"{mistake.diagnosis}: taken for {result.mistake}"
        assert unwrapped(mistake.diagnosis) in unwrapped(result.text), result.text


def mistakes_differ(exercise: Exercise) -> None:
    """No two known mistakes have the same facts, so that each can be told from the others."""
    facts = [exercise.mistake_facts(place) for place in range(len(exercise.mistakes))]
    for i, a in enumerate(facts):
        for j in range(i):
            assert not checking.same_facts(a, facts[j], exercise._tolerance), f"{exercise.title}: mistakes {j + 1} and {i + 1}"


def hostile_objects_get_a_message(exercise: Exercise, arity: int) -> None:
    """Odd answers to an exercise that asks for a function: one clear message each, and nothing escapes."""
    refused(exercise, ..., outcome=NOT_ATTEMPTED)
    refused(exercise, None, saying="None")
    refused(exercise, "predict", saying="'predict'")
    refused(exercise, int, saying="the class int")
    refused(exercise, lambda *a, **k: None, saying="return")
    refused(exercise, lambda *a, **k: "text")
    refused(exercise, lambda *a, **k: float("nan"))
    refused(exercise, lambda *a, **k: object())
    refused(exercise, lambda *a, **k: [])
    refused(exercise, lambda *a, **k: (x for x in (1, 2)), saying="generator")
    refused(exercise, _raises, saying="ZeroDivisionError", outcome=ERROR)
    refused(exercise, _exits, saying="SystemExit", outcome=ERROR)
    refused(exercise, _stub, outcome=NOT_ATTEMPTED)
    # one argument too many, or one too few
    refused(exercise, eval(f"lambda {', '.join(f'a{n}' for n in range(arity + 1))}: a0"), saying="called")
    if arity:
        refused(exercise, lambda: 1, saying="called")


def endless_loop_is_stopped(exercise: Exercise, monkeypatch) -> None:
    """A function that never returns is stopped and explained."""
    monkeypatch.setattr(exercise, "seconds", 0.2)
    refused(exercise, _sleeps, saying="endless loop", outcome=ERROR)


def _raises(*args, **kwargs):
    return 1 / 0


def _exits(*args, **kwargs):
    raise SystemExit(3)


def _stub(*args, **kwargs):
    raise NotImplementedError


def _sleeps(*args, **kwargs):
    while True:
        time.sleep(0.01)
