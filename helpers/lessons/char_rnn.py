"""Lesson 15, a network that writes: its exercises, its quiz, its figures, and the training of the large network.

Imports torch only when somebody needs it.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
import signal
import tempfile
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers import devices, plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import Raised, describe, is_tensor
from helpers.weights import load_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

# ---------------------------------------------------------------------------------------------- what the checks share

# A text of our own in which all the numbers of the checks differ: capitals, line ends, letters beyond ASCII.
PROSE = (
    "Der Wind dreht. \u00c9mile z\u00e4hlt: 3, 2, 1!\nNobody on the quay had seen the boat before it was late, and nobody would say so.\n"
    "The bell rang twice; then the gulls rose, all at once, and the harbor was loud with them.\n"
)


def _codes(*values) -> Tensor:
    """Integers as a tensor on the device of the lesson."""
    import torch

    return torch.tensor(values[0] if len(values) == 1 else values, dtype=torch.int64, device=devices.device())


def _numbers(*shape: int, seed: int, scale: float = 1.0):
    import torch

    values = scale * np.random.default_rng(seed).normal(0.1, 1.0, shape)
    return torch.tensor(values, dtype=torch.float32, device=devices.device())


def _raised(facts: dict, *words: str) -> bool:
    """Whether the last fact is an exception with all these words in its text."""
    last = list(facts.values())[-1]
    return isinstance(last, Raised) and all(word in f"{last.kind} {last.text}" for word in words)


def _last_case(facts: dict) -> str:
    """What was tried last, where the observation ended early."""
    return list(facts)[-1]


def _some_fact(facts: dict, ending: str, holds: Callable[[Any], bool]) -> bool:
    """Whether a fact whose label ends like this has such a value."""
    return any(label.endswith(ending) and holds(value) for label, value in facts.items())


# ---------------------------------------------------------------------------------------------- 15.1 encode_text

_ENCODE_PARTS = ("the alphabet", "the codes")


_TEXTS = {"encode_text('banana!')": "banana!", "encode_text('to be\\nor not to be')": "to be\nor not to be",
          f"a text of {len(PROSE)} characters with capitals, line ends, \u00c9 and \u00e4": PROSE}


def _observe_encode(encode_text, see):
    for label, text in _TEXTS.items():
        see.call(encode_text, text, label=label, parts=_ENCODE_PARTS)


def _reference_encode(text):
    """NumPy's unique values, which are sorted, and where each character is among them."""
    import torch

    chars, codes = np.unique(list(text), return_inverse=True)
    return [str(c) for c in chars], torch.tensor(codes.reshape(-1), dtype=torch.int64)


def _encode_with(order: Callable[[str], Sequence[str]], first: int = 0, dtype: str = "int64", finish=list):
    def encode_text(text):
        import torch

        chars = list(order(text))
        index = {c: i for i, c in enumerate(chars, first)}
        return finish(chars), torch.tensor([index[c] for c in text], dtype=getattr(torch, dtype))
    return encode_text


def _any_order(text):
    """A set in some order: here one that Python would not choose twice."""
    return sorted(set(text), key=lambda c: (ord(c) * 37 % 101, c))


def _some_alphabet_is(facts: dict, holds: Callable[[str, list], bool]) -> bool:
    """Whether this is true of the alphabet of some text that was encoded."""
    return any(isinstance(facts.get(label), tuple) and isinstance(facts[label][0], list) and holds(text, facts[label][0])
               for label, text in _TEXTS.items())


def _mixes_capitals(chars: list) -> bool:
    small = [c.lower() for c in chars]
    return set(chars) == set(PROSE) and small == sorted(small) and chars != sorted(chars)


def _encode_words(text):
    return _reference_encode(text.split())


def _encode_kept(keeps: Callable[[str], bool]):
    return lambda text: _reference_encode([c for c in text if keeps(c)])


encode_text = Exercise(
    "15.1", "encode_text",
    observe=_observe_encode,
    expected=_reference_encode,
    mistakes=[
        Mistake("Your alphabet is in the order of the first appearance. That is reproducible for this text only: sort it.",
                _encode_with(dict.fromkeys)),
        Mistake("Your codes are no integers: a code is an index, so it must be int64.", _encode_with(lambda t: sorted(set(t)), dtype="float32")),
        Mistake("Your codes start at 1. The first character of the alphabet has code 0, so that chars[code] gives it back.",
                _encode_with(lambda t: sorted(set(t)), first=1)),
        Mistake("Your alphabet is sorted by how often a character occurs: another text, another order. Sort the characters themselves.",
                _encode_with(lambda t: [c for c, _ in Counter(t).most_common()])),
        Mistake("The alphabet must be a list of characters: you return one string.", _encode_with(lambda t: sorted(set(t)), finish="".join)),
        Mistake("Your codes are those of Unicode (ord). Here a code is a place in the alphabet: 0, 1, 2, ...",
                lambda text: (sorted(set(text)), _codes([ord(c) for c in text]))),
        Mistake("Your alphabet runs backward: sorted as it comes, without reverse.", _encode_with(lambda t: sorted(set(t), reverse=True))),
        Mistake("Capitals and small letters are mixed in your alphabet: sort the characters as they are, without a key.",
                _encode_with(lambda t: sorted(set(t), key=lambda c: (c.lower(), c))), when=lambda facts: _mixes_capitals(facts[list(_TEXTS)[-1]][0])),
        Mistake("Capitals became small letters. They are characters of their own: chars[code] must give back the very text.",
                lambda text: _reference_encode(text.lower())),
        Mistake("The other way round, please: first the alphabet, then the codes.", lambda text: _reference_encode(text)[::-1]),
        Mistake("The alphabet must be a list of characters, so that chars[code] is one: you return the dictionary.",
                lambda text: ({c: i for i, c in enumerate(sorted(set(text)))}, _reference_encode(text)[1])),
        Mistake("Your codes are a NumPy array: torch.tensor or torch.from_numpy makes a tensor of them.",
                lambda text: (_reference_encode(text)[0], _reference_encode(text)[1].numpy())),
        Mistake("You cut the text into words. Here each character gets a code, the space and the line end too.", _encode_words),
        Mistake("Characters are missing in your alphabet: the space, the line end, and each sign belong to it too.", _encode_kept(str.isalpha),
                when=lambda facts: _some_alphabet_is(facts, lambda text, chars: set(chars) < set(text) and not set(chars) >= set(text.lower()))),
        Mistake("The characters repeat in your alphabet: each one stands in it once. Take the set of the text first.",
                lambda text: (sorted(text), _reference_encode(text)[1]),
                when=lambda facts: _some_alphabet_is(facts, lambda text, chars: len(chars) > len(set(text)))),
        Mistake("`set` alone has another order in every start of Python: a model that is saved today reads garbage tomorrow. Sort it.",
                _encode_with(_any_order),
                when=lambda facts: _some_alphabet_is(facts, lambda text, chars: set(chars) == set(text) and chars != sorted(chars))),
    ],
    hints=[
        "Alphabet first, then numbers.",
        "`sorted(set(...))` for the alphabet; `enumerate` numbers it.",
        "`index = {c: i for i, c in ...}` and then `torch.tensor([... for c in text])`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 15.2 one_hot_encode

def _observe_one_hot(one_hot_encode, see):
    for ids, n, label in (([[3, 5, 1]], 8, "ids [[3, 5, 1]], 8 labels"), ([4, 0, 2, 2], 7, "ids [4, 0, 2, 2], 7 labels"),
                          ([[[1, 0], [4, 2]], [[3, 3], [0, 1]], [[2, 4], [1, 1]]], 5, "ids of shape (3, 2, 2), 5 labels")):
        see.call(one_hot_encode, _codes(ids), n, label=label)


def _reference_one_hot(ids, n_labels):
    """Compare each id with 0, 1, 2, ..."""
    import torch

    return (ids[..., None] == torch.arange(n_labels, device=ids.device)).to(torch.float32)


def _to_long(ids, n_labels):
    return _reference_one_hot(ids, n_labels).long()


def _empty_one_hot(ids, n_labels):
    import torch

    return torch.zeros(*ids.shape, n_labels, device=ids.device)


def _ones_of_all(ids, n_labels):
    result = _empty_one_hot(ids, n_labels)
    result[..., ids] = 1
    return result


def _first_axis_only(ids, n_labels):
    result = _empty_one_hot(ids[(slice(None),) + (0,) * (ids.ndim - 1)], n_labels)
    for row, found in enumerate(ids):
        result[row, found] = 1
    return result


def _ids_as_rows(ids, n_labels):
    result = _empty_one_hot(ids, n_labels)
    result[ids] = 1
    return result


one_hot_encode = Exercise(
    "15.2", "one_hot_encode",
    observe=_observe_one_hot,
    expected=_reference_one_hot,
    mistakes=[
        Mistake("The result is int64, as F.one_hot gives it: the LSTM computes with floats, so convert it.", _to_long),
        Mistake("The width comes from the largest id in this batch: it must be n_labels, whatever the batch holds.",
                lambda ids, n_labels: _reference_one_hot(ids, int(ids.max()) + 1)),
        Mistake("You flatten the ids: keep the leading axes, and add one at the end.",
                lambda ids, n_labels: _reference_one_hot(ids.reshape(-1), n_labels)),
        Mistake("The new axis stands first: it comes last, shape (*, n_labels).",
                lambda ids, n_labels: _reference_one_hot(ids, n_labels).movedim(-1, 0)),
        Mistake("The ones are one place too far to the right: id 0 is the first column.",
                lambda ids, n_labels: _reference_one_hot((ids + 1) % n_labels, n_labels)),
        Mistake("The ones are one place too far to the left: ids count from 0, so nothing is taken off.",
                lambda ids, n_labels: _reference_one_hot((ids - 1) % n_labels, n_labels)),
        Mistake("One column too many: the ids are 0 to n_labels - 1, that is n_labels in all.",
                lambda ids, n_labels: _reference_one_hot(ids, n_labels + 1)),
        Mistake("There is no 1 in it: `scatter` leaves its tensor as it is and returns a new one; `scatter_` writes into it.",
                lambda ids, n_labels: 0 * _reference_one_hot(ids, n_labels)),
        Mistake("Each row has got the ones of all ids: each id writes into its own row only.", _ones_of_all),
        Mistake("You go through the first axis only, and one row gets the ones of several ids: each id has a row of its own, whatever "
                "the shape.", _first_axis_only),
        Mistake("That is a NumPy array: the network wants a tensor.", lambda ids, n_labels: _reference_one_hot(ids, n_labels).numpy()),
        Mistake("`result[ids] = 1` takes the ids for rows. They are columns, one for each row: `torch.eye(n_labels)[ids]`, `scatter_`, "
                "or F.one_hot.", _ids_as_rows, when=lambda facts: _raised(facts, "IndexError", "out of bounds for dimension 0")),
    ],
    hints=[
        "One 1 per row.",
        "`F.one_hot`, or rows of the identity matrix.",
        "`F.one_hot(..., num_classes=...).to(...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 15.3 ngram_entropy

def conditional_entropy(text: str, order: int) -> float:
    """The same, grouped by context: for each context the entropy of what follows it, weighted by how often it occurs."""
    follows: dict[str, Counter] = {}
    for i in range(len(text) - order + 1):
        follows.setdefault(text[i:i + order - 1], Counter())[text[i + order - 1]] += 1
    total = len(text) - order + 1
    result = 0.0
    for counts in follows.values():
        p = np.array(list(counts.values()), dtype=float)
        result += p.sum() / total * float(-(p / p.sum() * np.log(p / p.sum())).sum())
    return result


def _joint_entropy(text: str, order: int, step: int = 1) -> float:
    if order == 0:
        return 0.0
    counts = Counter(text[i:i + order] for i in range(0, len(text) - order + 1, step))
    p = np.array(list(counts.values())) / sum(counts.values())
    return float(-(p * np.log(p)).sum())


def _as_conditional(value, text: str, order: int):
    """Differences of joint entropies are right too; on a short text the two differ a little, so they count as the same."""
    other = _joint_entropy(text, order) - _joint_entropy(text, order - 1)
    if isinstance(value, float | int) and not isinstance(value, bool) and math.isclose(value, other, abs_tol=1e-6):
        return conditional_entropy(text, order)
    return value


def _observe_entropy(ngram_entropy, see):
    for text, orders, label in (("abracadabra", (1, 2), "'abracadabra'"), ("aaaa", (1, 2), "'aaaa'"),
                                (PROSE, (1, 2, 3, 4), f"a text of {len(PROSE)} characters")):
        for order in orders:
            name = f"ngram_entropy({label}, {order})" if label.startswith("'") else f"{label}, order {order}"
            found = see.call(ngram_entropy, text, order, label=name, record=False, asks="a number")
            if is_tensor(found) and found.numel() == 1 or isinstance(found, np.floating):
                found = float(found)
            see.fact(name, _as_conditional(found, text, order), rtol=1e-6, atol=1e-6)


def _entropy_with(step: int = 1, log=math.log, contexts=None, finish=lambda h: h, key=lambda w: w[:-1]):
    """``key(window)`` is what its count is divided by the count of; ``contexts`` counts it in another way."""
    def ngram_entropy(text, order):
        windows = [text[i:i + order] for i in range(0, len(text) - order + 1, step)]
        counts, context = Counter(windows), contexts(text, order, windows) if contexts else Counter(map(key, windows))
        return finish(-sum(n / len(windows) * log(n / context[key(w)]) for w, n in counts.items()))
    return ngram_entropy


def _windows(text: str, order: int) -> int:
    return len(text) - order + 1


def _over_contexts(text: str, order: int) -> float:
    """The sum of the entropies of what follows each context."""
    windows = Counter(text[i:i + order] for i in range(_windows(text, order)))
    context: Counter = Counter()
    for w, n in windows.items():
        context[w[:-1]] += n
    return -sum(n / context[w[:-1]] * math.log(n / context[w[:-1]]) for w, n in windows.items())


def _smoothed(text: str, order: int) -> float:
    windows = Counter(text[i:i + order] for i in range(_windows(text, order)))
    context: Counter = Counter()
    for w, n in windows.items():
        context[w[:-1]] += n
    V, total = len(set(text)), _windows(text, order)
    return -sum(n / total * math.log((n + 1) / (context[w[:-1]] + V)) for w, n in windows.items())


def _unweighted(text: str, order: int) -> float:
    windows = Counter(text[i:i + order] for i in range(len(text) - order + 1))
    context: Counter = Counter()
    for w, n in windows.items():
        context[w[:-1]] += n
    return -sum(math.log(n / context[w[:-1]]) for w, n in windows.items()) / len(windows)


def _all_contexts(text, order, windows):
    """Counts the last characters of the text too, which no character follows."""
    return Counter(text[i:i + order - 1] for i in range(len(text) - order + 2))


ngram_entropy = Exercise(
    "15.3", "ngram_entropy",
    observe=_observe_entropy,
    expected=conditional_entropy,
    parameters=("text", "order"),
    mistakes=[
        Mistake("That is in bits: use the natural logarithm, as cross-entropy does. Divide by ln 2 only at the end, if at all.",
                _entropy_with(log=math.log2)),
        Mistake("That is the entropy of whole pairs (or triples): it is per window, not per character. Divide each count by that of its "
                "context.", _joint_entropy),
        Mistake("Your windows do not overlap, so most pairs are never counted: move on by one character.",
                lambda text, order: _entropy_with(step=order)(text, order)),
        Mistake("Your contexts count the end of the text too, which nothing follows: count the contexts of the windows only.",
                _entropy_with(contexts=_all_contexts)),
        Mistake("The sign: a logarithm of a probability is negative, the entropy is not.", _entropy_with(finish=lambda h: -h)),
        Mistake("Every window weighs the same in your mean, however often it occurs: weigh with n / total.", _unweighted),
        Mistake("Your window is one character too long: of its `order` characters, the last is predicted and order - 1 are known.",
                lambda text, order: conditional_entropy(text, order + 1)),
        Mistake("That is the perplexity, e to the entropy: return the entropy itself.",
                lambda text, order: math.exp(conditional_entropy(text, order))),
        Mistake("The last window is missing: there are len(text) - order + 1 of them.",
                lambda text, order: conditional_entropy(text[:-1], order)),
        Mistake("That is the sum over all windows: the mean is asked for.", lambda text, order: conditional_entropy(text, order) * _windows(text, order)),
        Mistake("You divide by len(text), but there are only len(text) - order + 1 windows.",
                lambda text, order: conditional_entropy(text, order) * _windows(text, order) / len(text)),
        Mistake("That is the entropy of whole windows, divided by their length. Asked is the surprise at the last character only: divide "
                "each count by that of its context.", lambda text, order: _joint_entropy(text, order) / order),
        Mistake("Each context weighs the same in your mean, however often it occurs: the mean goes over all windows of the text.",
                lambda text, order: _over_contexts(text, order) / len({text[i:i + order - 1] for i in range(_windows(text, order))})),
        Mistake("Your weights are p(last | context): they sum to 1 for each context, not in all. Weigh each window with n / total.",
                lambda text, order: _over_contexts(text, order)),
        Mistake("`order` has no effect: that is the entropy of single characters.", lambda text, order: conditional_entropy(text, 1)),
        Mistake("You predict the first character of a window from those behind it: the context comes first, window[:-1].",
                lambda text, order: conditional_entropy(text[::-1], order)),
        Mistake("You divide by the count of the last character; divide by that of the context, the order - 1 characters before it.",
                _entropy_with(key=lambda w: w[-1:]),
                when=lambda facts: abs(facts["ngram_entropy('abracadabra', 1)"]) < 1e-9 < abs(facts["ngram_entropy('abracadabra', 2)"])),
        Mistake("Your context is one character, whatever the order: it has order - 1.", _entropy_with(key=lambda w: w[:-1][-1:])),
        Mistake("Your counts have something added to them (smoothing): here p is a plain share of the counts.", _smoothed),
        Mistake("You round: return the number as it is.", lambda text, order: round(conditional_entropy(text, order), 4),
                when=lambda facts: all(v == round(v, 4) for v in facts.values()) and any(v != round(v) for v in facts.values())),
    ],
    hints=[
        "How surprising is the next character, if one knows the last ones?",
        "Count windows and contexts with `Counter`; a context is a window without its last character.",
        "`-sum(n / total * math.log(n / ...) for ... in ...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 15.4 get_batches

_TOO_MANY = 40  # a loop that forgets to stop is cut here


def _collected(get_batches):
    def collect(arr, batch_size, seq_length):
        found = get_batches(arr, batch_size, seq_length)
        if found is None:
            return None
        return list(itertools.islice(iter(found), _TOO_MANY))
    return collect


def _pairs(value) -> bool:
    return all(isinstance(p, tuple | list) and len(p) == 2 and all(is_tensor(t) for t in p) for p in value)


def _kind_of_batch(value) -> str:
    if isinstance(value, tuple | list) and len(value) == 2:
        return f"a pair of {describe(value[0])} and {describe(value[1])}"
    return describe(value)


_FIRST_BATCHES = "arr 1 to 13, batch_size 2, seq_length 3"


def _first_batches(facts: dict, name: str, number: int) -> list | None:
    """x or y of batch 1 or 2 of the text 1 to 13, as a list; None where there is none."""
    found = facts.get(f"{_FIRST_BATCHES}: {name} of batch {number}")
    return found.tolist() if is_tensor(found) else None


def _counted(facts: dict, length: int) -> Any:
    """How many batches came of a text of this length, 2 rows of 3 columns."""
    return facts.get(f"arr of {length}, batch_size 2, seq_length 3: number of batches")


def _observe_batches(get_batches, see):
    texts = ((13, 2, 3), (37, 4, 2), (41, 3, 5), (11, 2, 1), (6, 2, 3), (12, 2, 3), (18, 2, 3), (19, 2, 3))
    for length, B, T in texts:
        arr = _codes(list(range(1, length + 1)) if length == 13 else [(n * n + 3 * n) % 29 for n in range(length)])
        label = f"arr of {length}, batch_size {B}, seq_length {T}" if length != 13 else _FIRST_BATCHES
        got = see.call(_collected(get_batches), arr, B, T, label=label, record=False, asks="pairs (x, y)")
        see.fact(f"{label}: number of batches", len(got) if len(got) < _TOO_MANY else "no end")
        if len(got) >= _TOO_MANY:
            return
        if not _pairs(got):
            see.fact(f"{label}: what each batch is", _kind_of_batch(next(p for p in got if not _pairs([p]))),
                     implied="a pair of tensors (x, y)")
            return
        for n, (x, y) in enumerate(got, 1):
            see.fact(f"{label}: x of batch {n}", x)
            see.fact(f"{label}: y of batch {n}", y)


def _reference_batches(arr, batch_size, seq_length):
    """By index arithmetic: row r of batch n begins at r * (steps * T) + n * T."""
    import torch

    steps = (len(arr) - 1) // (batch_size * seq_length)
    rows, columns = torch.arange(batch_size)[:, None], torch.arange(seq_length)[None, :]
    for n in range(steps):
        place = (rows * steps * seq_length + n * seq_length + columns).to(arr.device)
        yield arr[place], arr[place + 1]


def _rows(arr, B, T, less: int = 1):
    n = (len(arr) - less) // (B * T) * B * T
    return arr[:n].view(B, -1), n


def _wraps(arr, batch_size, seq_length):
    import torch

    x, n = _rows(arr, batch_size, seq_length)
    y = torch.cat([x[:, 1:], x[:, :1]], 1)
    for i in range(0, x.shape[1], seq_length):
        yield x[:, i:i + seq_length], y[:, i:i + seq_length]


def _wraps_the_batch(arr, batch_size, seq_length):
    import torch

    x, _ = _rows(arr, batch_size, seq_length)
    for i in range(0, x.shape[1], seq_length):
        part = x[:, i:i + seq_length]
        yield part, torch.cat([part[:, 1:], part[:, :1]], 1)


def _copies(arr, batch_size, seq_length):
    x, _ = _rows(arr, batch_size, seq_length)
    for i in range(0, x.shape[1], seq_length):
        yield x[:, i:i + seq_length], x[:, i:i + seq_length]


def _columns(arr, batch_size, seq_length):
    n = (len(arr) - 1) // (batch_size * seq_length) * batch_size * seq_length
    x, y = (a.reshape(-1, batch_size).T for a in (arr[:n], arr[1:n + 1]))
    for i in range(0, x.shape[1], seq_length):
        yield x[:, i:i + seq_length], y[:, i:i + seq_length]


def _blocks(arr, batch_size, seq_length):
    size = batch_size * seq_length
    for i in range((len(arr) - 1) // size):
        part = slice(i * size, (i + 1) * size)
        yield arr[part].view(batch_size, -1), arr[1:][part].view(batch_size, -1)


def _steps_by_one(arr, batch_size, seq_length):
    n = (len(arr) - 1) // (batch_size * seq_length) * batch_size * seq_length
    x, y = arr[:n].view(batch_size, -1), arr[1:n + 1].view(batch_size, -1)
    for i in range(x.shape[1] - seq_length + 1):
        yield x[:, i:i + seq_length], y[:, i:i + seq_length]


def _untrimmed(arr, batch_size, seq_length):
    x, y = arr[:-1].view(batch_size, -1), arr[1:].view(batch_size, -1)
    for i in range(0, x.shape[1], seq_length):
        yield x[:, i:i + seq_length], y[:, i:i + seq_length]


def _one_too_many(arr, batch_size, seq_length):
    """Counts with len(arr), so that a text of exactly one batch has no last target."""
    x, n = _rows(arr, batch_size, seq_length, less=0)
    y = arr.roll(-1)[:n].view(batch_size, -1)
    for i in range(0, x.shape[1], seq_length):
        yield x[:, i:i + seq_length], y[:, i:i + seq_length]


def _changed(change: Callable) -> Callable:
    """The right batches, each pair changed: ``change(x, y)`` is what is yielded."""
    def batches(arr, batch_size, seq_length):
        return (change(x, y) for x, y in _reference_batches(arr, batch_size, seq_length))
    return batches


def _wraps_and_counts_all(arr, batch_size, seq_length):
    """As many published notebooks do it: len(arr) // ..., and the row's own first column where the text ends."""
    import torch

    x, _ = _rows(arr, batch_size, seq_length, less=0)
    y = torch.cat([x[:, 1:], x[:, :1]], 1)
    for i in range(0, x.shape[1], seq_length):
        yield x[:, i:i + seq_length], y[:, i:i + seq_length]


def _with_targets(arr, batch_size, seq_length, targets: Callable):
    """``targets(x, n)`` are those of all rows."""
    x, n = _rows(arr, batch_size, seq_length)
    y = targets(x, n)
    for i in range(0, x.shape[1], seq_length):
        yield x[:, i:i + seq_length], y[:, i:i + seq_length]


def _rolls_all(arr, batch_size, seq_length):
    return _with_targets(arr, batch_size, seq_length, lambda x, n: arr[:n].roll(-1).view(batch_size, -1))


def _ends_with_0(arr, batch_size, seq_length):
    import torch

    return _with_targets(arr, batch_size, seq_length, lambda x, n: torch.cat([x[:, 1:], 0 * x[:, :1]], 1))


def _all_but_the_last(arr, batch_size, seq_length):
    found = list(_reference_batches(arr, batch_size, seq_length))
    yield from found[:-1]


def _long_rows(arr, batch_size, seq_length, whole: bool = False):
    """Rows of (len(arr) - 1) // batch_size, which whole batches need not fill."""
    columns = (len(arr) - 1) // batch_size
    x, y = (a[:batch_size * columns].view(batch_size, -1) for a in (arr, arr[1:]))
    for i in range(0, columns // seq_length * seq_length if whole else columns, seq_length):
        yield x[:, i:i + seq_length], y[:, i:i + seq_length]


def _every_window(arr, batch_size, seq_length):
    for i in range(len(arr) - seq_length):
        yield tuple(arr[k:k + seq_length].expand(batch_size, -1) for k in (i, i + 1))


def _counts_the_last_one_in(facts: dict) -> bool:
    """A text that ends with its last whole batch has no target for it: what happens then?"""
    if _raised(facts, "invalid for input of size"):
        return any(f"arr of {n}," in _last_case(facts) for n in (6, 12, 18))
    return (_counted(facts, 6), _counted(facts, 12), _counted(facts, 18)) == (1, 2, 3)


get_batches = Exercise(
    "15.4", "get_batches",
    observe=_observe_batches,
    expected=_reference_batches,
    mistakes=[
        Mistake("The last target of a row is the first character of that same row. The next character of the text is in the next row: "
                "for 1 to 13, the last target of row 1 is 7, not 1.", _wraps,
                when=lambda facts: _first_batches(facts, "y", 1) == [[2, 3, 4], [8, 9, 10]]
                and [row[-1] for row in _first_batches(facts, "y", 2)] == [1, 7]),
        Mistake("Two things. The last target of a row is the first character of that same row: the true one is in the next row. And a batch "
                "is counted whose last target does not exist: (len(arr) - 1) // ...", _wraps_and_counts_all),
        Mistake("The last target of each batch is the batch's own first column. The true next character is in the next batch.",
                _wraps_the_batch),
        Mistake("y equals x: a network that copies would be perfect, its loss near 0 and its text babble. y is one character further.",
                _copies),
        Mistake("Neighbors of the text stand below each other in a column. Rows must run on: view(batch_size, -1), not (-1, batch_size).",
                _columns),
        Mistake("Each batch is a new block of the text, so row 1 of the next batch does not continue row 1 of this one, and the carried "
                "state belongs elsewhere. Cut the whole text in batch_size rows first.", _blocks),
        Mistake("The window moves by one: it moves by seq_length, so that each character is read once.", _steps_by_one,
                when=lambda facts: _first_batches(facts, "x", 2) == [[2, 3, 4], [8, 9, 10]]),
        Mistake("x and y have changed places: x is what is read, y comes one character later.", _changed(lambda x, y: (y, x))),
        Mistake("batch_size and seq_length have changed places: batch_size is the number of rows.",
                lambda arr, batch_size, seq_length: _reference_batches(arr, seq_length, batch_size)),
        Mistake("The very last target is the first character of the text, as `roll` puts it there. Take y from arr[1:n + 1]: the text goes on.",
                _rolls_all),
        Mistake("The last target of each row is made up. It is in the text: take y from arr[1:n + 1], before you cut it into rows.",
                _ends_with_0, when=lambda facts: _first_batches(facts, "y", 2)[0][:2] == [5, 6] and _first_batches(facts, "y", 2)[0][2] != 7),
        Mistake("The last batch is missing: the windows begin at 0, seq_length, ... as long as a whole one fits.", _all_but_the_last),
        Mistake("y is the last character only: each of the seq_length places has its own next character.", _changed(lambda x, y: (x, y[:, -1]))),
        Mistake("All rows hold the same piece of the text. Cut the text into batch_size rows first.", _every_window),
        Mistake("Your rows are longer than whole batches fill, so row 2 begins too late and the last batch is too narrow. A row has "
                "batches * seq_length columns.", _long_rows),
        Mistake("Your rows are longer than whole batches fill, so row 2 begins too late. A row has batches * seq_length columns.",
                lambda *given: _long_rows(*given, whole=True)),
        Mistake("What comes is no pair. `return x, y` ends everything after one batch: `yield x, y` hands over pair after pair.",
                lambda arr, batch_size, seq_length: next(_reference_batches(arr, batch_size, seq_length), None) or iter(()),
                when=lambda facts: _some_fact(facts, "what each batch is", lambda v: " tensor (" in v and "pair" not in v)),
        Mistake("x and y must be tensors: slices of arr are.", _changed(lambda x, y: (x.tolist(), y.tolist())),
                when=lambda facts: _some_fact(facts, "what each batch is", lambda v: v.startswith("a pair of"))),
        Mistake("You count a batch whose last target does not exist: keep one character for it, (len(arr) - 1) // ...", _one_too_many,
                when=lambda facts: _counts_the_last_one_in(facts)),
        Mistake("The text is not trimmed: only whole batches fit into rows of equal length. Keep n = batches * batch_size * seq_length.",
                _untrimmed, when=lambda facts: _raised(facts, "-1]' is invalid for input of size")),
    ],
    hints=[
        "Cut the text into batch_size long rows, then slide a window over all of them at once.",
        "x from arr[:n], y from arr[1:n + 1], both `view(batch_size, -1)`.",
        "`for i in range(0, ..., seq_length): yield x[:, i:...], y[...]`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 15.5 CharRNN

_ALPHABET = list("tone\n shard\u00e4l,!")  # not sorted: a network keeps the order that it is given


def _shape_text(net, chars) -> str:
    """What the network's layers are, in words; the attributes that the contract names."""
    from torch import nn

    found = {name: getattr(net, name, None) for name in ("embedding", "lstm", "dropout", "fc")}
    wanted = {"embedding": nn.Embedding, "lstm": nn.LSTM, "dropout": nn.Dropout, "fc": nn.Linear}
    for name, kind in wanted.items():
        if not isinstance(found[name], kind):
            return f"{name} is {'missing' if found[name] is None else 'of the kind ' + type(found[name]).__name__}"
    kept = list(getattr(net, "chars", []))
    if kept != list(chars):
        return "chars in another order" if sorted(map(str, kept)) == sorted(chars) else f"chars is {describe(getattr(net, 'chars', None))}"
    e, r, fc = found["embedding"], found["lstm"], found["fc"]
    return (f"embedding {e.num_embeddings} to {e.embedding_dim}, lstm {r.input_size} to {r.hidden_size}"
            f"{', both directions' if r.bidirectional else ''}, layers: {r.num_layers}, fc {fc.in_features} to {fc.out_features}")


def _fill(net, seed: int) -> None:
    """Fixed weights and biases, other than 0, so that two networks compare."""
    import torch

    with torch.no_grad():
        for n, (_, parameter) in enumerate(sorted(net.named_parameters())):
            parameter.copy_(_numbers(*parameter.shape, seed=seed + n, scale=0.5).to(parameter))


def _observe_char_rnn(CharRNN, see):
    import torch

    with torch.backends.cudnn.flags(enabled=False):  # on a GPU its TF32 is too coarse for a comparison
        _observe_char_rnns(CharRNN, see)


def _made(see, CharRNN, asked: str, *args, **options):
    """A network, and as a fact whether PyTorch warned while it was made."""
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = see.call(CharRNN, *args, label=asked, record=False, asks="an nn.Module", **options)
    said = [str(w.message).split(",")[0] for w in caught if "dropout" in str(w.message)]
    see.fact(f"{asked}: what PyTorch warns of", said[0][:60] if said else "nothing", implied="nothing")
    return net


def _observe_char_rnns(CharRNN, see):
    import torch

    for chars, H, layers, p, E, B, T in ((_ALPHABET, 6, 2, 0.4, 5, 3, 7), (_ALPHABET[:9], 4, 1, 0.3, 3, 2, 4)):
        asked = f"CharRNN({len(chars)} characters, n_hidden={H}, n_layers={layers}, drop_prob={p}, embedding_dim={E})"
        net = _made(see, CharRNN, asked, chars, n_hidden=H, n_layers=layers, drop_prob=p, embedding_dim=E)
        kind = "an nn.Module" if isinstance(net, torch.nn.Module) else describe(net)
        see.fact(f"{asked} returns", kind, implied="an nn.Module")
        if kind != "an nn.Module":
            return
        net = net.to(devices.device()).float()
        V = len(chars)
        wanted = f"embedding {V} to {E}, lstm {E} to {H}, layers: {layers}, fc {H} to {V}"
        see.fact(f"{asked}: its parts", _shape_text(net, chars), implied=wanted)
        if _shape_text(net, chars) != wanted:
            return
        see.fact(f"{asked}: dropout in the LSTM and after it", f"{net.lstm.dropout:g}, {net.dropout.p:g}",
                 implied=f"{p if layers > 1 else 0:g}, {p:g}")
        see.fact(f"{asked}: parameters", sum(q.numel() for q in net.parameters()))
        _fill(net, 15)
        if not _observe_passes(net, asked, (V, H, layers, B, T), see):
            return
    net = see.call(CharRNN, [chr(40 + n) for n in range(83)], label="CharRNN(83 characters)", record=False, asks="an nn.Module")
    see.fact("CharRNN(83 characters): parameters", sum(q.numel() for q in net.parameters()))


def _observe_passes(net, asked, sizes, see) -> bool:
    import torch

    V, H, layers, B, T = sizes
    asked = asked.split("(")[0] + f"({V} characters, ...)"
    net.eval()
    x = _codes(np.random.default_rng(V).integers(0, V, (B, T)).tolist())
    with torch.no_grad():
        got = see.call(net, x, label=f"{asked}, x ({B}, {T}), no state", record=False, asks="scores and a state")
        if _result_text(got) != "(scores, (h, c))":
            see.fact(f"{asked}, x ({B}, {T}): result", _result_text(got), implied="(scores, (h, c))")
            return False
        again = net(x)
        same = all(a.shape == b.shape and _alike(a, b) == "the same" for a, b in zip((got[0], *got[1]), (again[0], *again[1]), strict=True))
        see.fact(f"{asked}: two passes in eval mode, no state", "the same" if same else "different", implied="the same")
        shapes = f"{tuple(got[0].shape)}, {', '.join(str(tuple(s.shape)) for s in got[1])}"
        wanted = f"({B}, {T}, {V}), ({layers}, {B}, {H}), ({layers}, {B}, {H})"
        other = x.clone()
        other[1] = (other[1] + 1) % V
        if got[0].ndim == 3 and len(got[0]) == B:
            moved = (net(other)[0] - got[0]).abs().amax((1, 2)) > 1e-6
            see.fact(f"{asked}: rows of scores that move when only row 1 of x changes", str(moved.nonzero().flatten().tolist()))
        see.fact(f"{asked}, x ({B}, {T}): shapes of scores, h, c", shapes, implied=wanted)
        if shapes != wanted:
            return False
        see.fact(f"{asked}: scores", got[0], rtol=1e-4, atol=1e-5)
        see.fact(f"{asked}: h", got[1][0], rtol=1e-4, atol=1e-5)
        see.fact(f"{asked}: c", got[1][1], rtol=1e-4, atol=1e-5)
        first, state = net(x[:, :2])
        halves = torch.cat([first, net(x[:, 2:], state)[0]], 1)
        see.fact(f"{asked}: two halves, the state handed on, equal the whole", _alike(halves, got[0]))
        net.train()
        torch.manual_seed(3)
        see.fact(f"{asked}: two passes in training mode", _alike(net(x)[0], net(x)[0]))
        net.lstm.dropout = 0.0
        state = net(x)[1]
        see.fact(f"{asked}: the state in training mode, when the LSTM itself drops nothing, is that of eval mode",
                 "yes" if all(_alike(a, b) == "the same" for a, b in zip(state, got[1], strict=True)) else "no", implied="yes")
        weight = net.fc.weight.clone()
        net.fc.weight.zero_()
        see.fact(f"{asked}: the scores in training mode, with the weights of fc at 0, are its bias",
                 "yes" if _alike(net(x)[0], net.fc.bias.expand(B, T, V)) == "the same" else "no", implied="yes")
        net.fc.weight.copy_(weight)
        net.dropout.p = 0.0
        see.fact(f"{asked}: in training mode without dropout, the scores of eval mode", _alike(net(x)[0], got[0]))
    with torch.enable_grad():
        scores, state = net(x)
    flows = {"scores": scores, "h": state[0], "c": state[1]}
    cut = " and ".join(name for name, part in flows.items() if not part.requires_grad)
    see.fact(f"{asked}: a gradient flows back through", f"not through {cut}" if cut else "scores, h and c", implied="scores, h and c")
    return True


def _result_text(got) -> str:
    """What a forward pass returned, part by part: (scores, (h, c)) is right."""
    def part(value) -> str:
        if is_tensor(value):
            return "scores" if value.ndim == 3 and value.shape[-1] > 8 else f"a tensor {tuple(value.shape)}"
        if isinstance(value, tuple | list) and len(value) == 2 and all(map(is_tensor, value)):
            return "(h, c)"
        return describe(value)
    if not isinstance(got, tuple | list):
        return describe(got)
    if len(got) == 2 and is_tensor(got[0]) and part(got[1]) == "(h, c)":
        return "(scores, (h, c))"
    return f"({', '.join(part(value) for value in got)})"


def _alike(a, b) -> str:
    import torch

    return "the same" if a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-5) else "different"


def _lstm_by_hand(lstm, x, state, training: bool):
    """A stack of LSTM layers, step by step: (B, T, H) and the pair of last states."""
    import torch
    import torch.nn.functional as F

    L, H, B = lstm.num_layers, lstm.hidden_size, len(x)
    h0, c0 = (x.new_zeros(L, B, H), x.new_zeros(L, B, H)) if state is None else state
    hs, cs = [], []
    for n in range(L):
        w_ih, w_hh, b_ih, b_hh = (getattr(lstm, f"{k}_l{n}") for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        h, c, out = h0[n], c0[n], []
        for t in range(x.shape[1]):
            i, f, g, o = (x[:, t] @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            out.append(h)
        x = torch.stack(out, 1)
        if n < L - 1:
            x = F.dropout(x, lstm.dropout, training)
        hs.append(h)
        cs.append(c)
    return x, (torch.stack(hs), torch.stack(cs))


def network(forward, *, make=None) -> type:
    """A class of character networks with another ``forward(net, x, state)``, or with other layers (``make(net, sizes)``)."""
    class CharRNN:
        def __new__(cls, chars, n_hidden=128, n_layers=1, drop_prob=0.0, embedding_dim=32):  # nn.Module needs torch
            from torch import nn

            class Network(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.chars, V = list(chars), len(chars)
                    between = drop_prob if n_layers > 1 else 0.0
                    self.embedding = nn.Embedding(V, embedding_dim)
                    self.lstm = nn.LSTM(embedding_dim, n_hidden, n_layers, batch_first=True, dropout=between)
                    self.dropout = nn.Dropout(drop_prob)
                    self.fc = nn.Linear(n_hidden, V)
                    if make:
                        make(self, (V, n_hidden, n_layers, drop_prob, embedding_dim))

                def forward(self, x, state=None):
                    return forward(self, x, state)

            return Network()
    return CharRNN


def _reference_forward(net, x, state):
    out, state = _lstm_by_hand(net.lstm, net.embedding.weight[x], state, net.training)
    return net.dropout(out) @ net.fc.weight.T + net.fc.bias, state


def usual_forward(net, x, state):
    """(scores, state), with torch's own layers."""
    out, state = net.lstm(net.embedding(x), state)
    return net.fc(net.dropout(out)), state


def _time_first(net, sizes):
    from torch import nn

    V, H, L, p, E = sizes
    net.lstm = nn.LSTM(E, H, L, dropout=p if L > 1 else 0.0)


def _both_ways(net, sizes):
    from torch import nn

    V, H, L, p, E = sizes
    net.lstm = nn.LSTM(E, H, L, batch_first=True, dropout=p if L > 1 else 0.0, bidirectional=True)
    net.fc = nn.Linear(2 * H, V)


def _ignores_the_state(net, x, state):
    return usual_forward(net, x, None)


def _made_with(lstm: Callable) -> type:
    """A network with another LSTM: ``lstm(nn, V, H, L, p, E)``."""
    def make(net, sizes):
        from torch import nn

        net.lstm = lstm(nn, *sizes)
    return network(usual_forward, make=make)


def _returning(change: Callable) -> type:
    """The right pass, and ``change(scores, (h, c))`` is what is returned."""
    return network(lambda net, x, state: change(*usual_forward(net, x, state)))


def _eighty_three(net, sizes):
    from torch import nn

    net.embedding, net.fc = nn.Embedding(83, sizes[4]), nn.Linear(sizes[1], 83)


def _sorts_the_alphabet(net, sizes):
    net.chars = sorted(net.chars)


def _keeps_the_state(net, x, state):
    scores, net.kept = usual_forward(net, x, getattr(net, "kept", None) if state is None else state)
    return scores, net.kept


class _WithoutSuper:
    def __new__(cls, chars, n_hidden=128, n_layers=1, drop_prob=0.0, embedding_dim=32):
        from torch import nn

        class Network(nn.Module):
            def __init__(self):
                self.embedding = nn.Embedding(len(chars), embedding_dim)
        return Network()


def _sums_to_1(p) -> bool:
    return bool((p >= 0).all()) and bool(((p.sum(-1) - 1).abs() < 1e-3).all())


def _pass_is(facts: dict, ending: str, value: str) -> bool:
    return _some_fact(facts, ending, lambda found: found == value)


CharRNN = Exercise(
    "15.5", "CharRNN",
    observe=_observe_char_rnn,
    expected=network(_reference_forward),
    kind="class",
    mistakes=[
        Mistake("Your scores are probabilities already: cross-entropy does the softmax itself. Return what fc gives.",
                _returning(lambda scores, state: (scores.softmax(-1), state)),
                when=lambda facts: _some_fact(facts, ": scores", lambda v: is_tensor(v) and _sums_to_1(v))),
        Mistake("Your scores are logarithms of probabilities: cross-entropy does the log-softmax itself. Return what fc gives.",
                _returning(lambda scores, state: (scores.log_softmax(-1), state)),
                when=lambda facts: _some_fact(facts, ": scores", lambda v: is_tensor(v) and _sums_to_1(v.exp()))),
        Mistake("Two passes over the same codes differ, in eval mode. Either a state is kept from call to call (it belongs to the caller), or "
                "something random is left: F.dropout needs training=self.training.", network(_keeps_the_state),
                when=lambda facts: _pass_is(facts, "two passes in eval mode, no state", "different")),
        Mistake("The state that comes in is ignored: two halves do not add up to the whole. Hand it to the LSTM, beside x.",
                network(_ignores_the_state), when=lambda facts: _pass_is(facts, "equal the whole", "different")),
        Mistake("An LSTM in both directions reads the answer: it sees the characters that it is to predict.",
                network(usual_forward, make=_both_ways), when=lambda facts: any("both directions" in str(v) for v in facts.values())),
        Mistake("batch_first=True is missing: the LSTM takes axis 0 for time, so the rows influence each other.",
                network(usual_forward, make=_time_first),
                when=lambda facts: any("rows of scores" in k and v not in ("[1]", "[]") for k, v in facts.items())),
        Mistake("n_layers does not reach the LSTM: it has one layer, whatever is asked for.",
                _made_with(lambda nn, V, H, L, p, E: nn.LSTM(E, H, 1, batch_first=True, dropout=p if L > 1 else 0.0)),
                when=lambda facts: any("n_layers=2" in k and "layers: 1," in str(v) for k, v in facts.items())
                or any("n_layers=2" in k and "warns of" in k and v != "nothing" for k, v in facts.items())),
        Mistake("With one layer there is nothing between layers, and PyTorch warns: the LSTM's own dropout is for 2 or more layers.",
                _made_with(lambda nn, V, H, L, p, E: nn.LSTM(E, H, L, batch_first=True, dropout=p)),
                when=lambda facts: any("n_layers=1" in k and "warns of" in k and v != "nothing" for k, v in facts.items())),
        Mistake("The LSTM gets no dropout: with two or more layers it takes dropout=drop_prob, between them.",
                _made_with(lambda nn, V, H, L, p, E: nn.LSTM(E, H, L, batch_first=True)),
                when=lambda facts: _pass_is(facts, "dropout in the LSTM and after it", "0, 0.4")),
        Mistake("An LSTM is asked for: nn.LSTM, with its pair (h, c).",
                _made_with(lambda nn, V, H, L, p, E: nn.GRU(E, H, L, batch_first=True, dropout=p if L > 1 else 0.0)),
                when=lambda facts: any(str(v).startswith("lstm is of the kind") for v in facts.values())),
        Mistake("The LSTM reads what the embedding gives: embedding_dim numbers a character, not one for each character of the alphabet.",
                _made_with(lambda nn, V, H, L, p, E: nn.LSTM(V, H, L, batch_first=True, dropout=p if L > 1 else 0.0)),
                when=lambda facts: any("embedding 15 to 5, lstm 15 to" in str(v) for v in facts.values())),
        Mistake("83 is fixed in your network: another text has another alphabet, so count len(chars).",
                network(usual_forward, make=_eighty_three), when=lambda facts: any(str(v).startswith("embedding 83 to") for v in facts.values())),
        Mistake("You sort the alphabet again. It comes in the order of the codes, and must stay in it: another order is another alphabet.",
                network(usual_forward, make=_sorts_the_alphabet), when=lambda facts: "chars in another order" in facts.values()),
        Mistake("super().__init__() is missing, or comes too late: nn.Module must be ready before it gets layers.", _WithoutSuper,
                when=lambda facts: _raised(facts, "Module.__init__()")),
        Mistake("Only the last step is scored: each step predicts its next character, so the scores are (B, T, V).",
                _returning(lambda scores, state: (scores[:, -1], state)),
                when=lambda facts: _some_fact(facts, "shapes of scores, h, c", lambda v: v.startswith("(3, 15),"))),
        Mistake("The scores are flattened: return (B, T, V). The training loop flattens them for the loss.",
                _returning(lambda scores, state: (scores.flatten(0, 1), state)),
                when=lambda facts: _some_fact(facts, "shapes of scores, h, c", lambda v: v.startswith("(21, 15),"))),
        Mistake("Time and alphabet have changed places: the scores are (B, T, V).",
                _returning(lambda scores, state: (scores.transpose(1, 2), state)),
                when=lambda facts: _some_fact(facts, "shapes of scores, h, c", lambda v: v.startswith("(3, 15, 7),"))),
        Mistake("You return the scores alone: the caller needs the new state too, to carry it on.", _returning(lambda scores, state: scores),
                when=lambda facts: _some_fact(facts, ": result", lambda v: " tensor " in v and not v.startswith("("))),
        Mistake("You return the state that came in: the LSTM's second result is the new one. `out, state = self.lstm(...)`.",
                network(lambda net, x, state: (usual_forward(net, x, state)[0], state)),
                when=lambda facts: _some_fact(facts, ": result", lambda v: v == "(scores, None)")),
        Mistake("You return h alone. An LSTM's state is the pair (h, c), and both go on.",
                _returning(lambda scores, state: (scores, state[0])),
                when=lambda facts: _some_fact(facts, ": result", lambda v: v.startswith("(scores, a tensor"))),
        Mistake("The scores come first, then the state.", _returning(lambda scores, state: (state, scores)),
                when=lambda facts: _some_fact(facts, ": result", lambda v: v.startswith("((h, c)"))),
        Mistake("The state is detached inside the network. Leave that to the training loop, which knows where a batch ends.",
                _returning(lambda scores, state: (scores, tuple(s.detach() for s in state))),
                when=lambda facts: _some_fact(facts, "a gradient flows back through", lambda v: v.startswith("not through h"))),
        Mistake("The dropout layer is made but not used: it stands between the LSTM's output and fc.",
                network(lambda net, x, s: ((lambda r: (net.fc(r[0]), r[1]))(net.lstm(net.embedding(x), s)))),
                when=lambda facts: _pass_is(facts, "two passes in training mode", "the same")),
        Mistake("Dropout stands before the LSTM: it stands behind it, between its output and fc.",
                network(lambda net, x, s: ((lambda r: (net.fc(r[0]), r[1]))(net.lstm(net.dropout(net.embedding(x)), s)))),
                when=lambda facts: _pass_is(facts, "drops nothing, is that of eval mode", "no")),
        Mistake("Dropout stands behind fc, where it sets scores to 0: it stands before it, on the LSTM's output.",
                network(lambda net, x, s: ((lambda r: (net.dropout(net.fc(r[0])), r[1]))(net.lstm(net.embedding(x), s)))),
                when=lambda facts: _pass_is(facts, "with the weights of fc at 0, are its bias", "no")),
    ],
    hints=[
        "Look up, recur, drop, score.",
        "Sizes: V to E (embedding), E to H (LSTM), H to V (fc); the LSTM reads batch first.",
        "`out, state = self.lstm(self.embedding(...), ...)` and then `return self.fc(...), state`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 15.6 clip_gradient

_GRADIENTS = (((3,), (4, 12)), ((0.3, -0.4), (0.1,), (0.2, 0.05, -0.1)), ((30, -7.5), (11, 2, -60), (8,)))
_CLIPPED = ((0, 5.0, "a generator"), (2, 5.0, "a list"), (1, 5.0, "a list"), (2, 1.0, "a generator"), (0, 100.0, "a generator"), (2, 40.0, "a list"))


def _parameters(place: int):
    """Parameters with these gradients, and one that has none."""
    import torch

    found = []
    for values in _GRADIENTS[place]:
        p = torch.full((len(values),), 2.0 + len(values), device=devices.device(), dtype=torch.float64, requires_grad=True)
        p.grad = torch.tensor(values, device=p.device, dtype=torch.float64)
        found.append(p)
    found.insert(1, torch.zeros(2, device=devices.device(), dtype=torch.float64, requires_grad=True))
    return found


def _observe_clip(clip_gradient, see):
    import torch

    for place, max_norm, given in _CLIPPED:
        parameters = _parameters(place)
        before, weights = [p.grad for p in parameters], [p.detach().clone() for p in parameters]
        shown = ", ".join("(" + ", ".join(f"{v:g}" for v in values) + ")" for values in _GRADIENTS[place])
        label = f"gradients {shown}, max_norm {max_norm:g}, the parameters in {given}"
        found = see.call(clip_gradient, (p for p in parameters) if given == "a generator" else list(parameters), max_norm,
                         label=f"{label}: the norm before", record=False, changes_inputs=True, asks="the norm before")
        see.fact(f"{label}: the norm before", float(found) if is_tensor(found) and found.numel() == 1 else found, rtol=1e-5)
        same = all(torch.equal(a, b) for a, b in zip(weights, parameters, strict=True))
        see.fact(f"{label}: the weights", "as before" if same else "changed", implied="as before")
        grads = [p.grad for p in parameters if p.grad is not None]
        see.fact(f"{label}: the gradients afterwards", torch.cat(grads), rtol=1e-5)
        kept = all(a is b for a, b in zip(before, (p.grad for p in parameters), strict=True))
        see.fact(f"{label}: the gradient tensors", "changed in place" if kept else "replaced by others", implied="changed in place")


def _reference_clip(parameters, max_norm):
    """Through NumPy, one vector of all gradients."""
    import torch

    grads = [p.grad for p in parameters if p.grad is not None]
    vector = np.concatenate([g.cpu().numpy().ravel() for g in grads])
    norm = float(np.sqrt((vector * vector).sum()))
    if norm > max_norm:
        for g in grads:
            g.copy_(torch.from_numpy(g.cpu().numpy() / norm * max_norm))
    return norm


def _clip_with(scale=None, generator_twice: bool = False, returns: Callable = lambda norm, grads: norm, norm_of=None):
    """``scale(grads, norm, max_norm)`` changes the gradients in place; ``norm_of(parameters)`` is another norm."""
    def clip_gradient(parameters, max_norm):
        kept = parameters if generator_twice else list(parameters)
        norm = _norm_of_all(kept) if norm_of is None else norm_of([p for p in kept if p.grad is not None])
        grads = [p.grad for p in kept if p.grad is not None]
        (scale or _one_factor)(grads, norm, max_norm)
        after = math.sqrt(sum(float((g**2).sum()) for g in grads)) if grads else 0.0
        return returns(norm, after)
    return clip_gradient


def _norm_of_all(parameters) -> float:
    return math.sqrt(sum((p.grad**2).sum().item() for p in parameters if p.grad is not None))


def _one_factor(grads, norm, max_norm):
    for g in grads:
        g.mul_(min(1.0, max_norm / norm))


def _clamp(grads, norm, max_norm):
    for g in grads:
        g.clamp_(-max_norm, max_norm)


def _each_alone(grads, norm, max_norm):
    for g in grads:
        g.mul_(min(1.0, max_norm / g.norm().item()))


def _always(grads, norm, max_norm):
    for g in grads:
        g.mul_(max_norm / norm)


def _upside_down(grads, norm, max_norm):
    for g in grads:
        g.mul_(norm / max_norm if norm > max_norm else 1.0)


def _to_length_1(grads, norm, max_norm):
    for g in grads:
        g.div_(norm if norm > max_norm else 1.0)


def _not_at_all(grads, norm, max_norm):
    """As ``g = g * factor`` does."""


def _new_gradients(parameters, max_norm):
    kept = list(parameters)
    norm = _norm_of_all(kept)
    for p in kept:
        if p.grad is not None:
            p.grad = p.grad * min(1.0, max_norm / norm)
    return norm


def _scales_the_weights(parameters, max_norm):
    import torch

    kept = [p for p in parameters if p.grad is not None]
    norm = _norm_of_all(kept)
    with torch.no_grad():
        for p in kept:
            p.mul_(min(1.0, max_norm / norm))
    return norm


def _norm_so_far(parameters, max_norm):
    """Scales each tensor in the loop that still adds up the norm."""
    total = 0.0
    for p in parameters:
        if p.grad is not None:
            total += (p.grad**2).sum().item()
            p.grad.mul_(min(1.0, max_norm / math.sqrt(total)))
    return math.sqrt(total)


clip_gradient = Exercise(
    "15.6", "clip_gradient",
    observe=_observe_clip,
    expected=_reference_clip,
    mistakes=[
        Mistake("You cut single values: that changes the direction, (3, 4, 12) becomes (3, 4, 5). Multiply all by one factor.",
                _clip_with(_clamp)),
        Mistake("Each tensor is scaled on its own, so the ratios between layers change. There is one norm, over all gradients together.",
                _clip_with(_each_alone)),
        Mistake("Small gradients are blown up to max_norm: the factor is at most 1.", _clip_with(_always)),
        Mistake("Nothing was scaled: a generator such as model.parameters() is empty the second time. Make a list of it first.",
                _clip_with(generator_twice=True)),
        Mistake("The gradients are as before. `g = g * factor` makes a new tensor and leaves p.grad alone: p.grad.mul_(factor) writes into it.",
                _clip_with(_not_at_all)),
        Mistake("p.grad is a new tensor. Whoever holds the old one sees no change: p.grad.mul_(factor) writes into it.", _new_gradients,
                when=lambda facts: _pass_is(facts, "the gradient tensors", "replaced by others")),
        Mistake("You scale the weights: scale their gradients.", _scales_the_weights, when=lambda facts: _pass_is(facts, "the weights", "changed")),
        Mistake("You return the norm afterwards. The norm before tells whether training is about to explode.",
                _clip_with(returns=lambda norm, after: after)),
        Mistake("The root is missing: the norm is the root of the sum of the squares.",
                _clip_with(norm_of=lambda kept: sum((p.grad**2).sum().item() for p in kept))),
        Mistake("The norms of the tensors do not add up to the norm of all: add the squares, then take the root.",
                _clip_with(norm_of=lambda kept: sum(p.grad.norm().item() for p in kept))),
        Mistake("That is the norm of the longest tensor: the norm goes over all gradients together.",
                _clip_with(norm_of=lambda kept: max(p.grad.norm().item() for p in kept))),
        Mistake("That is the largest entry: the norm is the root of the sum of all squares.",
                _clip_with(norm_of=lambda kept: max(p.grad.abs().max().item() for p in kept))),
        Mistake("That is the sum of the absolute values: the norm is the root of the sum of the squares.",
                _clip_with(norm_of=lambda kept: sum(p.grad.abs().sum().item() for p in kept))),
        Mistake("That is the norm of the weights: take p.grad.", _clip_with(norm_of=lambda kept: math.sqrt(sum((p**2).sum().item() for p in kept)))),
        Mistake("The factor stands upside down: max_norm / norm, which is below 1 for a gradient that is too long.", _clip_with(_upside_down)),
        Mistake("The gradient has length 1 now: it may be max_norm long.", _clip_with(_to_length_1)),
        Mistake("You scale while you still add up: the first tensors are scaled by the norm of a part. First the norm of all, then the factor.",
                _norm_so_far),
        Mistake("A parameter that was not used has no gradient: `p.grad` is None. Skip it.",
                lambda parameters, max_norm: sum((p.grad**2).sum().item() for p in parameters),
                when=lambda facts: _raised(facts, "NoneType")),
    ],
    hints=[
        "One length for the whole gradient, as if all its tensors were one long vector.",
        "The root of the sum of squares over all; skip `grad is None`; keep a list, since a generator can be read once.",
        "`factor = min(1.0, max_norm / ...)` and `p.grad.mul_(...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 15.7 next_char_probabilities

def _observe_probabilities(next_char_probabilities, see):
    import torch

    worked = torch.tensor([2.0, 1.0, 0.0, -1.0], dtype=torch.float32, device=devices.device())
    scores = _numbers(9, seed=57, scale=2.0)
    for logits, name, options in ((worked, "[2, 1, 0, -1]", {}), (worked, "[2, 1, 0, -1]", {"temperature": 0.5}),
                                  (worked, "[2, 1, 0, -1]", {"temperature": 2.0}), (worked, "[2, 1, 0, -1]", {"top_k": 2}),
                                  (worked, "[2, 1, 0, -1]", {"top_k": 4}), (scores, "logits (9)", {"top_k": 1}),
                                  (scores, "logits (9)", {"top_k": 3, "temperature": 0.7}),
                                  (scores, "logits (9)", {"top_k": 5, "temperature": 3.0})):
        found = see.call(next_char_probabilities, logits, label=_called(name, options), rtol=1e-5, atol=1e-7, **options)
        if is_tensor(found) and found.shape == logits.shape:
            see.fact(f"{_called(name, options)}: how many are exactly 0", int((found == 0).sum()))
    large = torch.tensor([1000.0, -1000.0, 999.0, 0.0, 998.5], dtype=torch.float32, device=devices.device())
    for options in ({}, {"top_k": 2, "temperature": 0.5}):
        see.call(next_char_probabilities, large, label=_called("[1000, -1000, 999, 0, 998.5]", options), rtol=1e-5, atol=1e-7, **options)


def _called(logits: str, options: dict) -> str:
    return f"next_char_probabilities({', '.join([logits, *(f'{k}={v:g}' for k, v in options.items())])})"


def _reference_probabilities(logits, top_k=None, temperature=1.0):
    """Powers of e one by one, in float64; the largest score is taken off first."""
    import torch

    scores = [float(v) / temperature for v in logits.double().cpu()]
    kept = sorted(range(len(scores)), key=lambda i: -scores[i])[:len(scores) if top_k is None else top_k]
    powers = [math.exp(s - max(scores)) if i in kept else 0.0 for i, s in enumerate(scores)]
    return torch.tensor([p / sum(powers) for p in powers], dtype=torch.float32, device=logits.device)


def _probabilities_with(scale=lambda z, t: z / t, cut="scores", normalize=True, fill=-math.inf, largest=True):
    def next_char_probabilities(logits, top_k=None, temperature=1.0):
        import torch

        z = scale(logits, temperature)
        if top_k is None:
            return z.softmax(0)
        keep = torch.zeros_like(z, dtype=torch.bool)
        keep[z.topk(top_k, largest=largest).indices] = True
        if cut == "scores":
            return z.masked_fill(~keep, fill).softmax(0)
        p = z.softmax(0) * keep
        return p / p.sum() if normalize else p
    return next_char_probabilities


def _only_the_kept(logits, top_k=None, temperature=1.0):
    z = logits / temperature
    return (z if top_k is None else z.topk(top_k).values).softmax(0)


def _keeping(which: Callable) -> Callable:
    """``which(z, top_k)`` is a mask of the scores that stay."""
    def next_char_probabilities(logits, top_k=None, temperature=1.0):
        z = logits / temperature
        return (z if top_k is None else z.masked_fill(~which(z, top_k), -math.inf)).softmax(0)
    return next_char_probabilities


def _all_of(z):
    return z > -math.inf


def _first_ones(z, top_k):
    mask = _all_of(z)
    mask[top_k:] = False
    return mask


def _sorted_scores(logits, top_k=None, temperature=1.0):
    z = (logits / temperature).sort(descending=True).values
    if top_k is not None:
        z[top_k:] = -math.inf
    return z.softmax(0)


def _kept_ones_alike(logits, top_k=None, temperature=1.0):
    p = _reference_probabilities(logits, top_k, temperature)
    return p if top_k is None else (p > 0) / top_k


def _small_instead_of_0(logits, top_k=None, temperature=1.0):
    return _reference_probabilities(logits, top_k, temperature).clamp(min=1e-9 if top_k else 0.0)


def _finished(change: Callable) -> Callable:
    """The scores, divided and cut, and then ``change`` in place of the softmax."""
    def next_char_probabilities(logits, top_k=None, temperature=1.0):
        z = logits / temperature
        if top_k is not None:
            z = z.masked_fill(z < z.topk(top_k).values[-1], -math.inf)
        return change(z)
    return next_char_probabilities


def _changed_in_place(logits, top_k=None, temperature=1.0):
    logits /= temperature
    if top_k is not None:
        logits[logits < logits.topk(top_k).values[-1]] = -math.inf
    return logits.softmax(0)


def _is_worked(facts: dict, options: dict, *p: float) -> bool:
    """Whether [2, 1, 0, -1] with these options gave these probabilities."""
    found = facts.get(_called("[2, 1, 0, -1]", options))
    return is_tensor(found) and found.shape == (4,) and all(abs(a - b) < 1e-4 for a, b in zip(found.tolist(), p, strict=True))


def _is_sorted(facts: dict) -> bool:
    p = facts[_called("logits (9)", {"top_k": 5, "temperature": 3.0})].tolist()
    return p == sorted(p, reverse=True) and p[4] > 0


_UNSCALED = (0.6439, 0.2369, 0.0871, 0.0321)  # [2, 1, 0, -1] as they are

next_char_probabilities = Exercise(
    "15.7", "next_char_probabilities",
    observe=_observe_probabilities,
    expected=_reference_probabilities,
    mistakes=[
        Mistake("You multiply by the temperature: a high one must flatten. Divide the logits by it.", _probabilities_with(lambda z, t: z * t)),
        Mistake("The sum is below 1: what is left after the cut must be divided by its sum.", _probabilities_with(cut="p", normalize=False)),
        Mistake("The scores that are cut are set to 0, and e to the 0 is 1: score 0 is not probability 0. Fill with -inf.",
                _probabilities_with(fill=0.0)),
        Mistake("You keep the smallest scores: top k means the largest.", _probabilities_with(largest=False)),
        Mistake("The temperature has no effect: divide the logits by it, before the softmax. (Dividing probabilities cancels out when they are "
                "made to sum to 1.)", _probabilities_with(lambda z, t: z),
                when=lambda facts: _is_worked(facts, {"temperature": 0.5}, *_UNSCALED)),
        Mistake("The probabilities are divided by the temperature, not the logits: that only scales them.",
                lambda logits, top_k=None, temperature=1.0: _reference_probabilities(logits, top_k) / temperature),
        Mistake("top_k has no effect: only the k largest scores stay, the others get probability 0.", _keeping(lambda z, k: _all_of(z)),
                when=lambda facts: _is_worked(facts, {"top_k": 2}, *_UNSCALED)),
        Mistake("One too few are kept: what equals the k-th largest score stays, so cut with <, not <=.",
                _keeping(lambda z, k: z > z.topk(k).values[-1]), when=lambda facts: _is_worked(facts, {"top_k": 2}, 1, 0, 0, 0)),
        Mistake("One too many is kept: the k-th largest is sorted[k - 1].",
                _keeping(lambda z, k: z >= z.topk(min(k + 1, len(z))).values[-1])),
        Mistake("You keep the first k characters of the alphabet: keep those with the largest scores.", _keeping(_first_ones)),
        Mistake("The result is sorted: each character must keep its place.", _sorted_scores, when=_is_sorted),
        Mistake("The kept ones are all equally likely: they keep their proportions.", _kept_ones_alike),
        Mistake("What is cut is only small: it must be exactly 0. Fill with -inf.", _small_instead_of_0),
        Mistake("Those are logarithms of probabilities: softmax, not log_softmax.", _finished(lambda z: z.log_softmax(0))),
        Mistake("Those are still scores: a softmax makes probabilities of them.", _finished(lambda z: z)),
        Mistake("Scores divided by their sum are no probabilities, since a score may be negative: softmax.", _finished(lambda z: z / z.sum()),
                when=lambda facts: _is_worked(facts, {}, 1, 0.5, 0, -0.5)),
        Mistake("top_k may be None, which topk does not take: nothing is cut then.",
                lambda logits, top_k=None, temperature=1.0: (logits / temperature).topk(top_k).values,
                when=lambda facts: _raised(facts, "NoneType")),
        Mistake("You write into the caller's logits: `/=` and an assignment by index change them. Make a tensor of your own first, logits / "
                "temperature.", _changed_in_place, when=lambda facts: any("in place" in str(v) for v in facts.values())),
        Mistake("That is a NumPy array: torch.multinomial will want a tensor.", _finished(lambda z: z.softmax(0).numpy())),
        Mistake("You return the k probabilities alone: the result keeps the place of every character, with zeros for those that are cut.",
                _only_the_kept),
        Mistake("NaN or inf: e to the 1000 overflows. Use softmax, which takes off the largest score first.",
                lambda logits, top_k=None, temperature=1.0: (lambda e: e / e.sum())((logits / temperature).exp()),
                when=lambda facts: any(is_tensor(v) and bool(v.isnan().any()) for k, v in facts.items() if "1000" in k)),
    ],
    hints=[
        "Divide, cut, normalize.",
        "`topk` finds the kept ones, `masked_fill` or an index sets the others, `softmax` ends it. Leave the caller's logits alone.",
        "`scaled[scaled < ...] = -torch.inf`, on a tensor of your own.",
    ],
)


# ---------------------------------------------------------------------------------------------- 15.8 sample

_SAMPLE_ALPHABET = list("hen\n taurisdTbo")  # not sorted: the alphabet is the model's own
_DRAWS = 500


def _sampling_net(seed: int, layers: int = 2, p: float = 0.5, fixed: Sequence[float] | None = None):
    """A network with given weights that notes how it is used; with ``fixed`` scores it ignores what it reads."""
    import torch

    noted: dict[str, bool] = {"gradients": False, "training": False}

    def forward(net, x, state=None):
        noted["gradients"] |= torch.is_grad_enabled()
        noted["training"] |= net.training
        if fixed is None:
            return usual_forward(net, x, state)
        zeros = net.fc.bias.new_zeros(layers, len(x), 7)
        return net.fc.bias.expand(*x.shape, -1), (zeros, zeros)

    with torch.random.fork_rng(devices=[]):
        net = network(forward)(_SAMPLE_ALPHABET, n_hidden=7, n_layers=layers, drop_prob=p, embedding_dim=4)
    _fill(net, seed)
    with torch.no_grad():
        net.fc.weight.mul_(3)
        for weight in net.lstm.parameters():
            weight.mul_(2.5)  # a long memory: each letter of the prime matters
        if fixed is not None:
            net.fc.bias.copy_(torch.tensor(fixed))
    return net.to(devices.device()), noted


def greedy(model, prime: str, size: int) -> str:
    """What top_k = 1 must give, by rereading the whole text for each new character."""
    import torch

    index, text, was = {c: i for i, c in enumerate(model.chars)}, prime, model.training
    model.eval()
    with torch.no_grad():
        for _ in range(size):
            x = torch.tensor([[index[c] for c in text]], device=next(model.parameters()).device)
            text += model.chars[int(model(x)[0][0, -1].argmax())]
    model.train(was)
    return text


def _generator(seed: int):
    import torch

    return torch.Generator(device=devices.device()).manual_seed(seed)


def _observe_sample(sample, see):
    import torch

    with torch.backends.cudnn.flags(enabled=False):  # on a GPU its TF32 is too coarse for a comparison
        _observe_samples(sample, see)


def _observe_samples(sample, see):
    import torch

    for prime, size, training in (("The", 12, True), ("s", 9, False), ("nion tuba", 10, True)):
        torch.manual_seed(8)
        net, noted = _sampling_net(339)
        net.train(training)
        label = f"sample(model, {size}, {prime!r}, top_k=1), the model in {'training' if training else 'eval'} mode"
        found = see.call(sample, net, size, prime, 1, label=label, changes_inputs=True)
        see.fact(f"{label}: its mode afterwards", "training" if net.training else "eval", implied="training" if training else "eval")
        see.fact(f"{label}: was dropout on?", "yes" if noted["training"] else "no", implied="no")
        see.fact(f"{label}: are gradients recorded?", "yes" if noted["gradients"] else "no", implied="no")
        see.fact(f"{label}: can its weights be trained afterwards?", "yes" if all(p.requires_grad for p in net.parameters()) else "no",
                 implied="yes")
        if not isinstance(found, str):
            return
    net, _ = _sampling_net(339)
    see.call(sample, net, 5, top_k=1, label="sample(model, 5, top_k=1): the prime is 'The' by default", changes_inputs=True)
    net, _ = _sampling_net(90, layers=1, p=0.0)
    texts = [see.call(sample, net, 60, "Th", None, _generator(seed), label=f"sample(model, 60, 'Th', generator of seed {seed})",
                      changes_inputs=True, record=False, asks="a text") for seed in (4, 4, 5)]
    see.fact("two texts with generators of one seed", "equal" if texts[0] == texts[1] else "different", implied="equal")
    see.fact("two texts with generators of two seeds", "equal" if texts[0] == texts[2] else "different", implied="different")
    scores = [float(v) for v in np.linspace(1.6, -1.5, len(_SAMPLE_ALPHABET))]
    net, _ = _sampling_net(91, fixed=scores)
    for top_k in (None, 3):
        torch.manual_seed(6)
        asked = f"sample(model, {_DRAWS}, 'T'" + (f", top_k={top_k})" if top_k else ")")
        text = see.call(sample, net, _DRAWS, "T", **({"top_k": top_k} if top_k else {}), label=asked, changes_inputs=True, record=False,
                        asks="a text")
        see.fact(f"{asked}, with known probabilities: how often each character comes", _shares(text, scores, top_k), implied="as it should")
    net, _ = _sampling_net(339)
    try:
        found = f"returns {describe(sample(net, 3, 'T?', 1))}"
    except (KeyError, ValueError):
        found = "raises KeyError or ValueError"
    except Exception as problem:
        found = f"raises {type(problem).__name__}: {problem}"
    see.fact("sample(model, 3, 'T?', top_k=1), where the alphabet has no '?'", found, implied="raises KeyError or ValueError")


def _shares(text: str, scores: Sequence[float], top_k: int | None) -> str:
    """Whether the characters after the first come as often as their probabilities say, within five standard deviations."""
    if not isinstance(text, str) or len(text) != _DRAWS + 1:
        return f"a text of {len(text)} characters, not {_DRAWS + 1}" if isinstance(text, str) else describe(text)
    z = np.array(scores)
    if top_k is not None:
        z[np.argsort(z)[:-top_k]] = -math.inf
    p = np.exp(z) / np.exp(z).sum()
    found = np.array([text[1:].count(char) for char in _SAMPLE_ALPHABET]) / _DRAWS
    for char, share, expected in zip(_SAMPLE_ALPHABET, found, p, strict=True):
        if not expected and share or expected and not share and expected * _DRAWS > 20:
            return f"{char!r} in {share:.1%} of the cases, where {expected:.1%} are expected"
    mean, spread = (p[p > 0] * z[p > 0]).sum(), math.sqrt((p[p > 0] * z[p > 0] ** 2).sum() - (p[p > 0] * z[p > 0]).sum() ** 2)
    off = (found[p > 0] * z[p > 0]).sum() - mean
    if abs(off) > 5 * spread / math.sqrt(_DRAWS):
        return f"likely characters too {'often, as at a low temperature' if off > 0 else 'seldom, as at a high temperature'}"
    for char, share, expected in zip(_SAMPLE_ALPHABET, found, p, strict=True):
        if abs(share - expected) > 5 * math.sqrt(expected * (1 - expected) / _DRAWS) + 1e-9:
            return f"{char!r} in {share:.1%} of the cases, where {expected:.1%} are expected"
    return "as it should"


def _draw(logits, top_k, generator):
    import torch

    return int(torch.multinomial(_probabilities_with()(logits, top_k), 1, generator=generator))


def _reference_sample(model, size, prime="The", top_k=None, generator=None):
    """Rereads everything for each new character, so there is no state to lose."""
    import torch

    index, text, was = {c: i for i, c in enumerate(model.chars)}, prime, model.training
    model.eval()
    with torch.no_grad():
        for _ in range(size):
            x = torch.tensor([[index[c] for c in text]], device=next(model.parameters()).device)
            text += model.chars[_draw(model(x)[0][0, -1], top_k, generator)]
    model.train(was)
    return text


def _sample_with(*, feed: Callable = lambda prime: prime, carry=True, extra=lambda size, prime: size, evaluate=True,
                 restore=True, tail=False, unknown: bool = True, read_on=lambda read, chosen: chosen[-1:], last: int = -1,
                 draw: Callable = _draw, alphabet=lambda chars: chars, twice=False, after: Callable = lambda model, was: None):
    """A sampler with a state, that differs in one place."""
    def sample(model, size, prime="The", top_k=None, generator=None):
        import torch

        index, was = {c: i for i, c in enumerate(alphabet(model.chars))}, model.training
        if evaluate:
            model.eval()
        device, chosen, state = next(model.parameters()).device, [], None
        first = read = feed([index[c] if unknown else index.get(c, 0) for c in prime])
        with torch.no_grad():
            if twice:
                state = model(torch.tensor([read], device=device), None)[1]
                read = read[-1:]
            for _ in range(extra(size, prime)):
                scores, new = model(torch.tensor([read], device=device), state)
                state = new if carry else None
                chosen.append(draw(scores[0, last], top_k, generator))
                read = read_on(first, chosen)
        if restore:
            model.train(was)
        after(model, was)
        written = "".join(alphabet(model.chars)[i] for i in chosen)
        return written if tail else prime + written
    return sample


def _recording(model, size, prime="The", top_k=None, generator=None):
    import torch

    index, text, was = {c: i for i, c in enumerate(model.chars)}, prime, model.training
    model.eval()
    for _ in range(size):
        x = torch.tensor([[index[c] for c in text]], device=next(model.parameters()).device)
        text += model.chars[_draw(model(x)[0][0, -1].detach(), top_k, generator)]
    model.train(was)
    return text


def _draw_at(temperature: float):
    return lambda logits, top_k, generator: _draw(logits / temperature, top_k, generator)


def _one_seed_inside(model, size, prime="The", top_k=None, generator=None):
    return _reference_sample(model, size, prime, top_k, _generator(0))


def _of_the_sample(facts: dict, start: str) -> bool:
    """Whether the counts with known probabilities say something that begins like this."""
    return any("known probabilities" in k and str(v).startswith(start) for k, v in facts.items())


def _other_alphabet(facts: dict) -> bool:
    """An error while the first prime is looked up, or a text of the right length that does not begin with it."""
    if len(facts) == 1:
        return _raised(facts, "KeyError") or _raised(facts, "IndexError", "out of range") or _raised(facts, "ValueError", "not in list")
    text = next(iter(facts.values()))
    return isinstance(text, str) and len(text) == 15 and not text.startswith("The")


def _seeds(facts: dict) -> tuple:
    return tuple(facts.get(f"two texts with generators of {which}") for which in ("one seed", "two seeds"))


sample = Exercise(
    "15.8", "sample",
    observe=_observe_sample,
    expected=_reference_sample,
    mistakes=[
        Mistake("Dropout is on while you sample: call model.eval() first.", _sample_with(evaluate=False),
                when=lambda facts: _pass_is(facts, "was dropout on?", "yes")),
        Mistake("Gradients are recorded while you sample: memory grows with every character. Use `with torch.no_grad():`.", _recording,
                when=lambda facts: _pass_is(facts, "are gradients recorded?", "yes")),
        Mistake("Only the last character of the prime is read: changing its first letters changes nothing. Run the whole prime through "
                "the network.", _sample_with(feed=lambda prime: prime[-1:])),
        Mistake("Only the first character of the prime is read: run the whole prime through the network.", _sample_with(feed=lambda prime: prime[:1])),
        Mistake("The state is not carried on: each new character sees only its predecessor.", _sample_with(carry=False)),
        Mistake("The whole text is read again on top of the state, which has read it already: read the new character alone.",
                _sample_with(read_on=lambda first, chosen: first + chosen)),
        Mistake("Your own choice is not read: feed back the character that was drawn.", _sample_with(read_on=lambda first, chosen: first)),
        Mistake("The last character of the prime is read twice: the first new character is drawn from the scores behind the whole prime.",
                _sample_with(twice=True)),
        Mistake("You draw from the scores of the first step: those behind the last one count, scores[0, -1].", _sample_with(last=0)),
        Mistake("Your text is too short: size counts the new characters only, not the prime.",
                _sample_with(extra=lambda size, prime: size - len(prime))),
        Mistake("One character too many: `size` new ones.", _sample_with(extra=lambda size, prime: size + 1)),
        Mistake("The model's mode is not restored: a model that was in training mode must be in it again.", _sample_with(restore=False)),
        Mistake("A model in eval mode comes back in training mode: keep model.training, and give that back.",
                _sample_with(after=lambda model, was: model.train()),
                when=lambda facts: any("in eval mode: its mode afterwards" in k and v == "training" for k, v in facts.items())),
        Mistake("The weights cannot be trained any more: `with torch.no_grad():` is enough, and ends with its block.",
                _sample_with(after=lambda model, was: model.requires_grad_(False)),
                when=lambda facts: _pass_is(facts, "can its weights be trained afterwards?", "no")),
        Mistake("The prime is missing: return it and the new characters behind it.", _sample_with(tail=True)),
        Mistake("You return a list: join it, \"\".join(...).", lambda *given, **named: list(_reference_sample(*given, **named)),
                when=lambda facts: isinstance(next(iter(facts.values())), list)),
        Mistake("The alphabet is model.chars, in the model's own order: do not sort it, and take no other.", _sample_with(alphabet=sorted),
                when=_other_alphabet),
        Mistake("top_k is None where nothing is said, and then nothing is cut.",
                lambda model, size, prime="The", top_k=5, generator=None: _reference_sample(model, size, prime, top_k, generator),
                when=lambda facts: any("'T')," in k and "in 0.0% of" in str(v) for k, v in facts.items())
                and any("top_k=3)," in k and v == "as it should" for k, v in facts.items())),
        Mistake("A character that the alphabet lacks must raise KeyError or ValueError: whatever you read in its place, it is another text.",
                _sample_with(unknown=False), when=lambda facts: str(list(facts.values())[-1]).startswith("returns")),
        Mistake("top_k does not reach next_char_probabilities: hand it over.", _sample_with(draw=lambda z, top_k, g: _draw(z, None, g)),
                when=lambda facts: any("top_k=3" in k and "where 0.0% are expected" in str(v) for k, v in facts.items())),
        Mistake("The generator is not used: torch.multinomial(p, 1, generator=generator).",
                _sample_with(draw=lambda z, top_k, g: _draw(z, top_k, None)), when=lambda facts: _seeds(facts) == ("different", "different")),
        Mistake("Nothing is drawn: the likeliest character always wins. torch.multinomial(p, 1, generator=generator) draws.",
                _sample_with(draw=lambda z, top_k, g: int(z.argmax())),
                when=lambda facts: _seeds(facts) == ("equal", "equal") and not _of_the_sample(facts, "as it")),
        Mistake("Your text is the same for each generator: draw with the one that comes in.", _one_seed_inside,
                when=lambda facts: _seeds(facts) == ("equal", "equal")),
        Mistake("Likely characters come too often: draw at temperature 1, from next_char_probabilities(scores, top_k).",
                _sample_with(draw=_draw_at(0.5)), when=lambda facts: _of_the_sample(facts, "likely characters too often")),
        Mistake("Likely characters come too seldom: a softmax of a softmax flattens, and so does a high temperature. Hand the scores as they are "
                "to next_char_probabilities.", _sample_with(draw=lambda z, top_k, g: _draw(z.softmax(0), top_k, g)),
                when=lambda facts: _of_the_sample(facts, "likely characters too seldom")),
    ],
    hints=[
        "Read, choose, append, read your own choice.",
        "The first call has shape (1, len(prime)), all later ones (1, 1), each with the state of the call before.",
        "`scores, state = model(x, ...)` and `torch.multinomial(..., 1, generator=generator)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("15", [
    Question("After 30 steps the loss is 3.10. What has been learned?",
             ("Frequencies only", "3.10 is the entropy of single characters: the network knows which are frequent, and nothing of their order."),
             [("Nothing", "A network that knows nothing sits at ln 83 = 4.42."),
              ("Spelling", "Spelling shows far lower, below the entropy of pairs, 2.44."),
              ("The text by heart", "Then the loss would be near 0.")]),
    Question("Batch size 2 and sequence length 3 on the text 1 to 13: what is x of the second batch?",
             ("[4 5 6] and [10 11 12]", "Each row goes on where it stopped."),
             [("[7 8 9] and [10 11 12]", "[7 8 9] is the second row of the first batch: the rows begin half a text apart."),
              ("[4 5 6] and [7 8 9]", "Then the second row would not continue [7 8 9] of the first batch."),
              ("[2 3 4] and [8 9 10]", "Those are the targets of the first batch.")]),
    Question("Why is the state carried on, and why is it detached?",
             ("Carried for context, detached for cost", "The values go on; the graph behind them, which would grow with every batch, is cut."),
             [("Carried for cost, detached for context", "The other way round: carrying costs nothing, and the context is in the values."),
              ("Detaching resets the state to zero", "The values stay as they are."),
              ("Both are needed only in evaluation", "In evaluation there is no graph to cut.")]),
    Question("Where does clipping stand in the training loop?",
             ("After `backward`, before `step`", "There the gradient is new, and not used yet."),
             [("Before `backward`", "There is no new gradient yet."),
              ("After `step`", "Too late: the step has been made."),
              ("Before the forward pass", "The gradients there are those of the last batch, used up already.")]),
    Question("Does clipping by norm at 5 turn (3, 4, 12) into (3, 4, 5)?",
             ("No, into (1.15, 1.54, 4.62)", "One factor, 5/13, for all: the direction stays."),
             [("Yes", "That is clipping by value, which changes the direction."),
              ("No, into (0.23, 0.31, 0.92)", "That has norm 1; asked is at most 5."),
              ("No, it stays (3, 4, 12)", "Its norm is 13, so it is too long.")]),
    Question("What does top_k = 1 do?",
             ("It always takes the likeliest character", "Greedy choice; after a while such a text runs in circles."),
             [("It draws one character at random from all", "That is no top_k at all."),
              ("It writes a single character", "The length is `size`; top_k is about each choice."),
              ("It takes the least likely character", "Top means the largest probabilities.")]),
    Question("After a minute the validation loss is 0.05. What do you suspect?",
             ("The targets equal the inputs, or the model sees the future", "English has about one bit a character in it; 0.05 nats is too good "
              "to be true."),
             [("A great model", "Nobody predicts English that well."),
              ("Too high a learning rate", "That makes the loss large or NaN, not tiny."),
              ("Too small a validation set", "It is noisy then, but not at 0.05.")]),
    Question("A saved model writes well, and after a restart of Python garbage. Why?",
             ("The alphabet's order changed, since it came from a set", "Code 17 is now another character. Sort the alphabet, and save it with the model."),
             [("The weights were saved on another device", "torch.load moves them; the numbers are the same."),
              ("float32 lost digits", "Saving keeps every bit."),
              ("The seed is another one", "A seed changes the choice, not the spelling.")]),
])


# ---------------------------------------------------------------------------------------------- texts, checkpoints, training

def check_text(text: str, batch_size: int, seq_length: int) -> None:
    """Raise UnusableText, with one line, if the text is too short for a single batch, or has one character only."""
    from helpers.texts import UnusableText

    if not text:
        raise UnusableText("the text is empty")
    if len(set(text)) < 2:
        raise UnusableText(f"the text holds nothing but {text[0]!r}: there is nothing to predict")
    _long_enough(len(text), batch_size, seq_length)


def _long_enough(n: int, batch_size: int, seq_length: int) -> None:
    from helpers.texts import UnusableText

    needed = batch_size * seq_length + 1
    if n < needed:
        raise UnusableText(f"the text has {n:,} characters; one batch of {batch_size} rows of {seq_length} needs {needed:,}: "
                           "take a longer text, or smaller batches")


def codes_of(text: str, chars: Sequence[str]) -> Tensor:
    """The codes of a text in a given alphabet, int64 (len(text),). Raises UnusableText that names the characters it lacks."""
    import torch

    from helpers.texts import UnusableText

    index = {c: i for i, c in enumerate(chars)}
    unknown = sorted(set(text) - set(index))
    if unknown:
        shown = ", ".join(repr(c) for c in unknown[:8]) + (" ..." if len(unknown) > 8 else "")
        raise UnusableText(f"the alphabet of this model lacks {shown}: it has seen {len(chars)} characters, and can read no others")
    return torch.tensor([index[c] for c in text], dtype=torch.int64)


def load_char_rnn(path: str | os.PathLike[str], build: Callable[..., nn.Module]) -> nn.Module:
    """The network in a checkpoint with the keys "sizes", "chars" and "state_dict", in eval mode.

    ``build(chars, **sizes)`` makes it. Raises UnusableWeights with one line: no such file, damaged, no checkpoint of this
    kind, or weights of another network.
    """
    from helpers.weights import UnusableWeights

    found, name = load_weights(path), Path(path).name
    missing = [key for key in ("sizes", "chars", "state_dict") if key not in found]
    if missing:
        raise UnusableWeights(f"{name} is no checkpoint of a character network: it has no {' and no '.join(missing)}")
    model = build(found["chars"], **found["sizes"])
    try:
        model.load_state_dict(found["state_dict"])
    except RuntimeError as problem:
        reason = " ".join(str(problem).split()).split(": ", 1)[-1][:160]
        raise UnusableWeights(f"{name} belongs to another network: {reason}") from None
    return model.eval()


class TrainingStopped(KeyboardInterrupt):
    """A long training was interrupted, and kept. Notebooks show the message without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"\u25cb {self}"]


@contextlib.contextmanager
def _interrupt_later() -> Iterator[None]:
    """Holds a Ctrl-C back until the block is done, so that no update is left half done. (Only the main thread gets one.)"""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.default_int_handler)
    if came:
        raise KeyboardInterrupt


def train_with_checkpoints(model: nn.Module, codes: Tensor, valid: Tensor, path: str | os.PathLike[str], *, epochs: int,
                           batch_size: int = 128, seq_length: int = 100, rate: float = 4e-3, clip: float = 5.0,
                           every: int = 200, progress: bool = True) -> dict[str, list[float]]:
    """Train a character network for a long time, so that an interruption costs nothing.

    After every ``every`` steps, after each epoch, and when it is interrupted, the file ``path`` gets all that is needed to go on:
    weights, alphabet, optimizer, schedule, carried state, random state, history. The same call then continues there, on a CPU with
    the very numbers of a training that was not interrupted; on a GPU, cuDNN draws its dropout anew.
    Adam with one cycle of the learning rate; on a GPU in mixed precision (bfloat16).

    Args:
        model: on its device; a CharRNN or anything with ``model(x, state) -> (scores, state)``.
        codes, valid: int64 (n,), on the device of the model.
    Returns {"train": [...], "valid": [...]}, mean loss in nats a character for each epoch.
    Raises TrainingStopped: it was interrupted, and kept. UnusableText: shorter than one batch. UnusableWeights: the file is
    damaged, or belongs to another network, text, or setting.
    """
    import torch
    import torch.nn.functional as F
    from tqdm import tqdm

    _long_enough(len(codes), batch_size, seq_length)
    steps = (len(codes) - 1) // (batch_size * seq_length)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=max(2, epochs * steps), pct_start=0.1)
    settings = {"epochs": epochs, "steps": steps, "batch_size": batch_size, "seq_length": seq_length, "rate": rate, "clip": clip,
                "text": zlib.crc32(codes.cpu().numpy().tobytes())}
    at = _resumed(Path(path), model, optimizer, schedule, settings)
    step, state, total, history = at["step"], at["state"], at["total"], at["history"]
    x, y = (part.view(batch_size, -1) for part in (codes[:steps * batch_size * seq_length], codes[1:steps * batch_size * seq_length + 1]))
    on_gpu = codes.device.type == "cuda"
    unwritten: set[str] = set()

    def random_state() -> dict:
        return {"random": torch.get_rng_state(), "random_gpu": torch.cuda.get_rng_state() if on_gpu else None}

    def keep() -> None:
        try:
            _save_whole(Path(path), {"settings": settings, "step": step, "state": state, "total": total, "history": history,
                                     "chars": list(getattr(model, "chars", ())), "model": model.state_dict(),
                                     "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(), **random})
            unwritten.clear()
        except (OSError, RuntimeError) as problem:  # a full disk: what is learned is still in the model
            if not unwritten:
                tqdm.write(f"\u25cb {Path(path).name} cannot be written ({str(problem)[:80]}); the training goes on.")
            unwritten.add("said")

    random = random_state()  # always that after the last whole step, before the dropout of the next
    bar = tqdm(total=epochs * steps, initial=step, desc="training", unit="step", disable=not progress, leave=True)
    try:
        with bar:
            while True:
                if step and step % steps == 0 and len(history["valid"]) < step // steps:
                    measured = mean_loss(model, valid, batch_size, seq_length)
                    history = {"train": [*history["train"], total / steps], "valid": [*history["valid"], measured]}
                    bar.set_postfix(train=f"{history['train'][-1]:.3f}", valid=f"{measured:.3f}")
                    keep()
                elif step % every == 0 and step > at["step"]:
                    keep()
                if step == epochs * steps:
                    return history
                model.train()
                begin = step % steps * seq_length
                if begin == 0:
                    state, total = None, 0.0  # a new pass over the text
                with torch.autocast("cuda", torch.bfloat16, enabled=on_gpu):
                    scores, new = model(x[:, begin:begin + seq_length], state)
                    loss = F.cross_entropy(scores.float().flatten(0, 1), y[:, begin:begin + seq_length].flatten())
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
                loss = loss.item()
                with _interrupt_later():
                    optimizer.step()
                    schedule.step()
                    state, total, step = tuple(s.detach() for s in new), total + loss, step + 1
                    random = random_state()
                bar.update()
    except KeyboardInterrupt:
        keep()
        kept = "run the same cell again, and it goes on from here" if not unwritten else f"{Path(path).name} could not be written"
        raise TrainingStopped(f"stopped after {step} of {epochs * steps} steps: {kept}") from None


def _resumed(path: Path, model, optimizer, schedule, settings: dict) -> dict:
    """Where a training stands: at its beginning, or where the file left it."""
    import torch

    from helpers.weights import UnusableWeights

    if not path.exists():
        return {"step": 0, "state": None, "total": 0.0, "history": {"train": [], "valid": []}}
    found = load_weights(path)
    if found.get("settings") != settings:
        other = [k for k in settings if found.get("settings", {}).get(k) != settings[k]]
        raise UnusableWeights(f"{path.name} belongs to a training with another setting ({', '.join(other)}): name another file, or remove "
                              "this one")
    try:
        model.load_state_dict(found["model"])
        optimizer.load_state_dict(found["optimizer"])
        schedule.load_state_dict(found["schedule"])
    except (RuntimeError, ValueError, KeyError) as problem:
        raise UnusableWeights(f"{path.name} belongs to another network: {' '.join(str(problem).split())[:140]}") from None
    torch.set_rng_state(found["random"])
    if found["random_gpu"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(found["random_gpu"])
    device = next(model.parameters()).device
    if found["state"] is not None:
        found["state"] = tuple(s.to(device) for s in found["state"])
    print(f"Going on after {found['step']} of {settings['epochs'] * settings['steps']} steps, from {path.name}.", flush=True)
    return found


def training_file(title: str) -> Path:
    """Where a long training on the text of this title is kept: in the cache, or else in the temporary folder."""
    from helpers import data

    folder = (data._writable_cache() or Path(tempfile.gettempdir())) / "lesson15"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"char_rnn_{'_'.join(re.findall('[a-z0-9]+', title.lower()))[:40]}.pt"


def _save_whole(path: Path, content: dict) -> None:
    """Write a file that is whole or not there: a killed kernel leaves the old one."""
    import torch

    part = path.with_name(path.name + ".part")
    torch.save(content, part)
    os.replace(part, path)


def mean_loss(model: nn.Module, codes: Tensor, batch_size: int = 32, seq_length: int = 100) -> float:
    """Mean cross-entropy in nats a character over a text, the state carried on; the model's mode stays as it was.

    What does not fill a batch at the end of the text is left out; a short text gets fewer rows; NaN if there is nothing to predict.
    """
    import torch
    import torch.nn.functional as F

    B = min(batch_size, max(1, (len(codes) - 1) // seq_length))
    T = max(1, min(seq_length, len(codes) - 1))
    total, count, state, was = 0.0, 0, None, model.training
    model.eval()
    with torch.no_grad():
        for x, y in _reference_batches(codes, B, T):
            scores, state = model(x, state)
            total += F.cross_entropy(scores.float().flatten(0, 1), y.flatten(), reduction="sum").item()
            count += y.numel()
    model.train(was)
    return total / count if count else math.nan


def stream(model: nn.Module, size: int, prime: str, *, top_k: int | None = None, temperature: float = 1.0, seed: int = 0) -> None:
    """Print the prime and then each new character as soon as it is chosen. Raises UnusableText for an unknown character."""
    import torch

    device, was = next(model.parameters()).device, model.training
    x, state, generator = codes_of(prime, model.chars)[None].to(device), None, torch.Generator().manual_seed(seed)
    print(prime, end="", flush=True)
    model.eval()
    with torch.no_grad():
        for _ in range(size):
            scores, state = model(x, state)
            p = _probabilities_with()(scores[0, -1].float().cpu(), top_k, temperature)
            choice = torch.multinomial(p, 1, generator=generator)
            print(model.chars[choice.item()], end="", flush=True)
            x = choice[None].to(device)
    model.train(was)
    print()


# ---------------------------------------------------------------------------------------------- figures

BATCH_COLORS = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.PURPLE, plots.SKY, plots.YELLOW)


def _blank(size, x, y):
    fig, ax = plots.figure(size=size)
    ax.set(xlim=x, ylim=y)
    ax.set_axis_off()
    return fig, ax


def _card(ax, x, y, text, color=plots.BLACK, width=1.5, height=0.8, size=12, fill="white"):
    from matplotlib.patches import FancyBboxPatch

    ax.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0.02,rounding_size=0.1",
                                facecolor=fill, edgecolor=color, linewidth=1.8, zorder=3))
    ax.text(x, y, text, ha="center", va="center", fontsize=size, zorder=4, color=plots.BLACK)


def _arrow(ax, start, end, color=plots.BLACK):
    ax.annotate("", end, start, zorder=2, arrowprops={"arrowstyle": "-|>", "color": color, "lw": 2, "shrinkA": 0, "shrinkB": 0})


def _visible(char: str) -> str:
    return {"\n": "\u23ce", " ": "\u2423"}.get(char, char)


def show_unrolled() -> None:
    """The network unrolled over "Anna w": each step reads a character and predicts the next one."""
    fig, ax = _blank((8.4, 3.2), (-1.2, 10.4), (-1.75, 1.75))
    text = "Anna w"
    for t in range(5):
        x = 2.2 * t
        _card(ax, x, -1.3, _visible(text[t]), plots.BLUE, 0.9, 0.7, 15, "#EAF3FA")
        _card(ax, x, 0, "LSTM", width=1.3)
        _card(ax, x, 1.3, _visible(text[t + 1]), plots.RED, 0.9, 0.7, 15, "#FBEEE6")
        _arrow(ax, (x, -0.93), (x, -0.42), plots.BLUE)
        _arrow(ax, (x, 0.42), (x, 0.93), plots.RED)
        if t < 4:
            _arrow(ax, (x + 0.68, 0), (x + 1.52, 0))
    ax.text(-0.9, -1.3, "reads", ha="right", va="center", fontsize=11, color=plots.BLUE)
    ax.text(-0.9, 1.3, "predicts", ha="right", va="center", fontsize=11, color=plots.RED)
    ax.set_xlim(-2.2, 9.8)
    plots.show(fig, alt="Five LSTM steps in a row read A, n, n, a and a space, and predict n, n, a, a space and w: the target is the input, "
                        "one character further.", dpi=90)


def show_codes(text: str) -> None:
    """A few characters above their codes."""
    chars = sorted(set(text))
    fig, ax = _blank((8.2, 3.3), (-0.8, len(text) - 0.2), (-2.7, 1.1))
    for i, c in enumerate(text):
        _card(ax, i, 0.55, _visible(c), plots.BLUE, 0.8, 0.7, 14, "#EAF3FA")
        _card(ax, i, -0.5, str(chars.index(c)), plots.BLACK, 0.8, 0.6, 13)
        _arrow(ax, (i, 0.18), (i, -0.17))
    left = (len(text) - len(chars)) / 2 + 1
    ax.text(left - 0.6, -1.9, "the alphabet", ha="right", va="center", fontsize=11)
    for code, c in enumerate(chars):
        _card(ax, left + code, -1.9, _visible(c), plots.GREY, 0.8, 0.7, 14, "#F3F3F3")
        ax.text(left + code, -2.5, str(code), ha="center", va="center", fontsize=11)
    listed = ", ".join("the space" if c == " " else c for c in chars)
    plots.show(fig, alt=f"The characters of {text!r} above their codes, and below them the alphabet with the codes 0 to {len(chars) - 1}: {listed}.",
               dpi=90)


def show_lookup() -> None:
    """A one-hot row times a matrix is a row of the matrix."""
    rng = np.random.default_rng(4)
    E, code = rng.normal(size=(8, 3)), 5
    fig, axes = plots.figure(1, 3, size=(8.2, 2.9), width_ratios=(3, 1.5, 1.5))
    hot = np.zeros((1, 8))
    hot[0, code] = 1
    for ax, values, title in zip(axes, (hot, E, E[[code]]), ("one-hot row of code 5", "matrix E (8, 3)", "the product"), strict=True):
        ax.imshow(values, cmap=plots.DIVERGING, vmin=-2, vmax=2, aspect="equal")
        ax.grid(False)
        ax.set(title=title, xticks=[], yticks=range(len(values)) if len(values) > 1 else [])
        for (r, c), v in np.ndenumerate(values):
            ax.text(c, r, f"{v:.0f}" if values is hot else f"{round(v, 1) + 0.0:.1f}", ha="center", va="center", fontsize=9,
                    color="white" if abs(v) > 1.4 else plots.BLACK)
    from matplotlib.patches import Rectangle

    axes[1].add_patch(Rectangle((-0.5, code - 0.5), 3, 1, fill=False, edgecolor=plots.BLACK, linewidth=2.5))
    plots.show(fig, alt="A row of eight numbers with a 1 in place 5, times a matrix of eight rows: the product is row 5 of the matrix, marked "
                        "by a frame. Multiplying by a one-hot row is looking up.", dpi=90)


def show_entropies(lines: dict[str, float]) -> None:
    """How surprising the next character is to readers who know more and more."""
    fig, ax = plots.figure(size=(7.6, 2.9))
    names, values = list(lines), list(lines.values())
    ax.barh(range(len(values)), values, color=[plots.GREY, plots.SKY, plots.BLUE, plots.GREEN][:len(values)], height=0.62)
    for i, v in enumerate(values):
        ax.text(v + 0.04, i, f"{v:.3f}", va="center", fontsize=11)
    ax.set_yticks(range(len(values)), names)
    ax.invert_yaxis()
    ax.set(xlabel="nats a character", xlim=(0, max(values) * 1.15))
    plots.show(fig, alt="Bars: " + ", ".join(f"{n} {v:.2f}" for n, v in lines.items()) + " nats a character. Who knows more of the past is "
                        "less surprised.", dpi=90)


def _batch_grid(ax, N: int, B: int, T: int) -> tuple[int, int]:
    """Draw a text of 1..N in B rows, colored by batch; returns (batches, characters that are left over)."""
    steps = (N - 1) // (B * T)
    n = steps * B * T
    columns = n // B
    for k in range(N):
        row, column = (k // columns, k % columns) if k < n else (B, k - n)
        color = BATCH_COLORS[column // T % len(BATCH_COLORS)] if k < n else "#DDDDDD"
        _card(ax, column, -row * 1.1, str(k + 1), color, 0.84, 0.84, 12 if N <= 40 else 9, color + "33" if k < n else "white")
    ax.set(xlim=(-0.7, max(columns, N - n) - 0.3), ylim=(-B * 1.1 - 0.7, 0.8))
    ax.set_axis_off()
    ax.set_aspect("equal")
    return steps, N - n


def show_batches(N: int = 13, B: int = 2, T: int = 3) -> None:
    """Where each character of a text goes."""
    fig, ax = plots.figure(size=(7.2, 2.9))
    steps, rest = _batch_grid(ax, N, B, T)
    plots.show(fig, alt=f"The numbers 1 to {N} in {B} rows. Columns of one color are one batch of {T} steps: {steps} batches. The number "
                        f"below is left over: it serves only as the last target.", dpi=90)


def batch_sliders() -> None:
    """Text length, batch size and sequence length to turn."""
    def draw(N, B, T):
        N, B, T = int(N), int(B), int(T)
        fig, ax = plots.figure(size=(8, 3.4))
        if (N - 1) // (B * T) == 0:
            ax.set_axis_off()
            return fig, f"{N} characters are too few: one batch of {B} rows of {T} needs {B * T + 1}."
        steps, rest = _batch_grid(ax, N, B, T)
        return fig, f"{steps} batches of {B} rows of {T}; {rest} characters are left over, the first of them is the last target."
    widgets.sliders(draw, N=(7, 60, 13, 1), B=(1, 5, 2, 1), T=(1, 10, 3, 1))


def show_wrap() -> None:
    """The wrong label at the end of each row, and the right one."""
    fig, axes = plots.figure(2, 1, size=(7.4, 3.6))
    for ax, title, last in ((axes[0], "wrapped: each row ends with its own first number", (1, 7)),
                            (axes[1], "right: each row ends with the number that follows", (7, 13))):
        for row in range(2):
            ax.text(-0.9, -row * 1.1, "y of row " + str(row + 1), ha="right", va="center", fontsize=11)
            for column in range(6):
                value = row * 6 + column + 2
                end = column == 5
                value = last[row] if end else value
                wrong = end and last[0] == 1
                color = plots.RED if wrong else plots.GREEN if end else plots.GREY
                _card(ax, column, -row * 1.1, str(value), color, 0.84, 0.84, 12, color + "33" if end else "white")
        ax.set(xlim=(-2.9, 5.7), ylim=(-1.8, 0.75), title=title)
        ax.set_axis_off()
    plots.show(fig, alt="Targets for the text 1 to 13 in two rows. Wrapped, row 1 ends with 1 and row 2 with 7: 6 would be followed by 1, and 12 "
                        "by 7. Right are 7 and 13.", dpi=90)


def show_network(parts: Sequence[tuple[str, str, int]], title: str) -> None:
    """Blocks of a network, with their numbers of parameters."""
    fig, ax = _blank((8.6, 2.6), (-1.3, 3.2 * len(parts) - 1.2), (-1.3, 1.2))
    for i, (name, size, count) in enumerate(parts):
        _card(ax, 3.2 * i, 0.2, f"{name}\n{size}", plots.BLUE if count else plots.GREY, 2.3, 1.1, 11.5, "#EAF3FA" if count else "#F3F3F3")
        ax.text(3.2 * i, -0.75, f"{count:,}" if count else "no parameters", ha="center", va="center", fontsize=11)
        if i:
            _arrow(ax, (3.2 * i - 2.0, 0.2), (3.2 * i - 1.2, 0.2))
    total = sum(count for *_, count in parts)
    ax.text(-1.2, -1.18, f"{title}: {total:,} parameters", fontsize=12, fontweight="bold")
    plots.show(fig, alt=f"{title}: " + ", then ".join(
        " ".join(filter(None, (n, s, f"with {c:,} parameters" if c else ""))) for n, s, c in parts) + f"; {total:,} parameters in all.", dpi=90)


def show_cut() -> None:
    """Two batches: h and c go on, the gradient stops between them."""
    fig, ax = _blank((8.4, 3.0), (-1.2, 9.0), (-1.5, 1.6))
    for n, x in enumerate((1.2, 6.6)):
        _card(ax, x, 0, f"batch {n + 1}\nforward, loss, backward", plots.BLACK, 3.4, 1.5, 12, "#F3F3F3")
    for y, name in ((0.4, "h"), (-0.4, "c")):
        _arrow(ax, (2.95, y), (4.85, y), plots.BLUE)
        ax.text(3.3, y + 0.17, name, color=plots.BLUE, fontsize=12, ha="center")
    ax.plot([3.9, 3.9], [-1.0, 1.0], color=plots.RED, lw=3, ls=(0, (3, 2)), zorder=5)
    ax.text(3.9, 1.25, "detach both", color=plots.RED, ha="center", fontsize=12)
    ax.annotate("", (0.0, -1.15), (2.7, -1.15), arrowprops={"arrowstyle": "-|>", "color": plots.RED, "lw": 2})
    ax.annotate("", (5.2, -1.15), (8.1, -1.15), arrowprops={"arrowstyle": "-|>", "color": plots.RED, "lw": 2})
    ax.text(1.35, -1.42, "gradient", color=plots.RED, ha="center", fontsize=11)
    ax.text(6.65, -1.42, "gradient", color=plots.RED, ha="center", fontsize=11)
    plots.show(fig, alt="Two boxes, batch 1 and batch 2. The values h and c go from the first to the second; a dashed line between them says "
                        "detach both. The gradient runs back within each box only.", dpi=90)


def show_clip() -> None:
    """(3, 4, 12) as it is, clipped by norm, clipped by value."""
    fig, ax = plots.figure(size=(7.2, 3.2))
    g = np.array([3.0, 4.0, 12.0])
    rows = (("as it is, norm 13", g, plots.GREY), ("by norm: one factor", g * 5 / 13, plots.BLUE), ("by value: each cut at 5", np.minimum(g, 5), plots.RED))
    for k, (name, values, color) in enumerate(rows):
        bars = ax.bar(np.arange(3) + 0.27 * (k - 1), values, 0.25, color=color, label=name)
        ax.bar_label(bars, [f"{v:.3g}" for v in values], fontsize=9.5, padding=2)
    ax.set(xticks=range(3), xticklabels=["1st gradient", "2nd", "3rd"], ylabel="value", ylim=(0, 13.8))
    ax.grid(False, axis="x")
    plots.legend(ax)
    plots.show(fig, alt="Three bars each for the gradient 3, 4, 12: as it is; clipped by norm 1.15, 1.54, 4.62, the same proportions; clipped by "
                        "value 3, 4, 5, another direction.", dpi=90)


# Anna Karenina, 35 s of one core each, one run: (cell, hidden, batch, steps a window, rate, training steps, ms a step, validation)
CONFIGURATIONS = (
    ("LSTM", 128, 16, 50, 0.01, 2377, 14.7, 1.424), ("LSTM", 128, 32, 25, 0.01, 2289, 15.3, 1.430),
    ("LSTM", 128, 32, 50, 0.01, 1270, 27.6, 1.477), ("LSTM", 128, 64, 50, 0.01, 784, 44.6, 1.512),
    ("GRU", 128, 32, 50, 0.01, 811, 43.2, 1.516), ("LSTM", 128, 32, 100, 0.01, 688, 50.9, 1.556),
    ("LSTM, one-hot", 128, 32, 50, 0.01, 1177, 29.7, 1.605), ("LSTM", 64, 32, 50, 0.01, 2583, 13.6, 1.605),
    ("LSTM", 256, 32, 50, 0.005, 515, 68.0, 1.663), ("LSTM", 128, 32, 50, 0.003, 1277, 27.4, 1.717),
)


def show_configurations() -> None:
    """Ten settings at the same cost, as measured once."""
    fig, ax = plots.figure(size=(8.4, 4.2))
    names = [f"{cell} {H}, {B} x {T}, rate {rate:g}" for cell, H, B, T, rate, *_ in CONFIGURATIONS]
    values = [c[-1] for c in CONFIGURATIONS]
    ours = [c[:5] == ("LSTM", 128, 32, 50, 0.01) for c in CONFIGURATIONS]
    for i, (c, o) in enumerate(zip(CONFIGURATIONS, ours, strict=True)):
        ax.plot(c[-1], i, "D" if o else "o", color=plots.RED if o else plots.BLUE, ms=9)
        ax.text(c[-1] + 0.012, i, f"{c[-1]:.3f}   {c[5]:,} steps of {c[6]:g} ms", va="center", fontsize=9.5)
    ax.set_yticks(range(len(values)), names, fontsize=9.5)
    ax.invert_yaxis()
    ax.set(xlim=(1.4, 1.96), xlabel="validation loss after 35 s of one core, nats a character")
    plots.show(fig, alt="Ten settings at equal cost as dots, from 1.42 (LSTM 128, batches of 16 x 50) to 1.72 (rate 0.003). The lesson's network and batches, a "
                        "red diamond, are third at 1.48. The larger network comes ninth: it made 515 steps only.", dpi=90)


def show_loss(losses: Sequence[float], valid: dict[int, float], lines: dict[str, float]) -> None:
    """Loss against steps, with the entropies as horizontal lines."""
    fig, ax = plots.figure(size=(8.0, 4.0))
    ax.plot(range(1, len(losses) + 1), losses, color=plots.SKY, lw=1.2, label="training batches")
    ax.plot(list(valid), list(valid.values()), "o-", color=plots.BLUE, label="validation")
    for name, value in lines.items():
        ax.plot((0, len(losses)), (value, value), color=plots.GREY, lw=1.2, ls="--")
        ax.text(len(losses) * 1.01, value, f"{name} {value:.2f}", va="center", fontsize=9.5, color="#555555")
    ax.set(xlabel="step", ylabel="nats a character", xlim=(0, len(losses) * 1.24), ylim=(min([*losses, *valid.values()]) - 0.15, 4.9))
    plots.legend(ax, loc="center", bbox_to_anchor=(0.5, 0.68))
    last = list(valid.values())[-1]
    under = [name for name, value in lines.items() if last < value]
    plots.show(fig, alt=f"The loss falls from {losses[0]:.2f} to {last:.2f} nats a character in {len(losses)} steps. It passes the lines "
                        f"of {', '.join(under)}.", dpi=90)


def show_places(losses: Sequence[float], usual: float) -> None:
    """The loss in each part of a text, from its beginning to its end, and the median as a line."""
    fig, ax = plots.figure(size=(7.6, 2.9))
    odd = [v > usual + 0.3 for v in losses]
    bars = ax.bar(range(1, len(losses) + 1), losses, color=[plots.RED if o else plots.BLUE for o in odd], width=0.7)
    ax.bar_label(bars, [f"{v:.2f}" for v in losses], fontsize=10, padding=2)
    ax.plot((0.5, len(losses) + 0.5), (usual, usual), color=plots.GREY, lw=1.2, ls="--")
    ax.set(xlabel="part of the validation text", ylabel="nats a character", xticks=range(1, len(losses) + 1), ylim=(0, max(losses) * 1.15))
    ax.grid(False, axis="x")
    high = ", ".join(f"part {n} at {v:.2f}" for n, (v, o) in enumerate(zip(losses, odd, strict=True), 1) if o) or "none"
    plots.show(fig, alt=f"Bars: the loss in {len(losses)} parts of the validation text, the median is {usual:.2f}. Far above it: {high}.", dpi=90)


def show_checks(valid: float, uniform: float, shuffled: float) -> None:
    """A real text against shuffled characters."""
    fig, ax = plots.figure(size=(7.4, 2.6))
    names, values = ("validation text", "guessing (uniform)", "the same text, shuffled"), (valid, uniform, shuffled)
    ax.barh(range(3), values, color=(plots.BLUE, plots.GREY, plots.RED), height=0.6)
    for i, v in enumerate(values):
        ax.text(v + 0.05, i, f"{v:.2f}", va="center")
    ax.set_yticks(range(3), names)
    ax.invert_yaxis()
    ax.set(xlabel="nats a character", xlim=(0, max(values) * 1.12))
    plots.show(fig, alt=f"Bars: validation text {valid:.2f}, guessing {uniform:.2f}, shuffled characters {shuffled:.2f} nats. On shuffled text the "
                        "model is worse than guessing, since it is confidently wrong.", dpi=90)


def _bars(ax, chars, p, title, color=plots.BLUE):
    ax.bar(range(len(p)), p, color=color)
    ax.set(title=title, xticks=range(len(p)), ylim=(0, 1.02))
    ax.set_xticklabels([_visible(c) for c in chars], fontsize=12)
    ax.grid(False, axis="x")


def show_temperatures(logits, chars: Sequence[str]) -> None:
    """The likeliest next characters at three temperatures."""
    order = logits.argsort(descending=True)[:8]
    fig, axes = plots.figure(1, 3, size=(8.8, 2.9), sharey=True)
    tops = []
    for ax, t in zip(axes, (0.5, 1.0, 2.0), strict=True):
        p = _reference_probabilities(logits, None, t)[order].tolist()
        tops.append(p[0])
        _bars(ax, [chars[i] for i in order], p, f"temperature {t:g}")
    axes[0].set_ylabel("probability")
    plots.show(fig, alt=f"The eight likeliest next characters at temperature 0.5, 1 and 2: the first one has {tops[0]:.0%}, {tops[1]:.0%} and "
                        f"{tops[2]:.0%}. Low temperatures sharpen, high ones flatten.", dpi=90)


def show_top_k(logits, chars: Sequence[str], top_k: int = 3) -> None:
    """All characters, and the best few made to sum to 1."""
    order = logits.argsort(descending=True)[:8]
    fig, axes = plots.figure(1, 2, size=(8.0, 2.9), sharey=True)
    for ax, k in zip(axes, (None, top_k), strict=True):
        p = _reference_probabilities(logits, k, 1.0)[order].tolist()
        _bars(ax, [chars[i] for i in order], p, "all characters" if k is None else f"top_k = {k}", plots.BLUE if k is None else plots.GREEN)
    axes[0].set_ylabel("probability")
    plots.show(fig, alt=f"Left the eight likeliest next characters, right only the best {top_k}: their bars have grown so that they sum to 1, the "
                        "others are gone.", dpi=90)


def temperature_sliders(logits, chars: Sequence[str]) -> None:
    """Temperature and top_k to turn."""
    order = logits.argsort(descending=True)[:12]

    def draw(temperature, top_k):
        p = _reference_probabilities(logits, int(top_k), temperature)
        fig, ax = plots.figure(size=(7.6, 3.0))
        _bars(ax, [chars[i] for i in order], p[order].tolist(), f"temperature {temperature:g}, top_k {int(top_k)}")
        entropy = -sum(v * math.log(v) for v in p.tolist() if v > 0)
        return fig, f"The likeliest character has {p.max().item():.0%}; entropy {entropy:.2f} nats, as of {math.exp(entropy):.1f} equal choices."
    widgets.sliders(draw, temperature=(0.1, 3.0, 1.0, 0.1), top_k=(1, len(chars), len(chars), 1))


def show_history(history: dict[str, list[float]]) -> None:
    """Training and validation loss of a long training, epoch by epoch."""
    fig, ax = plots.figure(size=(7.0, 3.2))
    epochs = range(1, len(history["valid"]) + 1)
    ax.plot(epochs, history["train"], "o-", color=plots.SKY, label="training (with dropout)")
    ax.plot(epochs, history["valid"], "s-", color=plots.BLUE, label="validation")
    ax.set(xlabel="epoch", ylabel="nats a character")
    plots.legend(ax)
    plots.show(fig, alt=f"Loss by epoch: validation goes from {history['valid'][0]:.2f} to {history['valid'][-1]:.2f} nats a character in "
                        f"{len(history['valid'])} epochs.", dpi=90)


@contextlib.contextmanager
def _stopped_after(steps: int) -> Iterator[None]:
    """For tests: a Ctrl-C in the middle of a training, in the step after so many whole ones."""
    import torch

    original, done = torch.nn.utils.clip_grad_norm_, [0]

    def clip(*args, **kwargs):
        if done[0] == steps:
            raise KeyboardInterrupt
        done[0] += 1
        return original(*args, **kwargs)

    torch.nn.utils.clip_grad_norm_ = clip
    try:
        yield
    finally:
        torch.nn.utils.clip_grad_norm_ = original
