"""The slides as a browser shows them: nothing asked for, nothing cut, nothing too small to read, notes on each."""

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest

from authoring import slides
from authoring.lessonfiles import AuthorError, number_of, solutions
from tests.browser import chromium as finder
from tests.test_slides import figure, make, printed

READY = "document.documentElement.dataset.ready === 'yes'"
SMALLEST = {"text": 20, "code": 13}  # pixels at 1280 x 720
SMALLEST_FIGURE = 0.6                # of the size at which a notebook shows it

# Looks at the page that is shown, with other means than the script that laid it out. Returns a list of sentences.
LOOK = """([smallest, smallestFigure]) => {
  const page = Reveal.getCurrentSlide().querySelector(".page"), found = [];
  const quote = text => JSON.stringify(text.trim().slice(0, 40));
  const outside = r => r.left < -1 || r.top < -1 || r.right > innerWidth + 1 || r.bottom > innerHeight + 1;
  const crosses = (a, b) => a.left < b.right - 2 && b.left < a.right - 2 && a.top < b.bottom - 2 && b.top < a.bottom - 2;
  const corner = document.querySelector(".slide-number").getBoundingClientRect();
  const images = [...page.querySelectorAll("img")].map(e => ({ e, r: e.getBoundingClientRect() }));
  for (const { e, r } of images) {
    const scale = Math.min(r.width / e.naturalWidth, r.height / e.naturalHeight);
    if (!e.complete || !e.naturalWidth) found.push("a figure that cannot be read: " + quote(e.alt));
    if (outside(r)) found.push("a figure is cut: " + quote(e.alt));
    if (!(scale >= smallestFigure)) found.push("a figure at " + scale.toFixed(2) + " of its size: " + quote(e.alt));
  }
  const walker = document.createTreeWalker(page, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.data.trim() || element.closest(".notes")) continue;
    const style = getComputedStyle(element), size = parseFloat(style.fontSize), code = element.closest("pre");
    if (style.visibility !== "visible") found.push("text that is never shown: " + quote(node.data));
    if (!element.closest("math") && size < (code ? smallest.code : smallest.text) - 0.01)
      found.push("text of " + size.toFixed(1) + " pixels: " + quote(node.data));
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const r of range.getClientRects()) {
      if (!r.width) continue;
      if (outside(r)) found.push("text is cut by the edge: " + quote(node.data));
      if (crosses(r, corner)) found.push("text under the slide number: " + quote(node.data));
      if (images.some(image => crosses(r, image.r))) found.push("text over a figure: " + quote(node.data));
      if (code) {
        const box = code.getBoundingClientRect();
        if (r.right > box.right + 1 || r.bottom > box.bottom + 1) found.push("code is cut: " + quote(node.data));
      }
    }
  }
  for (const math of page.querySelectorAll("math"))
    if (!math.closest(".notes") && !(math.getBoundingClientRect().height > 5)) found.push("math that is not drawn");
  return [...new Set(found)];
}"""


@dataclass
class Deck:
    """A deck that is open in the browser, and all that happened since."""

    page: object
    pages: list[str]
    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def look(self) -> dict[str, list[str]]:
        """Go to each page, all its steps shown; what is wrong with it."""
        found = {}
        self.page.add_style_tag(content="* { transition: none !important }")  # steps are there at once
        for key in self.pages:
            self.page.evaluate("""key => { const { h, v } = Reveal.getIndices(document.getElementById(key));
                                           Reveal.slide(h, v, 99); }""", key)
            if problems := self.page.evaluate(LOOK, [SMALLEST, SMALLEST_FIGURE]):
                found[key] = problems
        return found


@pytest.fixture(scope="session")
def parts():
    try:
        return slides.assets()
    except AuthorError as problem:
        finder.missing(str(problem))


def show(browser, nb, parts, path: Path) -> Deck:
    path.write_text(slides.slides_html(nb, "A lesson", parts), encoding="utf-8", newline="\n")
    context = browser.new_context(viewport={"width": slides.WIDTH, "height": slides.HEIGHT}, offline=True)
    deck = Deck(context.new_page(), [p.key for p in slides.pages(nb)])
    context.on("request", lambda request: deck.requests.append(request.url))
    context.on("console", lambda message: deck.console.append(f"{message.type}: {message.text}"))
    deck.page.on("pageerror", lambda error: deck.console.append(f"error: {error}"))
    deck.page.goto(path.as_uri())
    deck.page.wait_for_function(READY)
    return deck


@pytest.fixture(scope="module", params=solutions(), ids=lambda path: f"lesson{number_of(path)}")
def deck(request, chromium, parts, tmp_path_factory):
    opened = show(chromium, nbformat.read(request.param, as_version=4), parts,
                  tmp_path_factory.mktemp("slides") / "deck with a blank.html")
    yield opened
    opened.page.context.close()


@pytest.fixture
def open_deck(chromium, parts, tmp_path):
    opened = []

    def open_it(nb) -> Deck:
        opened.append(show(chromium, nb, parts, tmp_path / f"deck-{len(opened)}.html"))
        return opened[-1]

    yield open_it
    for deck in opened:
        deck.page.context.close()


# -- each lesson -------------------------------------------------------------------------------------------------------


def test_each_slide_is_whole_and_legible(deck):
    problems = [f"slide {key}: {problem}" for key, found in deck.look().items() for problem in found]
    assert not problems, "\n" + "\n".join(problems) + "\nShorten the cell, or give a part of it a subslide of its own."
    assert deck.page.evaluate("[...document.querySelectorAll('.page')].filter(p => p.dataset.fits !== 'yes').length") == 0
    assert deck.page.evaluate("Reveal.getTotalSlides()") == len(deck.pages)


def test_each_slide_has_notes(deck):
    without = deck.page.evaluate("""keys => keys.filter(key => {
        const notes = Reveal.getSlideNotes(document.getElementById(key));
        return !notes || !notes.replace(/<[^>]*>/g, "").trim(); })""", deck.pages)
    assert without == []


def test_the_speaker_view_shows_the_notes(deck):
    deck.page.evaluate("Reveal.slide(0)")
    with deck.page.context.expect_page() as window:
        deck.page.keyboard.press("s")
    speaker = window.value
    speaker.wait_for_function("document.querySelector('.speaker-controls-notes .value')?.innerText.trim().length > 20")
    said = speaker.evaluate("document.querySelector('.speaker-controls-notes .value').innerText")
    written = deck.page.evaluate("key => document.querySelector('#' + key + ' .notes').textContent", deck.pages[0])
    assert re.sub(r"\s+", " ", said).strip()[:60] == re.sub(r"\s+", " ", written).strip()[:60]
    speaker.close()


def test_one_page_of_paper_for_each_slide(deck):
    paper = deck.page.context.new_page()
    paper.goto(deck.page.url.split("#")[0] + "?print-pdf")
    paper.wait_for_function(READY)
    paper.wait_for_function(f"document.querySelectorAll('.pdf-page').length === {len(deck.pages)}")
    printed_file = paper.pdf(prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed_file)) == len(deck.pages)
    paper.close()


def test_nothing_was_asked_for_and_nothing_complained(deck):
    """The last test of a deck: all of it has been seen by now, the speaker view and the print view too."""
    itself = deck.page.url.split("#")[0].split("?")[0]
    assert [url for url in deck.requests if not url.startswith(("data:", itself, "about:"))] == []
    assert [line for line in deck.console if line.startswith(("error", "warning"))] == []


# -- the looking itself ------------------------------------------------------------------------------------------------


def test_a_slide_with_too_much_on_it_is_reported(open_deck):
    lines = "\n".join(f"- point {i}, which says something that takes a line" for i in range(40))
    code = "\n".join(f"value_{i} = {i}" for i in range(50))
    wide = "x = " + " + ".join(f"value_{i}" for i in range(60))
    deck = open_deck(make(("slide", f"## A list\n\n{lines}"), ("slide", code, []), ("slide", wide, []), ("slide", "## Fine")))
    found = deck.look()
    assert sorted(found) == ["cell-0", "cell-1", "cell-2"]
    assert any("pixels" in text or "cut" in text for text in found["cell-0"]) and any("cut" in text for text in found["cell-2"])


def test_a_figure_that_cannot_be_read_is_reported(open_deck):
    nb = make(("slide", "## One"), ("fragment", "show()", figure()))
    data = bytearray(base64.b64decode(nb.cells[1].outputs[0].data["image/png"]))
    data[24] = 99  # bits a pixel: there is no such PNG
    nb.cells[1].outputs[0].data["image/png"] = base64.b64encode(data).decode()
    assert "cannot be read" in open_deck(nb).look()["cell-0"][0]


def test_a_request_is_seen(open_deck):
    deck = open_deck(make(("slide", "# One\n\nText."), ("notes", "say")))
    assert not any(url.startswith("http") for url in deck.requests)
    deck.page.evaluate("new Image().src = 'http://127.0.0.1:9/pixel.png'")
    deck.page.wait_for_timeout(200)
    assert any(url.startswith("http://127.0.0.1:9") for url in deck.requests)


def test_steps_appear_in_the_order_of_the_notebook(open_deck):
    """Figures stand in their own part of the page; they still appear where the notebook has them."""
    deck = open_deck(make(("slide", "## One\n\nText."), ("fragment", "show()", figure("First comes a figure.")),
                          ("fragment", "then text"), ("fragment", "a = 1\nprint(a)", printed("1")), ("notes", "say")))
    seen = []
    for _ in range(3):
        deck.page.keyboard.press("Space")
        seen.append(deck.page.evaluate("""() => { const e = document.querySelector('.current-fragment');
            return e.querySelector('img') ? 'figure' : e.querySelector('pre') ? 'code' : 'text'; }"""))
    assert seen == ["figure", "text", "code"]


def test_a_missing_browser_is_a_skip_at_home_and_a_failure_in_ci(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="must run"):
        finder.missing("no browser")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        finder.missing("no browser")


def test_the_browser_is_found_by_name_place_or_setting(monkeypatch):
    monkeypatch.delenv("COURSE_BROWSER", raising=False)
    monkeypatch.setattr(finder.shutil, "which", lambda name: "/somewhere/chrome" if name == "google-chrome" else None)
    assert finder.find() == "/somewhere/chrome"
    monkeypatch.setattr(finder.shutil, "which", lambda name: None)
    monkeypatch.setattr(finder, "PLACES", (__file__,))
    assert finder.find() == __file__
    monkeypatch.setattr(finder, "PLACES", ())
    assert finder.find() is None
    monkeypatch.setenv("COURSE_BROWSER", "/my/browser")
    assert finder.find() == "/my/browser"
