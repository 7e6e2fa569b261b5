"""Is a value the one that was asked for, and if not, where do the two part?

``difference(asked, got)`` is the heart of every check. It looks at the kind of object, the shape, the dtype, the
finiteness and only then at the numbers, because that is the order in which a person repairs a mistake.
"""

from __future__ import annotations

import collections.abc
import numbers
import sys
from dataclasses import dataclass

import numpy as np

# Agreement that honest arithmetic in another order reaches, relative to the largest number in the answer.
TOLERANCE = {"float64": 1e-8, "complex128": 1e-8, "float32": 1e-5, "complex64": 1e-5, "float16": 1e-2, "bfloat16": 1e-2}


@dataclass(frozen=True)
class Difference:
    """How a value differs from what was asked: two short texts and, where there is one, a likely reason."""

    asked: str
    got: str
    likely: str = ""


@dataclass(frozen=True)
class Raised:
    """Stands for the exception that a call ended with: its class name and its text."""

    kind: str
    text: str


def is_tensor(value: object) -> bool:
    """True for a torch.Tensor; asks without importing torch, which takes seconds."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def as_array(value) -> np.ndarray:
    """The numbers of a tensor or an array-like as a NumPy array (bfloat16 becomes float32)."""
    if is_tensor(value):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        return value.numpy()
    return np.asarray(value)


def dtype_name(value) -> str:
    return str(value.dtype).replace("torch.", "")


def describe(value: object, limit: int = 8) -> str:
    """A short description: ``float64 array (7, 2)``, ``[1. 2.] float64 array``, ``3``, ``a generator``, ``None``."""
    if isinstance(value, Raised):
        text = " ".join(value.text.split())
        text = text if len(text) <= 240 else text[:237] + "..."  # load_state_dict names every tensor that does not fit
        return f"raises {value.kind}" + (f": {text}" if text else "")
    if isinstance(value, np.ndarray) or is_tensor(value):
        word = "tensor" if is_tensor(value) else "array"
        shape = tuple(value.shape)
        text = f"{dtype_name(value)} {word} {shape}"
        small = 0 < int(np.prod(shape)) <= limit and not (is_tensor(value) and value.is_meta)
        return f"{text}: {show_numbers(value)}" if small else text
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, numbers.Number):
        # NumPy 2 prints scalars as np.float64(1.0); plain numbers read better.
        return _number(value.item() if isinstance(value, np.generic) else value)
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, tuple | list):
        word = type(value).__name__
        if len(value) <= limit and all(isinstance(v, numbers.Number | str) for v in value):
            inside = ", ".join(describe(v) for v in value)
            return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
        if len(value) > limit and all(isinstance(v, numbers.Number) for v in value[:limit]):
            return f"[{', '.join(describe(v) for v in value[:limit])}, ...] ({len(value)} values)"
        return f"a {word} of {len(value)}"
    if isinstance(value, dict):
        return f"a dict with the keys {list(value)[:limit]}"
    if isinstance(value, collections.abc.Generator):
        return "a generator"
    if isinstance(value, collections.abc.Coroutine):
        return "a coroutine"
    if _is_module(value):  # one can call it, but it is no function
        library = "nn." if type(value).__module__.startswith("torch.nn.") else ""
        return _with_article(library + type(value).__name__)
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    return _with_article(type(value).__name__)


def _is_module(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _with_article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' or name.startswith('nn.') else 'a'} {name}"


def _number(value, digits: int = 6) -> str:
    if isinstance(value, float):
        return f"{value:.{digits}g}" if abs(value - round(value, 6)) > 1e-12 * abs(value) else repr(value)
    return str(value)


def show_numbers(value, digits: int = 4) -> str:
    return np.array2string(as_array(value), precision=digits, separator=", ", suppress_small=False).replace("\n", "")


def _told_apart(show, asked, got, *digits: int) -> tuple[str, str]:
    """Both values as text, with the fewest of these ``digits`` that show a difference."""
    for count in digits:
        texts = show(asked, count), show(got, count)
        if texts[0] != texts[1]:
            break
    return texts


def snapshot(value):
    """A copy that later changes to ``value`` do not reach (arrays, tensors, and containers of them)."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if is_tensor(value):
        return value.detach().clone().requires_grad_(value.requires_grad and value.is_leaf)
    if type(value) in (list, tuple):
        return type(value)(snapshot(v) for v in value)
    if type(value) is dict:
        return {k: snapshot(v) for k, v in value.items()}
    return value


def difference(asked, got, rtol: float | None = None, atol: float | None = None, nan_equal: bool = False):
    """Compare ``got`` with ``asked``; None when they agree, else a Difference.

    Numbers agree when |got - asked| <= atol + rtol * |asked|. By default rtol follows the dtype (TOLERANCE) and atol is
    rtol times the largest |asked|, so that a rounding error in a small entry beside large ones is no mistake.
    NaN agrees with nothing, unless ``nan_equal`` (used only to compare two wrong answers with each other).
    """
    if got is None and asked is not None:
        return Difference(describe(asked), "None", "Is a `return` missing?")
    if isinstance(got, collections.abc.Generator) and not isinstance(asked, collections.abc.Generator):
        return Difference(describe(asked), "a generator", "The function uses `yield`; `return` the result instead.")
    if isinstance(got, Raised) or isinstance(asked, Raised):
        same = isinstance(asked, Raised) and isinstance(got, Raised) and asked == got
        return None if same else Difference(describe(asked), describe(got))
    if isinstance(asked, np.ndarray) or is_tensor(asked):
        return _array_difference(asked, got, rtol, atol, nan_equal)
    if isinstance(asked, bool | np.bool_):
        same = isinstance(got, bool | np.bool_) and bool(asked) == bool(got)
        return None if same else Difference(describe(bool(asked)), describe(got))
    if isinstance(asked, numbers.Number):
        return _number_difference(asked, got, rtol, atol, nan_equal)
    if isinstance(asked, tuple | list):
        return _sequence_difference(asked, got, rtol, atol, nan_equal)
    if isinstance(asked, dict):
        return _dict_difference(asked, got, rtol, atol, nan_equal)
    try:
        same = bool(asked == got)
    except Exception:  # a hostile __eq__ is not the same as anything
        same = False
    return None if same else Difference(describe(asked), describe(got))


def _number_difference(asked, got, rtol, atol, nan_equal):
    shown = Difference(describe(asked), describe(got))
    if isinstance(got, bool | np.bool_):
        return Difference(shown.asked, shown.got, "A number was asked for, not True or False.")
    if not isinstance(got, numbers.Number):
        whole = isinstance(asked, numbers.Integral)
        return Difference(f"{shown.asked}, a plain {'int' if whole else 'number'}", shown.got)
    if isinstance(asked, numbers.Integral):
        if not isinstance(got, numbers.Integral):
            return Difference(f"{shown.asked}, an int", f"{shown.got}, a {type(got).__name__}")
        return None if asked == got else shown
    if isinstance(asked, numbers.Rational):  # exact arithmetic was asked for
        return None if isinstance(got, numbers.Rational) and asked == got else shown
    rtol = TOLERANCE["float64"] if rtol is None else rtol
    atol = 1e-12 if atol is None else atol
    if asked != asked or got != got:
        return None if nan_equal and asked != asked and got != got else shown
    if asked == got or abs(got - asked) <= atol + rtol * abs(asked):
        return None
    if shown.asked == shown.got:
        asked_plain, got_plain = (v.item() if isinstance(v, np.generic) else v for v in (asked, got))
        shown = Difference(*_told_apart(_number, asked_plain, got_plain, 9, 12, 17))
    return Difference(shown.asked, shown.got, _pattern(np.array([asked]), np.array([got]), rtol))


def _sequence_difference(asked, got, rtol, atol, nan_equal):
    word = "tuple" if isinstance(asked, tuple) else "list"
    if not isinstance(got, tuple | list):
        return Difference(f"a {word} of {len(asked)}", describe(got))
    if len(asked) != len(got):
        return Difference(f"{len(asked)} values: {describe(asked)}", f"{len(got)} values: {describe(got)}")
    for place, (a, g) in enumerate(zip(asked, got, strict=True)):
        found = difference(a, g, rtol, atol, nan_equal)
        if found:
            where = f"value {place} of the {word}: "
            return Difference(where + found.asked, where + found.got, found.likely)
    return None


def _dict_difference(asked, got, rtol, atol, nan_equal):
    if not isinstance(got, dict):
        return Difference(describe(asked), describe(got))
    if set(asked) != set(got):
        missing = [k for k in asked if k not in got]
        extra = [k for k in got if k not in asked]
        likely = (f"Missing: {missing[:4]}. " if missing else "") + (f"Not asked for: {extra[:4]}." if extra else "")
        return Difference(describe(asked), describe(got), likely.strip())
    for key in asked:
        found = difference(asked[key], got[key], rtol, atol, nan_equal)
        if found:
            return Difference(f"[{key!r}] {found.asked}", f"[{key!r}] {found.got}", found.likely)
    return None


def _array_difference(asked, got, rtol, atol, nan_equal):
    word = "tensor" if is_tensor(asked) else "array"
    kind = f"{dtype_name(asked)} {word} {tuple(asked.shape)}"
    if is_tensor(asked) != is_tensor(got) or not (isinstance(got, np.ndarray) or is_tensor(got)):
        if isinstance(got, np.generic) and not is_tensor(asked) and asked.shape == ():
            got = np.asarray(got)  # NumPy turns arrays without dimensions into scalars by itself
        else:
            other = f"{'A tensor' if is_tensor(asked) else 'An array'} is asked for: convert the result." \
                if isinstance(got, list | tuple) else ""
            return Difference(kind, describe(got), other)
    if tuple(asked.shape) != tuple(got.shape):
        return Difference(kind, describe(got), _shape_hint(asked, got))
    if is_tensor(asked) and asked.device.type != got.device.type:
        return Difference(f"a tensor on {asked.device}", f"a tensor on {got.device}", "Keep results on the device.")
    asked_kind, got_kind = as_array(asked).dtype.kind, as_array(got).dtype.kind
    if not _same_dtype(asked, got):
        likely = f"Right shape, but the entries are {dtype_name(got)}."
        if (asked_kind, got_kind) == ("i", "b"):
            likely = "These are True and False: convert them to integers."
        return Difference(kind, describe(got), likely)
    a, g = as_array(asked), as_array(got)
    if asked_kind not in "fc":
        wrong = a != g
    else:
        rtol = TOLERANCE.get(dtype_name(asked), 1e-5) if rtol is None else rtol
        finite = np.abs(a[np.isfinite(a)])
        atol = rtol * (finite.max() if finite.size else 0.0) + 1e-300 if atol is None else atol
        with np.errstate(all="ignore"):
            wrong = ~((a == g) | (np.abs(g - a) <= atol + rtol * np.abs(a)))
        if nan_equal:
            wrong &= ~(np.isnan(a) & np.isnan(g))
    if not wrong.any():
        return None
    return _place_of_difference(a, g, wrong, rtol or 1e-8, kind)


def _same_dtype(asked, got) -> bool:
    a, g = dtype_name(asked), dtype_name(got)
    if is_tensor(asked):
        return a == g  # torch tells int64 from int32 and so do its loss functions
    whole = as_array(asked).dtype.kind in "iu"
    return a == g or (whole and as_array(got).dtype.kind in "iu")


def _place_of_difference(a, g, wrong, rtol, kind):
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    at = f" at {list(place)}" if place else ""
    if g.dtype.kind in "fc" and np.isnan(g).any() and not np.isnan(a).any():
        first = [int(i) for i in np.argwhere(np.isnan(g))[0]]
        count = int(np.isnan(g).sum())
        return Difference(kind, f"NaN at {first}" + (f" and {count - 1} more" if count > 1 else ""),
                          "NaN comes from inf - inf, 0 / 0, or the root or logarithm of a negative number.")
    if a.size <= 8:
        asked_text, got_text = _told_apart(show_numbers, a, g, 4, 8, 12, 16)
    else:
        asked_text, got_text = _told_apart(_number, a[place].item(), g[place].item(), 6, 9, 12, 17)
        asked_text, got_text = f"{asked_text}{at}", f"{got_text}{at} ({int(wrong.sum())} of {wrong.size} entries differ)"
    return Difference(asked_text, got_text, _pattern(a, g, rtol))


def _shape_hint(asked, got) -> str:
    a, g = tuple(asked.shape), tuple(got.shape)
    if len(a) == 2 and g == a[::-1]:
        return "Rows and columns are swapped: transpose."
    if [n for n in g if n != 1] == [n for n in a if n != 1]:
        return "The numbers fit, but a dimension of size 1 is too many or missing."
    return ""


def _pattern(asked: np.ndarray, got: np.ndarray, rtol: float) -> str:
    """Name the simple ways in which all entries can be wrong at once; empty when none fits."""
    a, g = np.asarray(asked, float), np.asarray(got, float)
    if not (np.isfinite(a).all() and np.isfinite(g).all()) or not np.abs(a).max(initial=0) > 0:
        return ""
    # A pattern has to explain nearly all of the deviation, whatever the tolerance: "every number" must be true.
    enough = min(100 * rtol * np.abs(a).max(), 0.02 * np.abs(g - a).max())

    def explains(x):
        return np.abs(g - x).max() <= enough

    if explains(-a):
        return "Every sign is the wrong way round."
    if a.ndim == 2 and a.shape[0] == a.shape[1] and explains(a.T):
        return "Rows and columns are swapped: transpose."
    if a.size > 2:  # two numbers are off by the same amount too easily
        factor = float((g * a).sum() / (a * a).sum())
        if abs(factor) > 1e-6 and abs(factor - 1) > 1e-4 and explains(factor * a):
            return f"Every number is {factor:.4g} times what it should be."
        offset = float((g - a).mean())
        if explains(a + offset):
            return f"Every number is off by the same {offset:.4g}."
    return ""
