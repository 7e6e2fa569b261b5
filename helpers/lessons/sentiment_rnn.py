"""Lesson 16, a network that reads: its exercises, its quiz and its figures. Imports torch only when somebody needs it."""

from __future__ import annotations

import collections
import random
from pathlib import Path

import numpy as np

from helpers import devices, plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import Raised, describe, is_tensor

# ---------------------------------------------------------------------------------------------- what the checks share


def _cpu(values) -> np.ndarray:
    """A tensor of any device, or an array, as an array."""
    return values.detach().cpu().numpy() if is_tensor(values) else np.asarray(values)


def _numbers(*shape: int, seed: int, scale: float = 1.0):
    """A tensor of numbers around 0.2, float64, on the CPU."""
    import torch

    return torch.tensor(scale * np.random.default_rng(seed).normal(0.2, 1.0, shape))


def _ids(rows: int, length: int, words: int, seed: int):
    """(rows, length) whole numbers from 1 to ``words``, with a few zeros on the left of every second row."""
    import torch

    ids = np.random.default_rng(seed).integers(1, words + 1, (rows, length))
    ids[1::2, : length // 3] = 0
    return torch.tensor(ids, device=devices.device())


def _raised(facts: dict, *words: str) -> bool:
    """Whether the last fact is an exception with all these words in its name or text."""
    last = list(facts.values())[-1]
    return isinstance(last, Raised) and all(word in f"{last.kind}: {last.text}" for word in words)


# ---------------------------------------------------------------------------------------------- 16.1 build_vocab

_FOUR_REVIEWS = [["not", "so", "good"], ["so", "so"], ["a", "good", "film", "not", "a", "great", "film"], ["a", "film"]]


def _many_reviews() -> list[list[str]]:
    """Reviews of made-up words, in which some words are frequent, many are rare, and many are equally frequent."""
    rng = random.Random("16.1")
    words = [a + b for a in "tbkm" for b in ("o", "a", "um", "ir", "el")]
    rng.shuffle(words)
    return [rng.choices(words, weights=[1 / (n + 1) for n in range(len(words))], k=rng.randint(2, 9)) for _ in range(17)]


def _observe_vocab(build_vocab, see):
    see.call(build_vocab, _FOUR_REVIEWS, label="build_vocab of not so good / so so / a good film not a great film / a film")
    for min_count in (2, 3):
        see.call(build_vocab, _FOUR_REVIEWS, min_count, label=f"the same four reviews, min_count={min_count}")
    for min_count in (1, 4):
        see.call(build_vocab, _many_reviews(), min_count=min_count, label=f"17 other reviews, min_count={min_count}")


def _counts(reviews) -> dict[str, int]:
    flat = [word for review in reviews for word in review]
    return {word: flat.count(word) for word in flat}


def _reference_vocab(reviews, min_count=1):
    """One place at a time: a word's number is one more than the words that come before it."""
    count = {word: n for word, n in _counts(reviews).items() if n >= min_count}
    return {word: 1 + sum(m > n or (m == n and other < word) for other, m in count.items()) for word, n in count.items()}


def _vocab(key=lambda word, count: (-count, word), start=1, keep=lambda n, least: n >= least, count=_counts):
    def build_vocab(reviews, min_count=1):
        counts = count(reviews)
        kept = [word for word in counts if keep(counts[word], min_count)]
        return {word: n for n, word in enumerate(sorted(kept, key=lambda w: key(w, counts[w])), start)}
    return build_vocab


def _first_vocab(facts: dict, start: int = 1) -> list[str]:
    """The four reviews' words in the order of their numbers; none, where these are not ``start``, ``start`` + 1, ..."""
    found, words = next(iter(facts.values())), set(_counts(_FOUR_REVIEWS))
    fits = set(found) == words and sorted(found.values()) == list(range(start, start + len(words)))
    return sorted(found, key=found.get) if fits else []


def _first_order(facts: dict) -> str:
    """How the four reviews' words are ordered, if they are numbered from 1."""
    words, count = _first_vocab(facts), _counts(_FOUR_REVIEWS)
    if not words or words == sorted(words, key=lambda word: (-count[word], word)):
        return ""
    counts = [count[word] for word in words]
    return {True: "ties", False: "rare first" if counts == sorted(counts) else "none"}[counts == sorted(counts, reverse=True)]


def _rare_words_get_0(reviews, min_count=1):
    count = _counts(reviews)
    return {word: number if count[word] >= min_count else 0 for word, number in _vocab()(reviews).items()}


build_vocab = Exercise(
    "16.1", "build_vocab",
    observe=_observe_vocab,
    expected=_reference_vocab,
    mistakes=[
        Mistake("Your numbers start at 0, so the most frequent word becomes padding. Start at 1: 0 is reserved.", _vocab(start=0),
                when=lambda facts: bool(_first_vocab(facts, 0))),
        Mistake("Your numbers start at 2. Only 0 is reserved, so the most frequent word gets 1.", _vocab(start=2),
                when=lambda facts: bool(_first_vocab(facts, 2))),
        Mistake("Rare words come first: that is an ascending sort. The most frequent word gets 1.",
                _vocab(lambda word, count: (count, word)), when=lambda facts: _first_order(facts) == "rare first"),
        Mistake("Words that are equally frequent are not in alphabetical order: `most_common`, for instance, leaves them in the order "
                "in which they were met. Sort ties by the word, so that the numbers don't depend on the order of the reviews.",
                _vocab(lambda word, count: -count), when=lambda facts: _first_order(facts) == "ties"),
        Mistake("The words are numbered without regard to how frequent they are. With the order of a `set` the numbers even "
                "differ between runs, and a saved model would read nonsense.", _vocab(lambda word, count: 0),
                when=lambda facts: _first_order(facts) == "none"),
        Mistake("Rare words got the number 0. That is padding; leave them out of the dictionary.", _rare_words_get_0),
        Mistake("The dictionary is turned around: {number: word}. Asked is {word: number}.",
                lambda reviews, min_count=1: {number: word for word, number in _vocab()(reviews, min_count).items()},
                when=lambda facts: all(isinstance(key, int) for key in next(iter(facts.values())))),
        Mistake("These are the counts themselves. Asked are numbers by rank: 1 for the most frequent word, then 2, 3, ...",
                lambda reviews, min_count=1: {word: n for word, n in _counts(reviews).items() if n >= min_count},
                when=lambda facts: dict(next(iter(facts.values()))) == _counts(_FOUR_REVIEWS)),
        Mistake("Letters are counted, not words: a word is itself a sequence, so one loop or one `join` is too many.",
                lambda reviews, min_count=1: _vocab()([list("".join(review)) for review in reviews], min_count),
                when=lambda facts: max(map(len, next(iter(facts.values())))) == 1),
        Mistake("One entry too many: padding is 0, but it is no word, so it has no place in the dictionary.",
                lambda reviews, min_count=1: {"<pad>": 0, **_vocab()(reviews, min_count)},
                when=lambda facts: len(next(iter(facts.values()))) == 7),
        Mistake("min_count is ignored: words seen less often get a number too.", _vocab(keep=lambda n, least: True)),
        Mistake("Words seen exactly min_count times are missing: at least means >=.", _vocab(keep=lambda n, least: n > least)),
        Mistake("A word is counted once per review. Count every time it is seen.",
                _vocab(count=lambda reviews: _counts([dict.fromkeys(review) for review in reviews]))),
    ],
    hints=[
        "Three steps: count the words, put them in order, number them.",
        "`Counter`, `sorted`, `enumerate(..., 1)`. A negative count sorts the largest first.",
        "`{w: i for i, w in enumerate(sorted(..., key=lambda w: (..., w)), ...)}`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 16.2 encode_labels

def _observe_labels(encode_labels, see):
    for words in ("positive negative negative positive negative", "negative positive positive"):
        text = words.replace(" ", "\n")
        see.call(encode_labels, text + "\n", label=f"the lines {words.replace(' ', ', ')}; a newline at the end")
        see.call(encode_labels, text, label=f"the lines {words.replace(' ', ', ')}; none at the end")
    for odd in ("positive\nneutral\nnegative\n", "negative\npositve\n", "Positive\nnegative"):
        see.raises(encode_labels, odd, label=f"the lines {', '.join(odd.split())}")


def _reference_labels(text):
    """By length and letters of the whole text: NumPy compares all lines at once."""
    import torch

    lines = np.array(text.split())
    if not np.isin(lines, ["positive", "negative"]).all():
        raise ValueError("neither positive nor negative")
    return torch.tensor((lines == "positive").astype(np.float32))


def _labels(split=str.split, table=None, dtype="float32", strict=True):
    def encode_labels(text):
        import torch

        numbers = table or {"positive": 1, "negative": 0}
        words = split(text)
        if strict and set(words) - set(numbers) - {""}:
            raise ValueError(words)
        return torch.tensor([numbers.get(word, 0) for word in words], dtype=getattr(torch, dtype))
    return encode_labels


def _key_error(text, separator=None):
    import torch

    return torch.tensor([{"positive": 1.0, "negative": 0.0}[word] for word in text.split(separator)], dtype=torch.float32)


def _first_labels(facts: dict) -> list:
    return next(iter(facts.values())).tolist()


def _odd_labels(facts: dict) -> list[str]:
    """What came of the three texts with another word, if the four right ones were read rightly."""
    *right, neutral, typing_error, capital = facts.values()
    fits = [r.tolist() for r in right] == [[1, 0, 0, 1, 0]] * 2 + [[0, 1, 1]] * 2
    return [neutral, typing_error, capital] if fits else []


def _skips_strangers(text):
    return _labels()("\n".join(word for word in text.split() if word in ("positive", "negative")))


def _hands_the_error_back(text):
    try:
        return _labels()(text)
    except ValueError as problem:
        return problem


def _asserts(text):
    if set(text.split()) - {"positive", "negative"}:
        raise AssertionError
    return _labels()(text)


encode_labels = Exercise(
    "16.2", "encode_labels",
    observe=_observe_labels,
    expected=_reference_labels,
    mistakes=[
        Mistake('`split("\\n")` makes an extra label for the empty last line. One label too many shifts every pair behind it.',
                _labels(lambda text: text.split("\n")), when=lambda facts: len(_first_labels(facts)) == 6),
        Mistake("The labels are integers. The loss, binary cross-entropy, wants floats: float32.", _labels(dtype="int64"),
                when=lambda facts: str(next(iter(facts.values())).dtype) == "torch.int64"),
        Mistake("Inverted: positive is 1. A network trained like this looks fine until somebody reads its answers.",
                _labels(table={"positive": 0, "negative": 1}), when=lambda facts: _first_labels(facts) == [0, 1, 1, 0, 1]),
        Mistake("The dtype is float64: networks compute in float32.", _labels(dtype="float64")),
        Mistake("Any other word counts as negative. A typing error in a file must not become a label: raise ValueError.",
                _labels(strict=False), when=lambda facts: "[1., 0., 0.]" in _odd_labels(facts)[0]),
        Mistake("Any other word is skipped. Then the labels behind it belong to other reviews: raise ValueError.", _skips_strangers),
        Mistake("Capitals are let through: 'Positive' is another word, and raises ValueError.", lambda text: _labels()(text.lower()),
                when=lambda facts: "returns" in _odd_labels(facts)[2] and "returns" not in "".join(_odd_labels(facts)[:2])),
        Mistake("A typing error such as 'positve' passes: compare the whole word.",
                lambda text: _labels(lambda text: [{"pos": "positive", "neg": "negative"}.get(w[:3], w) for w in text.split()])(text),
                when=lambda facts: "returns" in _odd_labels(facts)[1] and "raises" in _odd_labels(facts)[0]),
        Mistake("The ValueError is returned like a result. `raise` it.", _hands_the_error_back,
                when=lambda facts: "returns a ValueError" in _odd_labels(facts)[0]),
        Mistake("The last line is always dropped, also where no newline stands at the end. `split()` without an argument needs no such repair.",
                _labels(lambda text: text.split("\n")[:-1]), when=lambda facts: [len(v) for v in list(facts.values())[:2]] == [5, 4]),
        Mistake("Negative became -1. Binary cross-entropy wants probabilities: 0.",
                _labels(table={"positive": 1, "negative": -1}), when=lambda facts: _first_labels(facts) == [1, -1, -1, 1, -1]),
        Mistake('`split("\\n")` leaves an empty piece behind the last newline, and it is no label. `split()` drops it.',
                lambda text: _key_error(text, "\n"), when=lambda facts: len(facts) == 1 and _raised(facts, "KeyError")),
        Mistake("The `return` stands inside the loop: one label, and the function ends.", lambda text: _labels()(text)[:1],
                when=lambda facts: len(_first_labels(facts)) == 1),
        Mistake("An unknown word ends in the KeyError of a dictionary. The caller was promised a ValueError.", _key_error,
                when=lambda facts: any(str(v).startswith("raises KeyError") for v in facts.values())),
        Mistake("An unknown word ends in an AssertionError. `assert` is for what cannot happen; the caller was promised a ValueError.", _asserts,
                when=lambda facts: any(str(v).startswith("raises AssertionError") for v in facts.values())),
    ],
    hints=[
        "One word a line; a number for each; look for strangers first.",
        "`split()` without an argument ignores the newline at the end.",
        "`if word not in ...: raise ValueError(...)`, and `torch.tensor([... for word in words], dtype=...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 16.3 drop_empty

_ROWS = [[1, 2], [], [], [3], [4, 5], []]


def _observe_drop(drop_empty, see):
    import torch

    cases = (
        ("[[1, 2], [], [], [3], [4, 5], []] with labels 1, 0, 0, 1, 0, 1", _ROWS, [1, 0, 0, 1, 0, 1]),
        ("[[], [7, 8, 9], [], [], [], [6]] with labels 1, 1, 0, 1, 0, 0", [[], [7, 8, 9], [], [], [], [6]], [1, 1, 0, 1, 0, 0]),
        ("four reviews, none empty, two of them alike", [[5, 1], [2], [4, 4], [2]], [0, 1, 1, 0]),
    )
    for label, rows, numbers in cases:
        given = [list(row) for row in rows]
        labels = torch.tensor(numbers, dtype=torch.float32, device=devices.device())
        kept = labels.clone()
        got = see.call(drop_empty, given, labels, label=label, parts=("the reviews", "the labels"), changes_inputs=True)
        changed = [name for name, now, before in (("the list of reviews", given, rows), ("the labels", labels.tolist(), kept.tolist()))
                   if now != before]
        see.fact(f"{label}: the caller's own data", f"{' and '.join(changed)} changed" if changed else "as before", implied="as before")
        if not isinstance(got, tuple | list) or len(got) != 2:
            return
        see.fact(f"{label}: the list you return", "the caller's own" if got[0] is given else "a new list", implied="a new list")


def _reference_drop(reviews_ints, labels):
    """NumPy's mask of lengths."""
    lengths = np.array([len(row) for row in reviews_ints])
    keep = np.flatnonzero(lengths)
    return [reviews_ints[i] for i in keep], labels[keep.tolist()]


def _removed_while_looping(reviews_ints, labels):
    rows, left = list(reviews_ints), labels.tolist()
    for place, row in enumerate(rows):
        if not row:
            del rows[place], left[place]
    return rows, labels.new_tensor(left)


def _only_the_first(reviews_ints, labels):
    import torch

    rows = list(reviews_ints)
    if [] in rows:
        place = rows.index([])
        del rows[place]
        labels = torch.cat([labels[:place], labels[place + 1:]])
    return rows, labels


def _without_repeats(reviews_ints, labels):
    keep = [i for i, row in enumerate(reviews_ints) if row and row not in reviews_ints[:i]]
    return [reviews_ints[i] for i in keep], labels[keep]


def _in_place(reviews_ints, labels):
    keep = [i for i, row in enumerate(reviews_ints) if row]
    reviews_ints[:] = [row for row in reviews_ints if row]
    return list(reviews_ints), labels[keep]


def _kept(test, order=1):
    """Keeps the reviews with ``test(review, label)``, and their labels, forward or backward."""
    def drop_empty(reviews_ints, labels):
        keep = [i for i, row in enumerate(reviews_ints) if test(row, labels[i])][::order]
        return [reviews_ints[i] for i in keep], labels[keep]
    return drop_empty


def _lengths(facts: dict) -> tuple[int, int]:
    rows, labels = next(iter(facts.values()))
    return len(rows), len(labels)


def _first_drop(facts: dict) -> tuple[list, list]:
    rows, labels = next(iter(facts.values()))
    return rows, labels.tolist()


drop_empty = Exercise(
    "16.3", "drop_empty",
    observe=_observe_drop,
    expected=_reference_drop,
    mistakes=[
        Mistake("Removing from a list while looping over it: of two empty neighbors, one survives. Build a new list.",
                _removed_while_looping, when=lambda facts: [] in next(iter(facts.values()))[0] and _lengths(facts)[0] == 4),
        Mistake("The labels are not filtered: you return lists of lengths 3 and 6. Every label must follow its review.",
                lambda reviews_ints, labels: ([row for row in reviews_ints if row], labels.clone()),
                when=lambda facts: _lengths(facts) == (3, 6)),
        Mistake("Only one empty review was removed, the first; two are left.", _only_the_first,
                when=lambda facts: _first_drop(facts)[0] == [[1, 2], [], [3], [4, 5], []]),
        Mistake("Only an empty review at the end was removed. They can stand anywhere.",
                lambda reviews_ints, labels: (reviews_ints[:-1], labels[:-1]) if not reviews_ints[-1] else (list(reviews_ints), labels),
                when=lambda facts: _first_drop(facts)[0] == _ROWS[:-1]),
        Mistake("The reviews are right, but these are the labels of the empty ones.",
                lambda reviews_ints, labels: ([row for row in reviews_ints if row], labels[[i for i, row in enumerate(reviews_ints) if not row]]),
                when=lambda facts: _first_drop(facts) == ([[1, 2], [3], [4, 5]], [0, 0, 1])),
        Mistake("A review of one word is gone too. Only the empty ones go.", _kept(lambda row, label: len(row) > 1),
                when=lambda facts: _first_drop(facts)[0] == [[1, 2], [4, 5]] and _first_drop(facts)[1] == [1, 0]),
        Mistake("Reviews with label 0 are gone too: the label decides nothing here.", _kept(lambda row, label: row and label),
                when=lambda facts: _first_drop(facts) == ([[1, 2], [3]], [1, 1])),
        Mistake("The order is turned around. Reviews and labels keep the order that they had.", _kept(lambda row, label: row, -1),
                when=lambda facts: _first_drop(facts) == ([[4, 5], [3], [1, 2]], [0, 1, 1])),
        Mistake("Two equal reviews became one. People may write the same; only the empty ones go.", _without_repeats),
        Mistake("Only the list comes back. Return both: the reviews and the labels that belong to them.",
                lambda reviews_ints, labels: [row for row in reviews_ints if row],
                when=lambda facts: next(iter(facts.values())) == [[1, 2], [3], [4, 5]]),
        Mistake("You keep the first labels instead of those of the reviews that stay: now the labels belong to other reviews.",
                lambda reviews_ints, labels: ([row for row in reviews_ints if row], labels[:sum(map(bool, reviews_ints))])),
        Mistake("The caller's list has changed. Build a new one.", _in_place,
                when=lambda facts: any(label.endswith("own data") and value != "as before" for label, value in facts.items())),
        Mistake("You keep the empty ones: turn the condition around.",
                lambda reviews_ints, labels: ([r for r in reviews_ints if not r], labels[[i for i, r in enumerate(reviews_ints) if not r]])),
    ],
    hints=[
        "Which positions stay? Both results are made from the same positions.",
        "A list of indices: an empty list counts as false, and a tensor can be indexed with a list of positions.",
        "`keep = [i for i, r in enumerate(...) if ...]`, then both results from `keep`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 16.4 pad_features

_PAD_CASES = (
    ("[[117, 18, 128]], seq_length 10", [[117, 18, 128]], 10),
    ("a review of 13 words, seq_length 10", [[31, 4, 15, 9, 26, 5, 35, 8, 97, 93, 2, 38, 46]], 10),
    ("5, 0, 7 and 6 words, seq_length 6", [[3, 1, 4, 1, 5], [], [9, 2, 6, 5, 3, 5, 8], [7, 9, 3, 2, 3, 8]], 6),
    ("two reviews, seq_length 50", [[2, 7, 1, 8], list(range(60, 3, -1))], 50),
)


def _observe_pad(pad_features, see):
    for label, rows, length in _PAD_CASES:
        see.call(pad_features, rows, length, label=label)


def _reference_pad(reviews_ints, seq_length):
    """List arithmetic."""
    import torch

    return torch.tensor([[0] * (seq_length - len(row[:seq_length])) + row[:seq_length] for row in reviews_ints])


def _pad(place, dtype="int64"):
    """A loop in which ``place(features_row, row, seq_length)`` writes one row."""
    def pad_features(reviews_ints, seq_length):
        import torch

        features = torch.zeros(len(reviews_ints), seq_length, dtype=getattr(torch, dtype))
        for target, row in zip(features, reviews_ints, strict=True):
            place(target, row, seq_length)
        return features
    return pad_features


def _write_left(target, row, length, cut=lambda row, length: row[:length]):
    row = cut(row, length)
    if row:
        target[-len(row):] = target.new_tensor(row)


def _write_right(target, row, length):
    row = row[:length]
    target[:len(row)] = target.new_tensor(row)


def _write_centered(target, row, length):
    row = row[:length]
    start = (length - len(row)) // 2
    target[start:start + len(row)] = target.new_tensor(row)


def _not_cut(reviews_ints, seq_length):
    import torch

    return torch.tensor([[0] * (seq_length - len(row)) + row for row in reviews_ints])


def _write_without_asking(target, row, length):
    import torch

    row = torch.tensor(row[:length])
    target[-len(row):] = row


pad_features = Exercise(
    "16.4", "pad_features",
    observe=_observe_pad,
    expected=_reference_pad,
    mistakes=[
        Mistake("The zeros stand on the right: the last step would read padding instead of the last word.", _pad(_write_right),
                when=lambda facts: list(facts.values())[0].tolist() == [[117, 18, 128, 0, 0, 0, 0, 0, 0, 0]]),
        Mistake("You keep the last words of a long review. The contract keeps the first.",
                _pad(lambda t, row, n: _write_left(t, row, n, lambda row, n: row[-n:]))),
        Mistake("Your tensor is float. An embedding looks rows up by number: int64.", _pad(_write_left, "float32"),
                when=lambda facts: next(iter(facts.values())).is_floating_point()),
        Mistake("An empty review crashes: -len(row): becomes -0:, and that is the whole row. Leave empty rows alone.",
                _pad(_write_without_asking),
                when=lambda facts: len(facts) == 3 and (_raised(facts, "RuntimeError", "size (0)") or _raised(facts, "ValueError", "shape (0,)"))),
        Mistake("Long reviews are not cut: the row must have seq_length numbers, the first ones.", _not_cut,
                when=lambda facts: len(facts) == 2 and _raised(facts, "(13") or tuple(list(facts.values())[1].shape) == (1, 13)),
        Mistake("The table is as wide as the longest review. Asked are seq_length columns.",
                lambda reviews_ints, seq_length: _reference_pad(reviews_ints, max(map(len, reviews_ints))),
                when=lambda facts: tuple(next(iter(facts.values())).shape) == (1, 3)),
        Mistake("Empty reviews are left out. Each review keeps its row; an empty one becomes all zeros.",
                lambda reviews_ints, seq_length: _reference_pad([row for row in reviews_ints if row], seq_length),
                when=lambda facts: tuple(list(facts.values())[2].shape) == (3, 6)),
        Mistake("One number too few: row[:seq_length] already stops in front of place seq_length.",
                _pad(lambda t, row, n: _write_left(t, row, n, lambda row, n: row[:n - 1]))),
        Mistake("The words stand in the middle. All zeros go to the left.", _pad(_write_centered)),
        Mistake("Only the first review is written: is the `return` inside the loop?",
                lambda reviews_ints, seq_length: _reference_pad([*reviews_ints[:1], *([[]] * (len(reviews_ints) - 1))], seq_length)),
        Mistake("The words stand backwards.", _pad(lambda t, row, n: _write_left(t, row, n, lambda row, n: row[:n][::-1]))),
        Mistake("The dtype is int32: indices are int64 in PyTorch.", _pad(_write_left, "int32"),
                when=lambda facts: "int32" in str(next(iter(facts.values())).dtype)),
    ],
    hints=[
        "Start with zeros everywhere, then overwrite the right end of each row.",
        "Cut first: `row = row[:seq_length]`. `torch.zeros(..., dtype=...)` makes integers too.",
        "`if row: features[i, -len(row):] = ...`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 16.5 split_indices

_THREE = "three rows of whole numbers (1-D int64 tensors)"
_SPLITS = ((1_003, {"train_frac": 0.8, "seed": 3}), (57, {"train_frac": 0.75, "seed": 1}), (500, {}))


def _observe_split(split_indices, see):
    for n, options in _SPLITS:
        asked = f"split_indices({', '.join([f'{n}', *(f'{k}={v}' for k, v in options.items())])})"
        before = _random_states()
        got = see.call(split_indices, n, label=asked, record=False, asks=_THREE, **options)
        state = "unchanged" if _random_states() == before else "changed"
        fits = isinstance(got, tuple | list) and len(got) == 3 and all(map(_is_row, got))
        see.fact(f"{asked} returns", _THREE if fits else _row_text(got), implied=_THREE)
        if not fits:
            return
        parts = [part.tolist() for part in got]
        sizes = dict(zip(("training", "validation", "test"), map(len, parts), strict=True))
        see.fact(f"{asked}: how many for training, validation, test", sizes)
        together = [i for part in parts for i in part]
        see.fact(f"{asked}: indices that occur twice", len(together) - len(set(together)))
        see.fact(f"{asked}: indices from 0 to {n - 1} that are missing", len(set(range(n)) - set(together)))
        if n > 100:  # small parts may miss a third of the data by chance
            see.fact(f"{asked}: where the parts lie", _where(parts, n))
        see.fact(f"{asked}: the global random state", state)
        if n == 57:
            _observe_seeds(split_indices, n, options, parts, asked, see)


def _observe_seeds(split_indices, n, options, parts, asked, see) -> None:
    _disturb()
    again = see.call(split_indices, n, label=f"{asked} again", record=False, asks=_THREE, **options)
    see.fact(f"{asked}: a second call with the same seed", "the same split" if _sets(again) == _sets(parts) else "another split")
    other = see.call(split_indices, n, label=f"{asked} with seed=2", record=False, asks=_THREE, **{**options, "seed": 2})
    see.fact(f"{asked}: with another seed", "another split" if _sets(other) != _sets(parts) else "the same split")


def _is_row(part) -> bool:
    return is_tensor(part) and part.ndim == 1 and str(part.dtype) == "torch.int64"


def _row_text(got) -> str:
    return f"({', '.join(map(describe, got))})" if isinstance(got, tuple | list) and len(got) <= 4 else describe(got)


def _sets(parts) -> list[set]:
    return [set(part.tolist() if is_tensor(part) else part) for part in parts]


def _where(parts, n: int) -> str:
    """Whether each part has members in all thirds of the data."""
    spread = all({i * 3 // n for i in part} == {0, 1, 2} for part in parts)
    return "all over the data" if spread else "each part at another end of the data"


def _random_states() -> tuple:
    import torch

    return str(random.getstate()), np.random.get_state()[1].tobytes(), np.random.get_state()[2], torch.random.get_rng_state().numpy().tobytes()


def _disturb() -> None:
    """Draw from all global generators, so that a split that depends on them shows it."""
    import torch

    random.random()
    np.random.rand(3)
    torch.rand(3)


def _reference_split(n, train_frac=0.8, seed=0):
    """NumPy's generator."""
    import torch

    order = torch.tensor(np.random.default_rng(seed).permutation(n))
    first = int(n * train_frac)
    second = (n - first) // 2
    return tuple(order.split([first, second, n - first - second]))


def _split(order, cut=lambda p, a, b: (p[:a], p[a:a + b], p[a + b:])):
    def split_indices(n, train_frac=0.8, seed=0):
        a = int(n * train_frac)
        return cut(order(n, seed), a, (n - a) // 2)
    return split_indices


def _own_generator(n, seed):
    import torch

    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def _global_seed(n, seed):
    import torch

    torch.manual_seed(seed)
    return torch.randperm(n)


def _one_seed(n, seed):
    return _own_generator(n, 0)


def _one_based(n, seed):
    return _own_generator(n, seed) + 1


def _not_seeded(n, seed):
    import torch

    return torch.randperm(n)


def _in_order(n, seed):
    import torch

    return torch.arange(n)


def _ends(facts: dict, name: str):
    return [value for label, value in facts.items() if label.endswith(name)]


def _returned(facts: dict) -> str:
    return next(value for label, value in facts.items() if label.endswith("returns"))


def _first_sizes(facts: dict) -> int:
    return sum(_ends(facts, "training, validation, test")[0].values())


split_indices = Exercise(
    "16.5", "split_indices",
    observe=_observe_split,
    expected=_reference_split,
    mistakes=[
        Mistake("The numbers run from 1 to n. Indices run from 0 to n - 1: as it is, review 0 is in no part, and n is out of range.",
                _split(_one_based)),
        Mistake("Each part still comes from one stretch of the file: nothing, or not everything, is shuffled. On data sorted by class, the test "
                "set would then hold one class only.", _split(_in_order),
                when=lambda facts: "each part at another end of the data" in _ends(facts, "where the parts lie")),
        Mistake("These are lists. Asked are tensors of int64: they index other tensors, and go to another device.",
                lambda n, train_frac=0.8, seed=0: tuple(part.tolist() for part in _split(_own_generator)(n, train_frac, seed)),
                when=lambda facts: _returned(facts).startswith("([")),
        Mistake("These are the sizes of the parts. Asked are the shuffled numbers themselves.",
                lambda n, train_frac=0.8, seed=0: tuple(map(len, _split(_own_generator)(n, train_frac, seed))),
                when=lambda facts: _returned(facts) == "(802, 100, 101)"),
        Mistake("The parts overlap: test reviews were trained on, and the test says nothing.",
                _split(_own_generator, lambda p, a, b: (p[:a], p[a:a + b], p[a:])),
                when=lambda facts: any(_ends(facts, "that occur twice"))),
        Mistake("You seed or use a global generator (torch.manual_seed, random.seed, np.random.seed), and that changes everybody else's "
                "random numbers. Draw from a generator of your own.", _split(_global_seed),
                when=lambda facts: ("changed" in _ends(facts, "the global random state")
                                    and "another split" not in _ends(facts, "with the same seed"))),
        Mistake("The seed is not used: the same call gives another split each time, and draws from the global generator.",
                _split(_not_seeded), when=lambda facts: "another split" in _ends(facts, "with the same seed")),
        Mistake("Some reviews are in no part. Each part begins where the one before it ends, and the third takes all the rest.",
                _split(_own_generator, lambda p, a, b: (p[:a], p[a:a + b], p[a + b:a + 2 * b])),
                when=lambda facts: any(_ends(facts, "that are missing")) and _first_sizes(facts) < 1_003),
        Mistake("Your split does not depend on the seed: a generator of your own wants `manual_seed(seed)`.", _split(_one_seed),
                when=lambda facts: "the same split" in _ends(facts, "with another seed")),
        Mistake("The size of the first part is rounded to the nearest number. The contract says int(n * train_frac), which rounds down.",
                lambda n, train_frac=0.8, seed=0: _split(_own_generator)(n, round(n * train_frac) / n + 1e-9, seed)),
        Mistake("train_frac is ignored: the first part is always 80 %.", lambda n, train_frac=0.8, seed=0: _split(_own_generator)(n, 0.8, seed)),
        Mistake("Of an odd rest, the test set gets the larger part: half of it, rounded down, is for validation. Are the two exchanged?",
                _split(_own_generator, lambda p, a, b: (p[:a], p[a + b:], p[a:a + b])),
                when=lambda facts: {"training": 802, "validation": 101, "test": 100} in _ends(facts, "training, validation, test")),
    ],
    hints=[
        "Shuffle the numbers 0 to n - 1, then cut twice.",
        "`torch.randperm(n, generator=...)`; a `torch.Generator()` of your own gets the seed by its method `manual_seed`.",
        "`p[:a], p[a:...], p[...:]`, with a = int(...) and half of the rest behind it.",
    ],
)


# ---------------------------------------------------------------------------------------------- 16.6 SentimentRNN

_A_MODULE = "an nn.Module"


def _layers_text(net) -> str:
    from torch import nn

    embedding, lstm, dropout, fc = (getattr(net, name, None) for name in ("embedding", "lstm", "dropout", "fc"))
    kinds = ((embedding, nn.Embedding), (lstm, nn.LSTM), (dropout, nn.Dropout), (fc, nn.Linear))
    if not all(isinstance(part, kind) for part, kind in kinds):
        names = ("embedding", "lstm", "dropout", "fc")
        return "; ".join(f"{name} is {'missing' if part is None else 'of type ' + type(part).__name__}"
                         for name, (part, _) in zip(names, kinds, strict=True))
    return _layers_as_text((embedding.num_embeddings, embedding.embedding_dim), embedding.padding_idx,
                           (lstm.input_size, lstm.hidden_size, lstm.num_layers, lstm.batch_first, lstm.bidirectional), dropout.p,
                           (fc.in_features, fc.out_features))


def _layers_as_text(table, padding, lstm, p, fc) -> str:
    ways = ", bidirectional" if lstm[4] else ""
    return (f"embedding {table[0]} x {table[1]}, padding_idx {padding}; lstm {lstm[0]} to {lstm[1]}, layers: {lstm[2]}{ways}, "
            f"batch_first {lstm[3]}; dropout {p:g}; fc {fc[0]} to {fc[1]}")


def _fill(net, seed: int) -> None:
    """Fixed parameters, other than 0, so that two networks compare; row 0 of the table stays 0."""
    import torch

    with torch.no_grad():
        for n, (_, parameter) in enumerate(sorted(net.named_parameters())):
            parameter.copy_(_numbers(*parameter.shape, seed=seed + n, scale=0.6).to(parameter))
        net.embedding.weight[0] = 0


def _observe_classifier(SentimentRNN, see):
    import torch

    with torch.backends.cudnn.flags(enabled=False):  # on a GPU its TF32 is too coarse for a comparison
        for sizes, options in (((11, 4, 6), {"drop_prob": 0.25}), ((13, 5, 3), {"n_layers": 2, "drop_prob": 0.4}), ((114, 16, 32), {})):
            if not _observe_one(SentimentRNN, sizes, options, see):
                return


def _observe_one(SentimentRNN, sizes, options, see) -> bool:
    import torch

    V, E, H = sizes
    asked = f"SentimentRNN({', '.join([*map(str, sizes), *(f'{k}={v}' for k, v in options.items())])})"
    net = see.call(SentimentRNN, *sizes, label=asked, record=False, asks=_A_MODULE, **options)
    kind = _A_MODULE if isinstance(net, torch.nn.Module) else describe(net)
    see.fact(f"{asked} returns", kind, implied=_A_MODULE)
    if kind != _A_MODULE:
        return False
    net = net.to(devices.device())
    layers, p = options.get("n_layers", 1), options.get("drop_prob", 0.5)
    wanted = _layers_as_text((V, E), 0, (E, H, layers, True, False), p, (H, 1))
    see.fact(f"{asked}: its layers", _layers_text(net), implied=wanted)
    see.fact(f"{asked}: parameters", sum(q.numel() for q in net.parameters()))
    if _layers_text(net) != wanted:
        return False
    if not options:
        return True
    _fill(net, 60 + V)
    net.eval()
    return _observe_scores(net, asked, V, layers, see) and (layers > 1 or _observe_dropout(net, asked, V, p, see))


def _again(net, x) -> str:
    """Whether scores depend on what was scored before, or on chance."""
    import torch

    found = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        found.append(net(x))
    if not torch.allclose(found[0], found[1], rtol=1e-4, atol=1e-6):
        return "other scores"
    return "the same scores" if torch.allclose(found[0], found[2], rtol=1e-4, atol=1e-6) else "scores at random"


def _observe_scores(net, asked: str, words: int, layers: int, see) -> bool:
    import torch

    B, T = 3 + layers, 8 - layers
    x = _ids(B, T, words - 1, seed=61)
    label = f"{asked}: scores of {B} reviews of {T} words"
    scores = see.call(net, x, label=label, rtol=1e-4)
    if not is_tensor(scores) or tuple(scores.shape) != (B,):
        return False
    with torch.no_grad():
        see.fact(f"{asked}: the same reviews once more, in eval mode", _again(net, x))
        other = x.clone()
        other[1] = words - other[1]  # every word of review 1 becomes another one
        other[1, : T // 3] = 1
        moved = (net(other) - scores).abs() > 1e-6
        see.fact(f"{asked}: scores that move when only review 1 changes", str(moved.nonzero().flatten().tolist()))
    one = see.call(net, x[2:3], label=f"{asked}: score of one review alone", rtol=1e-4)
    if not is_tensor(one) or tuple(one.shape) != (1,):
        return False
    see.call(net, _ids(2, T + 3, words - 1, seed=62), label=f"{asked}: scores of 2 reviews of {T + 3} words", rtol=1e-4)
    total = (net(x) * _numbers(B, seed=63).to(scores)).sum()
    if not total.requires_grad:
        see.fact(f"{asked}: whether a gradient flows back", "no", implied="yes")
        return False
    see.fact(f"{asked}: gradient of the embedding", torch.autograd.grad(total, net.embedding.weight)[0], rtol=1e-3)
    return True


def _observe_dropout(net, asked: str, words: int, p: float, see) -> bool:
    """With one open way from the last state to the score, dropout shows as two values: the bias alone, and a larger state."""
    import torch

    with torch.no_grad():
        net.fc.weight.zero_()
        net.fc.weight[0, 1], net.fc.bias[0] = 1, 0.25
        x = _ids(1, 5, words - 1, seed=64).expand(600, 5)
        state = net(x)[0] - 0.25
        net.train()
        times = (net(x) - 0.25) / state * (1 - p)
    whole = bool(((times - times.round()).abs() < 1e-3).all())
    see.fact(f"{asked}, training mode: the last state after dropout", "0, or larger by 1 / (1 - p)" if whole else _some(times))
    share = (times.abs() < 1e-3).double().mean().item()
    see.fact(f"{asked}, training mode: share of states that are dropped", f"about {p:g}" if abs(share - p) < 0.08 else f"{share:.2f}")
    return True


def _some(values) -> str:
    shown = sorted({round(v, 2) for v in values.flatten().tolist()})
    return "times " + ", ".join(f"{v:g}" for v in shown[:4]) + (" ..." if len(shown) > 4 else "")


def _by_hand(lstm, x):
    """nn.LSTM written with products (Hochreiter and Schmidhuber, 1997); returns the states of the last layer (B, T, H)."""
    import torch

    for n in range(lstm.num_layers):
        w_ih, w_hh, b_ih, b_hh = (getattr(lstm, f"{name}_l{n}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        h = c = x.new_zeros(len(x), lstm.hidden_size)
        states = []
        for t in range(x.shape[1]):
            i, f, g, o = (x[:, t] @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            states.append(h)
        x = torch.stack(states, 1)
    return x


def _classifier(forward, *, batch_first=True, padding_idx=0, outputs=1, more=0, ways=1, kind="LSTM", bias=True, only=lambda layers, p: (layers, p)):
    """A class of networks with the four layers and another forward pass ``forward(net, x)``.

    ``more`` rows in the table, ``ways`` 2 for both directions, another ``kind`` of recurrent layer, ``only`` changes n_layers and drop_prob.
    """
    class SentimentRNN:
        def __new__(cls, vocab_size, embedding_dim, hidden_dim, n_layers=1, drop_prob=0.5):  # nn.Module is known only once torch is here
            from torch import nn

            layers, p = only(n_layers, drop_prob)

            class Network(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.embedding = nn.Embedding(vocab_size + more, embedding_dim, padding_idx=padding_idx)
                    self.lstm = getattr(nn, kind)(embedding_dim, hidden_dim, layers, batch_first=batch_first, bidirectional=ways == 2)
                    self.dropout = nn.Dropout(p)
                    self.fc = nn.Linear(ways * hidden_dim, outputs, bias=bias)

                def forward(self, x):
                    return forward(self, x)

            return Network()
    return SentimentRNN


def _reference_forward(net, x):
    table = net.embedding.weight
    rows = table[x] if net.embedding.padding_idx is None else table[x] * (x != 0)[..., None] + table[x].detach() * (x == 0)[..., None]
    last = net.dropout(_by_hand(net.lstm, rows)[:, -1])
    return last @ net.fc.weight[0] + net.fc.bias[0]


def _states(net, x):
    return net.lstm(net.embedding(x))[0]


def _head(net, states):
    return net.fc(net.dropout(states)).squeeze(-1)


def _exchanged(net, x):
    B, T = x.shape
    return _head(net, _states(net, x)).reshape(T, B)[0]


def _exchanged_at_the_end(net, x):
    B, T = x.shape
    return _head(net, _states(net, x)).reshape(T, B)[-1]


def _row_0_learns(net, x):
    return _head(net, net.lstm(net.embedding.weight[x])[0][:, -1])


def _last(net, x):
    return _head(net, _states(net, x)[:, -1])


def _carries_its_state(net, x):
    state = getattr(net, "kept", None)
    if state is not None and state[0].shape[1] != len(x):
        state = None
    out, state = net.lstm(net.embedding(x), state)
    net.kept = tuple(s.detach() for s in state)
    return _head(net, out[:, -1])


def _always_drops(net, x):
    import torch.nn.functional as F

    return net.fc(F.dropout(_states(net, x)[:, -1], net.dropout.p)).squeeze(1)


def _first_scores(facts: dict):
    return next(value for label, value in facts.items() if "scores of 4 reviews" in label)


def _layers_found(facts: dict) -> str:
    """What the last network that was looked at is made of."""
    return [value for label, value in facts.items() if label.endswith("its layers")][-1]


SentimentRNN = Exercise(
    "16.6", "SentimentRNN",
    observe=_observe_classifier,
    expected=_classifier(_reference_forward),
    kind="class",
    mistakes=[
        Mistake("The axes are exchanged: your scores are several steps of review 0, not the last step of every review. A reshape "
                "moves no data; index with [:, -1].", _classifier(_exchanged)),
        Mistake("The axes are exchanged: your scores are the end of the last review, several of its steps, not the last step of every "
                "review. A reshape moves no data; index with [:, -1].", _classifier(_exchanged_at_the_end)),
        Mistake("`out[-1]` is the last review with all its steps. The last step of every review is out[:, -1].",
                _classifier(lambda net, x: _head(net, _states(net, x)[-1])),
                when=lambda facts: tuple(_first_scores(facts).shape) == (7,)),
        Mistake("A sigmoid inside: scores cannot leave 0..1, and the loss applies its own sigmoid once more. Return the raw score.",
                _classifier(lambda net, x: _head(net, _states(net, x)[:, -1]).sigmoid())),
        Mistake("batch_first=True is missing: the layer takes the reviews for time steps, so each review influences those after it. Later "
                "cells of the lesson use your lstm on (batch, time, features), too.",
                _classifier(_last, batch_first=False), when=lambda facts: "batch_first False" in _layers_found(facts)),
        Mistake("You read the first step: it knows one word of the review, or only padding.",
                _classifier(lambda net, x: _head(net, _states(net, x)[:, 0]))),
        Mistake("The scores have shape (B, 1). The labels are (B,), and the two would broadcast: squeeze axis 1.",
                _classifier(lambda net, x: net.fc(net.dropout(_states(net, x)[:, -1]))),
                when=lambda facts: tuple(_first_scores(facts).shape) == (4, 1)),
        Mistake("`squeeze()` without an axis removes the batch too when it is 1: name the axis.",
                _classifier(lambda net, x: net.fc(net.dropout(_states(net, x)[:, -1])).squeeze()),
                when=lambda facts: list(facts)[-1].endswith("one review alone") and tuple(list(facts.values())[-1].shape) == ()),
        Mistake("With two layers, h_n[0] is the state of the first one. The last layer's is h_n[-1].",
                _classifier(lambda net, x: _head(net, net.lstm(net.embedding(x))[1][0][0]))),
        Mistake("The state of one batch is the start of the next. Reviews are independent: hand no state over.",
                _classifier(_carries_its_state),
                when=lambda facts: any(value == "other scores" for value in facts.values())),
        Mistake("Two passes in eval mode differ, so something is drawn at random. F.dropout(x, p) drops always, while nn.Dropout follows "
                "eval() by itself; a random starting state would do it as well.",
                _classifier(_always_drops),
                when=lambda facts: any(value == "scores at random" for value in facts.values())),
        Mistake("padding_idx=0 is missing: row 0 would be trained like a word.",
                _classifier(_reference_forward, padding_idx=None),
                when=lambda facts: "padding_idx None" in _layers_found(facts)),
        Mistake("Dropout is never applied: send the last state through self.dropout before fc.",
                _classifier(lambda net, x: net.fc(_states(net, x)[:, -1]).squeeze(1))),
        Mistake("Dropout after fc deletes whole scores. It belongs before fc, on the last state.",
                _classifier(lambda net, x: net.dropout(net.fc(_states(net, x)[:, -1])).squeeze(1))),
        Mistake("Two outputs, one for each class. The contract asks for one score: fc to 1.",
                _classifier(lambda net, x: net.fc(_states(net, x)[:, -1]), outputs=2),
                when=lambda facts: _layers_found(facts).endswith("to 2")),
        Mistake("You read the cell state c. The score is made from the hidden state h, what the layer puts out.",
                _classifier(lambda net, x: _head(net, net.lstm(net.embedding(x))[1][1][-1]))),
        Mistake("This is the mean over all steps. It comes in section 10; here the last step is asked for.",
                _classifier(lambda net, x: _head(net, _states(net, x).mean(1)))),
        Mistake("This is the largest value over time. Asked is the last step.", _classifier(lambda net, x: _head(net, _states(net, x).amax(1)))),
        Mistake("The review is read backwards. The padding is on the left, so read forward.", _classifier(lambda net, x: _last(net, x.flip(1)))),
        Mistake("h_n has one entry for each layer, (layers, B, H): take the last one, h_n[-1].",
                _classifier(lambda net, x: net.fc(net.dropout(net.lstm(net.embedding(x))[1][0].squeeze(0))).squeeze(1)),
                when=lambda facts: any(is_tensor(value) and tuple(value.shape)[:2] == (2, 5) for value in facts.values())),
        Mistake("One row too many: vocab_size counts the row of padding already.", _classifier(_last, more=1),
                when=lambda facts: "embedding 12 x 4" in _layers_found(facts)),
        Mistake("n_layers is not handed on: the LSTM has one layer.", _classifier(_last, only=lambda layers, p: (1, p)),
                when=lambda facts: "lstm 5 to 3, layers: 1," in _layers_found(facts)),
        Mistake("drop_prob is not handed on to nn.Dropout.", _classifier(_last, only=lambda layers, p: (layers, 0.5)),
                when=lambda facts: "; dropout 0" in list(facts.values())[1] and "dropout 0.25;" not in list(facts.values())[1]),
        Mistake("The LSTM reads in both directions. Asked is one direction, and an fc from hidden_dim.", _classifier(_last, ways=2),
                when=lambda facts: "bidirectional" in _layers_found(facts)),
        Mistake("fc has no bias; nn.Linear brings one along if you let it.", _classifier(_last, bias=False),
                when=lambda facts: 338 in facts.values()),
        Mistake("lstm is a GRU. It would work as well, but asked is an nn.LSTM.", _classifier(_last, kind="GRU"),
                when=lambda facts: "lstm is of type GRU" in _layers_found(facts)),
        Mistake("Dropout hits the embedded words. Asked is dropout on the last state, just before fc.",
                _classifier(lambda net, x: net.fc(net.lstm(net.dropout(net.embedding(x)))[0][:, -1]).squeeze(1))),
        Mistake("Row 0 gets a gradient: padding_idx works only if you call self.embedding(x). Indexing its weight goes around it.",
                _classifier(_row_0_learns)),
    ],
    hints=[
        "Only the end has read everything.",
        "The layer's first result is (B, T, H), all steps of its last layer. The score goes through dropout, then fc.",
        "`out, _ = self.lstm(...); return self.fc(self.dropout(out[:, ...])).squeeze(1)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 16.7 predict_review

_SMALL_VOCAB = {"good": 1, "bad": 2, "not": 3, "film": 4, "dont": 5, "a": 6, "like": 7, "i": 8, "very": 9}
_TEXTS = (
    ("not a bad film", 8),
    ("A very GOOD Film!", 7),
    ("I don't like: (bad) film...", 9),
    ("a superb, not unmoving, good masterpiece", 6),
    ("very\tbad  film", 5),
    ("a good film, a very good film, not a bad film", 5),
    ("an unmoving good masterpiece film, not very bad", 4),
    ("Zounds! Gadzooks", 6),
    ("", 5),
)


def _scorer(seen: list[tuple]):
    """A network that weighs each word by its place, drops words in training, and notes in ``seen`` how it, or a copy of it, was called."""
    import torch
    from torch import nn

    class Scorer(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(10, 1)
            with torch.no_grad():
                self.embedding.weight.copy_(torch.tensor([[-0.05, 1.3, -1.1, -0.7, 0.2, -0.9, 0.15, 0.6, 0.35, 0.5]]).T)

        def forward(self, x):
            seen.append((str(tuple(x.shape)), str(x.dtype).replace("torch.", ""), torch.is_grad_enabled()))
            places = torch.linspace(0.4, 1.6, x.shape[1], device=x.device)
            values = nn.functional.dropout(self.embedding(x).squeeze(2), 0.5, self.training)
            return (values * places.to(values)).sum(1)

    return Scorer().to(devices.device())


def _observe_predict(predict_review, see):
    import torch

    for text, length in _TEXTS:
        seen: list[tuple] = []
        model = _scorer(seen).eval()
        label = f"{text!r}, seq_length {length}"
        see.call(predict_review, model, dict(_SMALL_VOCAB), text, length, label=label, changes_inputs=True, rtol=1e-5)
        if len(seen) != 1:
            see.fact(f"{label}: calls of the model", len(seen), implied=1)
            return
        shape, dtype, graph = seen[0]
        see.fact(f"{label}: what the model was given", f"{shape} {dtype}")
        see.fact(f"{label}: a graph is recorded", "yes" if graph else "no")
        see.fact(f"{label}: the model's mode afterwards", "training" if model.training else "eval")
    model, vocab = _scorer([]).train(), dict(_SMALL_VOCAB)
    label = "a model in training mode"
    found = {see.call(predict_review, model, vocab, "not a very good film", 40, label=f"{label}, call {n}", changes_inputs=True, rtol=1e-5)
             for n in (1, 2, 3)}
    see.fact(f"{label}: answers of three calls", "the same" if len(found) == 1 else "differ")
    see.fact(f"{label}: its mode afterwards", "training" if model.training else "eval")
    see.fact("the vocabulary afterwards", "as before" if vocab == _SMALL_VOCAB else "changed", implied="as before")
    see.fact("recording of gradients afterwards", "on" if torch.is_grad_enabled() else "off", implied="on")


def _reference_predict(model, vocab, text, seq_length):
    """Word by word, with the logistic function by hand."""
    import math
    import string

    import torch

    kept = "".join(" " if c.isspace() else c for c in text.lower() if c not in string.punctuation)
    ids = [number for number in map(vocab.get, kept.split()) if number is not None][:seq_length]
    x = torch.tensor([[0] * (seq_length - len(ids)) + ids], device=next(model.parameters()).device)
    mode = model.training
    with torch.inference_mode():
        score = float(model.eval()(x))
    model.train(mode)
    return 1 / (1 + math.exp(-score))


def _predict(clean=None, ids=None, finish=None, evaluate=True, restore=True, graph=False, right=False, pad=True):
    """A right answer with one part exchanged."""
    def predict_review(model, vocab, text, seq_length):
        import string

        import torch

        words = (clean or (lambda t: "".join(c for c in t.lower() if c not in string.punctuation).split()))(text)
        numbers = (ids or (lambda words, vocab, n: [vocab[w] for w in words if w in vocab]))(words, vocab, seq_length)[:seq_length]
        zeros = [0] * (seq_length - len(numbers)) if pad else []
        x = torch.tensor([numbers + zeros if right else zeros + numbers], dtype=torch.int64, device=next(model.parameters()).device)
        mode = model.training
        if evaluate:
            model.eval()
        with torch.set_grad_enabled(graph):
            score = model(x)
        if restore:
            model.train(mode if restore is True else True)
        return (finish or (lambda score: score.sigmoid().item()))(score)
    return predict_review


def _no_punctuation(text: str, lower: bool) -> list[str]:
    import string

    return (text.lower() if lower else text).translate(str.maketrans("", "", string.punctuation)).split()


def _answers(facts: dict) -> list:
    """The probabilities alone: their labels end with a length or the number of a call."""
    return [value for label, value in facts.items() if label[-1].isdigit() and isinstance(value, int | float)]


predict_review = Exercise(
    "16.7", "predict_review",
    observe=_observe_predict,
    expected=_reference_predict,
    mistakes=[
        Mistake("Your answer is a tensor. `.item()` makes it a plain number.", _predict(finish=lambda score: score.sigmoid()),
                when=lambda facts: is_tensor(next(iter(facts.values())))),
        Mistake("Punctuation is kept: 'film!' is not in the vocabulary. Clean exactly as in training.", _predict(lambda t: t.lower().split())),
        Mistake("Capitals are kept: 'GOOD' is not in the vocabulary. Clean exactly as in training.",
                _predict(lambda t: _no_punctuation(t, False))),
        Mistake("You return the score. A probability lies in 0..1: apply the sigmoid.", _predict(finish=lambda score: score.item()),
                when=lambda facts: _answers(facts)[0] < 0),
        Mistake("Dropout is on: calls with the same text differ. Switch the model to eval mode first.", _predict(evaluate=False),
                when=lambda facts: "differ" in facts.values()),
        Mistake("An unknown word raises KeyError. Skip the words that training never saw.",
                _predict(ids=lambda words, vocab, n: [vocab[w] for w in words]), when=lambda facts: _raised(facts, "KeyError")),
        Mistake("Unknown words became 0, padding in the middle of the text. Training skipped them, so skip them here.",
                _predict(ids=lambda words, vocab, n: [vocab.get(w, 0) for w in words])),
        Mistake("Cut first, then skipped: unknown words take the place of known ones. Skip, then cut.",
                _predict(ids=lambda words, vocab, n: [vocab[w] for w in words[:n] if w in vocab])),
        Mistake("The model is left in eval mode. Whoever trains on would train without dropout: restore its mode.",
                _predict(restore=False), when=lambda facts: facts.get("a model in training mode: its mode afterwards") == "eval"),
        Mistake("A graph is recorded for nothing: predict inside torch.no_grad().", _predict(graph=True),
                when=lambda facts: any(label.endswith("a graph is recorded") and value == "yes" for label, value in facts.items())),
        Mistake("The zeros stand on the right. In training they stood on the left.", _predict(right=True)),
        Mistake("This is the probability of negative.", _predict(finish=lambda score: (-score).sigmoid().item())),
        Mistake("Nothing is cleaned: neither 'GOOD' nor 'film!' is in the vocabulary. Clean exactly as in training.", _predict(str.split)),
        Mistake("You keep the last numbers of a long text. In training it was the first seq_length ones.",
                _predict(ids=lambda words, vocab, n: [vocab[w] for w in words if w in vocab][-n:])),
        Mistake("The zeros in front are missing: the model gets seq_length numbers, as in training.", _predict(pad=False),
                when=lambda facts: list(facts.values())[1] == "(1, 4) int64"),
        Mistake("You return the class. Asked is how sure the model is: the probability itself.", _predict(finish=lambda score: float(score.item() > 0)),
                when=lambda facts: isinstance(next(iter(facts.values())), str) or (bool(_answers(facts)) and set(_answers(facts)) <= {0, 1})),
        Mistake("Softmax over a single score is always 1. One score wants the sigmoid.", _predict(finish=lambda score: score.softmax(0).item()),
                when=lambda facts: set(_answers(facts)) == {1}),
        Mistake("The model is always in training mode afterwards. Note the mode that it had, and set that one again.", _predict(restore="training"),
                when=lambda facts: any(label.endswith("the model's mode afterwards") and value == "training" for label, value in facts.items())),
        Mistake("An unknown word gets a new number, for which the model has no row. Skip it, and leave the vocabulary as it is.",
                _predict(ids=lambda words, vocab, n: [vocab.setdefault(w, len(vocab) + 1) for w in words])),
        Mistake("A text of unknown words gets 0.5 from you. The contract asks the model: what does it say to all padding?",
                lambda model, vocab, text, n: 0.5 if not set(_no_punctuation(text, True)) & set(vocab) else _predict()(model, vocab, text, n),
                when=lambda facts: list(facts)[-1].startswith("'Zounds! Gadzooks', seq_length 6: calls")),
    ],
    hints=[
        "The same path as in training, for a batch of one.",
        "Clean, look up, pad, sigmoid; eval mode before, the old mode after.",
        "`ids = [vocab[w] for w in ... if ...]; torch.sigmoid(model(...)).item()`.",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("16", [
    Question("Why do the numbers of words start at 1?",
             ("0 is padding", "An embedding row is reserved for it, and stays zero."),
             [("It is faster", "No number is faster than another; each is an index of a row."),
              ("PyTorch counts from 1", "PyTorch counts from 0, which is why one more row is needed."),
              ("Rare words get 0", "Rare words are skipped. A word with number 0 would be read as padding.")]),
    Question("Why is the padding on the left?",
             ("The last step is read, and there it has just seen the last word",
              "With padding on the right, the review would lie many zeros back."),
             [("Padding on the right would raise an error", "No: it runs, and trains badly. That is the treacherous part."),
              ("The embedding ignores zeros on the left only", "Row 0 is a zero vector wherever it stands."),
              ("The loss skips leading zeros", "The loss sees one score per review, and no words.")]),
    Question("How many rows does the embedding need for 74,072 words?",
             ("74,073", "The words are 1 to 74,072, and row 0 is padding."),
             [("74,072", "The rows would be 0 to 74,071, and the last word raises an IndexError."),
              ("74,074", "It works, and wastes one row that nothing ever reads."),
              ("200, the length of a review", "The length is the number of steps. A row belongs to a word.")]),
    Question("Why an embedding in front of the LSTM?",
             ("One-hot inputs would be 74,000 numbers wide",
              "A one-hot vector times a matrix picks one row. The embedding looks the row up without the product."),
             [("An LSTM refuses one-hot vectors", "Lesson 15 feeds it one-hot characters. It's a matter of width."),
              ("It removes rare words", "min_count does that, long before."),
              ("It pads the reviews", "pad_features did. The embedding only knows which row is padding.")]),
    Question("Two classes: one output or two?",
             ("Equivalent; one output needs BCE with logits",
              "Only the difference of two softmax scores counts, and a sigmoid of one score says the same."),
             [("Two outputs are more exact", "Two scores have one number too many: add the same to both, and nothing changes."),
              ("One output can't be trained with a gradient", "You have just trained one."),
              ("Two outputs, each with a sigmoid, into cross-entropy", "That is the bug of this lesson: the loss gets stuck at 0.3133.")]),
    Question("A network reaches 100 % test accuracy on random words. What is it?",
             ("A leak", "Random words carry nothing, so 50 % is all there is. The labels come in by another way."),
             [("A strong LSTM", "There is nothing in random words that any network could know."),
              ("Overfitting", "Overfitting is good in training and bad in the test. Here the test is good."),
              ("A lucky seed", "400 coins that all fall right: about once in 10 to the power of 120.")]),
    Question("A loss is stuck at 0.3133. What do you suspect?",
             ("Two sigmoid outputs into cross-entropy", "They differ by 1 at most, so the loss cannot fall below ln(1 + 1/e) = 0.3133."),
             [("The network guesses", "Guessing between two classes gives ln 2 = 0.6931."),
              ("5 % of the labels are wrong", "Label noise of 5 % gives 0.1985 at best: -0.95 ln 0.95 - 0.05 ln 0.05."),
              ("The learning rate is too small", "Then the loss would stop anywhere. This number is a fingerprint.")]),
    Question("May the state of one batch be handed to the next?",
             ("No: the next batch holds other reviews", "A zero state starts each review, so that no score depends on what was read before."),
             [("Yes, as in lesson 15", "There the text ran on from one window to the next. Here it doesn't."),
              ("Yes, if it is detached", "Detaching cuts the gradient. The values would still be those of other reviews."),
              ("Only in eval mode", "Then the same review would get another score each time.")]),
])


# ---------------------------------------------------------------------------------------------- data of the story

def made_up(n: int = 5_000, seed: int = 0) -> tuple[str, str]:
    """Reviews from the course's small grammar in the two-file form: (reviews, labels), one a line each.

    Nobody can be right more often than 95 % there, and no one who only counts words more often than 80.82 %
    (``helpers/texts.py`` says how they are made).
    """
    from helpers import texts

    reviews, labels = texts.made_up_reviews(n, seed)
    return "\n".join(reviews) + "\n", "\n".join("positive" if label else "negative" for label in labels) + "\n"


def read_imdb(folder, most: int | None = None) -> tuple[str, str]:
    """The film reviews of the folder ``aclImdb`` in the two-file form: (reviews, labels), strictly alternating, positive first.

    Args:
        folder: the unpacked folder, with ``train/pos``, ``train/neg``, ``test/pos``, ``test/neg``; only ``train`` is read,
            12,500 reviews of each class. Or a folder with the two files ``reviews.txt`` and ``labels.txt``.
        most: at most so many reviews.
    Raises FileNotFoundError, in one line, where neither is there.
    """
    folder = Path(folder).expanduser()
    if (folder / "reviews.txt").is_file() and (folder / "labels.txt").is_file():
        return tuple((folder / name).read_text(encoding="utf-8") for name in ("reviews.txt", "labels.txt"))
    classes = [sorted((folder / "train" / name).glob("*.txt")) for name in ("pos", "neg")]
    if not all(classes):
        raise FileNotFoundError(f"{folder} holds neither train/pos and train/neg nor reviews.txt and labels.txt: "
                                "name the unpacked folder aclImdb")
    pairs = zip(*classes, strict=False)
    files = [file for pair in pairs for file in pair][:most]
    # a review is one line, so its own line ends (and the tags that stand for them) become spaces
    reviews = [" ".join(file.read_text(encoding="utf-8").replace("<br />", " ").split()) for file in files]
    return "\n".join(reviews) + "\n", "positive\nnegative\n" * (len(files) // 2) + "positive\n" * (len(files) % 2)


# ---------------------------------------------------------------------------------------------- figures: texts and numbers

def _card(ax, x, y, text, color=plots.BLACK, width=1.5, height=0.8, size=12, fill="white", style="-", zorder=2, **options):
    from matplotlib.patches import FancyBboxPatch

    ax.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0.02,rounding_size=0.1", linewidth=1.8,
                                facecolor=fill, edgecolor=color, linestyle=style, zorder=zorder))
    ax.text(x, y, text, ha="center", va="center", fontsize=size, zorder=zorder + 1, **options)


def _arrow(ax, start, end, color=plots.BLACK, style="-"):
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.8, "linestyle": style, "shrinkA": 0, "shrinkB": 0})


def _blank(size, x, y):
    fig, ax = plots.figure(size=size)
    ax.set(xlim=x, ylim=y)
    ax.set_axis_off()
    return fig, ax


def show_files(reviews: str, labels: str, lines: int = 6) -> None:
    """The first lines of the two files side by side. Args: both texts, one review and one label a line."""
    shown, words = reviews.split("\n")[:lines], labels.split()[:lines]
    fig, ax = _blank((9.4, 0.42 * lines + 0.75), (0, 10), (-lines - 0.1, 0.75))
    ax.text(0.15, 0.25, "labels", fontsize=12, weight="bold")
    ax.text(2.1, 0.25, "reviews", fontsize=12, weight="bold")
    for n, (text, word) in enumerate(zip(shown, words, strict=True)):
        good = word == "positive"
        ax.plot(0.3, -n - 0.45, "o" if good else "X", color=plots.BLUE if good else plots.RED, markersize=9)
        ax.text(0.6, -n - 0.45, word, va="center", fontsize=11)
        ax.text(2.1, -n - 0.45, text[:76] + (" ..." if len(text) > 76 else ""), va="center", fontsize=10, family="monospace")
        ax.axhline(-n, color="#E3E3E3", lw=1)
    plots.show(fig, alt=f"The first {lines} lines of two files that belong together line by line: at the left a label, at the right the start "
                        "of its review. A blue circle is positive, a red cross negative.", dpi=90)


def show_rank_frequency(texts) -> None:
    """How often the words of some texts occur, by rank. Args: texts, {name: lines}, each line a list of words."""
    fig, ax = plots.figure(size=(7.2, 3.5))
    for (name, lines), (color, style) in zip(texts.items(), ((plots.BLUE, "-"), (plots.RED, "--"), (plots.GREEN, "-.")), strict=False):
        counts = np.array(sorted(collections.Counter(word for line in lines for word in line).values(), reverse=True))
        ax.loglog(np.arange(1, len(counts) + 1), counts, style, color=color, lw=2.2, label=f"{name}: {len(counts):,} words")
    ax.set(xlabel="rank of a word (1 = the most frequent)", ylabel="how often it occurs")
    plots.legend(ax)
    plots.show(fig, alt="Frequency of each word by its rank, both axes logarithmic. In a natural text it falls along a nearly straight line: a few "
                        "words are everywhere, and most occur once or twice. Words drawn at random by a program make a plateau instead.", dpi=90)


def count_words(rows) -> None:
    """Print how many words some reviews have, how many different ones, and the most frequent. Args: rows, one list of words each."""
    counts = collections.Counter(word for row in rows for word in row)
    often = ", ".join(f"{word} ({n:,})" for word, n in counts.most_common(4))
    print(f"your reviews: {counts.total():,} words, {len(counts):,} different ones, {sum(n == 1 for n in counts.values()):,} of them once")
    print(f"most frequent: {often}")


def show_lengths(lengths, seq_length: int) -> None:
    """How long the reviews are. Args: lengths, words in each; seq_length, where they are cut."""
    lengths = np.asarray(lengths)
    fig, ax = plots.figure(size=(7.0, 3.2))
    ax.hist(lengths, bins=min(40, int(np.ptp(lengths)) + 1), color=plots.BLUE, alpha=0.85)
    ax.axvline(seq_length, color=plots.RED, ls="--", lw=2, label=f"cut after {seq_length}")
    ax.axvline(np.median(lengths), color=plots.BLACK, lw=2, label=f"median {np.median(lengths):g}")
    ax.set(xlabel="words in a review", ylabel="reviews")
    plots.legend(ax, outside=True)
    kept = np.minimum(lengths, seq_length).sum() / lengths.sum()
    plots.show(fig, alt=f"Histogram of the lengths, from {lengths.min()} to {lengths.max():,} words; the solid line is the median. A cut at the "
                        f"dashed line, after {seq_length} words, keeps {100 * kept:.0f} % of all words.", dpi=90)


def length_slider(lengths, seq_length: int) -> None:
    """The share of words and of whole reviews that a length keeps, with a slider."""
    lengths = np.asarray(lengths)
    grid = np.unique(np.linspace(1, lengths.max(), 200).astype(int))
    kept = np.array([np.minimum(lengths, n).sum() for n in grid]) / lengths.sum()

    def draw(length):
        n = int(length)
        words, whole = np.minimum(lengths, n).sum() / lengths.sum(), (lengths <= n).mean()
        padding = 1 - np.minimum(lengths, n).sum() / (n * len(lengths))
        fig, ax = plots.figure(size=(6.4, 3.0))
        ax.plot(grid, 100 * kept, color=plots.BLUE, lw=2.2)
        ax.plot(n, 100 * words, "o", color=plots.RED, markersize=9)
        ax.set(xlabel="seq_length", ylabel="words kept in %", ylim=(0, 104))
        return fig, (f"With seq_length {n}, {100 * words:.0f} % of all words are kept, {100 * whole:.0f} % of the reviews are whole, and "
                     f"{100 * padding:.0f} % of the table is padding.")

    widgets.sliders(draw, length=(1, float(lengths.max()), float(seq_length), 1))


def show_padding(row=(117, 18, 128), length: int = 10) -> None:
    """One row padded on the left and on the right; an arrow at the step that is read."""
    fig, ax = _blank((8.8, 2.7), (-2.3, length + 0.6), (-2.7, 1.5))
    for y, values, name in ((0.4, [0] * (length - len(row)) + list(row), "left"), (-1.5, list(row) + [0] * (length - len(row)), "right")):
        ax.text(-0.4, y, f"padded {name}", ha="right", va="center", fontsize=12)
        for x, value in enumerate(values):
            _card(ax, x + 0.5, y, str(value), color=plots.BLUE if value else plots.GREY, width=0.86, height=0.7, fill="#EAF3FA" if value else "#F6F6F6")
        ax.annotate("", (length - 0.5, y - 0.45), (length - 0.5, y - 0.95), arrowprops={"arrowstyle": "-|>", "color": plots.RED, "lw": 2})
        ax.text(length - 0.8, y - 0.8, "read here", ha="right", va="center", color=plots.RED, fontsize=11)
    plots.show(fig, alt=f"The review {', '.join(map(str, row))} with seven zeros in front, and with seven zeros behind. A red arrow marks the last "
                        "step, which the classifier reads: on the left-padded row a word, on the right-padded one a zero.", dpi=90)


def show_states(left, right, words: int) -> None:
    """The distance of the state from its resting point, step by step. Args: left, right (T,): norms; words, how many steps are words."""
    left, right = _cpu(left), _cpu(right)
    fig, axes = plots.figure(1, 2, size=(9.0, 3.0), sharey=True)
    for ax, values, first, name in ((axes[0], left, len(left) - words, "padded left"), (axes[1], right, 0, "padded right")):
        ax.axvspan(first + 0.5, first + words + 0.5, color=plots.SKY, alpha=0.25, lw=0, label="words")
        ax.plot(range(1, len(values) + 1), values, ".-", color=plots.BLACK)
        ax.plot(len(values), values[-1], "o", color=plots.RED, markersize=10, label="read here")
        ax.set(xlabel="step", title=name, ylim=(0, None), xticks=range(0, len(values) + 1, 5))
    axes[0].set_ylabel("trace of the words in the state")
    plots.legend(axes[0], loc="upper left")
    plots.show(fig, alt="How far the hidden state is from where zeros alone would leave it, step by step. Padded left, the trace is "
                        f"{left[-1]:.2f} at the last step; padded right, the zeros have worn it down to {right[-1]:.4f}.", dpi=90)


def show_split(labels) -> None:
    """Three orders of the labels and what a cut by position does. Args: labels (n,), 0 and 1."""
    from matplotlib.colors import ListedColormap

    y = np.sort(_cpu(labels).astype(int))[::-1]
    n = len(y)
    alternating = np.empty(n, int)
    alternating[0::2], alternating[1::2] = y[: (n + 1) // 2], y[(n + 1) // 2:]
    orders = {"alternating": alternating, "sorted": y, "shuffled": np.random.default_rng(0).permutation(y)}
    fig, axes = plots.figure(3, 1, size=(8.6, 3.3), sharex=True)
    cuts, said, shown = (0, int(0.8 * n), int(0.9 * n), n), [], min(100, n)
    for ax, (name, order) in zip(axes, orders.items(), strict=True):
        at = np.arange(shown) * (n // shown) // 2 * 2 + np.arange(shown) % 2  # even and odd places in turn: else alternating looks like all positive
        ax.imshow(order[None, at], aspect="auto", extent=(0, 100, 0, 1), interpolation="nearest",
                  cmap=ListedColormap([plots.RED, plots.BLUE]), alpha=0.75, vmin=0, vmax=1)
        ax.set(yticks=[])
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
        ax.grid(False)
        for a, b in zip(cuts, cuts[1:], strict=False):
            share = order[a:b].mean()
            ax.axvline(100 * b / n, color=plots.BLACK, lw=2.5)
            ax.text(50 * (a + b) / n, 0.5, f"{100 * share:.0f} %", ha="center", va="center", fontsize=10.5,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 2})
        said.append(f"{name} {100 * order[cuts[2]:].mean():.0f} %")
    axes[0].set_title("80 training", loc="left", fontsize=11)
    axes[0].text(85, 1.12, "10", ha="center", fontsize=11)
    axes[0].text(95, 1.12, "10", ha="center", fontsize=11)
    axes[-1].set_xlabel("position in the file, in % (blue: positive, red: negative)")
    plots.show(fig, alt="Three orders of the same labels, cut by position at 80 and 90 %; the numbers are the share of positive ones in each part. "
                        f"In the last part: {', '.join(said)}.", dpi=90)


# ---------------------------------------------------------------------------------------------- figures: the model

def show_network() -> None:
    """Embedding, LSTM, last step, dropout, linear layer, score."""
    words = ("padding", "padding", "not", "bad")
    fig, ax = _blank((9.2, 3.9), (-2.4, 9.6), (-1.4, 4.0))
    for t, (word, number) in enumerate(zip(words, (0, 0, 1, 2), strict=True)):
        x = 1.6 * t
        pad = word == "padding"
        ax.text(x, -1.15, word, ha="center", va="center", fontsize=10.5, color="#666666" if pad else plots.BLACK)
        _card(ax, x, -0.55, str(number), color=plots.GREY if pad else plots.BLACK, width=1.0, height=0.6)
        _card(ax, x, 0.85, f"row {number}", color=plots.GREEN, width=1.15, height=0.7, size=11, fill="#E6F5F0", style=":" if pad else "-")
        _card(ax, x, 2.35, "LSTM", color=plots.BLUE, width=1.15, height=0.8, fill="#EAF3FA")
        _arrow(ax, (x, -0.2), (x, 0.45))
        _arrow(ax, (x, 1.25), (x, 1.9))
        if t < 3:
            _arrow(ax, (x + 0.6, 2.35), (x + 1.0, 2.35), plots.BLUE)
    for y, name in ((-0.55, "numbers (B, T)"), (0.85, "embedding (B, T, E)"), (2.35, "states (B, T, H)")):
        ax.text(-0.85, y, name, ha="right", va="center", fontsize=10.5)
    _arrow(ax, (4.8, 2.8), (4.8, 3.2), plots.RED)
    _card(ax, 4.8, 3.55, "last step", color=plots.RED, width=1.5, height=0.6, fill="#FBEEE6")
    for x, name, start in ((6.7, "dropout", 5.6), (8.5, "linear", 7.45)):
        _arrow(ax, (start, 3.55), (x - 0.72, 3.55))
        _card(ax, x, 3.55, name, width=1.3, height=0.6)
    _arrow(ax, (8.5, 3.2), (8.5, 2.5))
    ax.text(8.5, 2.2, "score (B,)", ha="center", va="center", fontsize=12)
    plots.show(fig, alt="From bottom to top: a left-padded review, not bad, and its numbers, a row of the embedding for each, an LSTM step for each, handing "
                        "its state to the right. Only the last state goes on, through dropout and a linear layer, to one score.", dpi=90)


def show_parameters(counts) -> None:
    """Where the parameters lie. Args: counts, {name of a layer: number}."""
    total, left = sum(counts.values()), 0.0
    fig, ax = plots.figure(size=(8.4, 2.0))
    for (name, count), color in zip(counts.items(), (plots.GREEN, plots.BLUE, plots.RED), strict=True):
        share = 100 * count / total
        ax.barh(0, share, left=left, color=color, edgecolor="white", label=f"{name}: {count:,} ({share:.1f} %)")
        left += share
    ax.set(yticks=[], xlabel="parameters in %", xlim=(0, 100), ylim=(-0.6, 0.6))
    ax.grid(False)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    first = next(iter(counts.values()))
    plots.show(fig, alt=f"A bar of {total:,} parameters: {100 * first / total:.0f} % of them are rows of the embedding.", dpi=90)


def show_training(histories, ceiling: float | None = None, counting: float | None = None) -> None:
    """Validation accuracy by epoch. Args: histories, {name: accuracies}; ceiling, counting: what can be reached at most."""
    fig, ax = plots.figure(size=(7.4, 3.4))
    for (name, values), (color, style) in zip(histories.items(), ((plots.BLUE, "o-"), (plots.RED, "s--"), (plots.GREEN, "D-.")), strict=False):
        ax.plot(range(1, len(values) + 1), values, style, color=color, label=name)
    for value, text in ((ceiling, "best possible"), (counting, "best by counting"), (0.5, "guessing")):
        if value is not None:
            ax.axhline(value, color=plots.GREY, ls=":", lw=1.6)
            ax.text(max(map(len, histories.values())), value + 0.008, f"{text}: {value:g}", fontsize=9.5, color="#555555", ha="right")
    ax.set(xlabel="epoch", ylabel="validation accuracy", xticks=range(1, max(map(len, histories.values())) + 1), ylim=(0.45, 1.0))
    plots.legend(ax, outside=True)
    best = ", ".join(f"{name} {max(values):.3f}" for name, values in histories.items())
    plots.show(fig, alt=f"Validation accuracy after each epoch; the best values are: {best}. Dotted lines mark what can be reached at most.", dpi=90)


def show_embedding(before, after, vocab) -> None:
    """The grammar's words before and after training, seen where the opinions differ most.

    Args: before, after (words + 1, E), the rows; vocab, word -> number.
    """
    from helpers import texts

    groups = {"filler": texts.FILLER, "positive": texts.GOOD, "negative": texts.BAD, "not": ("not",)}
    looks = {"filler": (".", plots.GREY), "positive": ("o", plots.BLUE), "negative": ("X", plots.RED), "not": ("*", plots.BLACK)}
    fig, axes = plots.figure(1, 2, size=(9.4, 3.5), sharex=True, sharey=True)
    said = []
    for ax, rows, when in zip(axes, (_cpu(before), _cpu(after)), ("before training", "after training"), strict=True):
        opinions = rows[[vocab[word] for word in (*texts.GOOD, *texts.BAD, "not") if word in vocab]]
        plane = np.linalg.svd(opinions - opinions.mean(0), full_matrices=False)[2][:2].T
        places = {name: (rows[[vocab[word] for word in words if word in vocab]] - opinions.mean(0)) @ plane for name, words in groups.items()}
        turn = np.sign(places["positive"][:, 0].mean() - places["negative"][:, 0].mean()) or 1
        for name, at in places.items():
            marker, color = looks[name]
            ax.scatter(turn * at[:, 0], at[:, 1], marker=marker, s=150 if name == "not" else 45, color=color, label=name,
                       zorder=2 if name == "filler" else 3)
        ax.set(xlabel="first main axis", title=when)
        apart = (turn * places["positive"][:, 0]).min() > (turn * places["negative"][:, 0]).max()
        said.append(f"{when}, positive words (circles) and negative ones (crosses) {'lie apart' if apart else 'lie mixed'}")
    axes[0].set_ylabel("second main axis")
    plots.legend(axes[1], outside=True)
    plots.show(fig, alt="Rows of the embedding in the plane in which the twelve opinions and not, the star, differ most, with the filler as dots: "
                        f"{'; '.join(said)}.", dpi=90)


# ---------------------------------------------------------------------------------------------- figures: what helps

def show_pooling() -> None:
    """Which states reach the score: the last one, or the mean over all words."""
    fig, axes = plots.figure(1, 2, size=(9.2, 2.9))
    for ax, name in zip(axes, ("last step", "mean over time"), strict=True):
        ax.set(xlim=(-0.8, 6.8), ylim=(-0.9, 2.9), title=name)
        ax.set_axis_off()
        for t in range(7):
            pad, used = t < 2, t == 6 if name == "last step" else t >= 2
            _card(ax, t, 0, "0" if pad else "LSTM", color=plots.GREY if pad else plots.BLUE, width=0.8, height=0.7, size=9.5,
                  fill="#F6F6F6" if pad else "#EAF3FA")
            if used:
                _arrow(ax, (t, 0.45), (3 + (t - 3) * 0.15, 1.85), plots.RED)
        _card(ax, 3, 2.25, "score", color=plots.RED, width=1.5, height=0.65, fill="#FBEEE6")
    plots.show(fig, alt="Two ways from seven states to one score; the first two steps are padding. Left, only the last state has a road to the "
                        "score. Right, every state of a word has its own, so the gradient reaches early words directly.", dpi=90)


def show_word_dropout(sentence: str, share: float = 0.2, times: int = 4) -> None:
    """One sentence as three epochs see it. Args: sentence; share of words dropped; times, how many epochs."""
    words, rng = sentence.split(), np.random.default_rng(3)
    fig, ax = _blank((9.2, 0.6 * times + 0.5), (-1.6, 10), (-times + 0.4, 0.8))
    dropped = 0
    for n in range(times):
        ax.text(-0.3, -n, f"epoch {n + 1}", ha="right", va="center", fontsize=11)
        x, width = 0.0, 10 / len(words)
        for word in words:
            gone = rng.random() < share
            dropped += gone
            _card(ax, x + width / 2, -n, "0" if gone else word, color=plots.GREY if gone else plots.BLUE, width=width * 0.86, height=0.55, size=10.5,
                  fill="#F6F6F6" if gone else "#EAF3FA")
            x += width
    plots.show(fig, alt=f"The sentence {sentence!r} as {times} epochs see it: each word is replaced by padding with probability {share:g}, "
                        f"{dropped} of {times * len(words)} here, never the same ones.", dpi=90)


def show_overfitting(train_loss, valid_loss) -> None:
    """Training and validation loss by epoch, with the epoch to keep. Args: two lists of losses."""
    epochs, best = np.arange(1, len(train_loss) + 1), int(np.argmin(valid_loss))
    fig, ax = plots.figure(size=(6.8, 3.3))
    ax.plot(epochs, train_loss, "o-", label="training")
    ax.plot(epochs, valid_loss, "s--", color=plots.RED, label="validation")
    ax.plot(epochs[best], valid_loss[best], "*", color=plots.BLACK, markersize=17, label=f"keep: epoch {best + 1}", zorder=4)
    ax.set(xlabel="epoch", ylabel="mean loss", xticks=epochs, ylim=(0, None))
    plots.legend(ax, outside=True)
    plots.show(fig, alt=f"Losses over {len(epochs)} epochs: in training it falls to {train_loss[-1]:.2f}, while in validation the lowest value, "
                        f"{valid_loss[best]:.2f}, is that of epoch {best + 1}, and the last one {valid_loss[-1]:.2f}.", dpi=90)


# ---------------------------------------------------------------------------------------------- figures: too good to be true

def show_exchanged(batch: int = 6, steps: int = 9) -> None:
    """Which outputs the wrong reshape reads, and which it should."""
    fig, axes = plots.figure(1, 2, size=(9.2, 3.3))
    for ax, title, chosen in ((axes[0], "what was read", lambda b, t: b == 0 and t < batch), (axes[1], "what was meant", lambda b, t: t == steps - 1)):
        for b in range(batch):
            for t in range(steps):
                hit = chosen(b, t)
                ax.plot(t, b, "s", markersize=19, color=plots.RED if hit else "#E9EEF2", markeredgecolor=plots.GREY)
                if hit:
                    ax.text(t, b, str(t if b == 0 and t < batch and title == "what was read" else b), ha="center", va="center", color="white",
                            fontsize=11, weight="bold")
        ax.set(xlim=(-0.6, steps - 0.4), ylim=(batch - 0.4, -0.6), xticks=range(steps), yticks=range(batch), xlabel="step of the review",
               ylabel="review of the batch", title=title)
        ax.grid(False)
    plots.show(fig, alt="A table of outputs, one row a review, one column a step. The wrong reshape takes the first steps of review 0 for the "
                        "answers to reviews 0, 1, 2 and so on; meant was the last column.", dpi=90)


def show_fake(losses, floor: float) -> None:
    """The loss of the fake, step by step, and its floor. Args: losses, one a step; floor."""
    fig, ax = plots.figure(size=(7.0, 3.0))
    ax.plot(losses, color=plots.BLUE, lw=1.2, label="loss of a batch")
    ax.axhline(floor, color=plots.RED, ls="--", lw=2, label=f"ln(1 + 1/e) = {floor:.4f}")
    ax.axhline(np.log(2), color=plots.GREY, ls=":", lw=1.6, label=f"guessing, ln 2 = {np.log(2):.4f}")
    ax.set(xlabel="training step", ylabel="loss", ylim=(0, 0.9))
    plots.legend(ax, outside=True)
    plots.show(fig, alt=f"The loss falls from guessing to {min(losses):.4f} and stays there: the dashed line, {floor:.4f}, is the floor that two "
                        "sigmoid outputs cannot pass.", dpi=90)


def show_floor() -> None:
    """Cross-entropy of two outputs by their difference, with the range that sigmoids leave."""
    d = np.linspace(-4, 6, 300)
    fig, ax = plots.figure(size=(6.8, 3.2))
    ax.plot(d, np.log1p(np.exp(-d)), color=plots.BLUE, lw=2.2)
    ax.axvspan(-1, 1, color=plots.YELLOW, alpha=0.35, lw=0, label="two sigmoids reach this")
    ax.plot(1, np.log1p(np.exp(-1)), "o", color=plots.RED, markersize=9)
    ax.annotate("0.3133", (1, 0.3133), xytext=(1.35, 0.75), fontsize=11, color=plots.RED)
    ax.set(xlabel="output of the right class minus the other", ylabel="cross-entropy", ylim=(0, 4))
    plots.legend(ax)
    plots.show(fig, alt="Cross-entropy falls toward 0 as the right output leaves the other behind. Two sigmoid outputs differ by 1 at most, the "
                        "yellow band, so the loss cannot fall below the red point, 0.3133.", dpi=90)


# ---------------------------------------------------------------------------------------------- figures: results and reading

RESULTS = {  # test accuracy in %, means of five splits, measured once by authoring/train_sentiment.py
    "grammar": {"mean of words": 61.5, "LSTM, last step": 93.9, "LSTM, mean": 90.9},
    "sentences": {"mean of words": 76.5, "LSTM, last step": 75.8, "LSTM, mean": 75.2},
    "long reviews": {"mean of words": 84.7, "LSTM, last step": 52.1, "LSTM, mean": 78.4},
}


def show_results() -> None:
    """Three ways to read on three kinds of text, as measured once."""
    fig, ax = plots.figure(size=(8.2, 3.4))
    looks = {"mean of words": plots.GREEN, "LSTM, last step": plots.BLUE, "LSTM, mean": plots.RED}
    for place, (name, color) in enumerate(looks.items()):
        values = [rows[name] for rows in RESULTS.values()]
        at = np.arange(3) + 0.2 * (place - 1)
        ax.bar(at, np.array(values) - 50, 0.17, bottom=50, color=color, alpha=0.85, label=name)
        for x, value in zip(at, values, strict=True):
            ax.text(x, value + 0.8, f"{value:.1f}", ha="center", fontsize=9.5)
    ax.set(xticks=range(3), ylabel="test accuracy in %", ylim=(50, 100))
    ax.set_xticklabels(RESULTS)
    plots.legend(ax, outside=True)
    plots.show(fig, alt="Measured once: on the grammar, where the order of the words matters, the LSTM wins by 30 points over a mean of words. On "
                        "real sentences all three are alike; on 2,000 long reviews the last step stays near 50 %, while both means are far above it.", dpi=90)


def show_reading(readings) -> None:
    """The probability of positive after each word, one picture a text. Args: readings, (words, probabilities) of each."""
    fig, axes = plots.figure(1, len(readings), size=(4.8 * len(readings), 3.1), sharey=True, squeeze=False)
    said = []
    for ax, (words, probabilities) in zip(axes[0], readings, strict=True):
        at = np.arange(len(words))
        ax.axhline(0.5, color=plots.GREY, ls=":", lw=1.5)
        ax.plot(at, probabilities, color=plots.BLACK, lw=1.2, zorder=2)
        for good, color, marker in ((True, plots.BLUE, "o"), (False, plots.RED, "X")):
            chosen = [n for n, p in enumerate(probabilities) if (p >= 0.5) == good]
            ax.plot(chosen, [probabilities[n] for n in chosen], marker, color=color, markersize=9, linestyle="none", zorder=3)
        ax.set(xticks=at, ylim=(-0.04, 1.04))
        ax.set_xticklabels(words, rotation=30, ha="right")
        ax.grid(axis="x", visible=False)
        said.append(f"\"{' '.join(words)}\" ends at {probabilities[-1]:.2f}")
    axes[0, 0].set_ylabel("probability of positive")
    plots.show(fig, alt=f"The network's probability of positive after each word, a blue circle above one half, a red cross below: {', '.join(said)}.",
               dpi=90)
