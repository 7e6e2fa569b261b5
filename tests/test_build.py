"""From a solved notebook to an exercise: cleared, compiled, canonical, and nothing given away."""

import nbformat
import pytest

from authoring import build, lint
from authoring.lessonfiles import AuthorError, exercise_path, name_of, number_of, solutions
from helpers import notebooks
from helpers.notebooks import BEGIN, END

FUNCTION = f'''def double(x: float) -> float:
    """Twice as much."""
    {BEGIN}
    return x + x + 0 * len("more")
    {END}'''
VALUE = f"rate: float = ...  # choose one\n{BEGIN}\nrate = 0.1\n{END}\nprint(rate)"


def make(*cells):
    nb = nbformat.v4.new_notebook()
    for place, cell in enumerate(cells):
        kind, source, metadata = (*cell, {})[:3]
        new = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        nb.cells.append(new(source, id=f"cell-{place}", metadata=metadata))
    return nb


def sources(nb):
    return [c.source for c in nb.cells]


def test_a_region_becomes_a_stub_and_the_rest_stays():
    (source,) = sources(build.exercise_notebook(make(("code", FUNCTION))))
    assert source.endswith('    """Twice as much."""\n    raise NotImplementedError')
    assert "x + x" not in source


def test_a_value_keeps_its_dots_and_what_follows():
    (source,) = sources(build.exercise_notebook(make(("code", VALUE))))
    assert source == "rate: float = ...  # choose one\nprint(rate)"


def test_title_quiz_and_written_answers_are_opened():
    nb = build.exercise_notebook(make(
        ("markdown", "# 01 A line that learns (solution)\n\ntext (solution)"),
        ("code", 'lesson.quiz[12].answer("b")'),
        ("markdown", "The mean.", {"tags": ["solution"]}),
    ))
    assert sources(nb) == ["# 01 A line that learns\n\ntext (solution)", "lesson.quiz[12].answer(...)", "*Your answer here.*"]


def test_notes_outputs_and_volatile_metadata_go():
    nb = make(("markdown", "say this", {"slideshow": {"slide_type": "notes"}}), ("markdown", "only", {"tags": ["slide-only"]}),
              ("code", "1 + 1", {"slideshow": {"slide_type": "slide"}, "tags": ["hide-input", "result"],
                                 "jupyter": {"source_hidden": True}}))
    nb.cells[2].outputs = [nbformat.v4.new_output("stream", text="2")]
    nb.cells[2].execution_count = 7
    made = build.exercise_notebook(nb)
    assert len(made.cells) == 1
    (cell,) = made.cells
    assert cell.id == "cell-2" and cell.outputs == [] and cell.execution_count is None
    assert cell.metadata == {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}


def test_a_cell_that_would_not_parse_is_refused():
    broken = f"value = max(\n{BEGIN}\n1, 2)\n{END}"
    with pytest.raises(AuthorError, match="not valid Python"):
        build.exercise_notebook(make(("code", broken)))


def test_building_twice_gives_the_same_bytes():
    nb = make(("markdown", "# 01 T (solution)"), ("code", FUNCTION), ("code", VALUE))
    first = build.as_text(build.exercise_notebook(nb))
    assert first == build.as_text(build.exercise_notebook(nb))
    assert first.endswith("}\n") and "\r" not in first
    again = build.exercise_notebook(nbformat.reads(first, as_version=4))
    assert build.as_text(again) == first


def test_region_lines_leave_comments_out():
    cell = f"a = 1\n{BEGIN}\n# why\nb = long_name + 2  # because\n\n{END}\nc = 3"
    assert build.region_lines(cell) == ["b = long_name + 2"]


def test_the_leak_guard_finds_a_solution_line_elsewhere(monkeypatch):
    nb = make(("code", FUNCTION), ("markdown", "Write `return x + x + 0*len( \"more\" )` here."))
    monkeypatch.setattr(build, "exercises", lambda module: [])
    monkeypatch.setattr(build, "tests_module", lambda name: None)
    found = build.leaks(nb, build.exercise_notebook(nb), "start_here")
    assert len(found) == 1 and "cell-1" in found[0]


def test_outputs_are_cleaned():
    nb = make(("code", "1"), ("markdown", "x"), ("code", "2"))
    new = nbformat.v4.new_output
    nb.cells[0].outputs = [new("stream", name="stdout", text="a"), new("stream", name="stderr", text="bar"),
                           new("stream", name="stdout", text="b"),
                           new("display_data", data={build.WIDGET: {"model_id": "1"}, "text/plain": "w"})]
    nb.metadata["widgets"] = {"state": {}}
    build._clean_outputs(nb)
    assert [o.text for o in nb.cells[0].outputs] == ["ab"]
    assert [c.execution_count for c in nb.cells if c.cell_type == "code"] == [1, 2]
    assert "widgets" not in nb.metadata


def test_the_fingerprint_follows_code_and_helpers_only(tmp_path, monkeypatch):
    nb = make(("code", "from helpers.comparing import describe\nprint(describe(1))"), ("markdown", "a"))
    first = build.fingerprint(nb)
    nb.cells[1].source = "other prose"
    assert build.fingerprint(nb) == first
    monkeypatch.setattr(build, "_bare_code", lambda path: "changed" if path.name == "comparing.py" else "same")
    assert build.fingerprint(nb) != first


def test_comments_and_docstrings_do_not_make_a_lesson_stale(tmp_path):
    a, b, c = (tmp_path / n for n in ("a.py", "b.py", "c.py"))
    a.write_text('"""One."""\ndef f():\n    """Two."""\n    return 1\n')
    b.write_text('"""Other."""\n# comment\ndef f():\n    return 1\n')
    c.write_text("def f():\n    return 2\n")
    assert build._bare_code(a) == build._bare_code(b) != build._bare_code(c)
    assert "[]" not in build._bare_code(a), "what is empty differs from one Python to the next"


def test_a_new_lesson_makes_only_the_lesson_stale_that_shows_the_list(monkeypatch):
    ordinary = make(("code", "from helpers.progress import Progress"))
    listing = make(("code", "from helpers.lessons import start_here"))
    before = build.fingerprint(ordinary), build.fingerprint(listing)
    monkeypatch.setattr(build, "LESSONS", build.LESSONS[:-1])
    assert build.fingerprint(ordinary) == before[0]
    assert build.fingerprint(listing) != before[1]


def test_the_table_names_every_lesson_that_is_here():
    table = build.readme_table()
    for path in solutions():
        assert f"notebooks/{exercise_path(path).name}" in table
    with pytest.raises(AuthorError, match="marks"):
        build.readme_text("no table")


def test_a_lesson_that_is_not_there_is_named():
    with pytest.raises(AuthorError, match="no lesson 77"):
        solutions(["77"])


# ------------------------------------------------------------------------------------------------ finding cells

def test_a_solution_runs_with_just_what_it_needs(tmp_path):
    nb = make(("code", "import math\nprint('no')"), ("code", "SCALE = 3\nother = print('not run')"),
              ("code", "def helper(x):\n    return math.floor(x) * SCALE"), ("code", "raise RuntimeError('storyline')"),
              ("code", f"def answer(x):\n    {BEGIN}\n    return helper(x) + 1\n    {END}"),
              ("code", "answer = answer.use(answer)"))
    path = tmp_path / "99_x_solution.ipynb"
    nbformat.write(nb, path)
    assert notebooks.solved_namespace(path, "answer")["answer"](2.5) == 7
    changed = notebooks.solved_namespace(path, "answer", "def answer(x):\n    return SCALE * x")
    assert changed["answer"](2) == 6
    cell = notebooks.exercise_cell(path, "answer")
    assert BEGIN in cell and BEGIN not in notebooks.without_marks(cell)
    with pytest.raises(notebooks.NoSolution):
        notebooks.exercise_cell(path, "nothing")


def test_magics_do_not_keep_a_cell_from_being_read():
    assert notebooks.defined_names("%env A=1\nx = 2\ndef f(): pass") == {"x", "f"}
    assert notebooks.defined_names("this is not python") == set()


# ------------------------------------------------------------------------------------------------ lint

def test_lint_sees_what_a_reader_would_trip_over():
    nb = make(("markdown", "word " * 130, {"slideshow": {"slide_type": "slide"}}), ("code", "fig"),
              ("markdown", "![a](b.png)", {"slideshow": {"slide_type": "slide"}}))
    nb.cells[1].outputs = [nbformat.v4.new_output("display_data", data={"image/png": "aGk="}),
                           nbformat.v4.new_output("stream", text="<object object at 0x7f00>")]
    nb.metadata["kernelspec"] = {"name": "mine", "display_name": "Mine"}
    found = "\n".join([*lint._both(nb), *lint._solved(nb), *lint._style(nb)])
    for words in ("python3", "picture from a file", "execution counts", "without alt text", "address in memory",
                  "no slide type", "has no notes", "130 words"):
        assert words in found


def test_names_of_files():
    path = solutions()[0]
    assert number_of(path) == "00" and name_of(path) == "start_here"
