"""Texts: those that the course writes or finds itself when no real ones are at hand, and a text file of one's own."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy as np

# --- Stand-ins for a novel ---


def python_documentation() -> str:
    """The help texts that come with every Python: some 450,000 characters of English and code, about 100 different ones.

    They change from version to version, so nothing may be asserted of their exact length.
    """
    from pydoc_data import topics

    return "\n".join(topics.topics[key] for key in sorted(topics.topics))


def library_source(characters: int = 1_000_000) -> str:
    """The source of Python's own standard library, its top-level modules in the order of their names, printable ASCII only."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    parts, length = [], 0
    for path in sorted(folder.glob("*.py")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        part = "".join(c for c in text if c == "\n" or " " <= c <= "~")
        parts.append(part)
        length += len(part)
        if length >= characters:
            break
    return "".join(parts)[:characters]


# --- Stand-in for film reviews ---

STARTS = ("ka", "lo", "mi", "ru", "te", "so", "ba", "ne", "vi", "du")
ENDS = ("ra", "no", "li", "mu", "ta", "se", "po", "ke", "vo", "zi")
FILLER = tuple(start + end for start in STARTS for end in ENDS)  # words that mean nothing
GOOD = ("good", "great", "superb", "charming", "brilliant", "moving")
BAD = ("bad", "dull", "awful", "clumsy", "boring", "tedious")
NEGATED, FLIPPED = 0.3, 0.05  # shares of the opinions said as "not" and the opposite, and of the labels that are wrong
BEST = 1 - FLIPPED
BEST_BY_COUNTING = 0.8082  # what a model that ignores the order of the words can reach at most


def made_up_reviews(n: int = 5_000, seed: int = 0) -> tuple[list[str], list[int]]:
    """Reviews from a small grammar, and their labels, which alternate: 1 (positive), 0, 1, 0, ...

    A review has 12 to 30 filler words and exactly three opinions at random places; its class is what most of the three say.
    Three in ten opinions are said as "not" and a word of the opposite kind, so the order of the words matters. One review
    in twenty is written for the other class: nobody can be right more often than BEST.

    Returns n reviews (words and single spaces) and n labels.
    """
    rng = np.random.default_rng(seed)
    reviews, labels = [], []
    for number in range(n):
        label = 1 - number % 2
        positive = label == 1 if rng.random() >= FLIPPED else label == 0
        while True:
            opinions = rng.random(3) < 0.5
            if (opinions.sum() >= 2) == positive:
                break
        words: list[list[str]] = [[FILLER[i]] for i in rng.integers(len(FILLER), size=rng.integers(12, 31))]
        for says_good in opinions:
            negated = rng.random() < NEGATED
            kind = GOOD if bool(says_good) != negated else BAD
            phrase = [*(["not"] if negated else []), kind[rng.integers(len(kind))]]
            words.insert(int(rng.integers(len(words) + 1)), phrase)
        reviews.append(" ".join(word for phrase in words for word in phrase))
        labels.append(label)
    return reviews, labels


# --- A text of one's own ---


class UnusableText(ValueError):
    """A file holds no text to learn from; the message says why. Notebooks show the message without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"✗ {self}"]


def read_text(path: str | Path) -> str:
    """The text of a file: UTF-8 (with or without a byte order mark), line ends as "\\n".

    Raises UnusableText with one line: there is no such file, it is a folder, it cannot be read, it is empty, or it is no
    UTF-8 text (a PDF, a Word file, an old encoding).
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise UnusableText(f"{path} is a folder: name a text file in it")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UnusableText(f"there is no file {path}; this notebook looks from {Path.cwd()}") from None
    except OSError as problem:
        raise UnusableText(f"{path.name} cannot be read ({problem.strerror or type(problem).__name__})") from None
    if not raw.strip():
        raise UnusableText(f"{path.name} is empty")
    for start, kind in ((b"%PDF", "a PDF"), (b"PK\x03\x04", "a packed file (Word, EPUB, zip)"), (b"{\\rtf", "an RTF file")):
        if raw.startswith(start):
            raise UnusableText(f"{path.name} is {kind}: save it as plain text (UTF-8)")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise UnusableText(f"{path.name} is not UTF-8 (byte {problem.start:,}): save it as plain text in UTF-8") from None
    if "\0" in text:
        raise UnusableText(f"{path.name} holds zero bytes, so it is no text: save it as plain text (UTF-8)")
    return text.replace("\r\n", "\n").replace("\r", "\n")
