"""Lesson 09, convolution and pooling by hand: its exercises, its quiz and its figures. Imports torch only when somebody needs it."""

from __future__ import annotations

import functools
import math

import numpy as np

from helpers import devices, plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import Raised, describe, difference, is_tensor

IMAGE = [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]]
KERNEL = [[0, 1, 2], [2, 2, 0], [0, 1, 2]]
TABLES = {  # (stride, padding, kernel turned by 180 degrees) -> the output, worked on paper
    (1, 0, False): [[12, 12, 17], [10, 17, 19], [9, 6, 14]],
    (1, 1, False): [[6, 14, 17, 11, 3], [14, 12, 12, 17, 11], [8, 10, 17, 19, 13], [11, 9, 6, 14, 12], [6, 4, 4, 6, 4]],
    (2, 0, False): [[12, 17], [9, 14]],
    (2, 1, False): [[6, 17, 3], [8, 17, 13], [6, 4, 4]],
    (1, 0, True): [[18, 20, 19], [10, 9, 17], [11, 8, 14]],
}
POOL_INTEGERS = [[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]
POOL_DECIMALS = [[.03, .16, .13, .04], [.10, .09, .14, .12], [.05, .11, .06, .02], [.01, .07, .15, .08]]


def _cpu(array) -> np.ndarray:
    return array.detach().cpu().numpy() if is_tensor(array) else np.asarray(array)


def _on_device(array):
    """An array as a tensor on the device of the lesson."""
    import torch

    return torch.tensor(array, device=devices.device())


def _random(*shape: int, seed: int, mean: float = 0.3, dtype=np.float64):
    """Random numbers of a fixed seed, neither centered at 0 nor of spread 1."""
    return _on_device((np.random.default_rng(seed).standard_normal(shape) * 1.7 + mean).astype(dtype))


def _same(asked, got) -> bool:
    return difference(asked, got) is None


def _raised(facts: dict, *texts: str) -> bool:
    """Whether something raised an exception whose text holds one of these."""
    return any(isinstance(v, Raised) and any(t in v.text for t in texts) for v in facts.values())


def _watch():
    """A context that writes down which functions of torch are called: ``with _watch() as called: ...``."""
    import contextlib

    from torch.overrides import TorchFunctionMode

    called: set[str] = set()

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            called.add(getattr(func, "__name__", ""))
            return func(*args, **(kwargs or {}))

    @contextlib.contextmanager
    def watching():
        with Watch():
            yield called

    return watching()


def _exact():
    """A context without cuDNN, which computes float32 convolutions on a GPU with 10 bits of precision only."""
    import torch

    return torch.backends.cudnn.flags(enabled=False)


def _ready_made(see, called: set[str], *names: str) -> None:
    """A remark on a right answer that calls the very function which it should build."""
    used = sorted(name for name in names if name in called)
    if used:
        see.remark(f"The values are right, but {used[0]} is the function that you are asked to build. Try it without.")


# ---------------------------------------------------------------------------------------------- 09.1 correlate2d

_PLAIN = "the 5 x 5 image with the 3 x 3 kernel of the text"


def _observe_correlate2d(correlate2d, see):
    image, kernel = _on_device(np.array(IMAGE, float)), _on_device(np.array(KERNEL, float))
    with _watch() as called, _exact():
        for stride, padding, turned in TABLES:
            k = kernel.flip(0, 1) if turned else kernel
            what = _PLAIN + (" turned by 180 degrees" if turned else "")
            see.call(correlate2d, image, k, stride=stride, padding=padding, label=f"{what}, stride={stride}, padding={padding}")
        for dtype, stride, padding in (("float64", 1, 0), ("float64", 3, 2), ("float32", 2, 1)):
            x, k = (_random(*shape, seed=seed, dtype=dtype) for shape, seed in (((7, 10), 91), ((3, 2), 92)))
            see.call(correlate2d, x, k, stride, padding, label=f"{dtype} image (7, 10), kernel (3, 2), stride={stride}, padding={padding}")
        see.call(correlate2d, _random(6, 4, seed=93), _random(2, 3, seed=94), label="image (6, 4), kernel (2, 3), no stride or padding given")
    _ready_made(see, called, "conv2d", "conv_transpose2d")


def _reference_correlate2d(image, kernel, stride=1, padding=0):
    import torch.nn.functional as F

    return F.conv2d(image[None, None], kernel[None, None], stride=stride, padding=padding)[0, 0]


def _pad_two_sides(times: int):
    def padded(image, kernel, stride=1, padding=0):
        import torch.nn.functional as F

        return _reference_correlate2d(F.pad(image, (0, times * padding, 0, times * padding)), kernel, stride)

    return padded


def _matrix_product(image, kernel, stride=1, padding=0):
    import torch
    import torch.nn.functional as F

    x, (kh, kw) = F.pad(image, (padding,) * 4), kernel.shape
    rows, columns = (range(0, n - k + 1, stride) for n, k in zip(x.shape, kernel.shape, strict=True))
    return torch.stack([torch.stack([(x[i:i + kh, j:j + kw] @ kernel).sum() for j in columns]) for i in rows])


def _padded_table_like(wrong):
    """Whether the padded 5 x 5 table is the one that ``wrong`` gives, and the plain one is right."""
    def when(facts: dict) -> bool:
        image, kernel = _on_device(np.array(IMAGE, float)), _on_device(np.array(KERNEL, float))
        plain, padded = (facts[f"{_PLAIN}, stride=1, padding={p}"] for p in (0, 1))
        return _same(_reference_correlate2d(image, kernel), plain) and _same(wrong(image, kernel, 1, 1), padded)

    return when


def _plain_table_like(wrong):
    """Whether the plain 5 x 5 table is the one that ``wrong`` gives."""
    def when(facts: dict) -> bool:
        image, kernel = _on_device(np.array(IMAGE, float)), _on_device(np.array(KERNEL, float))
        return _same(wrong(image, kernel), facts[f"{_PLAIN}, stride=1, padding=0"])

    return when


def _turned(image, kernel, stride=1, padding=0):
    return _reference_correlate2d(image, kernel.flip(0, 1), stride, padding)


def _mean_of_products(image, kernel, stride=1, padding=0):
    return _reference_correlate2d(image, kernel, stride, padding) / kernel.numel()


def _crowded(image, kernel, stride=1, padding=0):
    rows, columns = _reference_correlate2d(image, kernel, stride, padding).shape
    return _reference_correlate2d(image, kernel, 1, padding)[:rows, :columns]


def _largest_product(image, kernel, stride=1, padding=0):
    import torch.nn.functional as F

    x, (kh, kw) = F.pad(image, (padding,) * 4), kernel.shape
    return (x.unfold(0, kh, stride).unfold(1, kw, stride) * kernel).amax((-1, -2))


def _mirrored(*axes: int):
    def wrong(image, kernel, stride=1, padding=0):
        return _reference_correlate2d(image, kernel.flip(*axes), stride, padding)

    return wrong


def _last_product(image, kernel, stride=1, padding=0):
    import torch.nn.functional as F

    (kh, kw), x = kernel.shape, F.pad(image, (padding,) * 4)
    return x[kh - 1::stride, kw - 1::stride] * kernel[-1, -1]


def _ragged_windows(image, kernel, stride=1, padding=0):
    import torch.nn.functional as F

    kh, kw = kernel.shape
    return _reference_correlate2d(F.pad(image, (padding, padding + kw - 1, padding, padding + kh - 1)), kernel, stride)


def _padded_by(mode: str):
    """Padding left and right only, or with the pixels of the border."""
    def wrong(image, kernel, stride=1, padding=0):
        import torch.nn.functional as F

        sides = F.pad(image, (padding, padding)) if mode == "columns" else F.pad(image[None, None], (padding,) * 4, mode=mode)[0, 0]
        return _reference_correlate2d(sides, kernel, stride)

    return wrong


def _output_padded(image, kernel, stride=1, padding=0):
    import torch.nn.functional as F

    return F.pad(_reference_correlate2d(image, kernel, stride), (padding,) * 4)


def _in_single_precision(image, kernel, stride=1, padding=0):
    return _reference_correlate2d(image.float(), kernel.float(), stride, padding).to(image.dtype)


_SMALL = "float64 image (7, 10), kernel (3, 2), stride=1, padding=0"


def _small_like(wrong):
    """Whether the plain result on an image without symmetries is the one that ``wrong`` gives."""
    return lambda facts: _same(wrong(_random(7, 10, seed=91), _random(3, 2, seed=92)), facts[_SMALL])


def _rounded(facts: dict) -> bool:
    """float64, padded as it should be, and right to some six digits only."""
    image, kernel = _on_device(np.array(IMAGE, float)), _on_device(np.array(KERNEL, float))
    padded = _same(_reference_correlate2d(image, kernel, 1, 1), facts[f"{_PLAIN}, stride=1, padding=1"])
    error = (facts[_SMALL] - _reference_correlate2d(_random(7, 10, seed=91), _random(3, 2, seed=92))).abs().max().item()
    return padded and "float64" in str(facts[_SMALL].dtype) and 1e-8 < error < 1e-4


correlate2d = Exercise(
    "09.1", "correlate2d",
    observe=_observe_correlate2d,
    expected=_reference_correlate2d,
    mistakes=[
        Mistake("Your result equals the mathematical convolution. Deep-learning libraries do not flip the kernel: use it as it is written.",
                _turned, _small_like(_turned)),
        Mistake("Every value is smaller by the factor kh·kw: you averaged. A response is the sum of the products.",
                _mean_of_products, _plain_table_like(_mean_of_products)),
        Mistake("The output has as many rows as with stride 1. Move the window by `stride` pixels per step.",
                lambda image, kernel, stride=1, padding=0: _reference_correlate2d(image, kernel, 1, padding)),
        Mistake("The first output row does not see the zeros above the image: pad all four sides.",
                _pad_two_sides(2), _padded_table_like(_pad_two_sides(1))),
        Mistake("You multiplied window and kernel as matrices. Multiply entry by entry, then sum.",
                _matrix_product, _plain_table_like(_matrix_product)),
        Mistake("Rows and columns of the kernel are exchanged: entry (a, b) meets the pixel a rows down and b columns to the right.",
                lambda image, kernel, stride=1, padding=0: _reference_correlate2d(image, kernel.T, stride, padding),
                _plain_table_like(lambda image, kernel: _reference_correlate2d(image, kernel.T))),
        Mistake("The padding is ignored: put zeros around the image first.",
                lambda image, kernel, stride=1, padding=0: _reference_correlate2d(image, kernel, stride)),
        Mistake("The last window is missing in each direction: of n pixels there are n - k + 1 windows of k.",
                lambda image, kernel, stride=1, padding=0: _reference_correlate2d(image, kernel, stride, padding)[:-1, :-1]),
        Mistake("As many windows as the stride asks for, but one pixel apart: window (i, j) starts at i · stride, j · stride.", _crowded),
        Mistake("The largest of the products, not their sum: that would be a kind of pooling.", _largest_product, _plain_table_like(_largest_product)),
        Mistake("The kernel is mirrored left to right: b counts columns to the right, in the window and in the kernel alike.",
                _mirrored(1), _small_like(_mirrored(1))),
        Mistake("The kernel is upside down: a counts rows downward, in the window and in the kernel alike.", _mirrored(0), _small_like(_mirrored(0))),
        Mistake("Only the last product is left: collect them with `+=`, or sum the products of the window.",
                _last_product, _plain_table_like(_last_product)),
        Mistake("The stride moves the window downward only: columns are still one pixel apart.",
                lambda image, kernel, stride=1, padding=0: _reference_correlate2d(image, kernel, 1, padding)[::stride]),
        Mistake("The stride moves the window to the right only: rows are still one pixel apart.",
                lambda image, kernel, stride=1, padding=0: _reference_correlate2d(image, kernel, 1, padding)[:, ::stride]),
        Mistake("Windows that stick out at the right and below are in your output: only whole windows count.",
                _ragged_windows, _plain_table_like(_ragged_windows)),
        Mistake("Zeros left and right only: `F.pad` speaks of the last axis first, so four numbers are needed: left, right, above, below.",
                _padded_by("columns")),
        Mistake("Outside the image the border is repeated in yours: padding means zeros.", _padded_by("replicate")),
        Mistake("The zeros are around the output: they belong around the image, before the kernel sees it.", _output_padded),
        Mistake("The padding is always 1 in yours.",
                lambda image, kernel, stride=1, padding=0: _reference_correlate2d(image, kernel, stride, min(padding, 1))),
        Mistake("Right to some six digits: it was computed in float32. Keep the dtype of the image all the way.", _in_single_precision, _rounded),
        Mistake("Responses may be negative: there is a ReLU too many.",
                lambda image, kernel, stride=1, padding=0: _reference_correlate2d(image, kernel, stride, padding).clamp(min=0)),
    ],
    hints=[
        "One output is one window of the padded image. How many windows fit, downward and across?",
        "Zeros around: `F.pad`. The window of output (i, j) starts at row i·stride and column j·stride and is as large as the kernel. "
        "Multiply it entry by entry with the kernel, and sum.",
        "`for i in range(H_out): for j in range(W_out): out[i, j] = (x[___:___, ___:___] * kernel).___`",
    ],
)


# ---------------------------------------------------------------------------------------------- 09.2 conv_output_size

_SIZES = (  # (size, kernel, stride, padding, dilation)
    (7, 3, 1, 0, 1), (7, 3, 1, 1, 1), (7, 3, 2, 0, 1), (7, 5, 1, 2, 1), (28, 10, 1, 0, 1), (5, 2, 2, 0, 1), (5, 2, 2, 1, 1),
    (224, 7, 2, 3, 1), (19, 3, 1, 0, 2), (20, 5, 3, 2, 3), (11, 4, 3, 0, 1), (10, 4, 1, 0, 3), (4, 4, 3, 0, 1),
    (3, 5, 1, 1, 1), (5, 4, 2, 2, 2),
)


def _random_settings(n: int = 40) -> list[tuple[int, int, int, int, int]]:
    rng, found = np.random.default_rng(920), []
    while len(found) < n:
        size, kernel, stride, padding, dilation = (int(rng.integers(*pair)) for pair in ((4, 60), (1, 8), (1, 6), (0, 5), (1, 5)))
        if dilation * (kernel - 1) + 1 <= size + 2 * padding:
            found.append((size, kernel, stride, padding, dilation))
    return found


def _size_label(size, kernel, stride, padding, dilation) -> str:
    return f"conv_output_size(size={size}, kernel={kernel}, stride={stride}, padding={padding}, dilation={dilation})"


def _observe_size(conv_output_size, see):
    for setting in _SIZES:
        see.call(conv_output_size, *setting, label=_size_label(*setting))
    see.call(conv_output_size, 23, 6, label="conv_output_size(23, 6), the other arguments left out")
    see.call(conv_output_size, 23, kernel=6, dilation=2, padding=4, label="conv_output_size(23, kernel=6, dilation=2, padding=4)")
    for setting in _random_settings():
        see.call(conv_output_size, *setting, label=_size_label(*setting))
    for setting in ((3, 5), (9, 4, 1, 0, 3), (2, 9, 2, 3)):
        see.raises(conv_output_size, *setting)


def _reference_size(size, kernel, stride=1, padding=0, dilation=1):
    """Counts the places at which the window may start."""
    span = dilation * (kernel - 1) + 1
    starts = range(0, size + 2 * padding - span + 1, stride)
    if not len(starts):
        raise ValueError(f"a kernel of {span} pixels is longer than {size + 2 * padding}")
    return len(starts)


def _wrong_size(diagnosis: str, formula, kind: type = int) -> Mistake:
    """A known mistake; it is recognized with and without the ValueError."""
    def example(size, kernel, stride=1, padding=0, dilation=1):
        _reference_size(size, kernel, stride, padding, dilation)
        return formula(size, kernel, stride, padding, dilation)

    def when(facts: dict) -> bool:
        pairs = [(facts[_size_label(*s)], formula(*s)) for s in _SIZES]
        return all(got == asked and isinstance(got, kind) for got, asked in pairs)

    return Mistake(diagnosis, example, when)


def _sizes_are_right(facts: dict) -> bool:
    return all(facts[_size_label(*s)] == _reference_size(*s) and isinstance(facts[_size_label(*s)], int) for s in _SIZES)


def _too_long_is(*starts: str):
    """Whether all sizes are right, and a kernel that is too long leads to something that starts like this."""
    def when(facts: dict) -> bool:
        found = [value for value in facts.values() if isinstance(value, str) and value != "raises ValueError"]
        return _sizes_are_right(facts) and found[0].startswith(starts)

    return when


def _size_or(instead):
    """The right size; where no window fits, what ``instead(message)`` returns or raises."""
    def example(size, kernel, stride=1, padding=0, dilation=1):
        try:
            return _reference_size(size, kernel, stride, padding, dilation)
        except ValueError as problem:
            return instead(str(problem))

    return example


def _fail(message: str):
    raise AssertionError(message)


def _refuses(test):
    """The formula behind a test that refuses some settings that fit, or too few that do not."""
    def example(size, kernel, stride=1, padding=0, dilation=1):
        if test(size, kernel, padding, dilation):
            raise ValueError("too long")
        return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1

    return example


def _refused_at(setting):
    """Whether the answer raises ValueError for a setting that fits."""
    return lambda facts: facts[_size_label(*setting)].kind == "ValueError"


conv_output_size = Exercise(
    "09.2", "conv_output_size",
    observe=_observe_size,
    expected=_reference_size,
    mistakes=[
        _wrong_size("One too few: between n start positions there are n−1 steps (fence posts).",
                    lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s),
        _wrong_size("Padding is added on both sides.", lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1),
        _wrong_size("A window that sticks out is dropped, so the division rounds down.",
                    lambda n, k, s, p, d: -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1),
        _wrong_size("The result is a float; a size is an integer.", lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) / s + 1, float),
        _wrong_size("A dilated kernel spans D·(K−1)+1 pixels.", lambda n, k, s, p, d: (n + 2 * p - k) // s + 1),
        _wrong_size("K entries have K−1 gaps: the kernel spans D·(K−1)+1 pixels, not D·K.", lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1),
        _wrong_size("The dilation widens every gap of the kernel: D·(K−1)+1 pixels, not K+D−1.", lambda n, k, s, p, d: (n + 2 * p - k - d + 1) // s + 1),
        _wrong_size("The 1 comes after the division: the first window counts whatever the stride is.",
                    lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) // s),
        Mistake("No window fits, and you return a number all the same: raise ValueError when the kernel is longer than the padded input.",
                lambda size, kernel, stride=1, padding=0, dilation=1: (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1,
                lambda facts: _too_long_is("returns 0", "returns -")(facts) and facts["conv_output_size(size=3, kernel=5)"] != "raises ValueError"),
        Mistake("The kernel is compared as it is. Spread out it spans D·(K−1)+1 pixels: compare that.",
                _refuses(lambda size, kernel, padding, dilation: kernel > size + 2 * padding), _too_long_is("returns 0", "returns -")),
        Mistake("Where no window fits, yours returns the exception: `raise ValueError(...)`, in place of `return`.",
                _size_or(ValueError), _too_long_is("returns a ValueError")),
        Mistake("Where no window fits, yours returns None: `raise ValueError(...)`; a printed line stops nobody.",
                _size_or(lambda message: None), _too_long_is("returns None")),
        Mistake("Where no window fits, yours ends with another exception: asked is ValueError, which says that a value is wrong.",
                _size_or(_fail), _too_long_is("raises ")),
        Mistake("Yours refuses a kernel that fits: compare with the padded input, size + 2·padding.",
                _refuses(lambda size, kernel, padding, dilation: dilation * (kernel - 1) + 1 > size), _refused_at((3, 5, 1, 1, 1))),
        Mistake("Yours refuses a kernel just as long as the padded input: it fits, once.",
                _refuses(lambda size, kernel, padding, dilation: dilation * (kernel - 1) + 1 >= size + 2 * padding), _refused_at((10, 4, 1, 0, 3))),
        _wrong_size("The padding is missing: it makes the row 2P pixels longer.", lambda n, k, s, p, d: (n - d * (k - 1) - 1) // s + 1),
        _wrong_size("The stride is missing: divide the room by it, and round down.", lambda n, k, s, p, d: n + 2 * p - d * (k - 1)),
        _wrong_size("Rounded to the nearest: a window that sticks out is dropped, so the division rounds down.",
                    lambda n, k, s, p, d: round((n + 2 * p - d * (k - 1) - 1) / s + 1)),
        _wrong_size("One pixel of the kernel too many: it spans D·(K−1)+1, and D·K+1 was taken off.", lambda n, k, s, p, d: (n + 2 * p - d * k - 1) // s + 1),
        _wrong_size("`//` comes before `−`: put all of the room into parentheses, then divide.", lambda n, k, s, p, d: n + 2 * p - d * (k - 1) - 1 // s + 1),
        _wrong_size("That is the size with padding \"same\": here `padding` says how many zeros there are.", lambda n, k, s, p, d: -(-n // s)),
    ],
    hints=[
        "How many start positions fit into the padded row?",
        "First the pixels that the kernel spans: dilation times the gaps between its entries, plus one. Then an integer division. Do not "
        "forget the first post of the fence, nor the error for a kernel that does not fit.",
        "`(size + ___*padding - span) // ___ + ___`",
    ],
)


# ---------------------------------------------------------------------------------------------- 09.3 conv_cost

_COSTS = (
    ((1, 3, 32, 32), 10, (5, 5), 1, 2, True), ((60000, 1, 28, 28), 64, (3, 3), 1, 1, True),
    ((60000, 64, 28, 28), 64, (3, 3), 1, 1, True), ((4, 6, 17, 23), 7, (3, 5), 2, 1, False), ((5, 2, 31, 19), 3, (4, 7), 3, 2, True),
)


def _cost_label(shape, out, kernel, stride, padding, bias) -> str:
    return f"conv_cost({shape}, {out}, {kernel}, stride={stride}, padding={padding}, bias={bias})"


def _observe_cost(conv_cost, see):
    for setting in _COSTS:
        see.call(conv_cost, *setting, label=_cost_label(*setting))
    see.call(conv_cost, (3, 5, 12, 14), 4, (2, 3), label="conv_cost((3, 5, 12, 14), 4, (2, 3)), the other arguments left out")


def _reference_cost(in_shape, out_channels, kernel, stride=1, padding=0, bias=True):
    """Asks a layer of PyTorch that has shapes but no numbers."""
    import torch

    with torch.device("meta"):
        layer = torch.nn.Conv2d(in_shape[1], out_channels, kernel, stride, padding, bias=bias)
        out = layer(torch.empty(in_shape))
    return {"out_shape": tuple(out.shape), "parameters": sum(p.numel() for p in layer.parameters()),
            "multiplications": out.numel() * layer.weight[0].numel()}


@functools.cache
def _right_cost(*setting) -> dict:
    return _reference_cost(*setting)


def _wrong_cost(diagnosis: str, key: str, formula, *others) -> Mistake:
    """A known mistake in one of the numbers. ``formula(right, setting)`` gives it, or one of the others does."""
    def example(in_shape, out_channels, kernel, stride=1, padding=0, bias=True):
        right = _right_cost(in_shape, out_channels, kernel, stride, padding, bias)
        return {**right, key: formula(right, (in_shape, out_channels, kernel, stride, padding, bias))}

    def when(facts: dict) -> bool:
        return any(all(facts[_cost_label(*s)][key] == f(_right_cost(*s), s) for s in _COSTS) for f in (formula, *others))

    return Mistake(diagnosis, example, when)


def _wrong_sides(diagnosis: str, side) -> Mistake:
    """A known mistake in H' and W'. ``side(n, k, stride, padding)`` gives one of them."""
    return _wrong_cost(diagnosis, "out_shape", lambda right, s: (*right["out_shape"][:2], *(
        side(n, k, s[3], s[4]) for n, k in zip(s[0][2:], s[2], strict=True))))


def _weights(s) -> int:
    """The weights of one filter."""
    return s[0][1] * s[2][0] * s[2][1]


def _places(shape) -> int:
    return shape[2] * shape[3]


conv_cost = Exercise(
    "09.3", "conv_cost",
    observe=_observe_cost,
    expected=_reference_cost,
    mistakes=[
        _wrong_cost("A filter spans all input channels: C·kh·kw weights each.", "parameters",
                    lambda right, s: s[1] * (s[2][0] * s[2][1] + s[5])),
        _wrong_cost("There is one bias per filter, that is per output channel.", "parameters",
                    lambda right, s: right["parameters"] + s[5] * (s[0][1] - s[1])),
        _wrong_cost("That is a locally connected layer. A conv layer uses the same filter everywhere.", "parameters",
                    lambda right, s: right["parameters"] * _places(right["out_shape"])),
        _wrong_cost("Multiplications happen per output value: use H'·W'.", "multiplications",
                    lambda right, s: right["multiplications"] // _places(right["out_shape"]) * _places(s[0])),
        _wrong_cost("Your count is for one image.", "multiplications", lambda right, s: right["multiplications"] // s[0][0]),
        _wrong_cost("Each output value needs C·kh·kw products.", "multiplications",
                    lambda right, s: right["multiplications"] // s[0][1]),
        _wrong_cost("The biases are counted although bias is False.", "parameters", lambda right, s: right["parameters"] + (not s[5]) * s[1]),
        _wrong_cost("The biases are missing: one for each output channel.", "parameters", lambda right, s: right["parameters"] - s[5] * s[1]),
        _wrong_cost("One bias for all: each output channel has one of its own.", "parameters", lambda right, s: right["parameters"] - s[5] * (s[1] - 1)),
        _wrong_cost("About twice as many: additions are not counted here.", "multiplications", lambda right, s: 2 * right["multiplications"],
                    lambda right, s: 2 * right["multiplications"] - math.prod(right["out_shape"])),
        _wrong_cost("The biases are in your count: adding one takes no multiplication.", "multiplications",
                    lambda right, s: right["parameters"] * right["multiplications"] // (right["parameters"] - s[5] * s[1]),
                    lambda right, s: math.prod(right["out_shape"]) * (_weights(s) + 1)),
        _wrong_cost("The batch is missing in the shape: (N, C', H', W').", "out_shape", lambda right, s: right["out_shape"][1:]),
        _wrong_cost("The second number of the shape is that of the output channels: each filter makes one map.", "out_shape",
                    lambda right, s: (*s[0][:2], *right["out_shape"][2:])),
        _wrong_cost("Channels come second in PyTorch: (N, C', H', W').", "out_shape",
                    lambda right, s: (s[0][0], *right["out_shape"][2:], right["out_shape"][1])),
        _wrong_cost("W' is computed from H: rows and columns have sizes of their own.", "out_shape",
                    lambda right, s: (*right["out_shape"][:3], right["out_shape"][2])),
        _wrong_cost("kh belongs to the rows, kw to the columns: they are exchanged in your H' and W'.", "out_shape",
                    lambda right, s: _right_cost(s[0], s[1], s[2][::-1], *s[3:])["out_shape"]),
        _wrong_sides("The padding is missing in H' and W'.", lambda n, k, stride, padding: (n - k) // stride + 1),
        _wrong_sides("Padding is added on both sides: 2P in H' and W'.", lambda n, k, stride, padding: (n + padding - k) // stride + 1),
        _wrong_sides("The stride is missing in H' and W'.", lambda n, k, stride, padding: n + 2 * padding - k + 1),
        _wrong_cost("The kernel need not be square: kh·kw weights for each channel.", "parameters",
                    lambda right, s: s[1] * (s[0][1] * s[2][0] ** 2 + s[5]), lambda right, s: s[1] * (s[0][1] * s[2][1] ** 2 + s[5])),
        _wrong_cost("One bias per filter: yours has one for each of its channels too.", "parameters",
                    lambda right, s: right["parameters"] + s[5] * s[1] * (s[0][1] - 1)),
        _wrong_cost("Those are the parameters of one filter; there are `out_channels` of them.", "parameters", lambda right, s: _weights(s) + s[5]),
        _wrong_cost("The same filters serve the whole batch: parameters do not grow with N.", "parameters", lambda right, s: s[0][0] * right["parameters"]),
        _wrong_cost("Your count is for one filter: each of the output channels needs its own.", "multiplications",
                    lambda right, s: right["multiplications"] // s[1]),
        _wrong_cost("That is the number of outputs; each of them costs C·kh·kw products.", "multiplications", lambda right, s: math.prod(right["out_shape"])),
        _wrong_cost("That is the number of parameters: each weight is used at every place and for every image.", "multiplications",
                    lambda right, s: right["parameters"], lambda right, s: s[1] * _weights(s)),
        _wrong_cost("That would be a dense layer, in which each output sees every input.", "multiplications",
                    lambda right, s: math.prod(right["out_shape"]) * math.prod(s[0][1:])),
        _wrong_cost("Windows do not start at each pixel of the padded image: use H'·W'.", "multiplications",
                    lambda right, s: s[0][0] * s[1] * (s[0][2] + 2 * s[4]) * (s[0][3] + 2 * s[4]) * _weights(s)),
        _wrong_cost("H' and W' are exchanged.", "out_shape", lambda right, s: (*right["out_shape"][:2], *right["out_shape"][:1:-1])),
    ],
    hints=[
        "Parameters belong to filters, multiplications to outputs.",
        "A filter has C·kh·kw weights, and one bias if there are biases. Each output value costs as many products as a filter has weights.",
        "`outputs = n*out_channels*H*W; multiplications = outputs * ___`",
    ],
)


# ---------------------------------------------------------------------------------------------- 09.4 extract_patches

def _images_of_all_kinds():
    """Name -> a view (H, W) into a larger storage, with its own strides and offset; each on a storage of its own."""
    x = [_random(400, seed=941)[23:177].view(11, 14) for _ in range(4)]
    return {"x": x[0], "x.T": x[1].T, "x[2:, 1:9]": x[2][2:, 1:9], "x[::2]": x[3][::2]}


def _observe_patches(extract_patches, see):
    import torch

    for (name, image), (size, stride) in zip(_images_of_all_kinds().items(), ((3, 2), (4, 3), (2, 1), (3, 2)), strict=True):
        asked = f"extract_patches({name}, size={size}, stride={stride}) for x of shape (11, 14)"
        patches = see.call(extract_patches, image, size, stride, label=asked, changes_inputs=True)
        with torch.no_grad():
            image.mul_(-2).add_(0.5)
        see.fact(f"{asked}: the same patches after the image was changed to 0.5 - 2x", patches)


def _reference_patches(image, size, stride):
    return image.unfold(0, size, stride).unfold(1, size, stride)


def _by_strides(make):
    """A wrong answer by as_strided; ``make(image, size, stride)`` gives the shape of the grid and the four steps."""
    def wrong(image, size, stride):
        grid, steps = make(image, size, stride)
        return image.as_strided((*grid, size, size), steps)

    return wrong


def _grid(image, size, stride) -> tuple[int, ...]:
    return tuple((n - size) // stride + 1 for n in image.shape)


def _fixed_steps(image, size, stride):
    width = image.shape[1]
    return _grid(image, size, stride), (width * stride, stride, width, 1)


def _too_many(image, size, stride):
    a, b = image.stride()
    return tuple(-(-(n - size) // stride) + 1 for n in image.shape), (a * stride, b * stride, a, b)


def _one_pixel_apart(image, size, stride):
    return _grid(image, size, stride), image.stride() * 2


def _patches_of_a_copy(image, size, stride):
    return _reference_patches(image.contiguous(), size, stride)


def _by_own_steps(image, size, stride):
    a, b = image.stride()
    return (*_grid(image, size, stride), size, size), (a * stride, b * stride, a, b)


def _steps(steps, grid=_grid):
    """A wrong answer by as_strided; ``steps(a, b, size, stride)`` gives the four steps."""
    return _by_strides(lambda image, size, stride: (grid(image, size, stride), steps(*image.stride(), size, stride)))


def _own_steps(a, b, size, stride):
    return a * stride, b * stride, a, b


def _places_in_a_row(image, size, stride):
    a, b = image.stride()
    return image.as_strided((math.prod(_grid(image, size, stride)), size, size), (b * stride, a, b))


def _steps_in_bytes(image, size, stride):
    grid, steps = _by_own_steps(image, size, stride)
    return image.as_strided(grid, [step * image.element_size() for step in steps])


def _is_a_copy(facts: dict) -> bool:
    """Values right, and the change of the image is not seen."""
    place = next(iter(facts))
    image = _images_of_all_kinds()["x"]
    return _same(_reference_patches(image, 3, 2), facts[place]) and _same(facts[place], list(facts.values())[1])


extract_patches = Exercise(
    "09.4", "extract_patches",
    observe=_observe_patches,
    expected=_reference_patches,
    mistakes=[
        Mistake("Right for this image, wrong for its transpose: take the steps from `image.stride()`.", _by_strides(_fixed_steps)),
        Mistake("Values right, but this is a copy: changing the image no longer changes the patches.",
                lambda image, size, stride: _reference_patches(image, size, stride).contiguous(), _is_a_copy),
        Mistake("Grid and patch axes are in the wrong order: within a patch its rows come before its columns.",
                lambda image, size, stride: image.unfold(1, size, stride).unfold(0, size, stride),
                lambda facts: _same(_reference_patches(_images_of_all_kinds()["x"], 3, 2).transpose(0, 1), next(iter(facts.values())))),
        Mistake("Your last patches read beyond the image.", _by_strides(_too_many),
                lambda facts: _raised(facts, "out of bounds for storage")),
        Mistake("Neighboring patches start one pixel apart: multiply the grid strides by `stride`.", _by_strides(_one_pixel_apart)),
        Mistake("The steps of the grid and of the patch are exchanged: the first two lead from patch to patch, and are the long ones.",
                _by_strides(lambda image, size, stride: (_grid(image, size, stride), (*image.stride(), *(stride * a for a in image.stride()))))),
        Mistake("Rows and columns are exchanged in your steps: a step down is `image.stride(0)`.",
                _by_strides(lambda image, size, stride: (_grid(image, size, stride), tuple(f * a for f in (stride, 1) for a in image.stride()[::-1])))),
        Mistake("The last patch of each row and column is missing: (H - size) // stride + 1 of them fit.",
                lambda image, size, stride: _reference_patches(image, size, stride)[:-1, :-1]),
        Mistake("Grid and patch are exchanged in the shape: (ph, pw, size, size), the grid first.",
                lambda image, size, stride: _reference_patches(image, size, stride).permute(2, 3, 0, 1)),
        Mistake("Right, but of a copy: `contiguous()` copies an image that is not, and then the patches no longer follow it.", _patches_of_a_copy),
        Mistake("A sliced image does not start at place 0 of its memory: leave the offset out, and as_strided takes the image's own.",
                lambda image, size, stride: image.as_strided(*_by_own_steps(image, size, stride), 0)),
        Mistake("Neighboring patches start `size` pixels apart in yours: it is `stride` pixels, and patches may overlap.",
                _steps(lambda a, b, size, stride: (a * size, b * size, a, b))),
        Mistake("The stride is in the step downward only: the second step needs it too.", _steps(lambda a, b, size, stride: (a * stride, b, a, b))),
        Mistake("The four steps go with the axes (ph, pw, size, size): down and right in the grid, then down and right in the patch.",
                _steps(lambda a, b, size, stride: (a * stride, a, b * stride, b))),
        Mistake("A column is not always one step in memory: `image.stride(1)` in place of 1.",
                _steps(lambda a, b, size, stride: (a * stride, stride, a, 1))),
        Mistake("Steps count numbers, not bytes.", _steps_in_bytes),
        Mistake("ph counts rows and pw columns: the image is not square.",
                _steps(_own_steps, lambda image, size, stride: _grid(image, size, stride)[:1] * 2)),
        Mistake("ph and pw are exchanged: ph counts the starts downward.", _steps(_own_steps, lambda image, size, stride: _grid(image, size, stride)[::-1])),
        Mistake("Each start was counted, as with stride 1: (H - size) // stride + 1 of them fit.",
                _steps(_own_steps, lambda image, size, stride: _grid(image, size, 1))),
        Mistake("The argument `stride` is ignored: patches start `stride` pixels apart, and fewer of them fit.",
                lambda image, size, stride: _reference_patches(image, size, 1)),
        Mistake("Patches that stick out are among yours: only (H - size) // stride + 1 of them fit.",
                _steps(_own_steps, lambda image, size, stride: [-(-n // stride) for n in image.shape])),
        Mistake("Right patches, but in one row: keep the grid, (ph, pw, size, size).",
                lambda image, size, stride: _reference_patches(image, size, stride).flatten(0, 1)),
        Mistake("One step cannot lead along the whole grid: at the end of a row of patches it leaves the image. Two axes, two steps.", _places_in_a_row),
    ],
    hints=[
        "A stride is a step in memory. How far is it to the next row, and how far to the next row of patches?",
        "`image.stride()` gives the steps of the image, one row down and one column to the right. Inside a patch they stay; from patch to "
        "patch they are `stride` times as large.",
        "`image.as_strided((ph, pw, size, size), (___, ___, a, b))`",
    ],
)


# ---------------------------------------------------------------------------------------------- 09.5 conv2d

def _layer_inputs(seed: int, n: int = 3, dtype="float64"):
    return (_random(n, 4, 8, 11, seed=seed, dtype=dtype), _random(5, 4, 3, 2, seed=seed + 1, mean=0.1, dtype=dtype),
            _random(5, seed=seed + 2, mean=4.0, dtype=dtype))


def _gradient(result, leaf, seed: int):
    """The gradient of a weighted sum of ``result`` with respect to ``leaf``, or a text that says why there is none."""
    import torch

    if not is_tensor(result):
        return describe(result)
    if not result.requires_grad:
        return "none: the result does not depend on it"
    upstream = _random(*result.shape, seed=seed).to(result.dtype)
    gradient = torch.autograd.grad((result * upstream).sum(), leaf, retain_graph=True, allow_unused=True)[0]
    return "none: the result does not depend on it" if gradient is None else gradient


def _observe_conv2d(conv2d, see):
    import torch

    x, weight, bias = _layer_inputs(950)
    shapes = "x (3, 4, 8, 11), weight (5, 4, 3, 2)"
    with _watch() as called, _exact(), torch.enable_grad():
        see.call(conv2d, x, weight, bias, label=f"{shapes}, bias (5,)")
        see.call(conv2d, x, weight, label=f"{shapes}, no bias")
        see.call(conv2d, x, weight, bias, stride=2, padding=1, label=f"{shapes}, bias (5,), stride=2, padding=1")
        see.call(conv2d, *_layer_inputs(960, 2, "float32"), 3, 2, label="float32 x (2, 4, 8, 11), weight (5, 4, 3, 2), bias (5,), stride=3, padding=2")
        for leaf in (x, weight, bias):
            leaf.requires_grad_()
        out = see.call(conv2d, x, weight, bias, label=f"{shapes}, bias (5,), all three want a gradient", changes_inputs=True)
        for name, leaf in (("weight", weight), ("bias", bias), ("input x", x)):
            see.fact(f"the gradient with respect to the {name}", _gradient(out, leaf, 970))
    _ready_made(see, called, "conv2d")


def _reference_conv2d(x, weight, bias=None, stride=1, padding=0):
    import torch.nn.functional as F

    return F.conv2d(x, weight, bias, stride, padding)


def _plus_bias(out, bias):
    return out if bias is None else out + bias[:, None, None]


def _columns_out_of_order(x, weight, bias=None, stride=1, padding=0):
    import torch.nn.functional as F

    right = _reference_conv2d(x, weight, bias, stride, padding)
    cols = F.unfold(x, weight.shape[2:], stride=stride, padding=padding)
    return _plus_bias((weight.permute(0, 2, 3, 1).flatten(1) @ cols).view(right.shape), bias)


def _scrambled(x, weight, bias=None, stride=1, padding=0):
    right = _reference_conv2d(x, weight, bias, stride, padding)
    return right.permute(0, 2, 3, 1).reshape(right.shape)


def _bias_scrambled_after(x, weight, bias=None, stride=1, padding=0):
    return _plus_bias(_scrambled(x, weight, None, stride, padding), bias)


def _layer_like(wrong, with_bias: bool = True):
    """Whether the first result is the one that ``wrong`` gives, with or without its bias."""
    def when(facts: dict) -> bool:
        x, weight, bias = _layer_inputs(950)
        got = list(facts.values())[0 if with_bias else 1]
        return _same(wrong(x, weight, bias if with_bias else None), got)

    return when


def _first_channel(x, weight, bias=None, stride=1, padding=0):
    return _reference_conv2d(x[:, :1], weight[:, :1], bias, stride, padding)


def _turned_layer(x, weight, bias=None, stride=1, padding=0):
    return _reference_conv2d(x, weight.flip(2, 3), bias, stride, padding)


def _layer_lying(x, weight, bias=None, stride=1, padding=0):
    out = _reference_conv2d(x, weight, bias, stride, padding)
    return out.reshape(*out.shape[:2], out.shape[3], out.shape[2])


def _layer_mixed(x, weight, bias=None, stride=1, padding=0):
    out = _reference_conv2d(x, weight, bias, stride, padding)
    return out.reshape(out.shape[1], out.shape[0], *out.shape[2:]).transpose(0, 1)


def _weights_viewed(x, weight, bias=None, stride=1, padding=0):
    return _reference_conv2d(x, weight.reshape(-1, len(weight)).T.reshape(weight.shape), bias, stride, padding)


def _filters_lying(x, weight, bias=None, stride=1, padding=0):
    return _reference_conv2d(x, weight.transpose(2, 3).reshape(weight.shape), bias, stride, padding)


def _truth_of_bias(x, weight, bias=None, stride=1, padding=0):
    return _reference_conv2d(x, weight, bias if bias else None, stride, padding)


def _channels_averaged(x, weight, bias=None, stride=1, padding=0):
    return _plus_bias(_reference_conv2d(x, weight, None, stride, padding) / x.shape[1], bias)


conv2d = Exercise(
    "09.5", "conv2d",
    observe=_observe_conv2d,
    expected=_reference_conv2d,
    mistakes=[
        Mistake("The bias has one value per output channel: view it as (O,1,1).",
                lambda x, weight, bias=None, stride=1, padding=0:
                    _reference_conv2d(x, weight, None, stride, padding) + (0 if bias is None else bias),
                lambda facts: _raised(facts, "must match the size of tensor b (5)")),
        Mistake("Weights and patch entries are paired in different orders: flatten (C,kh,kw) as it is.",
                _columns_out_of_order, _layer_like(_columns_out_of_order, False)),
        Mistake("All numbers are right, but in wrong places: transpose before the view.", _scrambled, _layer_like(_bias_scrambled_after)),
        Mistake("Only channel 0 was used: sum over all input channels.", _first_channel, _layer_like(_first_channel)),
        Mistake("Every map is off by a constant: the bias is missing.",
                lambda x, weight, bias=None, stride=1, padding=0: _reference_conv2d(x, weight, None, stride, padding)),
        Mistake("Cross-correlation, not convolution: do not flip.", _turned_layer, _layer_like(_turned_layer)),
        Mistake("No gradient reaches the weight: `detach()` or `.data` cuts it off, and the layer can't learn.",
                lambda x, weight, bias=None, stride=1, padding=0: _reference_conv2d(x, weight.detach(), bias, stride, padding),
                lambda facts: facts["the gradient with respect to the weight"].startswith("none")),
        Mistake("No gradient reaches x: the layers below this one could not learn.",
                lambda x, weight, bias=None, stride=1, padding=0: _reference_conv2d(x.detach(), weight, bias, stride, padding)),
        Mistake("No gradient reaches the bias: it is a parameter too.",
                lambda x, weight, bias=None, stride=1, padding=0:
                    _reference_conv2d(x, weight, None if bias is None else bias.detach(), stride, padding)),
        Mistake("`view` reads the filters in another order: (O, C·kh·kw) by `flatten(1)`, then transpose.", _weights_viewed, _layer_like(_weights_viewed, False)),
        Mistake("kh and kw are exchanged in the filters: flatten (C, kh, kw) as it is.", _filters_lying, _layer_like(_filters_lying, False)),
        Mistake("The channels are averaged: a response is the sum over all of them.", _channels_averaged, _layer_like(_channels_averaged, False)),
        Mistake("The bias came in once for each input channel: it is added once to each map.",
                lambda x, weight, bias=None, stride=1, padding=0:
                    _reference_conv2d(x, weight, None if bias is None else x.shape[1] * bias, stride, padding)),
        Mistake("The first bias serves all maps in yours: each output channel has its own.",
                lambda x, weight, bias=None, stride=1, padding=0:
                    _reference_conv2d(x, weight, None if bias is None else bias[:1].expand(len(bias)), stride, padding)),
        Mistake("The padding is ignored: `F.unfold` takes it too.",
                lambda x, weight, bias=None, stride=1, padding=0: _reference_conv2d(x, weight, bias, stride)),
        Mistake("The stride is ignored: `F.unfold` takes it too.",
                lambda x, weight, bias=None, stride=1, padding=0: _reference_conv2d(x, weight, bias, 1, padding)),
        Mistake("Only the first image is in the result: all N of them.",
                lambda x, weight, bias=None, stride=1, padding=0: _reference_conv2d(x[:1], weight, bias, stride, padding)),
        Mistake("Channels come second in PyTorch: (N, O, H', W').",
                lambda x, weight, bias=None, stride=1, padding=0: _reference_conv2d(x, weight, bias, stride, padding).permute(0, 2, 3, 1)),
        Mistake("The maps of all filters were added up: each filter makes a map of its own.",
                lambda x, weight, bias=None, stride=1, padding=0: _reference_conv2d(x, weight, bias, stride, padding).sum(1)),
        Mistake("`if bias` asks a whole tensor for one yes or no: ask `if bias is not None`.", _truth_of_bias),
        Mistake("A ReLU is no part of the layer: it comes after it, where one wants it.",
                lambda x, weight, bias=None, stride=1, padding=0: _reference_conv2d(x, weight, bias, stride, padding).clamp(min=0)),
        Mistake("The places are still in one row: view them as H' rows of W'.",
                lambda x, weight, bias=None, stride=1, padding=0: _reference_conv2d(x, weight, bias, stride, padding).flatten(2)),
        Mistake("H' and W' are exchanged in the last view.", _layer_lying),
        Mistake("The images and the filters are mixed: the product has the images first already, (N, O, places).", _layer_mixed),
    ],
    hints=[
        "All patches times all filters is one matrix product.",
        "`F.unfold(x, (kh, kw), stride=..., padding=...)` gives (N, C·kh·kw, L): each column is one patch, read by channel, row, column. A "
        "filter read in the same order is a row.",
        "`out = weight.___(1) @ cols; out = out + bias[:, ___]; out.view(N, O, H, ___)`",
    ],
)


# ---------------------------------------------------------------------------------------------- 09.6 pool2d

def _observe_pool2d(pool2d, see):
    with _watch() as called:
        table = _on_device(np.array(POOL_INTEGERS, float)[None, None])
        decimals = _on_device(np.array(POOL_DECIMALS)[None, None])
        x, y = _random(2, 3, 9, 13, seed=960, mean=-1.0), _random(5, 4, 8, 10, seed=961, mean=-6.0, dtype="float32")
        see.call(pool2d, table, label="pool2d of the rows 1 1 2 4 / 5 6 7 8 / 3 2 1 0 / 1 2 3 4")
        see.call(pool2d, decimals, label="pool2d of the decimals of the text")
        see.call(pool2d, decimals, mode="avg", label="pool2d of the decimals of the text, mode=\"avg\"")
        for mode in ("max", "avg"):
            see.call(pool2d, x, 3, mode=mode, label=f"pool2d(x (2, 3, 9, 13), size=3, mode={mode!r})")
            see.call(pool2d, x, 3, 2, mode, label=f"pool2d(x (2, 3, 9, 13), size=3, stride=2, mode={mode!r})")
            see.call(pool2d, x, size=4, stride=3, mode=mode, label=f"pool2d(x (2, 3, 9, 13), size=4, stride=3, mode={mode!r})")
            see.call(pool2d, y, stride=1, mode=mode, label=f"pool2d(float32 x (5, 4, 8, 10), all negative, stride=1, mode={mode!r})")
        see.raises(pool2d, x, mode="min", label="pool2d(x, mode=\"min\")")
    _ready_made(see, called, "max_pool2d", "avg_pool2d")


def _reference_pool2d(x, size=2, stride=None, mode="max", ceil=False):
    import torch.nn.functional as F

    if mode not in ("max", "avg"):
        raise ValueError(f"mode is max or avg, not {mode}")
    pool = F.max_pool2d if mode == "max" else F.avg_pool2d
    return pool(x, size, stride, ceil_mode=ceil)


def _pooled_like(wrong, label: str):
    """Whether one result on x is that of ``wrong``."""
    def when(facts: dict) -> bool:
        x = _random(2, 3, 9, 13, seed=960, mean=-1.0)
        return _same(wrong(x), facts[f"pool2d(x (2, 3, 9, 13), {label})"])

    return when


def _over_channels(x, size=2, stride=None, mode="max"):
    out = _reference_pool2d(x, size, stride, mode)
    return out.amax(1, keepdim=True) if mode == "max" else out


def _window_sums(x, size=2, stride=None, mode="max"):
    return _reference_pool2d(x, size, stride, mode) * (size**2 if mode == "avg" else 1)


def _from_zero(x, size=2, stride=None, mode="max"):
    out = _reference_pool2d(x, size, stride, mode)
    return out.clamp(min=0) if mode == "max" else out


def _mean_for_all_else(x, size=2, stride=None, mode="max"):
    return _reference_pool2d(x, size, stride, "max" if mode == "max" else "avg")


def _raise_key_error(x, size=2, stride=None, mode="max"):
    return {"max": _reference_pool2d, "avg": _reference_pool2d}[mode](x, size, stride, mode)


_UNKNOWN = 'pool2d(x, mode="min")'


def _unknown_is(start: str):
    """Whether all pools are right, and an unknown mode leads to something that starts like this."""
    def when(facts: dict) -> bool:
        x = _random(2, 3, 9, 13, seed=960, mean=-1.0)
        return facts[_UNKNOWN].startswith(start) and all(
            _same(_reference_pool2d(x, 3, 2, mode), facts[f"pool2d(x (2, 3, 9, 13), size=3, stride=2, mode={mode!r})"]) for mode in ("max", "avg"))

    return when


def _pool_or(instead):
    """The right pools; for an unknown mode, what ``instead(message)`` returns or raises."""
    def example(x, size=2, stride=None, mode="max"):
        return _reference_pool2d(x, size, stride, mode) if mode in ("max", "avg") else instead(mode)

    return example


def _windows(x, size, stride):
    """All windows of all maps: (N, C, H', W', size, size)."""
    return x.unfold(2, size, stride or size).unfold(3, size, stride or size)


def _pool_by(largest, mean):
    """Pools with other functions of the windows: each takes (N, C, H', W', size, size)."""
    def example(x, size=2, stride=None, mode="max"):
        right = _reference_pool2d(x, size, stride, mode)  # for its ValueError
        found = (largest if mode == "max" else mean)(_windows(x, size, stride))
        return found.to(right.dtype)

    return example


def _maximum(windows):
    return windows.amax((-1, -2))


def _average(windows):
    return windows.mean((-1, -2))


def _padded_pool(x, size=2, stride=None, mode="max"):
    import torch.nn.functional as F

    right = _reference_pool2d(x, size, stride, mode)
    return right if mode not in ("max", "avg") else (F.max_pool2d if mode == "max" else F.avg_pool2d)(x, size, stride, padding=size // 2)


def _zeros_beyond(x, size=2, stride=None, mode="max"):
    import torch.nn.functional as F

    more = [-(n - size) % (stride or size) for n in x.shape[2:]]
    return _reference_pool2d(F.pad(x, (0, more[1], 0, more[0])), size, stride, mode)


def _cut_without_moving(x, size=2, stride=None, mode="max"):
    """The reshape to (N, C, H', W', size, size), which cuts rows into pieces instead of windows."""
    rows, columns = (n // size for n in x.shape[2:])
    _reference_pool2d(x, size, stride, mode)
    pieces = x[:, :, :rows * size, :columns * size].reshape(*x.shape[:2], rows, columns, size, size)
    return _maximum(pieces) if mode == "max" else _average(pieces)


pool2d = Exercise(
    "09.6", "pool2d",
    observe=_observe_pool2d,
    expected=lambda x, size=2, stride=None, mode="max": _reference_pool2d(x, size, stride, mode),
    mistakes=[
        Mistake("Without a stride argument windows do not overlap: stride = size.",
                lambda x, size=2, stride=None, mode="max": _reference_pool2d(x, size, stride or 1, mode),
                _pooled_like(lambda x: _reference_pool2d(x, 3, 1), "size=3, mode='max'")),
        Mistake("The output is one too large: drop windows that stick out.",
                lambda x, size=2, stride=None, mode="max": _reference_pool2d(x, size, stride, mode, True),
                _pooled_like(lambda x: _reference_pool2d(x, 3, ceil=True), "size=3, mode='max'")),
        Mistake("Pooling works on each channel alone; the channel count never changes.",
                _over_channels, _pooled_like(lambda x: _over_channels(x, 3)[:, 0], "size=3, mode='max'")),
        Mistake("Divide by size²: the average of a window is its sum over the number of its values.",
                _window_sums, _pooled_like(lambda x: _window_sums(x, 3, mode="avg"), "size=3, mode='avg'")),
        Mistake("A window of negative values gave 0: a hidden ReLU. Start from −∞ or take the maximum of the window.",
                _from_zero, _pooled_like(lambda x: _from_zero(x, 3), "size=3, mode='max'")),
        Mistake("The stride is always 2 in yours where none is given. It defaults to the size.",
                lambda x, size=2, stride=None, mode="max": _reference_pool2d(x, size, stride or 2, mode),
                _pooled_like(lambda x: _reference_pool2d(x, 3, 2), "size=3, mode='max'")),
        Mistake("The argument `stride` is ignored: windows may overlap.", lambda x, size=2, stride=None, mode="max": _reference_pool2d(x, size, None, mode)),
        Mistake("An unknown mode must raise ValueError: `min` went through as a mean.", _mean_for_all_else),
        Mistake("An unknown mode raises KeyError in yours; asked is ValueError, which says that a value is wrong.", _raise_key_error,
                _unknown_is("raises KeyError")),
        Mistake("An unknown mode returns None in yours: `raise ValueError(...)` where neither mode fits.",
                _pool_or(lambda mode: None), _unknown_is("returns None")),
        Mistake("An unknown mode returns the exception in yours: `raise ValueError(...)`, in place of `return`.",
                _pool_or(ValueError), _unknown_is("returns a ValueError")),
        Mistake("An unknown mode ends with another exception in yours; asked is ValueError, which says that a value is wrong.",
                _pool_or(_fail), _unknown_is("raises ")),
        Mistake("Yours does not know the mode \"avg\": the two are called \"max\" and \"avg\".",
                lambda x, size=2, stride=None, mode="max": _reference_pool2d(x, size, stride, "unknown" if mode == "avg" else mode),
                lambda facts: list(facts.values())[2].kind == "ValueError" and len(facts) == 3),
        Mistake("Maximum and mean are exchanged.", _pool_by(_average, _maximum), _pooled_like(lambda x: _reference_pool2d(x, 3, mode="avg"), "size=3, mode='max'")),
        Mistake("The smallest of the window, not the largest.", _pool_by(lambda w: w.amin((-1, -2)), _average)),
        Mistake("The largest in size: a maximum looks at the sign, −1 is more than −9.", _pool_by(lambda w: w.abs().amax((-1, -2)), _average)),
        Mistake("The place of the maximum, not its value: `argmax` says where it is.", _pool_by(lambda w: w.flatten(-2).argmax(-1), _average)),
        Mistake("The first pixel of each window, not its maximum.", _pool_by(lambda w: w[..., 0, 0], lambda w: w[..., 0, 0])),
        Mistake("The median of the window, not its mean.", _pool_by(_maximum, lambda w: w.flatten(-2).median(-1).values)),
        Mistake("One number for all images and channels: take it over the last two axes of the windows only.",
                _pool_by(lambda w: w.amax((0, 1, 4, 5)).expand(w.shape[:4]), lambda w: w.mean((0, 1, 4, 5)).expand(w.shape[:4]))),
        Mistake("A window has two axes, rows and columns: yours went over one of them.",
                _pool_by(lambda w: w.amax(-1), lambda w: w.mean(-1)), lambda facts: next(iter(facts.values())).ndim == 5),
        Mistake("H' and W' are exchanged in your result.", _pool_by(lambda w: _maximum(w).transpose(2, 3), lambda w: _average(w).transpose(2, 3))),
        Mistake("W' is computed from H: rows and columns have sizes of their own.",
                _pool_by(lambda w: _maximum(w)[..., :w.shape[2]], lambda w: _average(w)[..., :w.shape[2]])),
        Mistake("`reshape` cuts rows into pieces, not maps into windows: (N, C, H', size, W', size), then the axes 3 and 5.",
                _cut_without_moving, lambda facts: facts["pool2d of the rows 1 1 2 4 / 5 6 7 8 / 3 2 1 0 / 1 2 3 4"].tolist() == [[[[4, 8], [3, 4]]]]),
        Mistake("There is padding in your pool: windows start at the corner, and nothing stands outside.", _padded_pool),
        Mistake("Windows that stick out were filled with zeros: drop them.", _zeros_beyond,
                _pooled_like(lambda x: _zeros_beyond(x, 3), "size=3, mode='max'")),
    ],
    hints=[
        "One number per channel and window.",
        "`x.unfold(2, size, stride).unfold(3, size, stride)` lays all windows out: their rows and columns are the last two axes. Only two "
        "modes are known; any other is a ValueError.",
        "`w.amax((___, ___))`",
    ],
)


# ---------------------------------------------------------------------------------------------- 09.7 receptive_field

VGG16 = [(3, 1)] * 2 + [(2, 2)] + [(3, 1)] * 2 + [(2, 2)] + ([(3, 1)] * 3 + [(2, 2)]) * 3
_STACKS = {
    "three convolutions 3 x 3": [(3, 1)] * 3,
    "one layer 1 x 1": [(1, 1)],
    "one layer of kernel 5, stride 3": [(5, 3)],
    "four convolutions 3 x 3 of stride 2": [(3, 2)] * 4,
    "conv, pool, conv, pool, conv": [(3, 1), (2, 2), (3, 1), (2, 2), (3, 1)],
    "[(7, 2), (3, 2), (1, 1), (5, 1)]": [(7, 2), (3, 2), (1, 1), (5, 1)],
    "[(2, 3), (4, 1), (1, 2), (3, 5)]": [(2, 3), (4, 1), (1, 2), (3, 5)],
    "VGG16 up to its fifth pool": VGG16,
}


def _observe_receptive_field(receptive_field, see):
    for name, layers in _STACKS.items():
        see.call(receptive_field, layers, label=name, parts=("the size", "the jump"))
    see.call(receptive_field, [], label="the empty list", parts=("the size", "the jump"))


def _reference_receptive_field(layers):
    """Looks which inputs get a gradient from one output, and from its neighbor, in a row with all-ones kernels."""
    import torch
    import torch.nn.functional as F

    x = torch.ones(1, 1, 600, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        out = x
        for kernel, stride in layers:
            out = F.conv1d(out, torch.ones(1, 1, kernel, dtype=torch.float64) / kernel, stride=stride)
        seen = [torch.autograd.grad(out[0, 0, place], x, retain_graph=True, allow_unused=True)[0][0, 0].nonzero()[:, 0] for place in (0, 1)]
    return int(seen[0][-1] - seen[0][0]) + 1, int(seen[1][0] - seen[0][0])


def _wrong_field(diagnosis: str, update, start: tuple[int, int] = (1, 1)) -> Mistake:
    """A known mistake; ``update(r, jump, k, s)`` is the step of one layer. It is recognized by the sizes alone too."""
    def example(layers):
        r, jump = start
        for k, s in layers:
            r, jump = update(r, jump, k, s)
        return r, jump

    def when(facts: dict) -> bool:
        return all(facts[name][0] == example(layers)[0] for name, layers in _STACKS.items())

    return Mistake(diagnosis, example, when)


def _pixels_with_gradient(layers):
    """How many pixels touch one output: fewer than its field where a stride is larger than the kernel."""
    seen = {0}
    for kernel, stride in layers[::-1]:
        seen = {place * stride + k for place in seen for k in range(kernel)}
    return len(seen), _reference_receptive_field(layers)[1]


receptive_field = Exercise(
    "09.7", "receptive_field",
    observe=_observe_receptive_field,
    expected=_reference_receptive_field,
    mistakes=[
        _wrong_field("Size right for stride 1 only: a step in a deep layer is several pixels wide.",
                     lambda r, jump, k, s: (r + k - 1, jump * s)),
        _wrong_field("The growth of a layer uses the jump of its *input*: do not update the jump first.",
                     lambda r, jump, k, s: (r + (k - 1) * jump * s, jump * s)),
        _wrong_field("Receptive fields add up, they do not multiply.", lambda r, jump, k, s: (r * k, jump * s)),
        _wrong_field("One layer 1×1 must not grow the field: k−1 instead of k.", lambda r, jump, k, s: (r + k * jump, jump * s)),
        _wrong_field("Strides multiply: two layers of stride 2 step 4 pixels, two of stride 3 step 9.", lambda r, jump, k, s: (r + (k - 1) * jump, jump + s - 1)),
        Mistake("The layers are read from the last to the first: begin at the input.", lambda layers: _reference_receptive_field(layers[::-1])),
        Mistake("Swapped: return the size first, then the jump.", lambda layers: _reference_receptive_field(layers)[::-1]),
        Mistake("Return both numbers, the size and the jump.", lambda layers: _reference_receptive_field(layers)[0],
                lambda facts: all(isinstance(value, int) for value in facts.values())),
        Mistake("Without a layer an output is a pixel: it sees 1, itself.", lambda layers: _reference_receptive_field(layers) if layers else (0, 1)),
        Mistake("The jump is that of the last layer alone: the strides of all layers multiply.",
                lambda layers: (_reference_receptive_field(layers)[0], layers[-1][1] if layers else 1)),
        Mistake("Where a stride is larger than the kernel, some pixels are skipped: count from the first to the last, holes included.", _pixels_with_gradient),
        _wrong_field("The size starts at 1: without a layer an output is a pixel.", lambda r, jump, k, s: (r + (k - 1) * jump, jump * s), (0, 1)),
        _wrong_field("The jump starts at 1: neighboring pixels are one pixel apart, and 0 times a stride stays 0.",
                     lambda r, jump, k, s: (r + (k - 1) * jump, jump * s), (1, 0)),
        _wrong_field("Strides multiply: the jump is their product, not their sum.", lambda r, jump, k, s: (r + (k - 1) * jump, jump + s)),
        _wrong_field("A layer grows the field by steps of the layers *before* it: its own stride plays no part.", lambda r, jump, k, s: (r + (k - 1) * s, jump * s)),
        _wrong_field("Every layer counts, the one with the largest kernel is not enough: sizes add up.", lambda r, jump, k, s: (max(r, k * jump), jump * s)),
        _wrong_field("A layer adds k−1 steps, k//2 on one side and the rest on the other: yours counts one side only.",
                     lambda r, jump, k, s: (r + k // 2 * jump, jump * s)),
        _wrong_field("A kernel of 2 adds one step, not two: k−1, not 2·(k//2).", lambda r, jump, k, s: (r + k // 2 * 2 * jump, jump * s)),
        _wrong_field("Kernel and stride are exchanged: a layer is a pair (kernel, stride).", lambda r, jump, k, s: (r + (s - 1) * jump, jump * k)),
        _wrong_field("The windows of neighbors overlap: a layer adds k−1 steps to a field that starts at 1.", lambda r, jump, k, s: (r + k * jump, jump * s), (0, 1)),
        _wrong_field("Pools count as layers: they have a kernel and a stride.", lambda r, jump, k, s: (r + (k - 1) * jump * (k != s), jump * s)),
        Mistake("That is the area: one axis is asked for.", lambda layers: (_reference_receptive_field(layers)[0] ** 2, _reference_receptive_field(layers)[1])),
        Mistake("The loop ends after the first layer: `return` belongs behind it.", lambda layers: _reference_receptive_field(layers[:1])),
    ],
    hints=[
        "How far apart are neighboring outputs, measured in input pixels?",
        "Keep two numbers, both 1 at the start: the size, and how far apart neighbors are. A layer adds k−1 steps to the size; its stride "
        "widens the steps of the layers behind it.",
        "`r += (k - 1) * ___` and `jump *= ___` (which first?).",
    ],
)


# ---------------------------------------------------------------------------------------------- 09.8 compose_kernels

_PAIRS = {  # name -> shapes of x, first, second
    "first (3, 2, 3, 3), second (4, 3, 2, 2)": ((2, 2, 9, 8), (3, 2, 3, 3), (4, 3, 2, 2)),
    "first (5, 4, 2, 2), second (3, 5, 4, 4)": ((3, 4, 7, 10), (5, 4, 2, 2), (3, 5, 4, 4)),
    "first (2, 3, 1, 1), second (5, 2, 3, 3)": ((1, 3, 6, 5), (2, 3, 1, 1), (5, 2, 3, 3)),
}


def _pair(name: str):
    return [_random(*shape, seed=980 + place, mean=0.4) for place, shape in enumerate(_PAIRS[name])]


def _observe_compose(compose_kernels, see):
    import torch
    import torch.nn.functional as F

    for name in _PAIRS:
        x, first, second = _pair(name)
        result = see.call(compose_kernels, first, second, label=name)
        shape = (second.shape[0], first.shape[1])
        fits = is_tensor(result) and result.ndim == 4 and tuple(result.shape[:2]) == shape and result.dtype == torch.float64
        through = F.conv2d(x, result) if fits and max(result.shape[2:]) <= min(x.shape[2:]) else "cannot be computed"
        see.fact(f"{name}: x through the result instead of both", through)


def _reference_compose(first, second):
    """The answer of both layers to an impulse in each channel, turned by 180 degrees."""
    import torch
    import torch.nn.functional as F

    channels, side = first.shape[1], first.shape[2] + second.shape[2] - 1
    impulses = torch.zeros(channels, channels, 2 * side - 1, 2 * side - 1, dtype=first.dtype, device=first.device)
    impulses[range(channels), range(channels), side - 1, side - 1] = 1
    return F.conv2d(F.conv2d(impulses, first), second).flip(2, 3).transpose(0, 1)


def _only_middle(channel: int):
    def wrong(first, second):
        m = range(len(first))[channel]
        return _reference_compose(first[m:m + 1], second[:, m:m + 1])

    return wrong


def _composed_like(wrong):
    def when(facts: dict) -> bool:
        name = next(iter(_PAIRS))
        return _same(wrong(*_pair(name)[1:]), facts[name])

    return when


def _correlated(padding, *axes: int):
    """The correlation of the kernels with the padding ``padding(k1, k2)``, ``second`` flipped along some axes."""
    def wrong(first, second):
        import torch.nn.functional as F

        return F.conv2d(first.transpose(0, 1), second.flip(*axes), padding=padding(first.shape[-1], second.shape[-1])).transpose(0, 1)

    return wrong


def _full(k1, k2):
    return k2 - 1


def _last_path(first, second):
    """Copies that overwrite one another, in place of adding up."""
    import torch

    (o, _, k2, _), (_, c, k1, _) = second.shape, first.shape
    out = first.new_zeros(o, c, k1 + k2 - 1, k1 + k2 - 1)
    for a in range(k2):
        for b in range(k2):
            out[:, :, a:a + k1, b:b + k1] = torch.einsum("om,mcij->ocij", second[:, :, a, b], first)
    return out


compose_kernels = Exercise(
    "09.8", "compose_kernels",
    observe=_observe_compose,
    expected=_reference_compose,
    mistakes=[
        Mistake("Composing needs the true convolution: flip one kernel.",
                lambda first, second: _reference_compose(first, second.flip(2, 3)),
                _composed_like(lambda first, second: _reference_compose(first.flip(2, 3), second))),
        Mistake("Every path through the intermediate channels contributes: sum over m.", _only_middle(-1), _composed_like(_only_middle(0))),
        Mistake("Right numbers, rotated by 180°.", lambda first, second: _reference_compose(first, second).flip(2, 3)),
        Mistake("The result has shape (C,O,…): output channels come first.",
                lambda first, second: _reference_compose(first, second).transpose(0, 1)),
        Mistake("Only the places where both kernels overlap wholly: the result is k1+k2−1 wide, so pad by k2−1.",
                _correlated(lambda k1, k2: 0, 2, 3), _composed_like(_correlated(lambda k1, k2: 0, 2, 3))),
        Mistake("Padded by the wrong kernel: `first` needs k2−1 zeros on each side.", _correlated(lambda k1, k2: k1 - 1, 2, 3),
                _composed_like(_correlated(lambda k1, k2: k1 - 1, 2, 3))),
        Mistake("One zero too many on each side: pad by k2−1, the result is k1+k2−1 wide.", _correlated(lambda k1, k2: k2, 2, 3)),
        Mistake("The padding is always 1 in yours: `first` needs k2−1 zeros on each side.", _correlated(lambda k1, k2: 1, 2, 3)),
        Mistake("Flipped along one axis only: both, rows and columns.", _correlated(_full, 3), _composed_like(_correlated(_full, 2))),
        Mistake("The intermediate channels are reversed too: flip rows and columns only.", _correlated(_full, 1, 2, 3)),
        Mistake("Rows and columns of one kernel are exchanged.", lambda first, second: _reference_compose(first.transpose(2, 3), second),
                _composed_like(lambda first, second: _reference_compose(first, second.transpose(2, 3)))),
        Mistake("Shifted copies overwrite one another: add them up with `+=`.", _last_path,
                _composed_like(lambda first, second: _last_path(first[-1:], second[:, -1:]))),
        Mistake("The mean over the intermediate channels; every path contributes in full, so sum over m.",
                lambda first, second: _reference_compose(first, second) / len(first)),
    ],
    hints=[
        "Feed an impulse: what does each entry of `second` do with the answer of `first`?",
        "Each entry of `second` adds a shifted copy of `first`. Start with zeros of shape (O, C, k1+k2−1, k1+k2−1), and go through the rows "
        "a and columns b of `second`.",
        "`out[:, :, a:a+k1, b:b+k1] += einsum(\"om,mcij->___\", second[:, :, a, b], first)`",
    ],
)


# ---------------------------------------------------------------------------------------------- 09.9 conv_weight_grad

_GRADS = {"x (3, 4, 8, 11), upstream (3, 5, 6, 10)": ((3, 4, 8, 11), (3, 5, 6, 10)),
          "x (2, 3, 7, 6), upstream (2, 4, 5, 3)": ((2, 3, 7, 6), (2, 4, 5, 3))}


def _grad_inputs(name: str):
    return [_random(*shape, seed=990 + place) for place, shape in enumerate(_GRADS[name])]


def _observe_weight_grad(conv_weight_grad, see):
    for name in _GRADS:
        see.call(conv_weight_grad, *_grad_inputs(name), label=name)


def _reference_weight_grad(x, upstream):
    import torch
    import torch.nn.functional as F

    side = [a - b + 1 for a, b in zip(x.shape[2:], upstream.shape[2:], strict=True)]
    weight = torch.zeros(upstream.shape[1], x.shape[1], *side, dtype=x.dtype, device=x.device, requires_grad=True)
    with torch.enable_grad():
        return torch.autograd.grad(F.conv2d(x, weight), weight, upstream)[0]


def _grads_by_image(x, upstream):
    import torch

    return torch.stack([_reference_weight_grad(x[n:n + 1], upstream[n:n + 1]) for n in range(len(x))])


def _viewed_as_channels_last(x, upstream):
    right = _reference_weight_grad(x, upstream)
    o, c, kh, kw = right.shape
    return right.reshape(o, kh, kw, c).permute(0, 3, 1, 2)


conv_weight_grad = Exercise(
    "09.9", "conv_weight_grad",
    observe=_observe_weight_grad,
    expected=_reference_weight_grad,
    mistakes=[
        Mistake("A shared weight gets the *sum* of the contributions; averaging hides H'·W'.",
                lambda x, upstream: _reference_weight_grad(x, upstream) / _places(upstream.shape),
                lambda facts: _same(next(iter(facts.values())) * 180, _reference_weight_grad(*_grad_inputs(next(iter(_GRADS)))))),
        Mistake("The loss already decides about averaging; the layer sums over the batch.",
                lambda x, upstream: _reference_weight_grad(x, upstream) / len(x)),
        Mistake("You overwrote instead of adding: only the last image counts.",
                lambda x, upstream: _reference_weight_grad(x[-1:], upstream[-1:])),
        Mistake("Only the first image counts in yours: sum over the whole batch.", lambda x, upstream: _reference_weight_grad(x[:1], upstream[:1])),
        Mistake("The gradient of a correlation is a correlation: no flip.",
                lambda x, upstream: _reference_weight_grad(x, upstream).flip(2, 3),
                lambda facts: _same(_reference_weight_grad(*(t.flip(2, 3) if n else t for n, t in enumerate(_grad_inputs(next(iter(_GRADS)))))),
                                    next(iter(facts.values())))),
        Mistake("You return (C,O,…): output channels come first.",
                lambda x, upstream: _reference_weight_grad(x, upstream).transpose(0, 1)),
        Mistake("One gradient for each image: the weight is shared by all of them, so sum over n.", _grads_by_image),
        Mistake("You overwrote instead of adding: only the last place counts.",
                lambda x, upstream: _reference_weight_grad(x[..., upstream.shape[2] - 1:, upstream.shape[3] - 1:], upstream[..., -1:, -1:])),
        Mistake("The kernel is one too small: of H pixels and H' outputs, kh = H − H' + 1.",
                lambda x, upstream: _reference_weight_grad(x, upstream)[..., :-1, :-1]),
        Mistake("kh and kw are exchanged.", lambda x, upstream: _reference_weight_grad(x, upstream).transpose(2, 3)),
        Mistake("The input channels were added up: each weight belongs to one of them.",
                lambda x, upstream: _reference_weight_grad(x, upstream).sum(1, keepdim=True).expand(-1, x.shape[1], -1, -1),
                lambda facts: _same(_reference_weight_grad(*_grad_inputs(next(iter(_GRADS)))).sum(1, keepdim=True), next(iter(facts.values()))[:, :1])),
        Mistake("Each patch counts by what arrives at its output: multiply by `upstream`.",
                lambda x, upstream: _reference_weight_grad(x, upstream * 0 + 1)),
        Mistake("The rows of a patch are read by channel, row, column: view them as (O, C, kh, kw).", _viewed_as_channels_last),
    ],
    hints=[
        "A shared weight collects gradient from each place where it is used.",
        "`F.unfold(x, (kh, kw))` gives the patches, one column for each place. The size of the kernel follows from the two shapes: "
        "an output has kh−1 rows fewer than its input.",
        "`einsum(\"nol,npl->___\", ...)`",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("09", [
    Question("A 5 × 5 filter looks at an RGB image. How many weights has it?",
             ("75, and one bias", "5 · 5 · 3: a filter spans all input channels, and has one bias."),
             [("25, and one bias", "The filter spans the channels: it has 25 weights for each of the three."),
              ("78: 75 weights and three biases", "One bias per filter, not one per input channel.")]),
    Question("Conv, conv, conv, with nothing between them. What is wrong?",
             ("It equals one convolution", "Linear after linear is linear: one convolution with a larger kernel does the same."),
             [("The maps shrink", "True without padding, but harmless."),
              ("The operations are local", "True, and that is the idea of the layer.")]),
    Question("The same layer gets 64 input channels instead of 1. The multiplications grow",
             ("by the factor 64", "Each output value is a sum over all channels."),
             [("not at all: weights are shared", "Sharing is over positions, not over channels."),
              ("by the factor 8", "Nothing is a square root here: 64 times as many products for each output value.")]),
    Question("How many parameters has a 3 × 3 max pool with stride 2 on 128 channels?",
             ("0", "The maximum has nothing to learn."),
             [("9", "Nothing is learned: a pool has a window, but no weights."),
              ("1,152", "9 · 128 would be weights; a pool has none.")]),
    Question("Is a convolution layer invariant to shifts?",
             ("No, it is equivariant", "The map shifts with the image."),
             [("Yes, its weights are shared", "Sharing makes the map *move* with the image; invariant would mean that it stays the same."),
              ("Yes, if a pool follows", "That holds only inside a window: most shifts still change the pooled map.")]),
    Question("A high-pass kernel (sum 0) looks at a uniformly bright wall of value 255. The inner part of the map is",
             ("0", "Equal values times weights that sum to 0."),
             [("255", "That would be a kernel with sum 1."),
              ("1,020", "That is the part of the center, 4 · 255; the four neighbors take it away again.")]),
    Question("A convolution layer and a dense layer cost about the same multiplications. What does the convolution save?",
             ("Parameters", "640 against 401,920, at similar multiplications."),
             [("Multiplications", "Each shared weight is used at every position, and each use is a multiplication."),
              ("Both", "The multiplications were about the same: sharing saves weights only.")]),
    Question("Is one filter of the first layer a \"dog detector\"?",
             ("No", "Filters react to simple shapes that several classes share; the combination decides."),
             [("Yes, after training", "Training finds useful edges and colors there; no single one of them is a dog."),
              ("Yes, one filter for each class", "The number of filters has nothing to do with the number of classes.")]),
])


# ---------------------------------------------------------------------------------------------- pictures to look at

FIRST_TEN = (5, 0, 4, 1, 9, 2, 1, 3, 1, 4)


def ten_digits(digits):
    """Ten digits 5 0 4 1 9 2 1 3 1 4, with a 3 at index 7: (10, 28, 28) float32 in 0..1 on the device of the lesson.

    Args: digits, as ``data.mnist()`` gives them. Of MNIST these are the first ten training images.
    """
    labels, places = digits.train_labels.tolist(), []
    for wanted in FIRST_TEN:
        places.append(next(n for n, label in enumerate(labels) if label == wanted and n not in places))
    return _on_device(digits.train_images[places].astype(np.float32) / 255)


def street():
    """A drawn street: gray sky, a light road, a dark car with two wheels. (200, 320) float32 in 0..1."""
    y, x = np.mgrid[:200, :320].astype(float)
    picture = np.where(y < 140, 0.55 + 0.25 * y / 140, 0.86)
    picture[(y > 168) & (y < 172) & (x % 64 < 36)] = 1.0
    body = (x > 70) & (x < 252) & (y > 98) & (y < 140)
    slope = np.clip((98 - y) / 40, 0, 1) * 26
    cabin = (y > 58) & (y <= 98) & (x > 104 + slope) & (x < 218 - slope)
    picture[body | cabin] = 0.16
    picture[(y > 66) & (y < 94) & (x > 112 + slope) & (x < 156)] = 0.72
    picture[(y > 66) & (y < 94) & (x > 164) & (x < 210 - slope)] = 0.72
    for center in (112, 212):
        away = np.hypot(x - center, y - 142)
        picture[away < 20] = 0.05
        picture[away < 8] = 0.6
    return _on_device(picture.astype(np.float32))


def square():
    """A light square on a dark ground, not in the middle: (9, 9) float32 of 0 and 1."""
    picture = np.zeros((9, 9), np.float32)
    picture[2:7, 3:8] = 1
    return _on_device(picture)


def panda():
    """A black-and-white face of flat areas: (90, 110) float32 of 0.05 and 0.95."""
    y, x = np.mgrid[:90, :110].astype(float)
    picture = np.full(y.shape, 0.95)

    def ellipse(cx, cy, rx, ry):
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1

    picture[ellipse(25, 18, 15, 14) | ellipse(85, 18, 15, 14)] = 0.05
    picture[ellipse(55, 48, 42, 36)] = 0.95
    picture[ellipse(38, 42, 9, 12) | ellipse(72, 42, 9, 12) | ellipse(55, 62, 7, 5)] = 0.05
    picture[ellipse(39, 42, 3, 3) | ellipse(71, 42, 3, 3)] = 0.95
    return _on_device(picture.astype(np.float32))


# ---------------------------------------------------------------------------------------------- drawing tables of numbers

def _show(fig, alt: str, colors: int = 112) -> None:
    """A figure with fewer colors, which takes half the bytes: there are many of them in this lesson."""
    plots.show(fig, alt, colors=colors)


def _numbers(ax, values, low: float = 0, high: float = 1, cmap: str = "Greys", digits: int = 0, size: float = 13, title: str = "") -> None:
    """A table of numbers on a tinted ground. Colors range from low to high, the same for tables that are compared."""
    values = np.asarray(values, float)
    ax.imshow(values, cmap=cmap, vmin=low, vmax=high, alpha=0.55)
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, f"{value:.{digits}f}".replace("-", "−"), ha="center", va="center", fontsize=size, color="black")
    ax.set(xticks=np.arange(-0.5, values.shape[1]), yticks=np.arange(-0.5, values.shape[0]), xticklabels=[], yticklabels=[])
    ax.tick_params(length=0)
    ax.grid(True, color="white", linewidth=1.2)
    ax.set_title(title, fontsize=12)


def _frame(ax, row: float, column: float, height: float, width: float, color: str = plots.RED, **options) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((column - 0.5, row - 0.5), width, height, fill=False, edgecolor=color, zorder=4, **{"linewidth": 3, **options}))


def _bare(ax) -> None:
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for side in ax.spines.values():
        side.set_visible(True)


def _sign(fig_ax, text: str, size: float = 24) -> None:
    fig_ax.text(0.5, 0.5, text, ha="center", va="center", fontsize=size, transform=fig_ax.transAxes)
    fig_ax.set_axis_off()


def _box(ax, x: float, y: float, width: float, height: float, text: str, color: str, size: float = 11) -> None:
    from matplotlib.patches import FancyBboxPatch

    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.02,rounding_size=0.08", facecolor=color, alpha=0.25,
                                edgecolor=color, linewidth=2))
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=size)


def _arrow(ax, start, end, color: str = plots.BLACK, **options) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 1.8, **options})


# ---------------------------------------------------------------------------------------------- figures: why

def show_systems() -> None:
    """System A, fixed features and a trained classifier; system B, all trained."""
    fig, axes = plots.figure(2, 1, size=(9.2, 3.4))
    rows = (("A: features by hand", ("pixels", "fixed features\nhistograms, edges", "classifier", "class"), (1,)),
            ("B: features learned", ("pixels", "convolutions", "classifier", "class"), ()))
    for ax, (title, names, fixed) in zip(axes, rows, strict=True):
        for n, name in enumerate(names):
            trained = n in (1, 2) and n not in fixed
            _box(ax, 2.5 * n, 0, 1.75, 0.8, name, plots.BLUE if trained else plots.GREY)
            if n in (1, 2):
                ax.text(2.5 * n + 0.875, -0.3, "trained" if trained else "designed", ha="center", fontsize=11,
                        color=plots.BLUE if trained else plots.BLACK)
            if n:
                _arrow(ax, (2.5 * n - 0.7, 0.4), (2.5 * n - 0.05, 0.4))
        ax.set(xlim=(-0.1, 9.4), ylim=(-0.45, 1.1))
        ax.set_title(title, fontsize=13, loc="left")
        ax.set_axis_off()
    _show(fig, "Two chains from pixels to a class. System A: the features are designed, only the classifier is trained. System B: "
               "convolutions and classifier are trained together, from the pixels on.")


def show_same_histogram(picture, mixed) -> None:
    """A picture, the same pixels in another order, and both histograms. Args: two arrays (H, W) in 0..1."""
    a, b = _cpu(picture), _cpu(mixed)
    fig, axes = plots.figure(1, 3, size=(8.0, 2.2))
    for ax, image, name in zip(axes, (a, b), ("a picture", "the same pixels, mixed"), strict=False):
        ax.imshow(image, cmap="gray", vmin=0, vmax=1)
        ax.set_title(name, fontsize=11)
        _bare(ax)
    axes[2].hist(a.ravel(), 32, (0, 1), color=plots.BLUE, label="picture")
    axes[2].hist(b.ravel(), 32, (0, 1), histtype="step", color=plots.RED, linewidth=2, label="mixed")
    axes[2].set(xlabel="gray value", ylabel="pixels")
    plots.legend(axes[2])
    _show(fig, "Left, a street with a car; in the middle, the same pixels in a random order: noise. Right, the two histograms lie "
               "exactly on top of each other.", colors=40)


def show_flattened(image, permutation) -> None:
    """A digit, the same with permuted pixels, and both as rows. Args: image (28, 28) in 0..1; permutation (784,)."""
    plain = _cpu(image)
    mixed = plain.ravel()[_cpu(permutation)].reshape(28, 28)
    fig, axes = plots.figure(2, 2, size=(9.4, 3.8), width_ratios=(1, 3.4))
    for row, picture, name in zip(axes, (plain, mixed), ("the image", "pixels permuted"), strict=True):
        row[0].imshow(picture, cmap="gray", vmin=0, vmax=1)
        row[0].set_title(name, fontsize=11)
        _bare(row[0])
        row[1].imshow(picture.ravel()[None, 200:440], cmap="gray", vmin=0, vmax=1, aspect="auto")
        row[1].set_title("flattened: pixels 200 to 439", fontsize=11)
        _bare(row[1])
    _show(fig, "Above, a 3 and a part of its flattened row of 784 numbers. Below, the same with all pixels in another fixed order. To a "
               "dense network the two rows are equally good.")


def show_counting(counts: dict[str, int]) -> None:
    """Parameters of four networks on 28 x 28 images. Args: name -> count."""
    fig, ax = plots.figure(size=(8.6, 3.1))
    places = range(len(counts))
    ax.barh(places, counts.values(), color=[plots.GREY, plots.BLUE, plots.BLUE, plots.RED], height=0.6)
    for place, count in zip(places, counts.values(), strict=True):
        ax.text(count + 900, place, f"{count:,}", va="center", fontsize=12)
    ax.set(yticks=places, yticklabels=list(counts), xlabel="parameters", xlim=(0, 86000), ylim=(len(counts) - 0.5, -0.5))
    said = ", ".join(f"{name.replace(chr(10), ' ')}: {count:,}" for name, count in counts.items())
    _show(fig, f"Parameters of four networks on 28 by 28 images. {said}.")


# ---------------------------------------------------------------------------------------------- figures: one filter

def _window_figure(place: int):
    """Image, window, kernel, products and sum at one of the nine positions, row by row; (figure, text)."""
    image, kernel = np.array(IMAGE), np.array(KERNEL)
    i, j = divmod(int(place), 3)
    window = image[i:i + 3, j:j + 3]
    products = window * kernel
    fig, axes = plots.figure(1, 7, size=(9.6, 2.9), width_ratios=(5, 0.8, 3, 0.8, 3, 0.8, 3))
    _numbers(axes[0], image, 0, 6, title="image 5 × 5")
    _frame(axes[0], i, j, 3, 3)
    _sign(axes[1], "·")
    _numbers(axes[2], kernel, 0, 6, "Blues", title="kernel")
    _sign(axes[3], "=")
    _numbers(axes[4], products, 0, 12, "Oranges", title="nine products")
    _sign(axes[5], "Σ")
    done = np.array(TABLES[1, 0, False], float)
    shown = np.where(np.arange(9).reshape(3, 3) <= int(place), done, np.nan)
    _numbers(axes[6], np.nan_to_num(shown), 0, 40, title="output")
    for text, value in zip(axes[6].texts, shown.ravel(), strict=True):
        if np.isnan(value):
            text.set_text("·")
    _frame(axes[6], i, j, 1, 1)
    said = " + ".join(str(v) for v in products.ravel())
    return fig, (f"The window at row {i}, column {j} times the kernel, entry by entry, gives nine products: {said} = {products.sum()}. "
                 "That is one number of the output.")


def show_first_window() -> None:
    """The first of the nine windows."""
    _show(*_window_figure(0))


def window_slider() -> None:
    """A slider over the nine positions."""
    widgets.sliders(lambda position: _window_figure(int(position)), position=(0, 8, 0, 1))


def show_nine_windows() -> None:
    """All nine windows and their sums."""
    image = np.array(IMAGE)
    fig, axes = plots.figure(3, 3, size=(7.0, 6.0))
    for (i, j), ax in np.ndenumerate(axes):
        _numbers(ax, image, 0, 6, size=9)
        _frame(ax, i, j, 3, 3, linewidth=2)
        ax.set_title(f"sum {TABLES[1, 0, False][i][j]}", fontsize=12)
    _show(fig, "The nine positions of a 3 by 3 window in a 5 by 5 image, and the nine sums: 12, 12, 17; 10, 17, 19; 9, 6, 14.")


def show_settings() -> None:
    """Where windows start, for four settings of stride and padding."""
    fig, axes = plots.figure(1, 4, size=(9.6, 3.1))
    for ax, (stride, padding) in zip(axes, ((1, 0), (1, 1), (2, 0), (2, 1)), strict=True):
        image = np.pad(np.array(IMAGE), padding)
        _numbers(ax, image, 0, 6, size=10)
        if padding:
            _frame(ax, padding, padding, 5, 5, plots.BLACK, linewidth=2)
        starts = range(0, len(image) - 2, stride)
        for i in starts:
            for j in starts:
                ax.plot(j + 1, i + 1, "o", color=plots.RED, markersize=15, markerfacecolor="none", markeredgewidth=2)
        ax.set_title(f"stride {stride}, padding {padding}\n{len(starts)} × {len(starts)} outputs", fontsize=11)
    _show(fig, "The 5 by 5 image, for stride 1 or 2 without and with padding 1; circles mark the middle of each window: 3 by 3, 5 by 5, "
               "2 by 2 and 3 by 3 outputs.")


def show_two_conventions() -> None:
    """The kernel and its 180-degree rotation with their outputs."""
    fig, axes = plots.figure(1, 4, size=(9.6, 2.6))
    kernel = np.array(KERNEL)
    _numbers(axes[0], kernel, 0, 4, "Blues", title="kernel as written")
    _numbers(axes[1], TABLES[1, 0, False], 0, 40, title="cross-correlation")
    _numbers(axes[2], kernel[::-1, ::-1], 0, 4, "Oranges", title="turned by 180°")
    _numbers(axes[3], TABLES[1, 0, True], 0, 40, title="convolution (mathematics)")
    _show(fig, "The kernel as it is written gives 12 12 17, 10 17 19, 9 6 14: cross-correlation. Turned by 180 degrees it gives 18 20 19, "
               "10 9 17, 11 8 14: the convolution of mathematics.")


def diagonal_filter():
    """The 7 x 7 diagonal filter: 1 where row + column >= 7, else -1."""
    place = np.arange(7)
    return _on_device(np.where(place[:, None] + place >= 7, 1.0, -1.0))


def six_patches():
    """Name -> patch (7, 7): zeros, ones, checkerboard, its complement, the matching edge and the reversed one."""
    place = np.arange(7)
    sums = place[:, None] + place
    patches = {"zeros": 0 * sums, "ones": 0 * sums + 1, "checkerboard": sums % 2, "complement": (sums + 1) % 2,
               "matching edge": sums >= 7, "reversed edge": sums < 7}
    return {name: _on_device(patch.astype(float)) for name, patch in patches.items()}


def show_six_patches(filter_, patches: dict, answers: bool = False) -> None:
    """The diagonal filter and six patches, with or without the responses. Args: filter_ (7, 7); name -> patch (7, 7)."""
    fig, axes = plots.figure(1, 7, size=(9.6, 2.2))
    weights = _cpu(filter_)
    for ax, (name, picture) in zip(axes, {"filter": weights, **{n: _cpu(p) for n, p in patches.items()}}.items(), strict=True):
        first = name == "filter"
        ax.imshow(picture, cmap=plots.DIVERGING if first else "gray", vmin=-1 if first else 0, vmax=1)
        number = f"\n{(weights * picture).sum():.0f}".replace("-", "−") if answers and not first else "\n"
        ax.set_title(name + (number if answers else ""), fontsize=10.5)
        _bare(ax)
        if not first:
            ax.set_facecolor("white")
    _show(fig, "A 7 by 7 filter, blue for +1 in the lower right, red for −1 in the upper left; and six patches: zeros, ones, a checkerboard, "
               "its complement, an edge like the filter, and the reversed edge."
               + (" Responses: 0, −7, 0, −7, 21, −28." if answers else ""))


# ---------------------------------------------------------------------------------------------- figures: edges

EDGE_PATCH = [[120, 140, 120], [225, 220, 205], [255, 250, 230]]
HIGH_PASS = [[0, -1, 0], [-1, 4, -1], [0, -1, 0]]


def show_edge_patch() -> None:
    """The patch of 3 x 3 gray values, the high-pass kernel, the products."""
    fig, axes = plots.figure(1, 5, size=(9.4, 2.7), width_ratios=(3, 0.6, 3, 0.6, 3))
    _numbers(axes[0], EDGE_PATCH, 0, 255, "gray", title="patch")
    for text, value in zip(axes[0].texts, np.ravel(EDGE_PATCH), strict=True):
        text.set_fontweight("bold" if value == 220 else "normal")
    _sign(axes[1], "·")
    _numbers(axes[2], HIGH_PASS, -6, 6, plots.DIVERGING, title="high-pass kernel, sum 0")
    _sign(axes[3], "=")
    _numbers(axes[4], np.multiply(EDGE_PATCH, HIGH_PASS), -1500, 1500, plots.DIVERGING, title="products: sum 60")
    _show(fig, "A patch of gray values, the high-pass kernel with 4 in the middle and −1 at four sides, and the products: 880 in the "
               "middle, minus the neighbors 140, 225, 205 and 250, together 820. The sum is 60.")


def show_maps(pictures: dict, limit: float | None = None, cmap: str = plots.DIVERGING, columns: int = 4, alt: str = "", size: float = 2.5) -> None:
    """Maps side by side on one common scale, symmetric around 0. Args: title -> (H, W); limit of the scale; alt text."""
    arrays = {name: _cpu(p) for name, p in pictures.items()}
    limit = limit or max(np.abs(a).max() for a in arrays.values())
    height, width = next(iter(arrays.values())).shape
    rows = -(-len(arrays) // columns)
    fig, axes = plots.figure(rows, columns, size=(size * columns, rows * (size * height / width + 0.45)), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (name, picture) in zip(axes.flat, arrays.items(), strict=False):
        ax.set_axis_on()
        low = {"gray": 0}.get(cmap, -limit)
        drawn = ax.imshow(picture, cmap=cmap, vmin=low, vmax=limit)
        ax.set_title(name, fontsize=11)
        _bare(ax)
    fig.colorbar(drawn, ax=axes, shrink=0.8, pad=0.01)
    _show(fig, alt)


def show_scene_and_filters(scene, filters) -> None:
    """The street and the four filters. Args: scene (H, W) in 0..1; filters (4, 4, 4)."""
    fig, axes = plots.figure(1, 5, size=(9.8, 2.5), width_ratios=(3.0, 1, 1, 1, 1))
    axes[0].imshow(_cpu(scene), cmap="gray", vmin=0, vmax=1)
    axes[0].set_title("scene")
    for n, (ax, weights) in enumerate(zip(axes[1:], _cpu(filters), strict=True), 1):
        ax.imshow(weights, cmap=plots.DIVERGING, vmin=-1.5, vmax=1.5)
        ax.set_title(f"filter {n}")
    for ax in axes:
        _bare(ax)
    _show(fig, "A drawn street with a dark car. Four filters of 4 by 4, red −1 and blue +1: left to right, its negative, top to bottom, "
               "and the negative of that.")


def show_panda(picture, edges) -> None:
    """A black-and-white picture and its high-pass map. Args: picture (H, W) in 0..1; edges (H - 2, W - 2)."""
    fig, axes = plots.figure(1, 2, size=(7.4, 3.1))
    axes[0].imshow(_cpu(picture), cmap="gray", vmin=0, vmax=1)
    axes[0].set_title("black and white")
    limit = np.abs(_cpu(edges)).max()
    drawn = axes[1].imshow(_cpu(edges), cmap=plots.DIVERGING, vmin=-limit, vmax=limit)
    axes[1].set_title("after the high-pass kernel")
    fig.colorbar(drawn, ax=axes[1], shrink=0.85)
    for ax in axes:
        _bare(ax)
    _show(fig, "Left, a black-and-white panda. Right, its high-pass map: white, that is 0, in black and in white areas alike; only the "
               "outlines remain, as a line above and a line below zero.")


# ---------------------------------------------------------------------------------------------- figures: patches

def show_patch_grids(image) -> None:
    """Starts of 7 x 7 patches in a 28 x 28 image: no overlap, and stride 2. Args: image (28, 28) in 0..1."""
    fig, axes = plots.figure(1, 3, size=(9.6, 3.5))
    for ax, (title, starts, frames) in zip(axes, (
        ("no overlap: 4 × 4", range(0, 28, 7), [(r, c) for r in range(0, 28, 7) for c in range(0, 28, 7)]),
        ("stride 2, all starts: 14 × 14", range(0, 28, 2), [(0, 0), (8, 10), (26, 26), (22, 4)]),
        ("stride 2, cropped: 11 × 11", range(0, 21, 2), [(0, 0), (8, 10), (20, 20), (0, 20)]),
    ), strict=True):
        ax.imshow(_cpu(image), cmap="gray", vmin=0, vmax=1)
        for r in starts:
            ax.plot(list(starts), [r] * len(starts), ".", color=plots.YELLOW, markersize=4)
        for r, c in frames:
            _frame(ax, r, c, 7, 7, plots.SKY if r + 7 <= 28 and c + 7 <= 28 else plots.RED, linewidth=2)
        ax.set(xlim=(-0.5, 33), ylim=(33, -0.5))
        ax.set_title(title, fontsize=12)
        _bare(ax)
    _show(fig, "Patches of 7 by 7 on a digit; dots mark where patches start. Without overlap 4 by 4. With stride 2 at all starts 14 by 14, of "
               "which the last ones stick out (red). Cropped 11 by 11; row and column 27 are never seen.")


def show_strides() -> None:
    """A 5 x 6 image in memory, and the steps of the view of 2 x 2 patches with stride 2."""
    fig, axes = plots.figure(2, 1, size=(9.6, 4.1), height_ratios=(2.6, 1))
    memory = np.arange(30).reshape(5, 6)
    _numbers(axes[0], memory, 0, 60, size=11, title="image (5, 6): the number is the place in memory")
    colors = (plots.RED, plots.BLUE, plots.GREEN)
    for (i, j), color in zip(((0, 0), (0, 2), (2, 0)), colors, strict=True):
        _frame(axes[0], i, j, 2, 2, color)
    for place in range(20):
        owner = [c for (i, j), c in zip(((0, 0), (0, 2), (2, 0)), colors, strict=True)
                 if i <= place // 6 < i + 2 and j <= place % 6 < j + 2]
        axes[1].add_patch(_rectangle(place, owner[0] if owner else "#EEEEEE"))
        axes[1].text(place + 0.5, 0.5, str(place), ha="center", va="center", fontsize=11)
    for start, end, text, height in ((0, 6, "a = 6", 2.25), (12, 13, "b = 1", 1.85)):
        axes[1].annotate("", (end + 0.5, 1.05), (start + 0.5, 1.05),
                         arrowprops={"arrowstyle": "->", "connectionstyle": f"arc3,rad={-0.35 if end - start > 1 else -0.9}"})
        axes[1].text((start + end + 1) / 2, height, text, ha="center", fontsize=11)
    axes[1].text(20.4, 0.5, "next patch: + 2b      next row of patches: + 2a", va="center", fontsize=11)
    axes[1].set(xlim=(0, 34), ylim=(-0.1, 3))
    axes[1].set_axis_off()
    _show(fig, "Above, an image of 5 by 6 with three 2 by 2 patches framed. Below, the row of memory in which it lies: one step to the right "
               "is 1, one down is 6; the next patch starts 2 further, the next row of patches 12 further.")


def _rectangle(place: float, color: str):
    from matplotlib.patches import Rectangle

    return Rectangle((place, 0), 1, 1, facecolor=color, alpha=0.45, edgecolor="white", linewidth=1.5)


def show_responses(image, maps) -> None:
    """A digit and the response maps of the two filters. Args: image (28, 28); maps (11, 11, 2)."""
    maps = _cpu(maps)
    fig, axes = plots.figure(1, 3, size=(9.2, 3.0), width_ratios=(1, 1, 1))
    axes[0].imshow(_cpu(image), cmap="gray", vmin=0, vmax=1)
    axes[0].set_title("image 28 × 28")
    limit = np.abs(maps).max()
    for ax, n, name in zip(axes[1:], (0, 1), ("diagonal filter: 11 × 11", "the opposite filter: 11 × 11"), strict=True):
        drawn = ax.imshow(maps[..., n], cmap=plots.DIVERGING, vmin=-limit, vmax=limit)
        ax.set_title(name)
    for ax in axes:
        _bare(ax)
    fig.colorbar(drawn, ax=axes[1:], shrink=0.85, label="response")
    _show(fig, "A handwritten 3 and two maps of 11 by 11 responses, blue above zero and red below: those of the diagonal filter and of its "
               "opposite. They are near to each other's negatives, but not exactly.")


def show_scaling_trap(patches: dict) -> None:
    """Patches drawn with automatic and with fixed colors. Args: name -> (h, w)."""
    fig, axes = plots.figure(2, len(patches), size=(2.0 * len(patches), 4.2))
    for n, (name, patch) in enumerate(patches.items()):
        for row, options in enumerate(({}, {"vmin": 0, "vmax": 1})):
            axes[row][n].imshow(_cpu(patch), cmap="gray", **options)
            _bare(axes[row][n])
            axes[row][n].set_title(name if row == 0 else "", fontsize=11)
    axes[0][0].set_ylabel("automatic")
    axes[1][0].set_ylabel("vmin=0, vmax=1")
    _show(fig, "Four patches: all 0, all 1, a weak edge from 0.40 to 0.44, a strong edge from 0 to 1. Above, with automatic scaling, zeros and "
               "ones look alike, and so do the two edges. Below, with fixed scaling, they are what they are.")


# ---------------------------------------------------------------------------------------------- figures: layers

def show_filter_block() -> None:
    """An RGB image, six filters that span the channels, six maps."""
    from matplotlib.patches import Rectangle

    fig, ax = plots.figure(size=(9.4, 3.7))
    channels = (plots.RED, plots.GREEN, plots.BLUE)
    for n, color in enumerate(channels):
        ax.add_patch(Rectangle((0.25 * n, 0.25 * n), 3.2, 3.2, facecolor=color, alpha=0.35, edgecolor=color, linewidth=1.5))
    for n in range(3):
        ax.add_patch(Rectangle((1.0 + 0.25 * n, 1.4 + 0.25 * n), 0.5, 0.5, facecolor="none", edgecolor=plots.BLACK, linewidth=2))
    ax.text(1.8, -0.5, "image 3 × 32 × 32", ha="center", fontsize=11)
    for f in range(6):
        x, y = 5.2 + 1.3 * (f % 3), 2.3 - 1.8 * (f // 3)
        for n, color in enumerate(channels):
            ax.add_patch(Rectangle((x + 0.16 * n, y + 0.16 * n), 0.62, 0.62, facecolor=color, alpha=0.5, edgecolor=color, linewidth=1.5))
    ax.text(6.9, -0.5, "6 filters of 3 × 5 × 5, one bias each", ha="center", fontsize=11)
    for f in range(6):
        ax.add_patch(Rectangle((10.4 + 0.28 * f, 0.28 * f), 2.3, 2.3, facecolor="#DDDDDD", edgecolor=plots.BLACK, linewidth=1, zorder=6 - f))
    ax.text(12.2, -0.5, "6 maps of 28 × 28", ha="center", fontsize=11)
    _arrow(ax, (4.05, 1.8), (4.95, 1.8))
    _arrow(ax, (9.25, 1.8), (10.2, 1.8))
    ax.set(xlim=(-0.1, 14.4), ylim=(-0.8, 4.2), aspect="equal")
    ax.set_axis_off()
    _show(fig, "An RGB image as three planes; a window goes through all three. Six filters, each of them three planes of 5 by 5. Each filter "
               "makes one map: six maps of 28 by 28.")


def show_channel_sum(window, filter_, bias) -> None:
    """One number of a map: three products, summed over the channels. Args: window (3, 3, 3), filter_ (3, 3, 3), bias."""
    window, filter_, bias = _cpu(window), _cpu(filter_), float(bias)
    sums = (window * filter_).sum((1, 2))
    fig, axes = plots.figure(3, 5, size=(6.4, 5.0), width_ratios=(3, 0.7, 3, 0.7, 2.6))
    for row, x, k, total, name, tint in zip(axes, window, filter_, sums, ("red", "green", "blue"), ("Reds", "Greens", "Blues"), strict=True):
        _numbers(row[0], x, 0, 9, tint, size=12, title=f"window, {name}")
        _sign(row[1], "·", 20)
        _numbers(row[2], k, -4, 4, plots.DIVERGING, size=12, title=f"filter, {name}")
        _sign(row[3], "Σ", 18)
        _sign(row[4], f"{total:.0f}".replace("-", "−"), 18)
    said = " + ".join(f"{v:.0f}" if v >= 0 else f"(−{-v:.0f})" for v in (*sums, bias))
    fig.suptitle(f"one number: {said} (bias) = {sums.sum() + bias:.0f}", fontsize=12)
    _show(fig, f"A window of an RGB image has three planes of 3 by 3, and so has one filter. Each plane of the window is multiplied with its plane "
               f"of the filter and summed. The three sums and the bias make one number: {said} = {sums.sum() + bias:.0f}.")


def show_fence() -> None:
    """Start positions of a 3-pixel window on a row of 7, for stride 1 and 2, and with padding."""
    fig, axes = plots.figure(1, 3, size=(9.6, 3.3))
    for ax, (stride, padding) in zip(axes, ((1, 0), (2, 0), (1, 1)), strict=True):
        n = 7 + 2 * padding
        for place in range(n):
            inside = padding <= place < n - padding
            ax.add_patch(_rectangle(place, plots.GREY if inside else "#EEEEEE"))
            if not inside:
                ax.text(place + 0.5, 0.5, "0", ha="center", va="center")
        starts = range(0, n - 2, stride)
        for k, start in enumerate(starts):
            ax.plot([start + 0.1, start + 2.9], [-0.5 - 0.55 * k] * 2, linewidth=6, color=plots.CYCLE[k % 2], solid_capstyle="butt")
            ax.plot(start + 0.1, -0.5 - 0.55 * k, "|", color=plots.BLACK, markersize=13, markeredgewidth=2)
        ax.set_title(f"stride {stride}, padding {padding}: {len(starts)}", fontsize=12)
        ax.set(xlim=(-0.2, 9.2), ylim=(-4.5, 1.3))
        ax.set_axis_off()
    _show(fig, "A row of 7 pixels and the windows of 3 that fit, one below the other: 5 with stride 1, 3 with stride 2, and 7 with "
               "padding 1. Between 5 starts there are 4 steps.")


def show_cost(rows: dict[str, tuple[int, int]]) -> None:
    """Parameters and multiplications of layers, on logarithmic axes. Args: name -> (parameters, multiplications)."""
    fig, axes = plots.figure(1, 2, size=(9.8, 2.9), sharey=True)
    for ax, n, title in zip(axes, (0, 1), ("parameters", "multiplications, 60,000 images"), strict=True):
        values = [pair[n] for pair in rows.values()]
        ax.plot(values, range(len(rows)), "o", markersize=12, color=(plots.BLUE, plots.RED)[n])
        for place, value in enumerate(values):
            ax.annotate(f"{value:,}", (value, place), xytext=(0, 11), textcoords="offset points", ha="center", fontsize=10)
        ax.set(xscale="log", yticks=range(len(rows)), yticklabels=list(rows), ylim=(len(rows) - 0.4, -0.8), xlabel=title,
               xlim=(min(values) / 8, max(values) * 12))
    said = "; ".join(f"{name}: {p:,} and {m:,}" for name, (p, m) in rows.items())
    _show(fig, f"Parameters and multiplications, on logarithmic axes. {said}.")


# ---------------------------------------------------------------------------------------------- figures: pooling

def show_pools() -> None:
    """The worked 4 x 4 tables and their pools."""
    fig, axes = plots.figure(1, 5, size=(9.6, 2.7), width_ratios=(4, 2, 4, 2, 2))
    quarters = [(0, 0, plots.RED), (0, 2, plots.BLUE), (2, 0, plots.GREEN), (2, 2, plots.PURPLE)]
    whole, decimals = np.array(POOL_INTEGERS, float), np.array(POOL_DECIMALS)
    blocks = [v.reshape(2, 2, 2, 2) for v in (whole, decimals)]
    _numbers(axes[0], whole, 0, 16, title="4 × 4")
    _numbers(axes[1], blocks[0].max((1, 3)), 0, 16, title="max")
    _numbers(axes[2], decimals, 0, 0.3, digits=2, size=11, title="4 × 4")
    _numbers(axes[3], blocks[1].max((1, 3)), 0, 0.3, digits=2, size=11, title="max")
    _numbers(axes[4], blocks[1].mean((1, 3)), 0, 0.3, digits=4, size=10, title="average")
    for ax, step in zip(axes, (2, 1, 2, 1, 1), strict=True):
        for row, column, color in quarters:
            _frame(ax, row * step // 2, column * step // 2, step, step, color, linewidth=2)
    _show(fig, "A table of 4 by 4 numbers pooled by maxima of 2 by 2: 6 8, 3 4. A second one: maxima .16 .14, .11 .15; averages .0950 .1075, "
               ".0600 .0775.")


def show_square_pools(maps: dict) -> None:
    """An edge map and its pools, with numbers. Args: title -> (h, w)."""
    fig, axes = plots.figure(1, len(maps), size=(3.0 * len(maps), 3.0))
    high = max(_cpu(m).max() for m in maps.values())
    for ax, (name, values) in zip(axes, maps.items(), strict=True):
        values = _cpu(values)
        _numbers(ax, values, 0, 1.6 * high, "Blues", digits=0 if np.allclose(values, values.round()) else 2, size=10, title=name)
    _show(fig, "An edge map of 7 by 7, its 49 values, and the 4 values that remain after pooling windows of 4 with stride 3: the maximum keeps the strongest "
               "response, the average keeps more gradation.")


# ---------------------------------------------------------------------------------------------- figures: receptive field

def show_receptive_fields() -> None:
    """Which inputs of a row one output sees: three convolutions, and with two pools between them."""
    stacks = (("conv, conv, conv", [(3, 1)] * 3, 7), ("conv, pool, conv, pool, conv", [(3, 1), (2, 2), (3, 1), (2, 2), (3, 1)], 18))
    fig, axes = plots.figure(1, 2, size=(9.6, 3.4), width_ratios=(1, 2.2))
    for ax, (title, layers, size) in zip(axes, stacks, strict=True):
        spans = [(0, 1)]
        for kernel, stride in reversed(layers):
            low, count = spans[-1]
            spans.append((low * stride, (count - 1) * stride + kernel))
        jumps, offsets = [1], [0.0]
        for kernel, stride in layers:
            offsets.append(offsets[-1] + (kernel - 1) / 2 * jumps[-1])
            jumps.append(jumps[-1] * stride)
        for level in range(len(layers) + 1):
            count, jump, offset = spans[len(layers) - level][1], jumps[level], offsets[level]
            centers = offset + jump * np.arange(count)
            if level:
                kernel, stride = layers[level - 1]
                below = offsets[level - 1] + jumps[level - 1] * np.arange(spans[len(layers) - level + 1][1])
                for n, center in enumerate(centers):
                    for source in below[n * stride:n * stride + kernel]:
                        ax.plot([source, center], [level - 1, level], color=plots.GREY, linewidth=0.7)
            ax.plot(centers, [level] * count, "o", color=plots.BLUE if level else plots.BLACK, markersize=6, zorder=3)
        names = ["input"] + ["conv" if k == 3 else "pool" for k, _ in layers]
        ax.set(yticks=range(len(names)), yticklabels=names, xticks=(), xlabel=f"{size} inputs")
        ax.set_title(title, fontsize=12)
        ax.grid(False)
    _show(fig, "What one output sees, drawn as a tree. Three convolutions with kernel 3 see 7 inputs. The same three with two pools between "
               "them see 18.")


def show_effective_field(gradient, size: int) -> None:
    """The mean size of the gradient of a central output, as a picture and along its middle row. Args: gradient (H, W); theoretical size."""
    g = _cpu(gradient)
    middle = len(g) // 2
    fig, axes = plots.figure(1, 2, size=(8.6, 3.2))
    drawn = axes[0].imshow(g / g.max(), cmap="magma", vmin=0, vmax=1)
    _frame(axes[0], middle - size // 2, middle - size // 2, size, size, "white", linewidth=2, linestyle="--")
    _bare(axes[0])
    axes[0].set_title("gradient of one central output")
    fig.colorbar(drawn, ax=axes[0], shrink=0.85)
    axes[1].plot(np.arange(len(g)) - middle, g[middle] / g.max(), linewidth=2)
    for side in (-1, 1):
        axes[1].axvline(side * size / 2, color=plots.BLACK, linestyle="--")
    axes[1].set(xlabel="pixels from the middle", ylabel="size, largest = 1", title="its middle row")
    _show(fig, f"The size of the gradient that a central output sends to the pixels. The dashed frame of {size} by {size} is the theoretical "
               "receptive field; nearly all of the gradient lies in the middle of it.")


# ---------------------------------------------------------------------------------------------- figures: linear stacks and shifts

def both_in_one(first, second):
    """The kernel (5, 5) that does what two kernels (3, 3) do, one after the other: what an impulse becomes, turned by 180 degrees."""
    return _reference_compose(first[None, None].double(), second[None, None].double())[0, 0]


def show_composed(first, second, both) -> None:
    """Two kernels and the one that does the work of both. Args: (3, 3), (3, 3), (5, 5)."""
    fig, axes = plots.figure(1, 5, size=(9.4, 2.9), width_ratios=(3, 0.7, 3, 0.7, 5))
    limit = float(np.abs(_cpu(both)).max()) * 1.4
    for ax, kernel, title in zip(axes[::2], (first, second, both), ("first 3 × 3", "second 3 × 3", "both in one: 5 × 5"), strict=True):
        _numbers(ax, _cpu(kernel), -limit, limit, plots.DIVERGING, title=title, size=12)
    _sign(axes[1], "then", 12)
    _sign(axes[3], "=", 22)
    _show(fig, "Two kernels of 3 by 3, one after the other, do the same as one kernel of 5 by 5.")


def show_commuting(image, kernel, shift: int = 6) -> None:
    """Shift and convolution in both orders, with circular padding. Args: image (28, 28) in 0..1; kernel (3, 3); shift in columns."""
    picture, k = _cpu(image), _cpu(kernel)

    def convolved(p):
        return sum(k[a, b] * np.roll(p, (1 - a, 1 - b), (0, 1)) for a in range(3) for b in range(3))

    panels = ((picture, "image"), (convolved(picture), "its map"), (np.roll(picture, shift, 1), "image, shifted"),
              (convolved(np.roll(picture, shift, 1)), "map of the shifted image\n= shifted map"))
    limit = max(np.abs(panels[1][0]).max(), 1e-9)
    fig, axes = plots.figure(2, 2, size=(6.4, 5.6))
    for n, (ax, (values, title)) in enumerate(zip(axes.flat, panels, strict=True)):
        options = {"cmap": plots.DIVERGING, "vmin": -limit, "vmax": limit} if n % 2 else {"cmap": "gray", "vmin": 0, "vmax": 1}
        ax.imshow(values, **options)
        ax.set_title(title, fontsize=11)
        _bare(ax)
    for left in axes[:, 0]:
        left.annotate("", (1.46, 0.5), (1.06, 0.5), xycoords="axes fraction", arrowprops={"arrowstyle": "->", "linewidth": 1.5})
        left.annotate("convolve", (1.26, 0.55), xycoords="axes fraction", ha="center", fontsize=11)
    for upper in axes[0]:
        upper.annotate("", (0.2, -0.36), (0.2, -0.06), xycoords="axes fraction", arrowprops={"arrowstyle": "->", "linewidth": 1.5})
        upper.annotate(f"shift {shift} columns\nto the right", (0.26, -0.21), xycoords="axes fraction", va="center", fontsize=11)
    _show(fig, f"Upper left a digit, right its map of edges. Lower left the digit shifted {shift} columns to the right, right the map of that: the same as "
               "the shifted map. Both ways round lead to the same picture.")


def show_gradient_sum(patches, upstream, grad) -> None:
    """One weight gradient as a weighted sum of patches. Args: patches (n, 3, 3), upstream (n,), grad (3, 3)."""
    patches, upstream, grad = _cpu(patches), _cpu(upstream), _cpu(grad)
    n = len(patches)
    fig, axes = plots.figure(1, 2 * n + 1, size=(9.6, 2.0), width_ratios=[1, 0.35] * n + [1.3])
    for k in range(n):
        _numbers(axes[2 * k], patches[k], 0, 6, size=10, title=f"{upstream[k]:.0f} ×".replace("-", "−"))
        _sign(axes[2 * k + 1], "+" if k < n - 1 else "=", 16)
    _numbers(axes[-1], grad, -30, 30, plots.DIVERGING, size=11, title="gradient")
    _show(fig, "The gradient of a 3 by 3 kernel is a sum over all patches of the image, each weighted by the gradient that arrives at its "
               "output.")


def show_tuning(angles, responses) -> None:
    """Response of one oriented filter to a bar at many angles. Args: angles in degrees (n,), responses (n,)."""
    angles, responses = _cpu(angles), _cpu(responses)
    fig, axes = plots.figure(1, 2, size=(8.8, 3.1), width_ratios=(1, 1.8))
    for n, angle in enumerate((0, 45, 90)):
        t = np.radians(angle)
        axes[0].plot([n - 0.35 * np.sin(t), n + 0.35 * np.sin(t)], [-0.35 * np.cos(t), 0.35 * np.cos(t)], linewidth=9,
                     color=plots.BLACK, solid_capstyle="butt")
        axes[0].text(n, -0.75, f"{angle}°", ha="center", fontsize=12)
    axes[0].set(xlim=(-0.6, 2.6), ylim=(-1, 0.6), aspect="equal")
    axes[0].set_title("bars shown to the filter", fontsize=12)
    axes[0].set_axis_off()
    axes[1].plot(angles, responses, "o-", markersize=4)
    axes[1].axhline(0, color=plots.BLACK, linewidth=1)
    axes[1].set(xlabel="angle of the bar in degrees", ylabel="response after ReLU", xticks=range(-90, 91, 45))
    _show(fig, "Left, bars at 0, 45 and 90 degrees. Right, the response of one filter to a bar, over its angle: a peak at 0 degrees, nothing "
               "for a bar across. Cells in the visual cortex of a cat have curves of this shape.")


def bar(angle: float, side: int = 21):
    """A bright bar through the middle, at an angle in degrees from upright: (side, side) float32 in 0..1."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    t = np.radians(angle)
    away = np.abs(x * np.cos(t) + y * np.sin(t))
    inside = np.clip(2.5 - away, 0, 1) * (np.hypot(x, y) < side / 2)
    return _on_device(inside.astype(np.float32))


# ---------------------------------------------------------------------------------------------- figures: clinic

def show_scrambled(right, scrambled) -> None:
    """Maps as they should be, and as the wrong reshape gives them. Args: two arrays (O, H, W)."""
    right, scrambled = _cpu(right), _cpu(scrambled)
    fig, axes = plots.figure(2, len(right), size=(2.3 * len(right), 3.6))
    limit = np.abs(right).max()
    for row, maps, name in zip(axes, (right, scrambled), ("right", "scrambled"), strict=True):
        for n, ax in enumerate(row):
            ax.imshow(maps[n], cmap=plots.DIVERGING, vmin=-limit, vmax=limit)
            _bare(ax)
        row[0].set_ylabel(name)
    _show(fig, f"Above, {len(right)} maps of the street as they should be. Below, the same numbers after the wrong reshape: each map shows a "
               "quarter of the street, with stripes.", colors=40)
