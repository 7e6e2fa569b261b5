"""The slides of a lesson: one reveal.js file that opens without a network, made from the cells of the solution notebook.

    python course.py slides 01        writes slides/01_perceptron.slides.html
    python course.py slides           all lessons

Space goes on, S opens the speaker view with the notes, and ``?print-pdf`` behind the address prints one slide a page.
"""

from __future__ import annotations

import argparse
import ast
import base64
import copy
import hashlib
import html
import os
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import nbformat
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from authoring.build import fingerprint
from authoring.lessonfiles import AuthorError, name_of, number_of, solutions
from authoring.lint import NOTES
from helpers.notebooks import BEGIN, END, ROOT

TEMPLATES = Path(__file__).resolve().parent
CACHE = ROOT / ".course-cache" / "slides"
OUTPUT = ROOT / "slides"
WIDTH, HEIGHT = 1280, 720
LONGEST_OUTPUT = 14  # lines; of a longer output the slide shows the beginning and the end

# reveal.js 5.2.1 with its theme and font, as the package index of Python carries it: an unchanged copy inside the wheel of a
# Sphinx extension. So authors need no second package manager. The wheel is fetched, read and never installed.
WHEEL = ("sphinx-revealjs", "3.2.1", "805bed3ca459346e0f01967d5ed1c40d6b7b917de1541e1e4566c8341fe7017b")
REVEAL = "sphinx_revealjs/_static/revealjs/"
FONT = REVEAL + "dist/theme/fonts/source-sans-pro/"
FACES = {"regular": ("400", "normal"), "italic": ("400", "italic"), "semibold": ("600", "normal"),
         "semibolditalic": ("600", "italic")}


# ------------------------------------------------------------------------------------------------ reveal.js

@dataclass(frozen=True)
class Assets:
    """What stands inline in the file: style sheets, scripts, and the licenses of both."""

    css: str
    scripts: tuple[str, ...]
    licenses: str


def assets(folder: Path = CACHE) -> Assets:
    """reveal.js, its notes plugin, theme and font, out of the wheel in ``folder``; fetched there at the first call.

    Raises AuthorError where it cannot be fetched, or is not the file that this module names.
    """
    with zipfile.ZipFile(_wheel(folder)) as wheel:
        def text(name: str) -> str:
            return wheel.read(name).decode("utf-8")

        theme = text(REVEAL + "dist/theme/white.css").replace("@import url(./fonts/source-sans-pro/source-sans-pro.css);", "")
        faces = [_font_face(wheel.read(f"{FONT}source-sans-pro-{name}.woff"), *FACES[name]) for name in FACES]
        css = [text(REVEAL + "dist/reset.css"), text(REVEAL + "dist/reveal.css"), *faces, theme]
        scripts = (text(REVEAL + "dist/reveal.js"), text(REVEAL + "plugin/notes/notes.js"))
        licenses = [("reveal.js", text(REVEAL + "LICENSE")), ("Source Sans Pro, the font", text(FONT + "LICENSE"))]
    return Assets("\n".join(css), tuple(_in_script(s) for s in scripts),
                  _in_script("\n\n".join(f"{what}\n\n{notice.strip()}" for what, notice in licenses)))


def _wheel(folder: Path) -> Path:
    package, version, digest = WHEEL
    path = folder / f"{package}-{version}.whl"
    if path.is_file() and _sha256(path) == digest:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    print(f"Fetching reveal.js (2.4 MB, once), in {package} {version} ...", flush=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
             "--only-binary=:all:", "--dest", temporary, f"{package}=={version}"],
            capture_output=True, text=True)
        found = list(Path(temporary).glob("*.whl"))
        if done.returncode or not found:
            last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it says nothing")
            raise AuthorError(f"reveal.js is not here yet, and pip could not fetch {package} {version}: {last.strip()}\n"
                              "Connect to a network once; after that, slides are built without one.")
        if _sha256(found[0]) != digest:
            raise AuthorError(f"{package} {version} arrived with the hash {_sha256(found[0])[:16]}..., not {digest[:16]}...: "
                              "a broken download, or not the file that was published. Nothing was kept; try again.")
        os.replace(found[0], path)
    return path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _font_face(data: bytes, weight: str, style: str) -> str:
    source = base64.b64encode(data).decode("ascii")
    return (f"@font-face {{ font-family: 'Source Sans Pro'; font-weight: {weight}; font-style: {style}; "
            f"src: url(data:font/woff;base64,{source}) format('woff'); }}")


def _in_script(text: str) -> str:
    """A text that can stand inside <script>: none of its strings ends or nests the element."""
    return re.sub(r"<(?=!--|/?script)", r"\\x3C", text, flags=re.IGNORECASE)


# ------------------------------------------------------------------------------------------------ pages out of cells

@dataclass
class Page:
    """What is seen at once: a heading, text and code, figures beside or below; and what the instructor says."""

    key: str
    starts_slide: bool
    title: NotebookNode | None = None
    body: list[NotebookNode] = field(default_factory=list)
    figures: list[NotebookNode] = field(default_factory=list)
    notes: list[NotebookNode] = field(default_factory=list)


def pages(nb: NotebookNode) -> list[Page]:
    """The pages of a solution notebook, by the slide types of its cells. The notebook stays as it is.

    slide and subslide begin a page, fragment appears at the next step, notes are for the speaker, skip is left out; a cell
    with no type goes with the one before it. A page without a heading repeats the one before; a page without notes has those
    of its slide. Raises AuthorError for a notebook without slides.
    """
    found: list[Page] = []
    kind, step = "slide", 0
    for cell in copy.deepcopy(nb).cells:
        own = cell.metadata.get("slideshow", {}).get("slide_type", "-")
        kind = own if own != "-" else ("" if kind in ("slide", "subslide") and found else kind)
        if kind == "skip" or cell.cell_type == "raw":
            continue
        if kind in ("slide", "subslide") or not found:
            found.append(Page(cell.id, kind == "slide" or not found))
            step = 0
        page = found[-1]
        if kind == "notes":
            cell.source = cell.source.removeprefix(NOTES).lstrip()
            page.notes.append(cell)
            continue
        step += kind == "fragment"
        for role, part in _parts(cell):
            part.metadata["fragment"] = step if kind == "fragment" else None
            if role == "title" and page.title is None and kind != "fragment":
                page.title = part
            else:
                (page.figures if role == "figure" else page.body).append(part)
    if not found:
        raise AuthorError("this notebook has no cell with the slide type slide.")
    _lend_titles_and_notes(found)
    return found


def _lend_titles_and_notes(found: list[Page]) -> None:
    for before, page in zip(found, found[1:], strict=False):
        if page.title is None and not page.starts_slide:
            page.title = before.title
    slide: list[Page] = []
    for page in [*found, Page("", True)]:
        if page.starts_slide:
            notes = [cell for p in slide for cell in p.notes]
            for p in slide:
                p.notes = p.notes or notes
            slide = []
        slide.append(page)


def _parts(cell: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """A cell as ("title" | "body" | "figure", cell) parts: the heading apart from the text, figures apart from code."""
    if cell.cell_type == "markdown":
        heading, text = re.fullmatch(r"(?s)\s*(#{1,6} [^\n]*\n?)?(.*)", cell.source).groups()
        if heading:
            yield "title", _part(cell, source=re.sub(r" \(solution\)\s*$", "", heading.strip()))
        if text.strip():
            yield "body", _part(cell, source=text.strip())
        return
    outputs = [_shortened(o) for o in cell.outputs if not _is_left_out(o, cell.outputs)]
    pictures = [o for o in outputs if _is_picture(o)]
    others = [o for o in outputs if not _is_picture(o)]
    hidden = _hides_code(cell, bool(pictures))
    if others or not hidden:
        yield "body", _part(cell, hidden, source=_without_marks(cell.source), outputs=others)
    for output in pictures:
        _measure(output)
        yield "figure", _part(cell, True, source="", outputs=[output])


def _part(cell: NotebookNode, hidden: bool = False, **changes) -> NotebookNode:
    """A copy of a cell with changes; ``hidden`` leaves its source out."""
    part = copy.copy(cell)
    part.metadata = nbformat.from_dict({"transient": {"remove_source": hidden}})
    part.update(changes)
    return part


def _without_marks(source: str) -> str:
    return "\n".join(line for line in source.splitlines() if BEGIN not in line and END not in line)


def _hides_code(cell: NotebookNode, has_picture: bool) -> bool:
    """Code that its author hides, and the lone call that draws a figure: the audience is to look at the figure."""
    if "hide-input" in cell.metadata.get("tags", []) or cell.metadata.get("jupyter", {}).get("source_hidden"):
        return True
    return has_picture and _is_lone_call(cell.source)


def _is_lone_call(source: str) -> bool:
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return False
    return len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Call)


def _is_picture(output: NotebookNode) -> bool:
    return "image/png" in output.get("data", {})


def _is_left_out(output: NotebookNode, all_outputs: list[NotebookNode]) -> bool:
    """Progress bars, live widgets (a static figure stands for them), and captions, which repeat the alt text."""
    if output.output_type == "stream":
        return output.name == "stderr"
    data = output.get("data", {})
    if "application/vnd.jupyter.widget-view+json" in data:
        return True
    alts = {o.get("metadata", {}).get("image/png", {}).get("alt", "").strip() for o in all_outputs if _is_picture(o)}
    return "text/markdown" in data and data["text/markdown"].strip(" *\n") in alts - {""}


def _shortened(output: NotebookNode) -> NotebookNode:
    if output.output_type == "stream":
        lines = output.text.rstrip("\n").split("\n")
        if len(lines) > LONGEST_OUTPUT:
            lines = [*lines[:LONGEST_OUTPUT - 3], f"... {len(lines) - LONGEST_OUTPUT + 1} more lines", *lines[-2:]]
        output.text = "\n".join(lines)
    return output


def _measure(output: NotebookNode) -> None:
    """Note width and height of the picture, so that a page is laid out before its pictures are decoded."""
    encoded = "".join(output.data["image/png"].split())
    width, height = struct.unpack(">II", base64.b64decode(encoded[:64])[16:24])
    output.data["image/png"] = encoded
    output.metadata.setdefault("image/png", nbformat.from_dict({})).update(width=width, height=height)


def _in_a_row(found: list[Page]) -> list[NotebookNode]:
    """The cells of all pages in the order of the file, each with what opens before it and closes behind it."""
    cells: list[NotebookNode] = []
    for number, page in enumerate(found):
        groups = [("title", [page.title] if page.title else []), ("body", page.body), ("figures", page.figures),
                  ("notes", page.notes)]
        start = len(cells)
        for group, members in groups:
            for index, member in enumerate(members):
                cell = copy.copy(member)
                cell.id = f"{group}-{len(cells)}"  # parts of one cell, and notes that pages share, must not have one id
                cell.metadata = nbformat.from_dict({
                    **member.metadata, "group": group, "group_start": index == 0, "group_end": index == len(members) - 1})
                cells.append(cell)
        if start == len(cells):
            raise AuthorError(f"the slide of cell {page.key} is empty.")
        cells[start].metadata.update(page_start=True, slide_start=page.starts_slide, key=page.key,
                                     opening=bool(page.title and page.title.source.startswith("# ")))
        last = number + 1 == len(found)
        cells[-1].metadata.update(page_end=True, slide_end=last or found[number + 1].starts_slide)
    return cells


# ------------------------------------------------------------------------------------------------ math and HTML

ENVIRONMENTS = ("align*", "cases", "matrix", "pmatrix", "bmatrix", "Bmatrix", "vmatrix", "Vmatrix", "array")


def mathml(latex: str, display: str = "inline") -> str:
    """LaTeX as MathML, which browsers draw without a script. ``display`` is "inline" or "block".

    Raises AuthorError for what latex2mathml does not know: it would put the command itself on the slide.
    """
    from latex2mathml.converter import convert

    known = re.sub(r"\\(begin|end)\{(aligned|align|split)\}", r"\\\1{align*}", latex.strip())
    foreign = [name for name in re.findall(r"\\begin\{(.*?)\}", known) if name not in ENVIRONMENTS]
    if foreign:
        raise AuthorError(f"math with \\begin{{{foreign[0]}}}, which the slides cannot draw: {latex.strip()}")
    try:
        result = convert(known, display=display)
    except Exception as problem:  # its errors have no common base
        raise AuthorError(f"math that cannot be converted: {latex.strip()} ({type(problem).__name__})") from None
    unknown = re.search(r"\\[A-Za-z]+", html.unescape(result))
    if unknown:
        raise AuthorError(f"math with {unknown.group()}, which the slides cannot draw: {latex.strip()}")
    return result


class _Renderer(IPythonRenderer):
    """Text cells as HTML, with MathML in the place of math."""

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        """A formula of its own; parts that a \\qquad sets apart may go below each other."""
        parts = [body] if r"\begin" in body else re.split(r"(?:\\qquad\s*)+", body)
        if any(part.count("{") != part.count("}") for part in parts):
            parts = [body]
        return f'<span class="formulas">{"".join(mathml(part, "block") for part in parts if part.strip())}</span>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")


def markdown(source: str) -> str:
    """A text cell as HTML."""
    return MarkdownWithMath(renderer=_Renderer(escape=False, exclude_anchor_links=True)).render(source)


class _Exporter(HTMLExporter):
    def markdown2html(self, source: str) -> str:
        return markdown(source)


def slides_html(nb: NotebookNode, title: str, parts: Assets) -> str:
    """The whole file. Raises AuthorError where a cell cannot be shown, or where the file would ask for another one."""
    found = pages(nb)
    for cell in (c for page in found for c in [page.title, *page.body, *page.notes] if c and c.cell_type == "markdown"):
        try:
            markdown(cell.source)
        except AuthorError as problem:
            raise AuthorError(f"cell {cell.id}: {problem}") from None
    deck = nbformat.v4.new_notebook(metadata={"title": title, "language_info": {"name": "python"}})
    deck.cells = _in_a_row(found)
    exporter = _Exporter(template_name="slides_template", extra_template_basedirs=[str(TEMPLATES)])
    folder = TEMPLATES / "slides_template"
    result, _ = exporter.from_notebook_node(deck, resources={"slides": {
        "css": parts.css + (folder / "slides.css").read_text(encoding="utf-8"), "scripts": parts.scripts,
        "licenses": parts.licenses, "fit": (folder / "fit.js").read_text(encoding="utf-8"),
        "width": WIDTH, "height": HEIGHT}})
    problems = asks_for(result)
    if problems:
        raise AuthorError(f"the slides would load something from elsewhere: {', '.join(problems)}")
    return result


def asks_for(text: str) -> list[str]:
    """What a page would load besides itself: addresses in elements that load, imports and urls in style sheets."""
    finder = _Loads()
    finder.feed(text)
    return finder.found


class _Loads(HTMLParser):
    LOADING = {"src", "srcset", "poster", "data", "background", "xlink:href"}

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.in_style = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.in_style = tag == "style"
        for name, value in attributes:
            loads = name in self.LOADING or (name == "href" and tag not in ("a", "area"))
            if loads and value and not value.startswith(("data:", "#")):
                self.found.append(f"<{tag} {name}={value[:60]}>")
            if name == "style":
                self._look_into(value or "")

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False

    def handle_data(self, data: str) -> None:
        if self.in_style:
            self._look_into(data)

    def _look_into(self, css: str) -> None:
        self.found += [m[:60] for m in re.findall(r"@import[^;]*|url\(\s*['\"]?(?!data:|#|['\"])[^)]*", css)]


# ------------------------------------------------------------------------------------------------ the command

def write(path: Path, parts: Assets, folder: Path = OUTPUT, say: Callable[[str], None] = print) -> Path:
    """Write the slides of the solution notebook ``path`` into ``folder``; returns the file."""
    nb = nbformat.read(path, as_version=4)
    if nb.metadata.get("course", {}).get("fingerprint") != fingerprint(nb):
        say(f"! {path.name} changed since it ran; the slides show its old outputs. "
            f"First:  python course.py build {number_of(path)}")
    heading = next((m[1] for c in nb.cells if (m := re.match(r"# (.*?)(?: \(solution\))?\s*(?:\n|$)", c.source))), path.stem)
    try:
        text = slides_html(nb, heading, parts)
    except AuthorError as problem:
        raise AuthorError(f"{path.name}: {problem}") from None
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{number_of(path)}_{name_of(path)}.slides.html"
    beside = target.with_suffix(f".{os.getpid()}.tmp")
    beside.write_text(text, encoding="utf-8", newline="\n")
    os.replace(beside, target)
    say(f"✓ slides/{target.name}: {len(pages(nb))} slides, {target.stat().st_size / 1e6:.1f} MB")
    return target


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py slides", description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*", metavar="NN", help="lessons (default: all)")
    options = parser.parse_args(arguments)
    try:
        paths = solutions(options.lessons)
        parts = assets()
        for path in paths:
            write(path, parts)
    except AuthorError as problem:
        print(f"✗ {problem}")
        return 1
    print("Open it in a browser: space goes on, S shows the notes, ?print-pdf behind the address prints.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
