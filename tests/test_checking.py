"""The engine of exercises: four outcomes, honest messages, and walls against everything a cell can do."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest

from helpers import checking, progress
from helpers.checking import (
    ERROR,
    NOT_ATTEMPTED,
    PASSED,
    WRONG,
    Exercise,
    Mistake,
    NotAttempted,
    Question,
    Quiz,
    WrongAnswer,
    expect,
)

X = np.array([[1.0, 2.0, -1.0], [0.5, -3.0, 2.0], [4.0, 0.0, 1.5], [-2.0, 1.0, 0.25]])
W = np.array([2.0, -1.0, 3.0])


def _observe(score, see):
    see.call(score, X, W, 0.5)
    see.call(score, X[:1], W, -2.0)


def _loop(X, w, b):
    return np.array([sum(float(a) * float(c) for a, c in zip(row, w, strict=True)) + b for row in X])


def make(**changes):
    options = {
        "observe": _observe, "expected": _loop,
        "mistakes": [Mistake("The bias is missing.", lambda X, w, b: X @ w),
                     Mistake("w was changed in place.", _changes_w)],
        "hints": ["one", "two", "three"], "seconds": 1.0, **changes,
    }
    return Exercise("99.1", "score", **options)


def _changes_w(X, w, b):
    w *= 2
    return X @ (w / 2) + b


def stub(X, w, b):
    raise NotImplementedError


def test_a_right_answer_passes_and_says_so(capsys):
    make().check(lambda X, w, b: X @ w + b)
    assert capsys.readouterr().out == "✓ 99.1 score: passed\n"


@pytest.mark.parametrize("untouched", [..., stub])
def test_what_is_not_written_is_not_wrong(untouched):
    stub.__code__ = stub.__code__.replace(co_name="score", co_qualname="score")
    with pytest.raises(NotAttempted, match="99.1 score: not attempted") as caught:
        make().check(untouched)
    assert "Write score" in str(caught.value)


def test_a_call_of_another_stub_names_that_one():
    def helper(x):
        raise NotImplementedError

    result = make().examine(lambda X, w, b: helper(X))
    assert result.outcome == NOT_ATTEMPTED


def test_a_library_that_raises_not_implemented_is_an_error():
    torch = pytest.importorskip("torch")
    result = make().examine(lambda X, w, b: torch.arange(3).mean())
    assert result.outcome == ERROR or "NotImplementedError" not in result.text
    assert result.outcome != NOT_ATTEMPTED


def test_a_known_mistake_is_named():
    result = make().examine(lambda X, w, b: (X * w).sum(axis=1))
    assert result.outcome == WRONG
    assert result.mistake.diagnosis == "The bias is missing."
    assert "likely    The bias is missing." in result.text


def test_a_change_in_place_is_seen():
    exercise = make()
    result = exercise.examine(_changes_w)
    assert result.mistake is exercise.mistakes[1]
    assert "the caller's w was changed in place" in result.text


def test_a_predicate_recognizes_more_of_a_kind():
    exercise = make(mistakes=[Mistake("Booleans.", lambda X, w, b: X @ w > b,
                                      when=lambda facts: all(v.dtype == bool for v in facts.values()))])
    assert exercise.examine(lambda X, w, b: X @ w < 0).mistake.diagnosis == "Booleans."


@pytest.mark.parametrize(("odd", "words"), [
    ("text", "got       'text'"),
    (dict, "got       the class dict"),
    (None, "got       None"),
    (lambda X: X, "can be called as score(X, w, b)"),
    (lambda X, w, b: None, "Is a `return` missing?"),
    (lambda X, w, b: (v for v in X), "yield"),
    (lambda X, w, b: [1.0, 2.0, 3.0, 4.0], "convert the result"),
    (lambda X, w, b: np.float64(3), "float64 array (4,)"),
    (lambda X, w, b: (X @ w + b).astype(np.float32), "the entries are float32"),
    (lambda X, w, b: (X @ w + b)[:, None], "a dimension of size 1"),
    (lambda X, w, b: X @ w * np.nan, "NaN at [0]"),
    (lambda X, w, b: -(X @ w + b), "sign is the wrong way round"),
    (lambda X, w, b: 3 * (X @ w + b), "3 times what it should be"),
    (lambda X, w, b: X @ w + b + 0.25, "off by the same 0.25"),
])
def test_odd_answers_get_one_clear_message(odd, words):
    result = make(mistakes=[]).examine(odd)
    assert result.outcome == WRONG
    assert words in result.text
    assert result.text.startswith("✗ 99.1 score: wrong\n")
    assert len(result.text.splitlines()) < 14


def _endless(X, w, b):
    while True:
        try:  # noqa: SIM105 - the worst that code can do to a time limit
            pass
        except:  # noqa: E722
            pass


class Unkind:
    def __eq__(self, other):
        raise RuntimeError("no comparing")

    def __repr__(self):
        raise RuntimeError("no printing")


@pytest.mark.parametrize(("hostile", "words"), [
    (lambda X, w, b: X @ undefined, "NameError"),  # noqa: F821
    (lambda X, w, b: 1 / 0, "ZeroDivisionError: division by zero"),
    (lambda X, w, b: sys.exit(3), "Do not call exit()"),
    (lambda X, w, b: (lambda f: f(f))(lambda f: f(f)), "calls itself without end"),
    (lambda X, w, b: np.zeros((10**7, 10**9)), "more memory than there is"),
    (_endless, "endless loop"),
])
def test_errors_keep_the_students_line(hostile, words):
    result = make(mistakes=[]).examine(hostile)
    assert result.outcome == ERROR
    assert words in result.text
    assert "yours     line" in result.text


def test_an_object_that_cannot_be_compared_or_printed_is_wrong():
    result = make(mistakes=[]).examine(lambda X, w, b: Unkind())
    assert result.outcome == WRONG
    assert "an Unkind" in result.text


def test_the_time_limit_works_outside_the_main_thread():
    import threading

    found = []
    thread = threading.Thread(target=lambda: found.append(make(mistakes=[]).examine(_endless)))
    thread.start()
    thread.join(20)
    assert found and "endless loop" in found[0].text


def test_a_check_leaves_the_random_state_alone():
    np.random.seed(5)
    random.seed(5)
    before = np.random.get_state()[1].copy(), random.getstate()

    def noisy(X, w, b):
        np.random.rand(7)
        random.random()
        return X @ w + b

    assert make().examine(noisy).outcome == PASSED
    assert (np.random.get_state()[1] == before[0]).all() and random.getstate() == before[1]


def test_a_check_is_the_same_each_time_for_an_answer_that_draws_numbers():
    first, second = (make(mistakes=[]).examine(lambda X, w, b: np.random.rand(len(X))).text for _ in range(2))
    assert first == second


def test_expected_can_be_a_dict_of_properties():
    def observe(gate, see):
        w, b = see.call(gate, record=False)
        see.note(f"weights {w}")
        see.fact("opens", bool(w + b > 0))

    exercise = make(observe=observe, expected={"opens": True}, mistakes=[])
    assert exercise.examine(lambda: (2, -1)).outcome == PASSED
    wrong = exercise.examine(lambda: (1, -1))
    assert wrong.outcome == WRONG and "weights 1" in wrong.text
    assert exercise.examine(lambda: None).outcome == WRONG
    assert exercise.examine(lambda: 3).outcome == WRONG  # cannot be unpacked


def test_raises_and_quiet_are_facts():
    def observe(f, see):
        see.raises(f, np.zeros(3), error=ValueError)
        see.call(f, np.array([1000.0, 1.0]), quiet=True)

    def right(x):
        if not x.any():
            raise ValueError("zero")
        return np.exp(-np.abs(x))

    def loud(x):
        if not x.any():
            raise ValueError("zero")
        return 1 / np.exp(np.abs(x))

    exercise = Exercise("99.2", "f", observe, lambda x: right(x))
    assert exercise.examine(right).outcome == PASSED
    assert "no warning" in exercise.examine(loud).text
    assert "returns" in exercise.examine(lambda x: np.exp(-np.abs(x))).text
    stubbed = exercise.examine(stub_f)
    assert stubbed.outcome == NOT_ATTEMPTED


def stub_f(x):
    raise NotImplementedError


def test_a_class_with_one_stub_method_is_not_attempted():
    def observe(Node, see):
        node = see.call(Node, 3, record=False)
        see.call(node.double, label="Node(3).double()")

    class Node:
        def __init__(self, value):
            self.value = value

        def double(self):
            raise NotImplementedError

    class Done(Node):
        def double(self):
            return 2 * self.value

    exercise = Exercise("99.3", "Node", observe, {"Node(3).double()": 6}, kind="class")
    assert exercise.examine(Node).outcome == NOT_ATTEMPTED
    assert exercise.examine(Done).outcome == PASSED
    assert exercise.examine(Done(3)).outcome == WRONG


def test_keep_going_prints_instead_of_raising(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_KEEP_GOING", "1")
    make().check(lambda X, w, b: X @ w)
    assert "✗ 99.1 score: wrong" in capsys.readouterr().out


def test_three_failures_remind_of_the_hints(quiet_progress):
    exercise = make()
    for attempt in range(3):
        with pytest.raises(WrongAnswer) as caught:
            exercise.check(lambda X, w, b: X @ w)
        assert ("Help costs nothing" in str(caught.value)) == (attempt == 2)


def test_hints_come_one_after_the_other(quiet_progress, capsys):
    exercise = make()
    for expected in ("Hint 1 of 3: one", "Hint 2 of 3: two", "Hint 3 of 3: three", "Hint 3 of 3: three"):
        exercise.hint()
        assert expected in capsys.readouterr().out
    exercise.hint(1)
    assert "Hint 1 of 3" in capsys.readouterr().out
    exercise.hint()
    assert "Hint 3 of 3" in capsys.readouterr().out  # hint(1) does not start again
    exercise.hint(9)
    assert "hints 1 to 3" in capsys.readouterr().out
    assert progress.read()["exercises"]["99.1"]["hints"] == 3


def test_without_solutions_help_says_so(capsys):
    exercise = make()
    exercise.solution()
    exercise.reset()
    out = capsys.readouterr().out
    assert "without solutions" in out and "no stub" in out
    with pytest.raises(NotAttempted, match="needs your own score"):
        exercise.use(stub)


def test_the_message_replaces_the_traceback_in_a_notebook():
    failure = WrongAnswer("first\nsecond")
    assert failure._render_traceback_() == ["first", "second"]


def test_the_log_counts_checks(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_CHECK_LOG", str(tmp_path / "log"))
    make().check(lambda X, w, b: X @ w + b)
    with pytest.raises(WrongAnswer):
        make().check(lambda X, w, b: X @ w)
    assert (tmp_path / "log").read_text() == "99.1 passed\n99.1 wrong\n"


def test_importing_the_engine_does_not_import_torch():
    code = "import sys, helpers.checking, helpers.plots, helpers; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=checking.notebooks.ROOT,
                          env={**os.environ})
    assert done.stdout.strip() == "False", done.stderr


# ------------------------------------------------------------------------------------------------ quiz and expect

QUIZ = Quiz("99", [Question("Two and two?", ("4", "Counted on fingers."), [("5", "One too many."), ("22", "That is text.")])])


def test_options_are_shuffled_but_always_alike():
    again = Quiz("99", [QUIZ[1].question])
    assert [o for o, _ in QUIZ[1].options] == [o for o, _ in again[1].options]
    assert QUIZ[1].options[QUIZ[1].letters.index(QUIZ[1].right_letter)][0] == "4"


def test_answers_say_why(quiet_progress, capsys):
    item = QUIZ[1]
    for letter, (option, why) in zip(item.letters, item.options, strict=True):
        item.answer(letter.upper() + " ")
        out = capsys.readouterr().out
        assert why in out and (("right" in out) == (option == "4"))
    for odd in (..., "z", 3, None, "ab"):
        item.answer(odd)
        assert "✓" not in capsys.readouterr().out
    with pytest.raises(IndexError, match="questions 1 to 1"):
        QUIZ[2]


def test_expect_shows_the_message_and_fails_if_nothing_is_raised(capsys):
    with expect(ValueError, match="shape"):
        raise ValueError("bad shape")
    assert capsys.readouterr().out == "as expected: ValueError: bad shape\n"
    with pytest.raises(AssertionError, match="did not"), expect(ValueError):
        pass
    with pytest.raises(AssertionError, match="not like"), expect(ValueError, match="dtype"):
        raise ValueError("shape")
    with pytest.raises(KeyError), expect(ValueError):
        raise KeyError("other")


# ------------------------------------------------------------------------------------------------ in a lesson

@pytest.fixture
def solved(monkeypatch):
    """As if the course had a solution notebook for the exercise."""
    monkeypatch.setattr(checking.notebooks, "solution_path", lambda number: None)
    monkeypatch.setattr(checking.notebooks, "solved_namespace", lambda path, name: {name: lambda X, w, b: X @ w + b})


def test_use_goes_on_with_the_students_object_or_with_the_courses_own(solved, capsys):
    exercise = make()

    def mine(X, w, b):
        return b + X @ w

    assert exercise.use(mine) is mine
    assert capsys.readouterr().out == ""
    own = exercise.use(stub)
    assert own is not stub and exercise.use(...) is own
    assert "goes on with the course's own score" in capsys.readouterr().out


def test_the_courses_own_object_earns_nothing(solved):
    exercise = make()
    own = exercise.use(stub)
    result = exercise.examine(own)
    assert result.outcome == NOT_ATTEMPTED and "is the course's own" in result.text
    assert exercise.examine(lambda X, w, b: X @ w + b).outcome == PASSED


def test_what_code_prints_does_not_bury_the_message(capsys):
    def chatty(X, w, b):
        for number in range(1000):
            print("value", number)

    result = make(mistakes=[]).examine(chatty)
    assert capsys.readouterr().out == ""
    assert "printed   value 0" in result.text and "`print` only shows a value" in result.text
    assert make().examine(lambda X, w, b: print("x") or X @ w + b).outcome == PASSED


def test_a_check_without_an_argument_says_what_to_pass():
    with pytest.raises(NotAttempted, match=r"lesson.score.check\(score\)"):
        make().check()


def test_backups_never_overwrite_each_other(quiet_progress, monkeypatch):
    class Shell:
        user_ns = {"In": ["", "def score(X, w, b):\n    return 1"]}

    exercise = make()
    first, second = exercise._back_up(Shell), exercise._back_up(Shell)
    assert first and second and first != second
    assert len(list((quiet_progress.parent / "backups").iterdir())) == 2


def test_an_endless_loop_in_a_later_case_is_said_even_after_a_difference():
    def slow_later(X, w, b):
        while len(X) == 1:
            pass
        return X @ w

    result = make(mistakes=[]).examine(slow_later)
    assert result.outcome == ERROR and "endless loop" in result.text and "(1, 3)" not in result.text.split("expected")[0][:40]


def test_parts_of_a_tuple_have_names():
    def observe(step, see):
        see.call(step, 2.0, parts=("the new w", "the new b"))

    exercise = Exercise("99.4", "step", observe, lambda x: (x, x + 1))
    text = exercise.examine(lambda x: (x, x)).text
    assert "the new b: 3.0" in text and "of the tuple" not in text


def test_warnings_of_background_cases_stay_quiet(recwarn):
    assert make().examine(lambda X, w, b: X @ w + b + 0 * np.log(np.zeros(len(X)) + 1)).outcome == PASSED
    make().examine(lambda X, w, b: np.log(np.zeros(len(X))))
    assert not recwarn.list


def test_only_a_call_that_gives_none_lacks_its_return():
    """A gradient that is None is no missing return."""
    def observe(score, see):
        see.call(score, X, W, 0.5)
        see.fact("a gradient", getattr(score, "gradient", None))

    def right(X, w, b):
        return X @ w + b

    right.gradient = np.array([1.0, 2.0, 0.5])
    exercise = make(observe=observe, expected=right, mistakes=[])
    assert "return" not in exercise.examine(lambda X, w, b: X @ w + b).text.split("next")[0]
    assert "Is a `return` missing?" in exercise.examine(lambda X, w, b: None).text


def test_when_the_check_can_not_go_on_it_says_that_and_not_that_this_came_back():
    def observe(score, see):
        first = see.call(score, X, W, 0.5, record=False, asks="an array")
        see.fact("its last number", float(first.sum(0)))

    text = make(observe=observe, expected=_loop, mistakes=[]).examine(lambda X, w, b: [1.0, 2.0]).text
    assert "could not go on with" in text and "AttributeError" in text
