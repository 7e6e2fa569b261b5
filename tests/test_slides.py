"""From a solution notebook to one file of slides: pages, notes, math, figures, and what the file must never ask for."""

import base64
import hashlib
import re
import struct
import subprocess
import zipfile
import zlib

import nbformat
import pytest

from authoring import slides
from authoring.lessonfiles import AuthorError, solutions
from helpers.notebooks import BEGIN, END

PARTS = slides.Assets(css="/* theme */", scripts=("/* reveal */", "/* notes */"), licenses="MIT (a test)")


def png(width=40, height=20):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\x80" * width for _ in range(height))
    data = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return base64.b64encode(data).decode()


def figure(alt="Two lines cross."):
    return [
        nbformat.v4.new_output("display_data", {"image/png": png(), "text/plain": alt}, metadata={"image/png": {"alt": alt}}),
        nbformat.v4.new_output("display_data", {"text/markdown": f"*{alt}*", "text/plain": "<Markdown object>"}),
    ]


def printed(text):
    return [nbformat.v4.new_output("stream", name="stdout", text=text)]


def make(*cells):
    """Cells are (slide type, text) or (slide type, code, outputs, tags...)."""
    nb = nbformat.v4.new_notebook()
    for place, (kind, source, *more) in enumerate(cells):
        metadata = {"slideshow": {"slide_type": kind}} if kind else {}
        if more:
            cell = nbformat.v4.new_code_cell(source, id=f"cell-{place}", metadata={**metadata, "tags": list(more[1:])},
                                             outputs=more[0], execution_count=1)
        else:
            cell = nbformat.v4.new_markdown_cell(source, id=f"cell-{place}", metadata=metadata)
        nb.cells.append(cell)
    return nb


def made(*cells):
    return slides.slides_html(make(*cells), "A title", PARTS)


# -- pages -------------------------------------------------------------------------------------------------------------


def test_pages_follow_the_slide_types():
    found = slides.pages(make(
        ("skip", "before"), ("slide", "# One"), ("fragment", "more"), ("notes", "say one"), ("skip", "hidden"),
        ("subslide", "## Two"), ("notes", "say two"), ("slide", "## Three"), ("notes", "say three")))
    assert [p.key for p in found] == ["cell-1", "cell-5", "cell-7"]
    assert [p.starts_slide for p in found] == [True, False, True]
    assert [p.title.source for p in found] == ["# One", "## Two", "## Three"]
    assert [c.source for c in found[0].body] == ["more"] and found[0].body[0].metadata.fragment == 1
    assert [[c.source for c in p.notes] for p in found] == [["say one"], ["say two"], ["say three"]]


def test_a_cell_without_a_type_goes_with_the_one_before():
    found = slides.pages(make(("slide", "# One"), ("", "same page"), ("notes", "say"), ("-", "say more"), ("skip", "left out"),
                              ("", "left out too"), ("fragment", "later"), ("", "with it")))
    assert [c.source for c in found[0].body] == ["same page", "later", "with it"]
    assert [c.metadata.fragment for c in found[0].body] == [None, 1, 2]
    assert [c.source for c in found[0].notes] == ["say", "say more"] and len(found) == 1


def test_a_page_below_another_borrows_its_heading_and_its_notes():
    found = slides.pages(make(("slide", "## Scores"), ("subslide", "show()", figure()), ("notes", "say it"),
                              ("slide", "plain")))
    assert [p.title.source if p.title else None for p in found] == ["## Scores", "## Scores", None]
    assert [[c.source for c in p.notes] for p in found] == [["say it"], ["say it"], []]


def test_the_notebook_stays_as_it_was():
    nb = make(("slide", "# One (solution)"), ("fragment", "show()", figure()), ("notes", "**For instructors.** say"))
    before = nbformat.writes(nb)
    slides.slides_html(nb, "One", PARTS)
    assert nbformat.writes(nb) == before


def test_no_slides_and_an_empty_slide_are_said():
    with pytest.raises(AuthorError, match="no cell with the slide type"):
        slides.pages(make(("skip", "only this")))
    with pytest.raises(AuthorError, match="cell-1 is empty"):
        made(("slide", "# One"), ("slide", ""), ("slide", "# Two"))


def test_the_file_nests_slides_pages_and_steps():
    text = made(("slide", "# One"), ("fragment", "a step"), ("notes", "say"), ("subslide", "## Two"), ("slide", "## Three"))
    assert len(re.findall("<section", text)) == 2 + 3 == text.count("</section>")
    assert re.search(r'<section class="opening" id="cell-0">|<section id="cell-0" class="opening">', text)
    assert 'data-fragment-index="1"' in text and text.count('<aside class="notes">') == 2  # the page below has them too


# -- what stands on a page ---------------------------------------------------------------------------------------------


def test_code_is_shown_with_its_output_and_without_the_marks():
    text = made(("slide", "# One"), ("fragment", f"def f(x):\n    {BEGIN}\n    return x\n    {END}", printed("42")))
    assert "SOLUTION" not in text and ">return<" in text and '<pre class="output">42</pre>' in text


@pytest.mark.parametrize("tags, metadata", [(["hide-input"], {}), ([], {"jupyter": {"source_hidden": True}})])
def test_hidden_code_shows_only_its_output(tags, metadata):
    nb = make(("slide", "# One"), ("fragment", "secret = train()", printed("loss 0.5"), *tags))
    nb.cells[1].metadata.update(metadata)
    text = slides.slides_html(nb, "t", PARTS)
    assert "secret" not in text and "loss 0.5" in text


def test_the_call_that_draws_is_left_out_and_other_code_is_not():
    text = made(("slide", "# One"), ("fragment", "lesson.show_it(w)", figure()), ("fragment", "doctor()", printed("OK")),
                ("fragment", "w = fit()\nlesson.show_more(w)", figure("Another.")))
    assert "show_it" not in text and ">doctor<" in text and "show_more" in text


def test_figures_keep_their_alt_text_and_lose_the_caption_that_repeats_it():
    text = made(("slide", "# One"), ("fragment", "show()", figure('A "line" < 3 & more.')))
    assert re.search(r'<img [^>]*alt="A &quot;line&quot; &lt; 3 &amp; more."', text) or \
        re.search(r"<img [^>]*alt='A \"line\" &lt; 3 &amp; more.'", text)
    assert text.count("more.") == 1 and 'width="40"' in text and 'height="20"' in text


def test_a_table_that_a_cell_made_stays():
    table = [nbformat.v4.new_output("display_data", {"text/markdown": "| a | b |\n|---|---|\n| 1 | $x$ |"})]
    text = made(("slide", "# One"), ("fragment", "lesson.table()", table))
    assert "<td>1</td>" in text and "<math" in text


def test_progress_bars_and_live_widgets_are_left_out():
    outputs = [nbformat.v4.new_output("stream", name="stderr", text="99%|####"),
               nbformat.v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "1"},
                                                       "text/plain": "Slider(...)"}), *printed("done")]
    text = made(("slide", "# One"), ("fragment", "slide()", outputs))
    assert "99%" not in text and "Slider" not in text and "done" in text


def test_a_long_output_shows_its_beginning_and_its_end():
    text = made(("slide", "# One"), ("fragment", "count()", printed("\n".join(f"line {i}." for i in range(40)) + "\n")))
    shown = re.search(r'<pre class="output">(.*?)</pre>', text, re.S)[1].split("\n")
    assert len(shown) == slides.LONGEST_OUTPUT and shown[0] == "line 0." and shown[-1] == "line 39."
    assert shown[-3] == f"... {40 - slides.LONGEST_OUTPUT + 1} more lines"


def test_an_output_that_fits_is_whole():
    whole = "\n".join(f"line {i}." for i in range(slides.LONGEST_OUTPUT))
    assert whole in made(("slide", "# One"), ("fragment", "count()", printed(whole)))


def test_titles_and_notes_lose_what_is_for_the_notebook():
    text = made(("slide", "# 01 A line (solution)\n\nText."), ("notes", "**For instructors.** Ask $x$ first."))
    assert "(solution)" not in text and "For instructors" not in text
    notes = re.search(r'<aside class="notes">(.*?)</aside>', text, re.S)[1]
    assert notes.strip().startswith("<p>Ask <math")


def test_hostile_text_does_not_leave_its_place():
    nb = make(("slide", "# One"), ("fragment", "print('</script><b>')", printed("</pre><script>alert(1)")))
    text = slides.slides_html(nb, "<i> & 'x'", PARTS)
    assert "<b>" not in text and "<script>alert" not in text and "<title>&lt;i&gt; &amp;" in text


# -- math --------------------------------------------------------------------------------------------------------------


def test_math_becomes_mathml_in_text_lists_and_tables():
    text = made(("slide", "# One\n\nInline $w_1 + b \\ge 0$.\n\n- a $\\hat y$\n\n| a |\n|---|\n| $\\frac12$ |\n\n$$x^2$$"))
    assert text.count("<math") == 4 and text.count('display="block"') == 1
    assert "$" not in text.split("<body>")[1].split("<script")[0]


def test_dollars_in_code_stay_dollars():
    text = made(("slide", "# One\n\nType `a $x$ b`.\n\n```\ncost $5 and $6\n```"))
    assert "<math" not in text and "a $x$ b" in text and "cost $5 and $6" in text


def test_aligned_equations_and_environments():
    for source in (r"$$\begin{aligned} a &= b \\ c &= d \end{aligned}$$", "\\begin{align}\na &= b \\\\ c &= d\n\\end{align}"):
        result = slides.markdown(source)
        assert result.count("<mtr>") == 2 and "&amp;" not in result and "<mi>&</mi>" not in result


def test_parts_that_a_wide_gap_sets_apart_may_go_below_each_other():
    assert slides.markdown(r"$$a = 1 \qquad\qquad b = 2, \qquad c$$").count("<math") == 3
    assert slides.markdown(r"$$\sqrt{a \qquad b}$$").count("<math") == 1  # never inside braces


@pytest.mark.parametrize("latex", [r"\notacommand x", r"\frac{", r"\begin{nothing}x\end{nothing}"])
def test_math_that_cannot_be_drawn_names_the_cell(latex):
    with pytest.raises(AuthorError, match="cell cell-1.*math"):
        made(("slide", "# One"), ("fragment", f"Look: ${latex}$"))


# -- nothing from elsewhere --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [
    '<img src="https://example.org/a.png">', '<script src="a.js"></script>', '<link rel="stylesheet" href="//x/y.css">',
    "<style>@import url(fonts.css);</style>", "<style>a { background: url('http://x/y') }</style>", '<img srcset="b.png 2x">',
    '<iframe src="page.html"></iframe>', '<p style="background: url(x.png)">', '<video poster="p.png"></video>',
])
def test_what_would_be_loaded_is_found(page):
    assert len(slides.asks_for(page)) == 1


def test_what_stands_in_the_file_or_is_only_linked_is_no_request():
    page = ('<img src="data:image/png;base64,AA"><a href="https://example.org">x</a><link rel="icon" href="data:,">'
            "<style>@font-face { src: url(data:font/woff;base64,AA) } b { fill: url(#a) }</style><p>url(x) @import y</p>")
    assert slides.asks_for(page) == []


def test_a_picture_from_elsewhere_is_refused():
    with pytest.raises(AuthorError, match="from elsewhere.*example.org"):
        made(("slide", "# One\n\n![a cat](https://example.org/cat.png)"))


def test_scripts_can_stand_inside_their_element():
    script = 'a("<script>b</script>"); c("<!-- d"); if (x<!y) {}'
    safe = slides._in_script(script)
    assert not re.search(r"<(/?script|!--)", safe, re.I) and safe.replace(r"\x3C", "<") == script and "x<!y" in safe


def test_the_file_carries_its_licenses():
    assert "MIT (a test)" in made(("slide", "# One"))


# -- reveal.js ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A small stand-in for the wheel, and a pip that hands out whatever file ``served`` names."""
    path = tmp_path / "published.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("dist/reset.css", "dist/reveal.css"):
            archive.writestr(slides.REVEAL + name, f"/* {name} */")
        archive.writestr(slides.REVEAL + "dist/theme/white.css",
                         "@import url(./fonts/source-sans-pro/source-sans-pro.css);\n/* theme */")
        archive.writestr(slides.REVEAL + "dist/reveal.js", "reveal('</script>')")
        archive.writestr(slides.REVEAL + "plugin/notes/notes.js", "notes()")
        archive.writestr(slides.REVEAL + "LICENSE", "Permission is hereby granted")
        archive.writestr(slides.FONT + "LICENSE", "SIL Open Font License")
        for face in slides.FACES:
            archive.writestr(f"{slides.FONT}source-sans-pro-{face}.woff", face.encode())
    monkeypatch.setattr(slides, "WHEEL", ("a-package", "1.0", hashlib.sha256(path.read_bytes()).hexdigest()))
    calls = []

    def pip(command, **options):
        calls.append(command)
        if served["file"] is None:
            return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: No matching distribution\n")
        target = command[command.index("--dest") + 1]
        with open(f"{target}/a_package-1.0-py3-none-any.whl", "wb") as file:
            file.write(served["file"])
        return subprocess.CompletedProcess(command, 0, "", "")

    served = {"file": path.read_bytes(), "calls": calls}
    monkeypatch.setattr(slides.subprocess, "run", pip)
    return served


def test_reveal_is_fetched_once_by_name_version_and_hash(tmp_path, wheel):
    folder = tmp_path / "cache"
    parts = slides.assets(folder)
    assert slides.assets(folder) == parts and len(wheel["calls"]) == 1
    assert wheel["calls"][0][-1] == "a-package==1.0" and not any("://" in word for word in wheel["calls"][0])
    assert "Permission is hereby granted" in parts.licenses and "SIL Open Font License" in parts.licenses
    assert parts.css.count("@font-face") == 4 and "@import" not in parts.css and "</script" not in "".join(parts.scripts)
    assert slides.asks_for(f"<style>{parts.css}</style>") == []


def test_a_damaged_copy_is_fetched_again(tmp_path, wheel):
    slides.assets(tmp_path)
    (tmp_path / "a-package-1.0.whl").write_bytes(b"half of it")
    slides.assets(tmp_path)
    assert len(wheel["calls"]) == 2


def test_no_network_is_one_clear_line(tmp_path, wheel):
    wheel["file"] = None
    with pytest.raises(AuthorError, match="No matching distribution\nConnect to a network once"):
        slides.assets(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_file_than_the_one_named_is_refused_and_not_kept(tmp_path, wheel):
    wheel["file"] += b"and more"
    with pytest.raises(AuthorError, match="arrived with the hash"):
        slides.assets(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def lesson(tmp_path):
    path = tmp_path / "09_convolution_solution.ipynb"
    nbformat.write(make(("slide", "# 09 Convolutions (solution)"), ("notes", "say")), path)
    return path


def test_the_file_is_named_after_the_lesson(lesson, tmp_path):
    said = []
    target = slides.write(lesson, PARTS, tmp_path / "slides", said.append)
    assert target.name == "09_convolution.slides.html" and "<title>09 Convolutions</title>" in target.read_text("utf-8")
    assert "changed since it ran" in said[0] and "build 09" in said[0]  # it never ran
    assert [p.name for p in target.parent.iterdir()] == [target.name]


def test_a_lesson_that_cannot_be_shown_is_named_and_the_old_file_stays(lesson, tmp_path):
    target = slides.write(lesson, PARTS, tmp_path / "slides", lambda text: None)
    before = target.read_bytes()
    nbformat.write(make(("slide", r"# 09 $\nosuchthing$")), lesson)
    with pytest.raises(AuthorError, match="09_convolution_solution.ipynb: cell cell-0"):
        slides.write(lesson, PARTS, tmp_path / "slides", lambda text: None)
    assert target.read_bytes() == before


def test_an_unknown_lesson_is_said(capsys):
    assert slides.main(["77"]) == 1
    assert "There is no lesson 77" in capsys.readouterr().out


# -- the lessons that are here -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", solutions(), ids=lambda p: p.stem)
def test_every_page_of_a_lesson_has_a_heading_and_notes(path):
    found = slides.pages(nbformat.read(path, as_version=4))
    assert len(found) >= 8
    assert [p.key for p in found if p.title is None] == [] == [p.key for p in found if not p.notes]


@pytest.mark.parametrize("path", solutions(), ids=lambda p: p.stem)
def test_a_lesson_becomes_one_file_with_alt_texts(path):
    nb = nbformat.read(path, as_version=4)
    shown = [c for c in nb.cells if c.cell_type == "code" and c.metadata.slideshow.slide_type != "skip"]
    text = slides.slides_html(nb, "t", PARTS)
    pictures = re.findall(r"<img [^>]*>", text)
    assert len(pictures) == sum("image/png" in o.get("data", {}) for c in shown for o in c.outputs)
    assert all(re.search(r"""alt=("[^"]{10,}"|'[^']{10,}')""", picture) for picture in pictures)
    assert "SOLUTION" not in text and "For instructors" not in text
