"""Lesson 04, tensors: its exercises, its quiz and its figures. Imports torch only when somebody needs it."""

from __future__ import annotations

import functools
import math

import numpy as np

from helpers import devices, plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import Raised, describe, is_tensor

# ---------------------------------------------------------------------------------------------- what the checks share


def _on_device(array):
    """An array as a tensor on the device of the lesson."""
    import torch

    return torch.tensor(array, device=devices.device())


def _numbers(*shape: int, seed: int, scale: float = 1.0):
    """A float32 tensor of numbers around 0.2."""
    return _on_device((scale * np.random.default_rng(seed).normal(0.2, 1.0, shape)).astype(np.float32))


def _turned(*shape: int, seed: int, scale: float = 1.0):
    """The same with its axes in reverse order in memory: not contiguous."""
    return _numbers(*shape[::-1], seed=seed, scale=scale).permute(*range(len(shape) - 1, -1, -1))


def _with_gaps(*shape: int, seed: int, scale: float = 1.0):
    """The same with every second number of the last axis left out: not contiguous, even where there is one row only."""
    return _numbers(*shape[:-1], 2 * shape[-1], seed=seed, scale=scale)[..., ::2]


def _call(see, function, *args, label: str):
    """Call with the tensors themselves, since a copy of one with gaps would be contiguous; they must stay as they are."""
    before = [a.detach().clone() for a in args]
    result = see.call(function, *args, label=label, changes_inputs=True)
    names = [name for name, a, b in zip(see.parameters, args, before, strict=True) if not _equal(a.detach(), b)]
    see.fact(f"{label}: its inputs stay as they are",
             f"the caller's {names[0]} was changed in place" if names else "every input unchanged", implied="every input unchanged")
    return result


def _equal(a, b) -> bool:
    import torch

    return torch.equal(a, b)


def _cpu(values) -> np.ndarray:
    """A tensor of any device, or an array, as an array."""
    return values.detach().cpu().numpy() if is_tensor(values) else np.asarray(values)


def _shape(value) -> tuple[int, ...] | None:
    return tuple(value.shape) if is_tensor(value) else None


def _is_number(value, number: float) -> bool:
    """A tensor of one entry that is the number, to four digits."""
    return is_tensor(value) and value.numel() == 1 and abs(value.item() - number) < 1e-4


def _raised(value, text: str) -> bool:
    return isinstance(value, Raised) and text in value.text


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def _story_neuron():
    """Seed 7 on the CPU, in the order features (1, 5), weights (1, 5), bias (1, 1)."""
    return _drawn((1, 5), (1, 5), (1, 1))


def _story_network():
    """Seed 7 on the CPU, in the order features (1, 3), W1 (3, 2), W2 (2, 1), B1 (1, 2), B2 (1, 1)."""
    return _drawn((1, 3), (3, 2), (2, 1), (1, 2), (1, 1))


def _drawn(*shapes):
    import torch

    generator = torch.Generator().manual_seed(7)
    return [torch.randn(shape, generator=generator, dtype=torch.float32).to(devices.device()) for shape in shapes]


# ---------------------------------------------------------------------------------------------- 04.1 neuron_sum

_STORY_NEURON = "the neuron of the story, n = 5"


def _observe_neuron_sum(neuron_sum, see):
    _call(see, neuron_sum, *_story_neuron(), label=_STORY_NEURON)
    for n, seed in ((3, 1), (1, 2)):
        x, w, b = _numbers(1, n, seed=seed), _numbers(1, n, seed=seed + 10), _numbers(1, 1, seed=seed + 20)
        _call(see, neuron_sum, x, w, b, label=f"features (1, {n}), weights (1, {n})")
    x, w, b = _with_gaps(1, 8, seed=3), _with_gaps(1, 8, seed=13), _numbers(1, 1, seed=23)
    _call(see, neuron_sum, x, w, b, label="features (1, 8), weights (1, 8), not contiguous")


def _reference_neuron(features, weights, bias):
    import torch
    import torch.nn.functional as F

    return torch.sigmoid(F.linear(features, weights, bias[0]))


def _bias_in_the_sum(features, weights, bias):
    import torch

    return torch.sigmoid((features * weights + bias).sum().reshape(1, 1))


def _no_activation(features, weights, bias):
    return (features * weights).sum() + bias


def _no_bias(features, weights, bias):
    import torch

    return torch.sigmoid((features * weights).sum()).reshape(1, 1)


def _mean_for_sum(features, weights, bias):
    import torch

    return torch.sigmoid((features * weights).mean() + bias)


def _sum_down_the_columns(features, weights, bias):
    return ((features * weights).sum(0) + bias).sigmoid()


def _wrong_exponent(features, weights, bias):
    return (-((features * weights).sum() + bias)).sigmoid()


def _tanh_neuron(features, weights, bias):
    return ((features * weights).sum() + bias).tanh()


def _bias_after_sigmoid(features, weights, bias):
    return (features * weights).sum().sigmoid() + bias


neuron_sum = Exercise(
    "04.1", "neuron_sum",
    observe=_observe_neuron_sum,
    expected=_reference_neuron,
    mistakes=[
        Mistake("The bias is added n times (0.4034 in the story): it stands inside the sum. Add it once, after the sum.",
                _bias_in_the_sum, when=lambda facts: _is_number(facts[_STORY_NEURON], 0.4034)),
        Mistake("The activation is missing: you return the weighted sum itself. Squash it with the sigmoid.",
                _no_activation, when=lambda facts: _is_number(facts[_STORY_NEURON], -1.6619)),
        Mistake("The bias is missing (0.1214 in the story).", _no_bias, when=lambda facts: _is_number(facts[_STORY_NEURON], 0.1214)),
        Mistake("Mean instead of sum: the products are added, not averaged.",
                _mean_for_sum, when=lambda facts: _is_number(facts[_STORY_NEURON], 0.4805)),
        Mistake("Five numbers in place of one: `sum(0)` adds down the columns, and each has one entry. Add up the products of the row.",
                _sum_down_the_columns, when=lambda facts: _shape(facts[_STORY_NEURON]) in {(1, 5), (5,)}),
        Mistake("1 minus the right output: the sign in the exponent. The sigmoid is 1 / (1 + exp(-z)).", _wrong_exponent,
                when=lambda facts: _is_number(facts[_STORY_NEURON], 0.8405)),
        Mistake("That is tanh, which goes from -1 to 1. Asked is the sigmoid.", _tanh_neuron,
                when=lambda facts: _is_number(facts[_STORY_NEURON], -0.9305)),
        Mistake("The bias comes after the sigmoid; it belongs to the sum, before it is squashed.", _bias_after_sigmoid),
    ],
    hints=[
        "A weighted sum, the bias once, then squash.",
        "`torch.sum` adds all entries of a tensor; `torch.sigmoid` squashes.",
        "`torch.sigmoid(torch.sum(... * ...) + ...)`",
    ],
)


# ---------------------------------------------------------------------------------------------- 04.2 neuron_mm

_ONE_ROW, _FOUR_ROWS = "the neuron of the story, features (1, 5), weights (1, 5)", "features (4, 5), weights (1, 5)"


def _observe_neuron_mm(neuron_mm, see):
    x, w, b = _story_neuron()
    _call(see, neuron_mm, x, w, b, label=_ONE_ROW)
    _call(see, neuron_mm, _numbers(4, 5, seed=31), w, b, label=_FOUR_ROWS)
    _call(see, neuron_mm, _numbers(2, 3, seed=32), _numbers(1, 3, seed=33), _numbers(1, 1, seed=34), label="features (2, 3), weights (1, 3)")
    _call(see, neuron_mm, _turned(4, 4, seed=35), _with_gaps(1, 4, seed=36), _numbers(1, 1, seed=37),
          label="features (4, 4), weights (1, 4), not contiguous")


def _summed_into_one(features, weights, bias):
    import torch

    return torch.sigmoid((features * weights).sum() + bias)


def _mm_as_it_is(features, weights, bias):
    import torch

    return torch.sigmoid(torch.mm(features, weights) + bias)


def _mm_turned_round(features, weights, bias):
    import torch

    return torch.sigmoid(torch.mm(weights, features.T) + bias)


def _mm_with_a_vector(features, weights, bias):
    import torch

    return torch.sigmoid(features @ weights[0] + bias[0])


neuron_mm = Exercise(
    "04.2", "neuron_mm",
    observe=_observe_neuron_mm,
    expected=_reference_neuron,
    mistakes=[
        Mistake("Shapes (1x5 and 1x5): the second factor needs n rows, one for each column of the first.", _mm_as_it_is,
                when=lambda facts: _raised(facts[_ONE_ROW], "cannot be multiplied")),
        Mistake("All examples are summed into one number: each row of features needs an output of its own.", _summed_into_one,
                when=lambda facts: _shape(facts[_FOUR_ROWS]) in {(1, 1), (1,), ()}),
        Mistake("Shape (1, m): transposed. The examples stand in rows, so features come first in the product.", _mm_turned_round,
                when=lambda facts: _shape(facts[_FOUR_ROWS]) == (1, 4)),
        Mistake("Shape (m,): the column dimension is lost. A matrix times a *vector* is a vector; weights must stay a matrix.",
                _mm_with_a_vector, when=lambda facts: _shape(facts.get(_FOUR_ROWS, facts[_ONE_ROW])) in {(4,), (1,)}),
        Mistake("The activation is missing: these are the weighted sums themselves. Squash them with the sigmoid.",
                lambda features, weights, bias: features @ weights.T + bias),
        Mistake("The bias is missing.", lambda features, weights, bias: (features @ weights.T).sigmoid()),
        Mistake("The bias comes after the sigmoid; it belongs to the sum.",
                lambda features, weights, bias: (features @ weights.T).sigmoid() + bias),
    ],
    hints=[
        "The inner dimensions must agree: (m, n) times (n, 1).",
        "`.T` or `.view(n, 1)` turns the row of weights into a column.",
        "`torch.mm(features, weights....) + bias`, and the activation around it.",
    ],
)


# ---------------------------------------------------------------------------------------------- 04.3 two_layer

_STORY_NETWORK = "the network of the story, 3-2-1"


def _observe_two_layer(two_layer, see):
    x, W1, W2, B1, B2 = _story_network()
    _call(see, two_layer, x, W1, B1, W2, B2, label=_STORY_NETWORK)
    for m, i, h, o, seed in ((4, 5, 3, 2, 41), (3, 3, 3, 3, 51)):
        make = _numbers if m == 4 else _turned
        x, W1, W2 = make(m, i, seed=seed), make(i, h, seed=seed + 1), make(h, o, seed=seed + 2)
        B1, B2 = _numbers(1, h, seed=seed + 3), _numbers(1, o, seed=seed + 4)
        _call(see, two_layer, x, W1, B1, W2, B2, label=f"{m} examples, {i}-{h}-{o}" + ("" if m == 4 else ", not contiguous"))


def _reference_two_layer(x, W1, B1, W2, B2):
    """In NumPy and float64."""
    h = _sigmoid(_cpu(x).astype(float) @ _cpu(W1) + _cpu(B1))
    return _on_device(_sigmoid(h @ _cpu(W2) + _cpu(B2)).astype(np.float32))


def _two(hidden, output, with_bias=True):
    def network(x, W1, B1, W2, B2):
        return output(hidden(x @ W1 + B1 if with_bias else x @ W1) @ W2 + B2)
    return network


def _squash(z):
    return z.sigmoid()


def _as_is(z):
    return z


two_layer = Exercise(
    "04.3", "two_layer",
    observe=_observe_two_layer,
    expected=_reference_two_layer,
    mistakes=[
        Mistake("No activation on the hidden layer (0.2460 in the story).", _two(_as_is, _squash),
                when=lambda facts: _is_number(facts[_STORY_NETWORK], 0.2460)),
        Mistake("B1 is missing (0.3256 in the story).", _two(_squash, _squash, with_bias=False),
                when=lambda facts: _is_number(facts[_STORY_NETWORK], 0.3256)),
        Mistake("The output activation is missing: the result is no number between 0 and 1.", _two(_squash, _as_is),
                when=lambda facts: _is_number(facts[_STORY_NETWORK], -0.7672)),
        Mistake("One sigmoid too many: the output is squashed twice.", _two(_squash, lambda z: z.sigmoid().sigmoid()),
                when=lambda facts: _is_number(facts[_STORY_NETWORK], 0.5786)),
        Mistake("B2 is missing: each of the two layers adds a bias of its own.", lambda x, W1, B1, W2, B2: ((x @ W1 + B1).sigmoid() @ W2).sigmoid()),
        Mistake("A bias comes after its sigmoid; it belongs to the sum.", lambda x, W1, B1, W2, B2: ((x @ W1 + B1).sigmoid() @ W2).sigmoid() + B2),
        Mistake("A bias comes after its sigmoid: the one of the hidden layer. It belongs to the sum.",
                lambda x, W1, B1, W2, B2: (((x @ W1).sigmoid() + B1) @ W2 + B2).sigmoid()),
        Mistake("ReLU is a good choice for the hidden layer; asked here is the sigmoid.", _two(lambda z: z.relu(), _squash)),
    ],
    hints=[
        "The output of layer 1 is the input of layer 2.",
        "A bias of shape (1, h) is added to every row by itself.",
        "`h = torch.sigmoid(... @ W1 + ...); return torch.sigmoid(h @ ... + ...)`",
    ],
)


# ---------------------------------------------------------------------------------------------- 04.4 flatten_batch

def _observe_flatten(flatten_batch, see):
    for shape in ((2, 3, 4, 5), (6, 1, 28, 28), (1, 1, 3, 2), (4, 7)):
        images = _numbers(*shape, seed=60 + len(shape) + shape[0])
        label = f"images {shape}"
        result = _call(see, flatten_batch, images, label=label)
        same = is_tensor(result) and result.data_ptr() == images.data_ptr()
        see.fact(f"{label}: the memory of the result", _NO_COPY if same else "a copy", implied=_NO_COPY)
        turned = images.transpose(-1, -2) if len(shape) > 2 else images.T
        _call(see, flatten_batch, turned, label=f"images {tuple(turned.shape)}, not contiguous")


_NO_COPY = "that of the images: nothing is copied"
_FLAT, _FLAT_TURNED = "images (2, 3, 4, 5)", "images (2, 3, 5, 4), not contiguous"


def _reference_flatten(images):
    """Where nothing need be copied, ``flatten``; else row by row in NumPy."""
    if images.is_contiguous():
        return images.flatten(1)
    return _on_device(np.stack([image.ravel() for image in _cpu(images)]))


flatten_batch = Exercise(
    "04.4", "flatten_batch",
    observe=_observe_flatten,
    expected=_reference_flatten,
    mistakes=[
        Mistake("`view` fails on a tensor that is not contiguous; `reshape` copies, but only then.", lambda images: images.view(images.shape[0], -1),
                when=lambda facts: _raised(facts[_FLAT_TURNED], "view size is not compatible")),
        Mistake("The batch dimension is gone: keep dimension 0.", lambda images: images.reshape(-1),
                when=lambda facts: _shape(facts[_FLAT]) == (120,)),
        Mistake("Shape (d, m): pixels of different images are mixed. Dimension 0 stays the batch.",
                lambda images: images.reshape(-1, images.shape[0]), when=lambda facts: _shape(facts[_FLAT]) == (60, 2)),
        Mistake("Right shape, wrong numbers: to reshape and then transpose mixes the images. Ask for the right shape at once.",
                lambda images: images.reshape(-1, images.shape[0]).T),
        Mistake("Correct, but it copies without need: a contiguous batch can be read in another shape where it lies.",
                lambda images: images.clone().flatten(1),
                when=lambda facts: facts[f"{_FLAT}: the memory of the result"] == "a copy" and _right_flat(facts[_FLAT])),
    ],
    hints=[
        "One row for each image.",
        "`torch.flatten` has a `start_dim`; `reshape` works out one size that is given as -1.",
        "`images.reshape(images.shape[...], ...)`",
    ],
)


def _right_flat(result) -> bool:
    return is_tensor(result) and _equal(result, _numbers(2, 3, 4, 5, seed=66).flatten(1))


# ---------------------------------------------------------------------------------------------- 04.5 contiguous_strides

_SHAPES = ((2, 3), (64, 1, 28, 28), (5,), (4, 3, 2), (3, 2, 5, 4, 7), ())


def _observe_strides(contiguous_strides, see):
    for shape in _SHAPES:
        result = see.call(contiguous_strides, shape, label=f"contiguous_strides({shape})")
        see.fact(f"contiguous_strides({shape}): kind of the result", "a tuple" if isinstance(result, tuple) else describe(result),
                 implied="a tuple")


def _reference_strides(shape):
    """What torch itself says; no memory is needed for that."""
    import torch

    return torch.empty(shape, device="meta").stride()


contiguous_strides = Exercise(
    "04.5", "contiguous_strides",
    observe=_observe_strides,
    expected=_reference_strides,
    mistakes=[
        Mistake("The first axis is the fastest in yours: that is column-major. PyTorch is row-major, the last axis has stride 1.",
                lambda shape: tuple(math.prod(shape[:i]) for i in range(len(shape))),
                when=lambda facts: facts.get("contiguous_strides((2, 3))") == (1, 2)),
        Mistake("Right for all shapes but (): a tensor without dimensions has no strides, so the tuple is empty.",
                lambda shape: tuple(math.prod(shape[i + 1:]) for i in range(len(shape))) or (1,)),
        Mistake("The own size is included: a stride skips only the axes to its right.",
                lambda shape: tuple(math.prod(shape[i:]) for i in range(len(shape)))),
        Mistake("These are bytes, as NumPy counts them; PyTorch counts elements.",
                lambda shape: tuple(4 * math.prod(shape[i + 1:]) for i in range(len(shape)))),
        Mistake("Return a tuple, as `.stride()` does.", lambda shape: [math.prod(shape[i + 1:]) for i in range(len(shape))],
                when=lambda facts: facts["contiguous_strides((2, 3))"] == [3, 1]),
    ],
    hints=[
        "How far is it in memory to the next entry along this axis?",
        "The product of all sizes to the right.",
        "Loop from the last axis to the first and keep a running product.",
    ],
)


# ---------------------------------------------------------------------------------------------- 04.6 tensor_from_numpy

def _some_array(dtype: str, *shape: int) -> np.ndarray:
    values = np.random.default_rng(len(shape) + shape[0]).integers(3, 90, shape)
    return (values / 4 if dtype.startswith("f") else values).astype(dtype)


def _observe_from_numpy(tensor_from_numpy, see):
    arrays = {"float64 array (2, 3)": _some_array("float64", 2, 3), "float32 array (4, 3)": _some_array("float32", 4, 3),
              "int64 array (3, 2)": _some_array("int64", 3, 2), "uint8 array (2, 5)": _some_array("uint8", 2, 5),
              "float32 array (5, 3), transposed": _some_array("float32", 3, 5).T}
    for label, a in arrays.items():
        before = a.copy()
        result = see.call(tensor_from_numpy, a, label=label, changes_inputs=True)
        unchanged = np.array_equal(a, before)
        see.fact(f"{label}: its inputs stay as they are", "every input unchanged" if unchanged else "the caller's a was changed in place",
                 implied="every input unchanged")
        if not is_tensor(result):
            return
        kept = result.clone()
        a += 1
        see.fact(f"{label}: the tensor after a += 1", _STAYS if _equal(result, kept) else _FOLLOWS, implied=_STAYS)
        kept = a.copy()
        result.add_(2)
        see.fact(f"{label}: the array after the tensor's add_(2)", _STAYS if np.array_equal(a, kept) else _FOLLOWS, implied=_STAYS)


_STAYS, _FOLLOWS = "stays as it is", "changes too: they share memory"


def _reference_from_numpy(a):
    """Number by number."""
    import torch

    return torch.tensor([float(v) for v in a.ravel()], dtype=torch.float32).reshape(a.shape)


def _from_numpy_float(a):
    import torch

    return torch.from_numpy(a).float()


def _from_numpy_alone(a):
    import torch

    return torch.from_numpy(a)


def _tensor_alone(a):
    import torch

    return torch.tensor(a)


def _float64_kept(facts, shared: bool) -> bool:
    result = facts["float64 array (2, 3)"]
    return (is_tensor(result) and describe(result).startswith("float64")
            and (facts["float64 array (2, 3): the tensor after a += 1"] == _FOLLOWS) == shared)


tensor_from_numpy = Exercise(
    "04.6", "tensor_from_numpy",
    observe=_observe_from_numpy,
    expected=_reference_from_numpy,
    mistakes=[
        Mistake("A float32 array shares its memory with your tensor: there is nothing to convert, so `.float()` returns the same memory, and "
                "`as_tensor` shares when it can.", _from_numpy_float,
                when=lambda facts: (facts["float32 array (4, 3): the tensor after a += 1"] == _FOLLOWS
                                    and facts["float64 array (2, 3): the tensor after a += 1"] == _STAYS)),
        Mistake("It shares memory, and the dtype follows the array (float64).", _from_numpy_alone,
                when=lambda facts: _float64_kept(facts, True)),
        Mistake("It copies, but keeps float64 or integers: say which dtype you want.", _tensor_alone,
                when=lambda facts: _float64_kept(facts, False)),
    ],
    hints=[
        "Two jobs: copy, and convert.",
        "`torch.tensor` always copies.",
        "`torch.tensor(a, dtype=...)`",
    ],
)


# ---------------------------------------------------------------------------------------------- 04.7 normalize_rows

def _positive(m: int, k: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 3.0, (m, k)).astype(np.float32)


def _observe_normalize(normalize_rows, see):
    x = _on_device(_positive(10, 10, 71))
    result = _call(see, normalize_rows, x, label=_SQUARE)
    if is_tensor(result) and result.shape == (10, 10) and result.is_floating_point():
        see.note("your rows sum to " + ", ".join(f"{v:.2f}" for v in result.sum(1)[:5].tolist()) + " ...")
    for m, k, seed in ((64, 10, 72), (3, 3, 73), (1, 5, 74), (4, 1, 75)):
        _call(see, normalize_rows, _on_device(_positive(m, k, seed)), label=f"x ({m}, {k})")
    _call(see, normalize_rows, _on_device(_positive(4, 6, 76)).T, label="x (6, 4), not contiguous")


_SQUARE = "x (10, 10)"


def _reference_normalize(x):
    """Row by row, in float64."""
    return _on_device(np.array([[v / math.fsum(row) for v in row] for row in _cpu(x).tolist()], np.float32))


def _sums_to_one(result, axis: int | None) -> bool:
    sums = _cpu(result).sum(axis)
    return bool(np.allclose(sums, 1, atol=1e-4))


normalize_rows = Exercise(
    "04.7", "normalize_rows",
    observe=_observe_normalize,
    expected=_reference_normalize,
    mistakes=[
        Mistake("The rows of a square input do not sum to 1, although nothing fails: the sums lie along the wrong axis. Use keepdim=True.",
                lambda x: x / x.sum(dim=1), when=lambda facts: _raised(facts["x (64, 10)"], "must match the size")),
        Mistake("The whole tensor sums to 1; asked is that of each row.", lambda x: x / x.sum(),
                when=lambda facts: _sums_to_one(facts[_SQUARE], None)),
        Mistake("The columns sum to 1: dim=1 runs along a row.", lambda x: x / x.sum(dim=0, keepdim=True),
                when=lambda facts: _sums_to_one(facts[_SQUARE], 0)),
        Mistake("`div_` and `/=` change the caller's tensor: return a new one.", lambda x: x.div_(x.sum(dim=1, keepdim=True)),
                when=lambda facts: (facts[f"{_SQUARE}: its inputs stay as they are"] != "every input unchanged"
                                    and _sums_to_one(facts[_SQUARE], 1))),
        Mistake("The rows sum to 1, but this is softmax: it takes exp first. Divide the numbers as they are.", lambda x: x.softmax(1)),
        Mistake("Divided by the length of each row, the root of the sum of squares. Divide by the sum.", lambda x: x / x.norm(dim=1, keepdim=True)),
        Mistake("Divided by the largest entry of each row. Divide by the sum.", lambda x: x / x.amax(dim=1, keepdim=True)),
    ],
    hints=[
        "Which shape must the divisor have, so that each row is divided by its own sum?",
        "`sum` has an argument `keepdim`.",
        "`x / x.sum(dim=..., keepdim=...)`",
    ],
)


# ---------------------------------------------------------------------------------------------- 04.8 mlp_logits

def _observe_mlp(mlp_logits, see):
    for (m, c, h, w), hidden, k, seed in (((5, 3, 4, 2), 7, 4, 81), ((1, 2, 3, 5), 6, 3, 82), ((3, 1, 28, 28), 256, 10, 83)):
        d = c * h * w
        make = _turned if seed == 82 else _numbers
        arguments = (make(m, c, h, w, seed=seed), make(d, hidden, seed=seed + 10, scale=d**-0.5), _numbers(hidden, seed=seed + 20),
                     make(hidden, k, seed=seed + 30), _numbers(k, seed=seed + 40))
        _call(see, mlp_logits, *arguments, label=f"images {(m, c, h, w)}, {d}-{hidden}-{k}" + (", not contiguous" if make is _turned else ""))


_FIRST_MLP = "images (5, 3, 4, 2), 24-7-4"


def _reference_mlp(images, w1, b1, w2, b2):
    """In NumPy and float64."""
    images, w1, b1, w2, b2 = (_cpu(a).astype(float) for a in (images, w1, b1, w2, b2))
    hidden = _sigmoid(images.reshape(len(images), -1) @ w1 + b1)
    return _on_device((hidden @ w2 + b2).astype(np.float32))


def _mlp(hidden, output):
    return lambda images, w1, b1, w2, b2: output(hidden(images.flatten(1) @ w1 + b1) @ w2 + b2)


def _inside(result) -> bool:
    return is_tensor(result) and bool(((result > 0) & (result < 1)).all())


mlp_logits = Exercise(
    "04.8", "mlp_logits",
    observe=_observe_mlp,
    expected=_reference_mlp,
    rtol=2e-5,
    mistakes=[
        Mistake("Return scores: the loss applies softmax, and yours have been through it already.",
                _mlp(_squash, lambda z: z.softmax(1)),
                when=lambda facts: _inside(facts[_FIRST_MLP]) and _sums_to_one(facts[_FIRST_MLP], 1)),
        Mistake("Two linear maps without an activation between them are one linear map.", _mlp(_as_is, _as_is)),
        Mistake("Sigmoid on the output: scores must be free to take any value.", _mlp(_squash, _squash),
                when=lambda facts: _inside(facts[_FIRST_MLP]) and not _sums_to_one(facts[_FIRST_MLP], 1)),
        Mistake("ReLU is fine in general; asked here is the sigmoid.", _mlp(lambda z: z.relu(), _as_is)),
        Mistake("These are logarithms of probabilities: the loss applies log-softmax itself. Return the scores.", _mlp(_squash, lambda z: z.log_softmax(1))),
        Mistake("The pixels are in another order: flatten each image as it lies, channel by channel.",
                lambda images, w1, b1, w2, b2: (images.permute(0, 2, 3, 1).flatten(1) @ w1 + b1).sigmoid() @ w2 + b2),
        Mistake("b1 is missing.", lambda images, w1, b1, w2, b2: (images.flatten(1) @ w1).sigmoid() @ w2 + b2),
        Mistake("b2 is missing.", lambda images, w1, b1, w2, b2: (images.flatten(1) @ w1 + b1).sigmoid() @ w2),
    ],
    hints=[
        "Flatten, product, squash, product.",
        "The biases have one entry for each column; broadcasting adds them to every row.",
        "`h = torch.sigmoid(flatten_batch(images) @ ... + ...)` and then `return h @ ... + ...`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 04.9 to_display

def _observe_display(to_display, see):
    for height, width, seed in ((4, 5, 91), (3, 3, 92), (7, 2, 93)):
        _call(see, to_display, _numbers(3, height, width, seed=seed), label=f"image (3, {height}, {width})")
    _call(see, to_display, _turned(3, 5, 4, seed=94), label="image (3, 5, 4), not contiguous")
    _call(see, to_display, _numbers(3, 2, 6, seed=95).requires_grad_(), label=_WITH_GRADIENT)
    far = _numbers(3, 6, 4, seed=96).cpu().as_subclass(_far_tensor())
    see.call(to_display, far, label=_FAR, changes_inputs=True)


_FIRST_IMAGE = "image (3, 4, 5)"
_WITH_GRADIENT, _FAR = "image (3, 2, 6) that requires gradients", "image (3, 6, 4) on a GPU (imitated here)"


@functools.cache
def _far_tensor():
    """A tensor that behaves like one on a GPU where this exercise can tell: NumPy cannot read it before ``.cpu()``."""
    import torch

    class FarTensor(torch.Tensor):
        is_cuda = property(lambda self: True)
        device = property(lambda self: torch.device("cuda", 0))

        def cpu(self, *args, **kwargs):
            return self.as_subclass(torch.Tensor)

        def to(self, *args, **kwargs):
            where = [*args, *kwargs.values()]
            return self.cpu() if "cpu" in where or torch.device("cpu") in where else super().to(*args, **kwargs)

        def numpy(self, *, force=False):
            if force:
                return self.detach().cpu().numpy()
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.")

        def __array__(self, *args, **kwargs):
            return self.numpy()

    return FarTensor


def _reference_display(image):
    """Pixel by pixel."""
    image = image.detach().cpu().tolist()
    height, width = len(image[0]), len(image[0][0])
    return np.array([[[image[c][i][j] for c in range(3)] for j in range(width)] for i in range(height)], np.float32)


def _display_scrambled(image):
    return image.detach().cpu().reshape(image.shape[1], image.shape[2], 3).numpy()


to_display = Exercise(
    "04.9", "to_display",
    observe=_observe_display,
    expected=_reference_display,
    mistakes=[
        Mistake("Reshape keeps the reading order: the colors are scrambled. Move the axis with `permute`.", _display_scrambled,
                when=lambda facts: np.array_equal(facts[_FIRST_IMAGE], _display_scrambled(_numbers(3, 4, 5, seed=91)))),
        Mistake("(W, H, 3): the picture is mirrored along its diagonal. Height comes first.",
                lambda image: image.detach().cpu().permute(2, 1, 0).numpy(),
                when=lambda facts: facts[_FIRST_IMAGE].shape == (5, 4, 3)),
        Mistake("NumPy can't have a tensor that requires gradients: `.detach()` first.", lambda image: image.permute(1, 2, 0).cpu().numpy(),
                when=lambda facts: _raised(facts[_WITH_GRADIENT], "requires grad")),
        Mistake("The result is still a tensor; asked is a NumPy array.", lambda image: image.detach().cpu().permute(1, 2, 0),
                when=lambda facts: is_tensor(facts[_FIRST_IMAGE])),
        Mistake("NumPy can't see the memory of a GPU: `.cpu()` first.", lambda image: image.detach().permute(1, 2, 0).numpy(),
                when=lambda facts: any(_raised(fact, "Use Tensor.cpu()") for fact in facts.values())),
        Mistake("Values below 0 or above 1 were cut off. Return the same values; matplotlib cuts by itself.",
                lambda image: image.detach().cpu().permute(1, 2, 0).clip(0, 1).numpy()),
        Mistake("The values are scaled to 0..255. Return the same values: matplotlib takes 0..1 as they are.",
                lambda image: (255 * image.detach().cpu().permute(1, 2, 0)).clip(0, 255).byte().numpy(),
                when=lambda facts: describe(facts[_FIRST_IMAGE]).startswith("uint8")),
        Mistake("The values are divided by 255. Return the same values.",
                lambda image: image.detach().cpu().permute(1, 2, 0).numpy() / np.float32(255)),
    ],
    hints=[
        "Move an axis, not the data.",
        "You need `permute`, `detach`, `cpu` and `numpy`.",
        "`image.detach().cpu().permute(1, ..., ...).numpy()`",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("04", [
    Question("`a` and `b` have shape (1, 5). What does `torch.mm(a, b)` give?",
             ("an error", "The first has 5 columns, the second 1 row; they would have to agree."),
             [("their dot product", "That needs one of them transposed: `torch.mm(a, b.T)` is (1, 1)."),
              ("a tensor (5, 5)", "That is `a.T @ b`, all products of one entry with another.")]),
    Question("What does the trailing underscore of `t.mul_(2)` mean?",
             ("in place: `t` itself changes", "PyTorch marks all methods that change their tensor in this way."),
             [("a private method", "In Python a *leading* underscore says that."),
              ("no gradient is recorded", "Gradients are recorded as ever; `torch.no_grad()` switches that off.")]),
    Question("`t` has shape (2, 3). What does `t.t().view(6)` give?",
             ("an error: not contiguous", "One step through the result would have to skip different distances in memory, and one stride "
                                          "cannot say that."),
             [("the same as `t.view(6)`", "Then the transpose would have been ignored: `view` respects strides."),
              ("a copy in the new order", "That is what `reshape` does; `view` never copies.")]),
    Question("Does `torch.from_numpy(a).mul_(2)` change the array `a`?",
             ("yes", "`from_numpy` shares memory, whatever the dtype, and `mul_` works in place."),
             [("only if `a` is float32", "It shares memory for every dtype; only a *conversion* would copy."),
              ("no, the tensor is a copy", "`torch.tensor(a)` would be one.")]),
    Question("`top` has shape (64, 1) and `labels` (64,). Which shape has `top == labels`?",
             ("(64, 64)", "(64,) counts as (1, 64). Both ones are stretched: every prediction meets every label."),
             [("(64,)", "That is what people expect, and what `top.view_as(labels) == labels` gives."),
              ("none, it is an error", "It would be one if a 64 met another number; a 1 is stretched instead.")]),
    Question("`image` is (3, H, W). Which line gives matplotlib the same picture?",
             ("`image.permute(1, 2, 0)`", "It moves the channel axis to the end; each pixel keeps its place and its color."),
             [("`image.reshape(H, W, 3)`", "The shape fits, but three neighbors in memory are not the three colors of one pixel."),
              ("`image.permute(2, 1, 0)`", "That is (W, H, 3): mirrored along the diagonal.")]),
    Question("$x$ is 3x2 and $z$ the mean of $x^2$. What is the gradient?",
             ("$x/3$", "The mean divides by 6 and the square gives 2x: 2x/6."),
             [("$x/2$", "That is 2x/4, right for four entries; these are six."),
              ("$2x$", "That is the gradient of the *sum* of the squares.")]),
])


# ---------------------------------------------------------------------------------------------- figures: the tools

def _canvas(size, width: float, height: float, columns: int = 1):
    """Axes to draw on, without ticks: x to the right, y downward, one unit for a cell."""
    fig, axes = plots.figure(1, columns, size=size)
    for ax in np.atleast_1d(axes):
        ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
        ax.set_axis_off()
    return fig, axes


def _tint(position: float) -> tuple:
    """A light color for a place in memory, from 0 for the first to 1 for the last: dark to light, so that the order can be seen."""
    from matplotlib import colormaps

    return tuple(0.45 * np.array(colormaps["viridis"](0.08 + 0.87 * position)[:3]) + 0.55)


def _cell(ax, x: float, y: float, text: str = "", color="white", size: float = 1.0, edge=plots.BLACK, line: float = 1.0, fontsize: float = 12,
          **options) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((x, y), size, size, facecolor=color, edgecolor=edge, linewidth=line, **options))
    if text:
        ax.text(x + size / 2, y + size / 2, text, ha="center", va="center", fontsize=fontsize)


def _grid(ax, x: float, y: float, texts, colors=None, title: str = "", size: float = 1.0, fontsize: float = 12) -> None:
    """A table of cells with its upper left corner at (x, y). Args: texts, rows of strings; colors, rows of colors."""
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            _cell(ax, x + j * size, y + i * size, text, colors[i][j] if colors else "white", size, fontsize=fontsize)
    if title:
        ax.text(x + len(texts[0]) * size / 2, y - 0.2, title, ha="center", va="bottom", fontsize=12)


def _memory_grid(ax, x: float, y: float, places: np.ndarray, title: str, total: int, size: float = 1.0, fontsize: float = 12) -> None:
    """A table of places in memory, each in its color."""
    _grid(ax, x, y, [[str(p) for p in row] for row in places], [[_tint(p / (total - 1)) for p in row] for row in places], title, size, fontsize)


def _strip(ax, x: float, y: float, total: int, label: str = "memory") -> None:
    """Memory: one row of numbered cells."""
    _memory_grid(ax, x, y, np.arange(total)[None], "", total)
    ax.text(x - 0.2, y + 0.5, label, ha="right", va="center", fontsize=12)


def _arrow(ax, start, end, color=plots.BLACK, curve: float = 0.0, **options) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 1.6, "shrinkA": 2, "shrinkB": 2,
                                            "connectionstyle": f"arc3,rad={curve}", **options})


def _box(ax, x: float, y: float, width: float, height: float, text: str, color=plots.SKY, fontsize: float = 12) -> None:
    from matplotlib.patches import FancyBboxPatch

    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.06", facecolor=color, alpha=0.3, edgecolor="none"))
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.06", facecolor="none", edgecolor=plots.BLACK))
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=fontsize)


def _show(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


# ---------------------------------------------------------------------------------------------- figures: what goes in

def show_dimensions() -> None:
    """A number, a row, a table, an RGB image and a batch of images: 0 to 4 dimensions."""
    fig, ax = _canvas((10.2, 3.3), 20.4, 6.0)
    sky, names = "#cfe6f5", (("0-d", "a number", "()"), ("1-d", "a vector", "(4,)"), ("2-d", "a matrix", "(3, 4)"),
                             ("3-d", "an RGB image", "(3, H, W)"), ("4-d", "a batch of images", "(N, C, H, W)"))
    _cell(ax, 0.9, 2.1, color=sky, size=0.8)
    for j in range(4):
        _cell(ax, 3.3 + 0.8 * j, 2.1, color=sky, size=0.8)
        for i in range(3):
            _cell(ax, 7.8 + 0.8 * j, 1.3 + 0.8 * i, color=sky, size=0.8)
    for k, (color, letter) in enumerate(((plots.BLUE, "B"), (plots.GREEN, "G"), (plots.RED, "R"))):
        _cell(ax, 13.1 - 0.45 * k, 0.8 + 0.45 * k, color="white", size=2.3)
        _cell(ax, 13.1 - 0.45 * k, 0.8 + 0.45 * k, color=color, size=2.3, alpha=0.45)
        ax.text(13.1 - 0.45 * k + 0.25, 0.8 + 0.45 * k + 0.35, letter, fontsize=11, ha="center", va="center", fontweight="bold")
    for n in range(3):
        for k, color in enumerate((plots.BLUE, plots.GREEN, plots.RED)):
            x, y = 18.9 - 0.25 * k - 0.75 * n, 0.2 + 0.25 * k + 0.9 * n
            _cell(ax, x, y, color="white", size=1.25)
            _cell(ax, x, y, color=color, size=1.25, alpha=0.45)
    for x, (d, name, shape) in zip((1.3, 4.9, 9.4, 13.8, 18.6), names, strict=True):
        ax.text(x, 4.7, f"{d}: {name}", ha="center", va="center", fontsize=12)
        ax.text(x, 5.4, shape, ha="center", va="center", fontsize=12, family="monospace")
    plots.show(fig, "From left to right: one number, 0-d; a row of four, 1-d; a table of three rows and four columns, 2-d; an RGB image, three "
                    "sheets behind each other, 3-d; a batch of such images, 4-d.")


def show_neuron(features, weights, bias) -> None:
    """The products, the bias, their sum and the output. Args: (1, 5), (1, 5), (1, 1)."""
    products, b = _cpu(features * weights)[0], float(bias)
    total = products.sum() + b
    values = [*products, b, total]
    fig, (left, right) = plots.figure(1, 2, size=(9.4, 3.5), width_ratios=(1.5, 1))
    names = [*(f"$x_{i}w_{i}$" for i in range(1, len(products) + 1)), "$b$", "sum"]
    left.bar(names, values, color=[plots.BLUE] * len(products) + [plots.ORANGE, plots.BLACK], width=0.65)
    left.axhline(0, color=plots.BLACK, linewidth=1)
    for place, value in enumerate(values):
        left.annotate(_show(value, 2), (place, value), xytext=(0, 4 if value > 0 else -4), textcoords="offset points", ha="center",
                      va="bottom" if value > 0 else "top", fontsize=10)
    left.margins(y=0.18)
    left.set(ylabel="value", title="weighted sum, then the bias once")
    z = np.linspace(-5, 5, 200)
    right.plot(z, _sigmoid(z), linewidth=2)
    right.plot(total, _sigmoid(total), "o", color=plots.RED, markersize=9)
    right.annotate(f"{_show(_sigmoid(total))}", (total, _sigmoid(total)), xytext=(10, -4), textcoords="offset points", va="center", fontsize=11)
    right.set(xlabel="sum", ylabel="output", title="squash it")
    plots.show(fig, f"Left: the five products of features and weights, the bias {_show(b)}, and their sum {_show(total)}. Right: the sigmoid turns "
                    f"the sum into the output, {_show(_sigmoid(total))}.")


# ---------------------------------------------------------------------------------------------- figures: products

def show_product_shapes() -> None:
    """(1, 5) times (1, 5) cannot be; (1, 5) times (5, 1) can."""
    fig, axes = _canvas((9.6, 3.3), 13.0, 7.4, columns=2)
    for ax, rows, columns, title, color in ((axes[0], 1, 5, "5 ≠ 1: an error", plots.RED), (axes[1], 5, 1, "5 = 5: the result is 1 × 1", plots.GREEN)):
        _grid(ax, 0.6, 2.6, [["" for _ in range(5)]], [["#cfe6f5"] * 5])
        ax.text(6.4, 3.1, "@", fontsize=16, ha="center", va="center")
        top = 2.6 if rows == 1 else 0.9
        _grid(ax, 7.2, top, [["" for _ in range(columns)] for _ in range(rows)], [["#fbe3c0"] * columns] * rows)
        ax.text(3.1, 4.3, "(1, 5)", ha="center", fontsize=13, family="monospace")
        ax.text(7.2 + columns / 2, top + rows + 0.7, f"({rows}, {columns})", ha="center", fontsize=13, family="monospace")
        ax.text(6.5, 0.3, title, ha="center", fontsize=13, color=color, fontweight="bold")
        if rows == 5:
            ax.text(9.4, 3.1, "=", fontsize=16, ha="center", va="center")
            _cell(ax, 10.3, 2.6, color="#cdebdf")
    plots.show(fig, "Left: a row of five cells times a row of five cells: five columns meet one row, an error. Right: a row of five times a column "
                    "of five: the inner sizes agree, and the result is one cell.")


def show_batch_product(features, weights, output) -> None:
    """Each row of features meets the same column of weights. Args: (4, 5), (5, 1), (4, 1)."""
    fig, ax = _canvas((9.2, 3.6), 15.6, 6.2)
    x, w, y = (_cpu(v) for v in (features, weights, output))
    row = "#cfe6f5"
    _grid(ax, 0.4, 1.0, [[_show(v, 1) for v in r] for r in x], [[row if i == 1 else "white"] * 5 for i in range(4)], "features (4, 5)", fontsize=10)
    ax.text(6.3, 3.0, "@", fontsize=16, ha="center", va="center")
    _grid(ax, 7.4, 0.7, [[_show(v, 1)] for v in w[:, 0]], [["#fbe3c0"]] * 5, "weights (5, 1)", fontsize=10)
    ax.text(9.8, 3.0, "=", fontsize=16, ha="center", va="center")
    _grid(ax, 11.2, 1.0, [[_show(v, 1)] for v in y[:, 0]], [["#cdebdf"] if i == 1 else ["white"] for i in range(4)], "result (4, 1)", fontsize=10)
    ax.text(12.6, 2.5, "example 1", va="center", fontsize=12)
    ax.text(2.9, 5.7, "one example a row", ha="center", fontsize=12)
    plots.show(fig, f"A table of four examples with five features times a column of five weights gives a column of four numbers. Example 1, the "
                    f"shaded second row, gives {_show(y[1, 0], 1)}. All rows use the same weights.")


def show_two_layer(x, W1, B1, W2, B2) -> None:
    """The 3-2-1 network with its values, worked out in NumPy. Args: (1, 3), (3, 2), (1, 2), (2, 1), (1, 1)."""
    x, W1, B1, W2, B2 = (_cpu(v) for v in (x, W1, B1, W2, B2))
    h = _sigmoid(x @ W1 + B1)
    y = _sigmoid(h @ W2 + B2)
    fig, ax = _canvas((9.0, 3.7), 15.0, 6.2)
    places = ([(2, 0.9), (2, 3.0), (2, 5.1)], [(7.4, 1.9), (7.4, 4.1)], [(12.4, 3.0)])
    for layer, matrix in enumerate((W1, W2)):
        for (i, j), weight in np.ndenumerate(matrix):
            (x0, y0), (x1, y1) = places[layer][i], places[layer + 1][j]
            ax.plot((x0, x1), (y0, y1), color=plots.BLUE if weight > 0 else plots.RED, linestyle="-" if weight > 0 else "--",
                    linewidth=0.8 + 1.8 * abs(weight), zorder=1)
    for points, values, color in zip(places, (x[0], h[0], y[0]), ("#cfe6f5", "#fbe3c0", "#cdebdf"), strict=True):
        for (px, py), value in zip(points, values, strict=True):
            ax.plot(px, py, "o", markersize=52, color=color, markeredgecolor=plots.BLACK, zorder=2)
            ax.text(px, py, _show(value), ha="center", va="center", fontsize=10.5, zorder=3)
    ax.text(4.7, 0.6, "W1 (3, 2)", ha="center", fontsize=12)
    ax.text(9.9, 1.4, "W2 (2, 1)", ha="center", fontsize=12)
    plots.show(fig, f"A network of three features, two hidden units and one output. Solid blue lines are positive weights, dashed red ones negative; "
                    f"thick means large. Hidden values {_show(h[0, 0])} and {_show(h[0, 1])}, output {_show(y[0, 0])}.")


# ---------------------------------------------------------------------------------------------- figures: memory

def show_reshape_transpose() -> None:
    """(2, 3), the same reshaped to (3, 2), and transposed: one memory, three readings."""
    t = np.arange(6).reshape(2, 3)
    fig, ax = _canvas((9.4, 4.1), 15.4, 6.6)
    _memory_grid(ax, 1.0, 1.3, t, "t, shape (2, 3)", 6)
    _memory_grid(ax, 7.0, 0.9, t.reshape(3, 2), "t.reshape(3, 2)", 6)
    _memory_grid(ax, 12.0, 0.9, t.T, "t.t()", 6)
    ax.text(8, 4.3, "reads 0 1 2 3 4 5", ha="center", fontsize=11)
    ax.text(13, 4.3, "reads 0 3 1 4 2 5", ha="center", fontsize=11)
    ax.text(2.5, 4.3, "reads 0 1 2 3 4 5", ha="center", fontsize=11)
    _strip(ax, 4.7, 5.2, 6)
    plots.show(fig, "Three tables of the same six numbers, which lie in memory as 0 1 2 3 4 5. Read row by row: t and its reshape go through memory "
                    "in order; the transpose jumps: 0 3 1 4 2 5.")


_TWELVE = ((1, 12), (2, 6), (3, 4), (4, 3), (6, 2), (12, 1))


def draw_reading(shape: tuple[int, int], transposed: bool, row: int, column: int):
    """A tensor of twelve numbers, and the place in memory that one of its entries reads. Returns (figure, text)."""
    places = np.arange(12).reshape(shape)
    strides = (shape[1], 1)
    if transposed:
        places, strides = places.T, strides[::-1]
    rows, columns = places.shape
    row, column = min(row, rows - 1), min(column, columns - 1)
    size = min(1.0, 4.2 / rows)
    fig, ax = _canvas((8.0, 4.4), 14.0, 7.6)
    left, top = 1.6 + (12 - columns * size) / 2, 0.9
    name = f"t.view({shape[0]}, {shape[1]})" + (".t()" if transposed else "")
    _memory_grid(ax, left, top, places, f"{name}: shape {places.shape}, stride {strides}", 12, size, 12 * max(size, 0.6))
    _strip(ax, 1.6, 6.1, 12)
    place = int(places[row, column])
    _cell(ax, left + column * size, top + row * size, size=size, color="none", edge=plots.RED, line=3.5, zorder=5)
    _cell(ax, 1.6 + place, 6.1, color="none", edge=plots.RED, line=3.5, zorder=5)
    _arrow(ax, (left + (column + 0.5) * size, top + rows * size), (2.1 + place, 6.1), color=plots.RED)
    address = f"{row}·{strides[0]} + {column}·{strides[1]} = {place}"
    return fig, f"Entry [{row}, {column}] of {name} reads place {address} in memory."


def show_reading() -> None:
    """Entry [1, 2] of a (3, 4) tensor and the place that it reads."""
    fig, text = draw_reading((3, 4), False, 1, 2)
    plots.show(fig, f"Twelve numbers in a table of three rows and four columns, and below it the memory. {text}")


def reading_slider() -> None:
    """Sliders for the shape, for transposing and for one entry, where the notebook runs in a browser."""
    def draw(shape, transposed, row, column):
        return draw_reading(_TWELVE[int(shape)], bool(transposed), int(row), int(column))

    widgets.sliders(draw, shape=(0, 5, 2, 1), transposed=(0, 1, 0, 1), row=(0, 11, 1, 1), column=(0, 11, 2, 1))


def show_strides() -> None:
    """The steps through memory of a (2, 3) tensor and of its transpose: key figure of the lesson."""
    fig, axes = _canvas((10.0, 4.3), 9.4, 7.8, columns=2)
    t = np.arange(6).reshape(2, 3)
    for ax, places, name, strides in ((axes[0], t, "t", (3, 1)), (axes[1], t.T, "t.t()", (1, 3))):
        left = 2.6 + (6 - places.shape[1]) / 2
        top = 1.0 if len(places) == 2 else 0.6
        _memory_grid(ax, left, top, places, f"{name}: stride {strides}", 6)
        _strip(ax, 2.6, 5.4, 6)
        down, right = 3.1 + strides[0], 3.1 + strides[1]
        _arrow(ax, (left - 0.35, top + 0.4), (left - 0.35, top + 1.6), color=plots.RED)
        _arrow(ax, (left + 0.4, top + len(places) + 0.3), (left + 1.6, top + len(places) + 0.3), color=plots.BLUE)
        ax.text(left - 0.6, top + 1.0, "next row", ha="right", va="center", fontsize=11, color=plots.RED)
        ax.text(left + 1.8, top + len(places) + 0.3, "next column", ha="left", va="center", fontsize=11, color=plots.BLUE)
        _arrow(ax, (3.1, 5.4), (down, 5.4), color=plots.RED, curve=-0.45)
        _arrow(ax, (3.1, 6.4), (right, 6.4), color=plots.BLUE, curve=0.45)
        ax.text((3.1 + down) / 2, 4.62 if strides[0] == 3 else 4.9, f"+{strides[0]}", ha="center", va="bottom", fontsize=11, color=plots.RED)
        ax.text((3.1 + right) / 2, 7.25 if strides[1] == 3 else 6.9, f"+{strides[1]}", ha="center", va="top", fontsize=11, color=plots.BLUE)
    plots.show(fig, "Left: t, two rows of three. The next row is 3 places further in memory, the next column 1. Right: its transpose, three rows of "
                    "two. Now the next row is 1 place further and the next column 3. The memory below is the same.")


def show_patch() -> None:
    """Where the 7 x 7 corner of a 28 x 28 image lies in memory."""
    fig, (left, right) = plots.figure(1, 2, size=(9.2, 3.4), width_ratios=(1, 2.6))
    picture = np.full((28, 28, 3), 0.9)
    picture[:7, :7] = np.array([0, 114, 178]) / 255
    left.imshow(picture)
    left.set(xticks=(0, 7, 14, 21, 28), yticks=(0, 7, 14, 21, 28), xlabel="column", ylabel="row", title="image (28, 28)")
    left.grid(False)
    memory = picture.reshape(1, 784, 3)[:, :220]
    right.imshow(memory, aspect="auto", extent=(0, 220, 0, 1))
    right.set(xlabel="place in memory, the first 220", yticks=[], xticks=range(0, 221, 28), title="7 numbers, then a gap of 21, and so on")
    right.grid(False)
    plots.show(fig, "Left: the upper left corner of an image, 7 by 7 of 28 by 28. Right: in memory the patch is seven short runs of 7 numbers, each "
                    "starting 28 after the one before.")


def show_blind_layer(held, read) -> None:
    """What a tensor holds, and what a layer that ignores strides reads. Args: (3, 2) each."""
    held, read = _cpu(held).astype(int), _cpu(read).astype(int)
    fig, ax = _canvas((8.0, 3.2), 13.0, 4.6)
    _memory_grid(ax, 2.2, 1.0, held, "what x = t.t() holds", 6)
    _memory_grid(ax, 8.6, 1.0, read, "what a blind layer reads", 6)
    for i, j in np.argwhere(held != read):
        _cell(ax, 8.6 + j, 1 + i, color="none", edge=plots.RED, line=3, zorder=4)
    _arrow(ax, (4.8, 2.5), (7.9, 2.5))
    plots.show(fig, f"Left: the transpose, rows {held.tolist()}. Right: the same memory read as if it were contiguous, {read.tolist()}. Red frames: "
                    f"{(held != read).sum()} of 6 numbers are wrong, and nothing fails.")


def show_shared_memory() -> None:
    """An array and a tensor on one memory, before and after ``mul_(2)``; beside it a copy."""
    fig, ax = _canvas((9.8, 3.5), 17.6, 6.2)
    for x, values, title in ((0.6, ("1", "2", "3"), "before"), (6.9, ("2", "4", "6"), "after t.mul_(2)")):
        ax.text(x + 2, 0.4, title, ha="center", fontsize=13, fontweight="bold")
        for y, name, color in ((1.3, "a", "#fbe3c0"), (4.6, "t", "#cfe6f5")):
            _cell(ax, x, y, name, color, fontsize=13)
            _arrow(ax, (x + 1.05, y + 0.5), (x + 1.55, 3.2 if y < 3 else 3.7))
        _grid(ax, x + 1.6, 2.95, [list(values)], [["#cdebdf"] * 3])
    ax.text(14.7, 0.4, "torch.tensor(a)", ha="center", fontsize=13, fontweight="bold")
    for y, name, color in ((1.7, "a", "#fbe3c0"), (4.1, "t", "#cfe6f5")):
        _cell(ax, 12.6, y, name, color, fontsize=13)
        _arrow(ax, (13.65, y + 0.5), (14.05, y + 0.5))
        _grid(ax, 14.1, y, [["1", "2", "3"] if name == "a" else ["2", "4", "6"]], [["#cdebdf"] * 3])
    plots.show(fig, "Left and middle: the array a and the tensor t point to one memory; after t.mul_(2) both read 2, 4, 6. Right: torch.tensor(a) "
                    "has a memory of its own, and a keeps 1, 2, 3.")


# ---------------------------------------------------------------------------------------------- figures: broadcasting

def show_broadcasting() -> None:
    """A (4, 3) table divided by (4, 1), by (3,) and by (4,)."""
    fig, axes = _canvas((10.2, 3.9), 9.6, 6.8, columns=3)
    blue, orange, ghost = "#cfe6f5", "#fbe3c0", "#fdf5e6"
    cases = ((axes[0], "(4, 3) / (4, 1)", "each row by its own number"), (axes[1], "(4, 3) / (3,)", "each column by its own number"),
             (axes[2], "(4, 3) / (4,)", "an error: 3 meets 4"))
    for place, (ax, title, below) in enumerate(cases):
        ax.text(4.8, 0.5, title, ha="center", fontsize=12.5, family="monospace")
        _grid(ax, 0.4, 1.2, [[""] * 3] * 4, [[blue] * 3] * 4)
        ax.text(4.1, 3.2, "/", fontsize=16, ha="center", va="center")
        if place == 0:
            _grid(ax, 4.8, 1.2, [[c, c, c] for c in "abcd"], [[orange, ghost, ghost]] * 4)
        elif place == 1:
            _grid(ax, 4.8, 1.2, [["a", "b", "c"]] * 4, [[orange] * 3] + [[ghost] * 3] * 3)
        else:
            _grid(ax, 4.8, 1.2, [["a", "b", "c", "d"]], [[orange] * 4])
        ax.text(4.8, 6.2, below, ha="center", fontsize=12, color=plots.RED if place == 2 else plots.BLACK)
    plots.show(fig, "Three divisions of a table with four rows and three columns. By (4, 1): the column is repeated to the right. By (3,): the row is "
                    "repeated downward. By (4,): four entries cannot be aligned with three columns, an error.")


def show_row_sums(sums) -> None:
    """The row sums after the silent mistake, beside what they should be. Args: sums (10,)."""
    sums = _cpu(sums)
    fig, ax = plots.figure(size=(7.4, 3.1))
    ax.bar(range(len(sums)), sums, color=plots.RED, width=0.6, label="what came out")
    ax.axhline(1, color=plots.BLACK, linestyle="--", linewidth=1.8, label="what was meant")
    ax.set(xlabel="row", ylabel="sum of the row", xticks=range(len(sums)), ylim=(0, 1.8))
    plots.legend(ax, loc="upper left", ncols=2)
    plots.show(fig, f"Sums of the ten rows after x / x.sum(1): from {sums.min():.2f} to {sums.max():.2f}. Meant was 1 for each, the dashed line.")


def show_stuck_accuracy(strengths, losses, wrong, right) -> None:
    """A loss that falls while one of two accuracies stands still. Args: one number for each strength."""
    fig, (left, middle) = plots.figure(1, 2, size=(9.0, 3.1))
    left.plot(strengths, losses, "o-", color=plots.BLACK)
    left.set(xlabel="strength of the right score", ylabel="loss", ylim=(0, None), xticks=strengths)
    middle.plot(strengths, right, "o-", color=plots.BLUE, label="prediction against its own label")
    middle.plot(strengths, wrong, "X--", color=plots.RED, label="(64, 1) against (64,)")
    middle.set(xlabel="strength of the right score", ylabel="accuracy", ylim=(-0.03, 1.42), xticks=strengths, yticks=(0, 0.25, 0.5, 0.75, 1))
    plots.legend(middle, loc="upper left")
    plots.show(fig, f"Left: the loss falls from {losses[0]:.2f} to {losses[-1]:.2f} as the right score grows. Right: the accuracy rises from "
                    f"{right[0]:.2f} to {right[-1]:.2f}; measured as (64, 1) against (64,) it stays between {min(wrong):.2f} and {max(wrong):.2f}.")


def show_everybody_meets_everybody(equal) -> None:
    """The (64, 64) comparison; only its diagonal was meant. Args: (64, 64) booleans."""
    equal = _cpu(equal)
    fig, ax = plots.figure(size=(7.2, 4.3))
    rows, columns = np.nonzero(equal)
    on = rows == columns
    ax.plot(range(64), range(64), color=plots.GREY, linewidth=1, label="the 64 that were meant")
    ax.plot(columns[~on], rows[~on], "s", color=plots.SKY, markersize=3, label="equal by chance")
    ax.plot(columns[on], rows[on], "o", color=plots.RED, markersize=6, label="a right prediction")
    ax.set(xlabel="label of image", ylabel="prediction for image", xlim=(-1, 64), ylim=(64, -1), aspect="equal", xticks=(0, 16, 32, 48, 63),
           yticks=(0, 16, 32, 48, 63))
    plots.legend(ax, outside=True, markerscale=1.5)
    plots.show(fig, f"64 predictions against 64 labels. {int(on.sum())} of the 64 places on the diagonal are equal; so are "
                    f"{int((~on).sum())} of the 4,032 others, which compare an image with the label of another one.")


# ---------------------------------------------------------------------------------------------- figures: the network, pictures

def show_digits(images, labels) -> None:
    """The first ten images of a batch. Args: images (n, 1, 28, 28), labels (n,)."""
    fig = plots.images(_cpu(images)[:10, 0], [str(int(v)) for v in _cpu(labels)[:10]], columns=10)
    plots.show(fig, "The first ten digits of the batch, white on black, with their labels above.")


def show_mlp() -> None:
    """The shapes on the way from 64 images to 64 rows of scores."""
    fig, ax = _canvas((10.2, 2.9), 20.4, 5.6)
    stops = ((0.4, "images\n(64, 1, 28, 28)"), (5.9, "rows\n(64, 784)"), (11.2, "hidden\n(64, 256)"), (16.5, "scores\n(64, 10)"))
    for x, text in stops:
        _box(ax, x, 1.6, 3.4, 1.9, text, fontsize=12)
    for start, end, above, below in ((3.95, 5.75, "flatten", ""), (9.45, 11.05, "@ w1 + b1", "sigmoid"), (14.75, 16.35, "@ w2 + b2", "nothing")):
        _arrow(ax, (start, 2.55), (end, 2.55))
        ax.text((start + end) / 2, 1.15, above, ha="center", va="center", fontsize=11)
        ax.text((start + end) / 2, 4.0, below, ha="center", va="center", fontsize=11, style="italic")
    ax.text(10.25, 5.0, "784·256 + 256 = 200,960", ha="center", fontsize=11)
    ax.text(16.6, 5.0, "256·10 + 10 = 2,570", ha="center", fontsize=11)
    plots.show(fig, "Four boxes: images (64, 1, 28, 28), flattened to rows (64, 784); a product with bias and the sigmoid give hidden (64, 256); a "
                    "second product gives scores (64, 10), without an activation. 200,960 and 2,570 parameters.")


def show_untrained(large, small) -> None:
    """Probabilities of the first image with large and with small weights. Args: (n, 10) each."""
    fig, axes = plots.figure(1, 2, size=(9.0, 3.1), sharey=True)
    tops = []
    for ax, p, title in zip(axes, (large, small), ("weights from normal(0, 1)", "the same weights, times 0.01"), strict=True):
        p = _cpu(p)
        tops.append(p.max(1).mean())
        ax.bar(range(10), p[0], color=plots.BLUE, width=0.7)
        ax.axhline(0.1, color=plots.BLACK, linestyle="--", linewidth=1.2)
        ax.set(xlabel="class", xticks=range(10), ylim=(0, 1.05), title=title)
    axes[0].set_ylabel("softmax probability")
    plots.show(fig, "Ten probabilities of an untrained network for the first image; dashed, one tenth. With large weights it seems sure of one class, "
                    f"with small ones nearly all are equal. The largest probability, on average over the batch: {tops[0]:.2f} and {tops[1]:.2f}.")


def scene():
    """A picture that tells top from bottom, left from right and color from color: (3, 40, 60) float32 in 0..1.

    A red sun at the upper left, a green hill at the right, blue water below.
    """
    import torch

    rows, columns = np.mgrid[:40, :60].astype(float)
    picture = np.stack([0.80 + 0 * rows, 0.88 + 0 * rows, 0.97 - 0.004 * rows])
    sun, hill, water = (rows - 10) ** 2 + (columns - 13) ** 2 < 49, rows > 13 + 0.035 * (columns - 47) ** 2, rows >= 26
    for where, color in ((sun, (0.88, 0.16, 0.10)), (hill, (0.20, 0.55, 0.25)), (water, (0.08, 0.32, 0.72))):
        picture[:, where] = np.array(color)[:, None]
    picture[:, water & ((rows + np.round(1.2 * np.sin(columns / 4))) % 4 < 1)] += 0.12
    return torch.tensor(picture.clip(0, 1).astype(np.float32))


def show_layouts(image) -> None:
    """The picture drawn right, reshaped, and with its axes turned round. Args: image (3, H, W) in 0..1."""
    image = image.detach().cpu()
    height, width = image.shape[1:]
    pictures = {"permute(1, 2, 0)": image.permute(1, 2, 0), f"reshape({height}, {width}, 3)": image.reshape(height, width, 3),
                "permute(2, 1, 0)": image.permute(2, 1, 0)}
    fig, axes = plots.figure(1, 3, size=(9.8, 3.3))
    for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
        ax.imshow(picture.numpy())
        ax.set_title(f"{title}\n{tuple(picture.shape)}", fontsize=11)
        ax.set_axis_off()
    plots.show(fig, "One picture, three ways to matplotlib. permute(1, 2, 0): the red sun at the upper left, a green hill, blue water. reshape: nine "
                    "small, gray pictures in a scrambled order. permute(2, 1, 0): mirrored along the diagonal, so the water stands at the right.")


def show_picture(array: np.ndarray) -> None:
    """A picture (H, W, 3) with values in 0..1, as matplotlib wants it."""
    fig, ax = plots.figure(size=(4.2, 3.0))
    ax.imshow(array)
    ax.set_axis_off()
    plots.show(fig, "The scene as it should be: the red sun at the upper left, a green hill at the right, blue water below.")


def show_gradient(x, gradient) -> None:
    """x and the gradient of its mean square, one number for each. Args: (2, 2) each."""
    x, gradient = _cpu(x), _cpu(gradient)
    fig, ax = _canvas((7.2, 2.8), 12.0, 4.4)
    blue, green = "#cfe6f5", "#cdebdf"
    _grid(ax, 0.8, 0.9, [[_show(v, 1) for v in row] for row in x], [[blue] * 2] * 2, "x", size=1.5, fontsize=13)
    _grid(ax, 8.0, 0.9, [[_show(v, 2) for v in row] for row in gradient], [[green] * 2] * 2, "x.grad", size=1.5, fontsize=13)
    _box(ax, 5.1, 1.9, 1.5, 1.0, "z", color=plots.ORANGE, fontsize=13)
    _arrow(ax, (3.95, 2.4), (4.95, 2.4))
    _arrow(ax, (6.75, 2.4), (7.85, 2.4))
    plots.show(fig, "A table of two by two, the number z made of it, and the gradient: again two by two, one slope for each entry, half of it.")


def show_devices() -> None:
    """Two memories and the way between them."""
    fig, ax = _canvas((8.6, 2.7), 16.0, 4.6)
    _box(ax, 0.6, 0.9, 5.4, 2.9, "", color=plots.SKY)
    _box(ax, 10.0, 0.9, 5.4, 2.9, "", color=plots.GREEN)
    for x, name, text in ((3.3, "CPU memory", "NumPy, files, matplotlib"), (12.7, "GPU memory", "large matrix products")):
        ax.text(x, 1.7, name, ha="center", va="center", fontsize=13, fontweight="bold")
        ax.text(x, 2.8, text, ha="center", va="center", fontsize=11.5)
    _arrow(ax, (6.3, 1.7), (9.7, 1.7))
    _arrow(ax, (9.7, 3.1), (6.3, 3.1))
    ax.text(8.0, 1.35, ".to(device)", ha="center", fontsize=11.5, family="monospace")
    ax.text(8.0, 3.75, ".cpu()", ha="center", fontsize=11.5, family="monospace")
    plots.show(fig, "Two memories: that of the CPU, where NumPy, files and matplotlib work, and that of the GPU for large products. .to(device) copies "
                    "a tensor over, .cpu() copies it back.")
