"""The proof proves itself: bad checks, and above all an empty one, must be reported; good ones must not."""

import ast
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from authoring import prove
from authoring.mutants import mutants
from helpers.checking import Exercise
from helpers.notebooks import BEGIN, END, ROOT

FIXTURE = Path(__file__).parent / "fixtures" / "proof"


def make_root(folder: Path, *lessons: str) -> Path:
    """A course of its own, with this one's helpers and the named lessons of the fixture."""
    for place in ("solutions", "notebooks", "helpers/lessons", "tests/lessons"):
        (folder / place).mkdir(parents=True)
    for file in (ROOT / "helpers").glob("*.py"):
        shutil.copy(file, folder / "helpers")
    shutil.copy(ROOT / "helpers" / "lessons" / "__init__.py", folder / "helpers" / "lessons")
    for lesson in lessons:
        name = lesson.split("_")[1]
        shutil.copy(FIXTURE / f"{lesson}_solution.ipynb", folder / "solutions")
        shutil.copy(FIXTURE / f"{lesson}.ipynb", folder / "notebooks")
        shutil.copy(FIXTURE / f"{name}.py", folder / "helpers" / "lessons")
        shutil.copy(FIXTURE / f"{name}_answers.py", folder / "tests" / "lessons" / f"test_{name}.py")
    return folder


@pytest.fixture(scope="module")
def proven(tmp_path_factory):
    root = make_root(tmp_path_factory.mktemp("course"), "90_good", "91_bad")
    good, bad = prove.prove_all(root=root, jobs=2)
    return root, good, bad


# ------------------------------------------------------------------------------------------------ the whole proof

def test_good_checks_are_proven(proven):
    _, good, _ = proven
    assert good.findings == [] and good.survivors == []
    assert (good.exercises, good.passed, good.mistakes, good.right, good.runs) == (4, 4, 3, 8, 20)
    assert good.total > 30 and good.refused == good.total and good.by_time > 0 and good.impostors >= 10
    assert good.score == good.raw_score == 1.0
    assert good.row().startswith("✓ 90 good")


def found(bad, *words):
    return [f for f in bad.findings if all(w in f for w in words)]


def test_the_empty_check_is_reported(proven):
    _, _, bad = proven
    assert found(bad, "91.1", "refuses only 0 of")
    assert found(bad, "91.1", "impostor 'zeros' passes") and found(bad, "91.1", "impostor 'identity' passes")
    assert found(bad, "at least 95 % are needed")
    assert {s.exercise for s in bad.survivors} == {"91.1"} and bad.refused < bad.total
    survivor = bad.survivors[0]
    assert str(survivor) == ("91.1  solutions/91_bad_solution.ipynb cell anything-code, line 4: "
                             "return [2 * v + 1 for v in x] | 2 * v + 1 -> 2 * v - 1")
    assert bad.row().startswith("✗ 91 bad")


def test_a_check_that_refuses_a_right_answer_is_reported(proven):
    _, _, bad = proven
    assert found(bad, "91.2", "right answer 1 is refused", "0.6000000000000001")
    assert not found(bad, "91.2", "right answer 2")


def test_mistakes_that_are_alike_or_pass_or_are_not_recognized_are_reported(proven):
    _, _, bad = proven
    assert found(bad, "91.3", "mistake 2", "same facts as mistake 1")
    assert found(bad, "91.3", "mistake 3", "passes")
    assert found(bad, "91.3", "mistake 4", "not recognized")
    assert bad.mistakes == 1


def test_right_answers_that_differ_only_in_names_count_once(proven):
    _, _, bad = proven
    assert found(bad, "91.3", "1 right answers in another style")


def test_allow_lists_name_nothing_in_vain(proven):
    _, _, bad = proven
    assert found(bad, "91.3", "EQUIVALENT names a mutant that does not survive", "2 -> 7")
    assert found(bad, "91.3", "ACCEPTED_IMPOSTORS names 'zeros'")


def test_the_unsolved_notebook_must_run_and_check_each_exercise_once(proven):
    _, _, bad = proven
    assert found(bad, "cell fails fails: NotImplementedError")
    assert found(bad, "91.2", "2 check cells")
    assert found(bad, "91.3", "0 check cells")
    assert found(bad, "a solution region belongs to no exercise: def nobody")


def test_a_proof_is_kept_until_something_changes_and_only_without_findings(proven):
    root, good, _ = proven
    again = prove.prove("90", root=root)
    assert again.cached and (again.refused, again.total, again.seconds) == (good.refused, good.total, good.seconds)
    assert not (root / ".course-cache" / "prove" / "91.json").exists()
    solution = root / "solutions" / "90_good_solution.ipynb"
    answers = root / "tests" / "lessons" / "test_good.py"
    before = prove._fingerprint(solution, root)
    answers.write_text(answers.read_text(encoding="utf-8") + "\n# one more line\n", encoding="utf-8")
    assert prove._fingerprint(solution, root) != before
    (root / ".course-cache" / "prove" / "90.json").write_text("{", encoding="utf-8")
    assert prove._kept(solution, root) is None


def test_a_child_that_dies_is_a_finding_that_names_the_mutant(tmp_path):
    root = make_root(tmp_path, "90_good")
    (root / "notebooks" / "90_good.ipynb").unlink()
    module = root / "helpers" / "lessons" / "good.py"
    text = module.read_text(encoding="utf-8")
    deadly = 'lambda value, see: __import__("os")._exit(3) if value == 13 else see.fact("threshold", value)'
    module.write_text(text.replace('lambda value, see: see.fact("threshold", value)', deadly), encoding="utf-8")
    report = prove.prove("90", root=root)
    assert report.findings == ["the proof died at this step: 90.4 threshold, solutions/90_good_solution.ipynb cell "
                               "threshold-code, line 3: threshold = 6 * 7 | 6 * 7 -> 6 + 7"]


def test_a_lesson_that_is_not_there_is_an_error_of_the_author(tmp_path):
    with pytest.raises(prove.AuthorError, match="There is no lesson 42"):
        prove.prove("42", root=make_root(tmp_path))


# ------------------------------------------------------------------------------------------------ impostors

def impostor(kind, right, what="function"):
    return prove._disguised(kind, right, what)


def test_impostors_of_a_function():
    def right(x, n):
        return x * 2.0, n, [np.array([True])]

    x = np.array([1.0, -3.0])
    results = {}
    for kind in prove.IMPOSTORS:
        wrong, disguise = impostor(kind, right)
        wrong(x, 1)
        results[kind] = wrong(x[:1], 5)
        assert disguise.changed_something == (kind != "detached")
    assert results["identity"].tolist() == [1.0]
    assert results["constant"][0].tolist() == [2.0, -6.0] and results["constant"][1] == 1
    assert results["zeros"][0].tolist() == [0.0] and results["zeros"][1:] == (0, [np.array([False])])
    assert results["dtype"][0].dtype == np.float32 and results["dtype"][2][0].dtype == np.int64
    assert isinstance(results["dtype"][1], float)
    assert results["list"] == ([2.0], 5, [[True]])
    assert results["shape"][0].shape == (1, 1)


def test_an_impostor_that_changes_nothing_does_not_apply():
    wrong, disguise = impostor("list", lambda n: n + 1)
    assert wrong(3) == 4 and not disguise.changed_something
    wrong, disguise = impostor("constant", lambda: 5)
    assert wrong() == wrong() == 5 and not disguise.changed_something


def test_impostors_of_classes_and_values():
    class Mean:
        def __init__(self):
            self.seen = []

        def add(self, x):
            self.seen.append(x)
            return sum(self.seen) / len(self.seen)

    wrong, disguise = impostor("zeros", Mean, "class")
    mean = wrong()
    assert isinstance(mean, Mean) and mean.add(4.0) == 0.0 and mean.seen == [4.0] and disguise.changed_something
    wrong, disguise = impostor("zeros", 42, "value")
    assert wrong == 0 and disguise.changed_something


def test_impostors_of_tensors():
    torch = pytest.importorskip("torch")
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for kind, check in {
        "detached": lambda r: not r.requires_grad and r.tolist() == [3.0, 6.0],
        "zeros": lambda r: r.requires_grad and r.tolist() == [0.0, 0.0],
        "dtype": lambda r: r.dtype == torch.float64 and r.requires_grad,
        "shape": lambda r: r.shape == (1, 2),
        "list": lambda r: r == [3.0, 6.0],
    }.items():
        wrong, disguise = impostor(kind, lambda x: 3 * x)
        assert check(wrong(x)) and disguise.changed_something, kind
    assert not prove._identical(x, x.detach()) and prove._identical(x, x.clone().detach().requires_grad_())


def test_an_impostor_may_be_accepted_with_a_reason_and_only_if_it_passes():
    def doubled(x):
        return 2 * x

    any_numbers = Exercise("92.1", "doubled", expected={"close": True}, observe=lambda doubled, see: see.fact(
        "close", bool(np.allclose(doubled(np.array([1.5, -0.5])), [3, -1]))))
    report = prove.Report("92")
    prove._impostors(any_numbers, doubled, {"list": "a reason", "dtype": "a reason", "shape": "a reason"}, report)
    assert report.findings == [] and report.impostors == 2  # identity and zeros; one call has no constant to show
    prove._impostors(any_numbers, doubled, {"list": "a reason", "shape": "a reason", "zeros": "a reason"}, report)
    assert [f.split(": ")[1].split(",")[0] for f in report.findings] == [
        "the impostor 'dtype' passes", "ACCEPTED_IMPOSTORS names 'zeros'"]


# ------------------------------------------------------------------------------------------------ right answers, memory

def test_seeds_and_dtypes_reach_the_check(tmp_path):
    """A check whose facts hold for one seed only is found out by the runs."""
    lucky = Exercise("92.1", "draw", observe=lambda draw, see: see.fact("small", bool(np.random.rand() < 0.5)),
                     expected={"small": True})
    module = type(sys)("lucky")
    module.draw = lucky
    lesson = prove._Lesson("92", "lucky", FIXTURE / "90_good_solution.ipynb", tmp_path / "none", module, None)
    report = prove.Report("92")
    prove._runs(lesson, {"92.1": [lambda: 1]}, report, lambda step: None)
    assert report.runs == 20 and 1 <= len(report.findings) < 20 and "the solution is refused with seed" in report.findings[0]


def test_answers_are_told_apart_by_what_they_do():
    def one(x):
        """Adds one."""
        return x + 1

    def same(other):
        return other + 1

    assert prove._code(one) == prove._code(same)
    assert prove._code(one) != prove._code(lambda x: 1 + x)
    assert prove._code(lambda x: (lambda y: y)(x)) != prove._code(lambda x: (lambda y: -y)(x))


def test_a_mutant_that_was_stopped_without_computing_gets_more_time():
    """On a busy machine a survivor must not pass for refused; time.sleep stands for the others' work."""
    probe = Exercise("92.1", "f", observe=lambda f, see: see.call(f, 3), expected=lambda x: x, seconds=0.5)

    def outcome(body):
        tree = ast.parse(f"import time\ndef f(x):\n    {body}\n    return x")
        return prove._examine(prove.Mutant(3, body, "changed", tree), {}, probe, prove.Report("92"))

    assert outcome("time.sleep(0.8)") == prove.SURVIVED
    assert outcome("while True: pass") == prove.TIMED_OUT
    assert outcome("x += 1") == prove.REFUSED
    assert outcome("pass") == prove.SURVIVED


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="memory can be limited on Linux only")
def test_a_mutant_that_asks_for_too_much_memory_gets_a_memory_error():
    with prove._memory_limit(), pytest.raises(MemoryError):
        np.empty(prove.MEMORY + (1 << 30), dtype=np.uint8)
    np.empty(prove.MEMORY // 4, dtype=np.uint8)


# ------------------------------------------------------------------------------------------------ mutants

def changes(body: str, before: str = "") -> list[str]:
    """What can be changed in a region with this body."""
    inside = "\n".join("    " + line for line in body.splitlines())
    found, _ = mutants(f"def f(x, n):\n{before}    {BEGIN}\n{inside}\n    {END}\ny = 7 + 8\n", limit=10_000)
    for mutant in found:
        compile(mutant.tree, "mutant", "exec")
    return [m.change for m in found]


def test_only_the_region_is_changed():
    assert changes("pass", before="    x = x + 1\n") == []
    assert not [c for c in changes("return x - n") if "7" in c or "8" in c]


@pytest.mark.parametrize(("body", "wanted"), [
    ("return x + n", ["x + n -> x - n", "x + n -> x", "x + n -> n"]),
    ("return x / n", ["x / n -> x * n", "x / n -> n / x"]),
    ("return x >= n", ["x >= n -> x > n", "x >= n -> x <= n"]),
    ("return x == n", ["x == n -> x != n"]),
    ("return x and not n", ["x and (not n) -> x or not n", "x and (not n) -> x", "not n -> n"]),
    ("return -x", ["-x -> x"]),
    ("return x * 3", ["3 -> 4", "3 -> 2", "3 -> -3", "3 -> 0"]),
    ("return x * 0.5", ["0.5 -> 1.5", "0.5 -> -0.5", "0.5 -> 0.0"]),
    ("return x.sum(axis=1, keepdims=True)", ["1 -> 0", "True -> False", "x.sum: axis=1 dropped", "sum -> mean"]),
    ("return x.mean(-1)", ["-1 -> -2", "mean -> sum"]),
    ("opt.zero_grad()\nmodel.eval()", ["dropped: opt.zero_grad()", "eval -> train", "dropped: model.eval()"]),
    ("with torch.no_grad():\n    x = x + 1\nreturn x", ["unwrapped: with torch.no_grad()", "dropped: x = x + 1"]),
    ("x += 1\nreturn x", ["dropped: x += 1", "x += 1 -> x -= 1", "x += 1 -> x = 1"]),
    ("return f(x, n)", ["f(x, n) -> f(n, x)"]),
    ("return x, n", ["return (x, n) -> return (n, x)"]),
    ("return x[1:n]", ["1:n -> :n", "1:n -> 1:", "1:n -> 1:n + 1", "1 -> 2"]),
    ("for k in range(n):\n    if k > x:\n        break\n", [
        "range(n) -> range(n - 1)", "range(n) -> range(1, n)", "if k > x -> if True", "break -> continue", "break -> pass"]),
    ("while x < n:\n    x += 1\nreturn x", ["while x < n -> while False"]),
    ("return [k for k in x if k > n]", ["if k > n -> dropped", "if k > n -> if not k > n"]),
    ("return x if n else -x", ["x if n else -x -> x if not n else -x", "x if n else -x -> x"]),
    ("if n:\n    return x\nreturn n", ["dropped: return x"]),
    ("return np.argmax(x.copy())", ["argmax -> argmin", "x.copy() -> x"]),
    ("return x.T @ n", ["x.T -> x", "x.T @ n -> x.T * n"]),
])
def test_slips(body, wanted):
    found = changes(body)
    assert [w for w in wanted if w not in found] == [], found


def test_what_would_change_nothing_or_says_nothing_is_left_out():
    assert "np.maximum(x, n) -> np.maximum(n, x)" not in changes("return np.maximum(x, n)")
    assert "1 -> -1" not in changes("return x.sum(axis=1)")        # the same axis of a matrix
    assert not [c for c in changes("return x") if "dropped" in c]  # nothing is returned at all
    assert changes('"""A text with 1 + 1."""') == []
    assert not [c for c in changes('print(f"{x + 1}")') if "x + 1" in c and not c.startswith("dropped")]
    assert not [c for c in changes('if x:\n    raise ValueError("n" * 3)') if "3 ->" in c]


def test_mutants_are_all_different_always_alike_and_thinned_out_evenly():
    body = "\n".join(f"    x = x * {k} + n - {k}" for k in range(2, 7))
    source = f"def f(x, n):\n    {BEGIN}\n{body}\n    return x\n    {END}\n"
    everything, count = mutants(source, limit=10_000)
    assert len({ast.unparse(m.tree) for m in everything}) == len({m.key for m in everything}) == count > 30
    some, same_count = mutants(source, limit=30)
    assert same_count == count and len(some) == 30
    assert [m.key for m in some] == [m.key for m in mutants(source, limit=30)[0]]
    assert [m for m in everything if m.key in {s.key for s in some}] == some
    lines = [m.line for m in some]
    assert min(lines) <= 4 and max(lines) >= 6


def test_the_fixture_notebooks_are_pairs():
    """The exercise notebooks of the fixture are the solved ones with empty regions."""
    for lesson in ("90_good", "91_bad"):
        solved, unsolved = (json.loads((FIXTURE / f"{lesson}{end}.ipynb").read_text(encoding="utf-8"))["cells"]
                            for end in ("_solution", ""))
        assert [c["id"] for c in solved] == [c["id"] for c in unsolved]
        assert BEGIN not in json.dumps(unsolved) and "NotImplementedError" not in json.dumps(solved)
