"""Texts: what the stand-ins promise, and what a file of one's own may do wrong."""

from collections import Counter, defaultdict
from itertools import product

import pytest

from helpers import texts
from helpers.texts import UnusableText, read_text


def test_python_documentation_is_long_and_varied():
    text = texts.python_documentation()
    assert len(text) > 400_000
    assert 90 <= len(set(text)) <= 120
    assert text == texts.python_documentation()


def test_library_source_is_printable_and_cut():
    text = texts.library_source(200_000)
    assert len(text) == 200_000
    assert 80 <= len(set(text)) <= 96
    assert text.isascii()


def test_reviews_follow_their_grammar():
    reviews, labels = texts.made_up_reviews(2_000)
    assert labels[:5] == [1, 0, 1, 0, 1]
    words = Counter(word for review in reviews for word in review.split())
    assert set(words) == {*texts.FILLER, *texts.GOOD, *texts.BAD, "not"}
    assert len(words) == 113
    agree = 0
    for review, label in zip(reviews, labels, strict=True):
        split = review.split()
        assert 15 <= len(split) <= 36
        opinions = []
        for place, word in enumerate(split):
            if word in texts.GOOD + texts.BAD:
                negated = place > 0 and split[place - 1] == "not"
                opinions.append((word in texts.GOOD) != negated)
        assert len(opinions) == 3
        agree += (sum(opinions) >= 2) == (label == 1)
    assert agree / len(reviews) == pytest.approx(texts.BEST, abs=0.02)
    negated = words["not"] / (3 * len(reviews))
    assert negated == pytest.approx(texts.NEGATED, abs=0.03)


def test_reviews_depend_on_their_seed_alone():
    assert texts.made_up_reviews(50, seed=3) == texts.made_up_reviews(50, seed=3)
    assert texts.made_up_reviews(50, seed=3) != texts.made_up_reviews(50, seed=4)


def test_counting_words_is_worth_less_than_reading_them():
    """The best guess from the numbers of good, bad and negating words, over all 64 cases."""
    chances = defaultdict(lambda: [0.0, 0.0])
    for opinions in product((0, 1), repeat=3):
        for negations in product((0, 1), repeat=3):
            chance = 1 / 8
            for negated in negations:
                chance *= texts.NEGATED if negated else 1 - texts.NEGATED
            good = sum(opinion != negated for opinion, negated in zip(opinions, negations, strict=True))
            chances[good, sum(negations)][sum(opinions) >= 2] += chance
    best = sum(max(pair) for pair in chances.values())
    assert best * (1 - texts.FLIPPED) + (1 - best) * texts.FLIPPED == pytest.approx(texts.BEST_BY_COUNTING, abs=1e-4)


def test_own_text(tmp_path):
    file = tmp_path / "own.txt"
    file.write_bytes("\ufeffGrüße,\r\nmein\rText\n".encode())
    assert read_text(file) == "Grüße,\nmein\nText\n"


@pytest.mark.parametrize("content, says", [
    (b"", "is empty"),
    (b" \n\t ", "is empty"),
    (b"%PDF-1.7 ...", "is a PDF"),
    (b"PK\x03\x04...", "Word"),
    ("Grüße".encode("latin-1"), "is not UTF-8"),
    (b"a\0b", "zero bytes"),
])
def test_what_is_no_text(content, says, tmp_path):
    file = tmp_path / "own.txt"
    file.write_bytes(content)
    with pytest.raises(UnusableText, match=says) as caught:
        read_text(file)
    assert "\n" not in str(caught.value)
    assert caught.value._render_traceback_() == [f"✗ {caught.value}"]


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(UnusableText, match="there is no file"):
        read_text(tmp_path / "nowhere.txt")
    with pytest.raises(UnusableText, match="is a folder"):
        read_text(tmp_path)
