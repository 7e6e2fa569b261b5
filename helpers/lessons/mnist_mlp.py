"""Lesson 06, read handwritten digits: its exercises, its quiz and its figures. Imports torch only when somebody needs it."""

from __future__ import annotations

import functools
import random
import tempfile
from pathlib import Path

import numpy as np

from helpers import devices, plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import describe, is_tensor

MEAN, STD = 0.1307, 0.3081  # of MNIST's training images, as values in 0..1


def _on_device(array):
    """An array as a tensor on the device of the lesson."""
    import torch

    return torch.tensor(array, device=devices.device())


def _close(a, b) -> bool:
    """Whether two numbers are the same but for rounding."""
    return bool(np.allclose(_cpu(a), _cpu(b), rtol=1e-4, atol=1e-6))


# ---------------------------------------------------------------------------------------------- 06.1 preprocess

def _gray_images(n: int, seed: int):
    """(n, 28, 28) uint8 in which 0 and 255 occur."""
    images = np.random.default_rng(seed).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    images[0, 3, 5], images[-1, 20, 7] = 0, 255
    return _on_device(images)


def _observe_preprocess(preprocess, see):
    see.call(preprocess, _gray_images(5, 1), label="preprocess(images (5, 28, 28))")
    see.call(preprocess, _gray_images(1, 2), label="preprocess(images (1, 28, 28))")
    see.call(preprocess, _gray_images(3, 3), 0.286, 0.353, label="preprocess(images (3, 28, 28), mean=0.286, std=0.353)")


def _reference_preprocess(images, mean=MEAN, std=STD):
    """A table of the 256 gray values."""
    table = np.array([(gray / 255 - mean) / std for gray in range(256)])
    return _on_device(table[images.cpu().numpy()][:, None].astype(np.float32))


def _wraps(images, mean=MEAN, std=STD):
    x = images.unsqueeze(1)
    x //= 255
    return (x.float() - mean) / std


def _own_statistics(images, mean=MEAN, std=STD):
    x = images.float().unsqueeze(1) / 255
    return (x - x.mean()) / x.std()


def _shape_of(value) -> tuple[int, ...]:
    return tuple(value.shape) if is_tensor(value) else ()


preprocess = Exercise(
    "06.1", "preprocess",
    observe=_observe_preprocess,
    expected=_reference_preprocess,
    rtol=1e-5,
    mistakes=[
        Mistake("Not divided by 255: you get values up to 827. Scale first.",
                lambda images, mean=MEAN, std=STD: (images.float().unsqueeze(1) - mean) / std),
        Mistake("Standardized before dividing: mean and std are meant for values in 0..1. Divide by 255 first.",
                lambda images, mean=MEAN, std=STD: (images.float().unsqueeze(1) - mean) / std / 255),
        Mistake("The channel axis is missing: you return shape (5, 28, 28), asked is (5, 1, 28, 28).",
                lambda images, mean=MEAN, std=STD: (images.float() / 255 - mean) / std),
        Mistake("The dtype is float64: networks compute in float32, half the memory.",
                lambda images, mean=MEAN, std=STD: (images.double().unsqueeze(1) / 255 - mean) / std),
        Mistake("Integer division wraps: in place on uint8 only 0 and 1 are left, and the caller's images are changed. "
                "Convert to float first.", _wraps),
        Mistake("Divided by 255, but not standardized: subtract the mean, divide by the standard deviation.",
                lambda images, mean=MEAN, std=STD: images.float().unsqueeze(1) / 255),
        Mistake("Multiplied by the standard deviation. Divide by it, so that the spread becomes 1.",
                lambda images, mean=MEAN, std=STD: (images.float().unsqueeze(1) / 255 - mean) * std),
        Mistake("0.1307 and 0.3081 are written into your code. Use the arguments: other images have another mean and std.",
                lambda images, mean=MEAN, std=STD: (images.float().unsqueeze(1) / 255 - MEAN) / STD),
        Mistake("Standardized with the statistics of the images that came in. Use the arguments: train and test must get the same two numbers.",
                _own_statistics),
        Mistake("Inverted: these images are white on black already.",
                lambda images, mean=MEAN, std=STD: (1 - images.float().unsqueeze(1) / 255 - mean) / std),
        Mistake("The channel axis is in the wrong place. The order is N, C, H, W: it comes second.",
                lambda images, mean=MEAN, std=STD: ((images.float() / 255 - mean) / std).unsqueeze(-1),
                when=lambda facts: _shape_of(facts["preprocess(images (5, 28, 28))"]) in {(1, 5, 28, 28), (5, 28, 28, 1)}),
    ],
    hints=[
        "Three steps: type, range, statistics.",
        "`.float()`, `/ 255`, `unsqueeze(1)`.",
        "`x = images._().unsqueeze(_) / _` and then `return (x - _) / _`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 06.2 build_net

_A_MODULE = "an nn.Module"


def _linear_layers(net) -> list:
    from torch import nn

    return [m for m in net.modules() if isinstance(m, nn.Linear)]


def _layers_text(pairs) -> str:
    return ", ".join(f"{i}-{o}" for i, o in pairs)


def _by_size(net, hidden: int) -> list:
    """The three linear layers in the order of the signal, whatever the order in which they were created."""
    layers = {(m.in_features, m.out_features): m for m in _linear_layers(net)}
    return [layers[784, hidden], layers[hidden, hidden], layers[hidden, 10]]


def _fill(net, hidden: int) -> None:
    """Fixed weights and biases, other than 0, so that two networks compare."""
    import torch

    generator = torch.Generator().manual_seed(61)
    with torch.no_grad():
        for layer in _by_size(net, hidden):
            scale = layer.in_features**-0.5
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator, dtype=torch.float32) * scale)
            layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator, dtype=torch.float32) / 2)


def _open_path(net, hidden: int) -> None:
    """Every first hidden unit is 1.5; each second one adds one of them and twice its neighbor; score k is second unit k.

    So dropout can be seen at the scores, and each of the two dropouts for itself.
    """
    import torch

    first, second, last = _by_size(net, hidden)
    with torch.no_grad():
        for layer in (first, second, last):
            layer.weight.zero_()
            layer.bias.zero_()
        first.weight[:, 0] = 1.5      # image pixel 0 is 1
        second.weight.copy_(torch.eye(hidden) + 2 * torch.eye(hidden).roll(1, 1))
        last.weight.copy_(torch.eye(10, hidden))


def _observe_net(build_net, see):
    import torch

    for options, hidden, p in (({"hidden": 64, "p": 0.5}, 64, 0.5), ({}, 512, 0.2)):
        asked = f"build_net({', '.join(f'{k}={v}' for k, v in options.items())})"
        net = see.call(build_net, label=asked, record=False, asks=_A_MODULE, **options)
        kind = _A_MODULE if isinstance(net, torch.nn.Module) else describe(net)
        see.fact(f"{asked} returns", kind, implied=_A_MODULE)
        if kind != _A_MODULE:
            return
        # A device of its own is no part of the task: move the network, as a training script would.
        net = net.to("cpu")
        if not _observe_one_net(net, asked, hidden, p, see):
            return


def _observe_one_net(net, asked: str, hidden: int, p: float, see) -> bool:
    import torch
    import torch.nn.functional as F

    generator = torch.Generator().manual_seed(60)
    x = torch.randn(20, 1, 28, 28, generator=generator)
    y = torch.randint(0, 10, (20,), generator=generator)
    net.eval()
    with torch.no_grad():
        scores = see.call(net, x, label=f"{asked}: scores of 20 images", record=False, asks="scores")
        shape = tuple(scores.shape) if is_tensor(scores) else describe(scores)
        see.fact(f"{asked}: shape of the scores of 20 images", str(shape))
        if shape != (20, 10):
            return False
        sums = bool(((scores.sum(1) - 1).abs() < 1e-3).all())
        see.fact(f"{asked}: what a row of the scores sums to", "always 1" if sums else "anything")
        see.fact(f"{asked}: loss of the untrained network", _in_range(F.cross_entropy(scores, y).item(), 2.1, 2.6))
        see.fact(f"{asked}: two passes in eval mode", "the same" if torch.equal(net(x), scores) else "differ")
        found = [(m.in_features, m.out_features) for m in _linear_layers(net)]
        see.fact(f"{asked}: linear layers", _layers_text(sorted(found, reverse=True)))
        see.fact(f"{asked}: parameters", sum(q.numel() for q in net.parameters()))
        if set(found) != {(784, hidden), (hidden, hidden), (hidden, 10)} or len(found) != 3:
            return False
        _fill(net, hidden)
        see.fact(f"{asked}: scores in eval mode, with given weights", net(x[:3]), rtol=1e-4)
        net.train()
        see.fact(f"{asked}: two passes in training mode", "differ" if not torch.equal(net(x), net(x)) else "the same")
        _observe_dropout(net, asked, hidden, p, see)
    return True


def _in_range(value: float, low: float, high: float) -> str:
    return f"between {low:g} and {high:g}" if low <= value <= high else f"{value:.3f}"


def _observe_dropout(net, asked: str, hidden: int, p: float, see) -> None:
    """On the open path a score is 0, 1, 2 or 3 times 1.5 / (1 - p)^2, and 3 times in (1 - p)^3 of all cases."""
    import torch

    _open_path(net, hidden)
    x = torch.randn(500, 1, 28, 28, generator=torch.Generator().manual_seed(62))
    x[:, 0, 0, 0] = 1
    times = net(x) * (1 - p) ** 2 / 1.5
    whole = bool(((times - times.round()).abs() < 1e-3).all())
    see.fact(f"{asked}: scores where the hidden units of the first layer are 1.5", "0, 1, 2, 3 times the same" if whole else _some_values(times))
    for count, share in ((1, (1 - p) ** 2 * p), (3, (1 - p) ** 3)):
        found = (times.round() == count).double().mean().item()
        see.fact(f"{asked}: share of them that is {count} times", _in_range(found, round(share - 0.04, 3), round(share + 0.04, 3)))
    # Dropout before the first layer deletes whole images here: their only pixel that counts.
    share = (times == 0).all(1).double().mean().item()
    see.fact(f"{asked}: share of images without any score", _in_range(share, 0, 0.05))
    # Dropout after the scores would delete the bias too.
    _by_size(net, hidden)[2].bias.fill_(0.25)
    see.fact(f"{asked}: scores that dropout sets to 0", "none" if bool((net(x) != 0).all()) else "some")


def _some_values(scores) -> str:
    values = sorted({round(v, 3) for v in scores.flatten().tolist()})
    return ", ".join(f"{v:g}" for v in values[:4]) + (" ..." if len(values) > 4 else "")


def _reference_net(hidden=512, p=0.2):
    """Written with products and masks instead of layers in a row."""
    import torch
    from torch import nn

    class Reference(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in ((784, hidden), (hidden, hidden), (hidden, 10)))

        def forward(self, x):
            a = x.reshape(len(x), 784)
            for layer in self.layers[:2]:
                a = (a @ layer.weight.T + layer.bias).clamp(min=0)
                if self.training:
                    a = a * (torch.rand_like(a) >= p) / (1 - p)
            return a @ self.layers[2].weight.T + self.layers[2].bias

    return Reference()


def _net(*tail, hidden=512, p=0.2, outputs=10):
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU(), nn.Dropout(p), nn.Linear(hidden, hidden), nn.ReLU(),
                         nn.Dropout(p), nn.Linear(hidden, outputs), *tail)


def _net_with_softmax(hidden=512, p=0.2):
    from torch import nn

    return _net(nn.Softmax(dim=1), hidden=hidden, p=p)


def _net_with_dropped_scores(hidden=512, p=0.2):
    from torch import nn

    return _net(nn.Dropout(p), hidden=hidden, p=p)


def _net_with_dropped_pixels(hidden=512, p=0.2):
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Dropout(p), nn.Linear(784, hidden), nn.ReLU(), nn.Dropout(p), nn.Linear(hidden, hidden), nn.ReLU(),
                         nn.Linear(hidden, 10))


def _net_with_one_hidden_layer(hidden=512, p=0.2):
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU(), nn.Dropout(p), nn.Linear(hidden, 10))


def _net_with_cut_scores(hidden=512, p=0.2):
    from torch import nn

    return _net(nn.ReLU(), hidden=hidden, p=p)


def _net_with(activation: str):
    def build_net(hidden=512, p=0.2):
        from torch import nn

        act = getattr(nn, activation)
        return nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), act(), nn.Dropout(p), nn.Linear(hidden, hidden), act(), nn.Dropout(p),
                             nn.Linear(hidden, 10))
    return build_net


def _net_that_always_drops(hidden=512, p=0.2):
    import torch.nn.functional as F
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2, self.fc3 = nn.Linear(784, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 10)

        def forward(self, x):
            x = F.dropout(F.relu(self.fc1(x.flatten(1))), p)
            x = F.dropout(F.relu(self.fc2(x)), p)
            return self.fc3(x)

    return Net()


def _first_net(facts, name: str):
    return facts[f"build_net(hidden=64, p=0.5): {name}"]


build_net = Exercise(
    "06.2", "build_net",
    observe=_observe_net,
    expected=_reference_net,
    mistakes=[
        Mistake("Softmax at the end: the rows sum to 1. Return logits, the loss brings its own softmax.", _net_with_softmax,
                when=lambda facts: _first_net(facts, "what a row of the scores sums to") == "always 1"),
        Mistake("The output is (N, 1), expected is (N, 10): one score per class.",
                lambda hidden=512, p=0.2: _net(hidden=hidden, p=p, outputs=1),
                when=lambda facts: _first_net(facts, "shape of the scores of 20 images") == "(20, 1)"),
        Mistake("Dropout after the output: scores are set to 0 at random.", _net_with_dropped_scores,
                when=lambda facts: (_first_net(facts, "scores that dropout sets to 0") == "some"
                                    and _first_net(facts, "two passes in eval mode") == "the same")),
        Mistake("Two eval passes differ: F.dropout(x, p) drops always; it needs training=self.training.", _net_that_always_drops,
                when=lambda facts: _first_net(facts, "two passes in eval mode") == "differ"),
        Mistake("No dropout: two passes in training mode are the same. It follows both ReLUs.",
                lambda hidden=512, p=0.2: _net(hidden=hidden, p=0),
                when=lambda facts: _first_net(facts, "two passes in training mode") == "the same"),
        Mistake("Dropout before the first layer deletes pixels. It follows the two ReLUs, and stands nowhere else.", _net_with_dropped_pixels,
                when=lambda facts: (_first_net(facts, "share of images without any score") != "between 0 and 0.05"
                                    and _first_net(facts, "two passes in eval mode") == "the same")),
        Mistake("p is the probability to drop a unit, not to keep it: nn.Dropout(p).",
                lambda hidden=512, p=0.2: _net(hidden=hidden, p=1 - p)),
        Mistake("One hidden layer; asked are two, 784-hidden-hidden-10.", _net_with_one_hidden_layer,
                when=lambda facts: _first_net(facts, "linear layers") == "784-64, 64-10"),
        Mistake("512 is written into your code. Use the argument `hidden`.", lambda hidden=512, p=0.2: _net(p=p),
                when=lambda facts: _first_net(facts, "linear layers") == "784-512, 512-512, 512-10"),
        Mistake("No ReLU: without it the three layers are one linear map.", _net_with("Identity")),
        Mistake("Sigmoid after the hidden layers; asked is ReLU.", _net_with("Sigmoid")),
        Mistake("ReLU after the scores: negative ones are lost. Logits are any real numbers.", _net_with_cut_scores),
    ],
    hints=[
        "Dropout belongs between hidden layers.",
        "`nn.Dropout(p)` follows train/eval by itself.",
        "`nn.Sequential(nn.Flatten(), nn.Linear(784, _), nn.ReLU(), _, ...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 06.3 split_indices

def _observe_split(split_indices, see):
    for n, fraction, seed in ((60_000, 0.2, 4), (103, 0.3, 1), (4, 0.2, 5)):
        _observe_one_split(split_indices, n, fraction, seed, see)
        if see.facts[f"split_indices({n}, {fraction}, {seed}) returns"].value != _TWO_PARTS:
            return


_TWO_PARTS = "two rows of whole numbers"


def _observe_one_split(split_indices, n: int, fraction: float, seed: int, see) -> None:
    asked = f"split_indices({n}, {fraction}, {seed})"
    before = _random_states()
    got = see.call(split_indices, n, fraction, seed, label=asked, record=False, asks=_TWO_PARTS)
    state = "unchanged" if _random_states() == before else "changed"
    parts = [_whole_numbers(part) for part in got] if isinstance(got, tuple | list) and len(got) == 2 else [None]
    fits = all(part is not None for part in parts)
    see.fact(f"{asked} returns", _TWO_PARTS if fits else _split_text(got), implied=_TWO_PARTS)
    if not fits:
        return
    train, valid = parts
    see.fact(f"{asked}: how many for training, validation", (len(train), len(valid)))
    both = len(set(train) & set(valid))
    see.fact(f"{asked}: indices in both sets", both)
    see.fact(f"{asked}: indices from 0 to {n - 1} in neither set", len(set(range(n)) - set(train) - set(valid)))
    see.fact(f"{asked}: other or repeated indices", len(train) + len(valid) - both - len(set(range(n)) & (set(train) | set(valid))))
    if n > 10:
        see.fact(f"{asked}: where the validation set lies", _where(valid, n))
        see.fact(f"{asked}: the global random state", state)
    if n == 103:
        _disturb()
        again = see.call(split_indices, n, fraction, seed, label=f"{asked} again", record=False)
        see.fact(f"{asked}: a second call with the same seed", "the same split" if _sets(again) == _sets(got) else "another split")
        other = see.call(split_indices, n, fraction, seed + 1, label=f"{asked} with another seed", record=False)
        see.fact(f"{asked}: with another seed", "another split" if _sets(other) != _sets(got) else "the same split")


def _random_states() -> tuple:
    import torch

    return str(random.getstate()), str(np.random.get_state()[1:3]), np.random.get_state()[1].tobytes(), \
        torch.random.get_rng_state().numpy().tobytes()


def _disturb() -> None:
    """Draw from all global generators, so that a split that depends on them shows it."""
    import torch

    random.random()
    np.random.rand(3)
    torch.rand(3)


def _whole_numbers(part) -> list[int] | None:
    """A row of integer indices as a list; None for anything else."""
    try:
        if is_tensor(part) or isinstance(part, np.ndarray):
            kind = str(part.dtype)
            return part.tolist() if part.ndim == 1 and "int" in kind else None
        if isinstance(part, str | bytes | dict | set):
            return None
        values = list(part)
        return values if all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in values) else None
    except Exception:  # any object may stand here
        return None


def _sets(pair):
    try:
        return [sorted(_whole_numbers(part)) for part in pair]
    except Exception:
        return None


def _split_text(got) -> str:
    if isinstance(got, tuple | list) and len(got) == 2:
        return f"({describe(got[0])}, {describe(got[1])})"
    return describe(got)


def _where(valid: list[int], n: int) -> str:
    """One block of neighbors (which?), or all over the file."""
    ordered = sorted(valid)
    if not ordered or ordered[-1] - ordered[0] > len(ordered) + 1:
        return "all over the file"
    return "the first block" if ordered[0] == 0 else "the last block" if ordered[-1] == n - 1 else "one block"


def _reference_split(n, valid_fraction, seed):
    order = np.random.default_rng(seed).permutation(n).tolist()
    k = int(n * valid_fraction)
    return order[k:], order[:k]


def _split_with(n, valid_fraction, seed, train, valid, shuffle=True):
    import torch

    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)) if shuffle else torch.arange(n)
    k = int(n * valid_fraction)
    return order[train(k, n)], order[valid(k, n)]


def _split_with_global_seed(n, valid_fraction, seed):
    import torch

    torch.manual_seed(seed)
    order, k = torch.randperm(n), int(n * valid_fraction)
    return order[k:], order[:k]


split_indices = Exercise(
    "06.3", "split_indices",
    observe=_observe_split,
    expected=_reference_split,
    mistakes=[
        Mistake("No shuffling: validation is the tail of the file. Sorted data would leave whole classes out.",
                lambda n, valid_fraction, seed: _split_with(
                    n, valid_fraction, seed, lambda k, n: slice(0, n - k), lambda k, n: slice(n - k, n), shuffle=False),
                when=lambda facts: "block" in facts["split_indices(103, 0.3, 1): where the validation set lies"]),
        Mistake("One index is in both sets: the two slices overlap.",
                lambda n, valid_fraction, seed: _split_with(
                    n, valid_fraction, seed, lambda k, n: slice(k, n), lambda k, n: slice(0, k + 1)),
                when=lambda facts: facts["split_indices(103, 0.3, 1): indices in both sets"] == 1),
        Mistake("Swapped: your training part has 20 %. Return (train, valid).",
                lambda n, valid_fraction, seed: _split_with(
                    n, valid_fraction, seed, lambda k, n: slice(0, k), lambda k, n: slice(k, n)),
                when=lambda facts: facts["split_indices(103, 0.3, 1): how many for training, validation"] == (30, 73)),
        Mistake("The global random state changed: use a local Generator.", _split_with_global_seed,
                when=lambda facts: facts["split_indices(103, 0.3, 1): the global random state"] == "changed"),
        Mistake("0.3 of 103 is 30.9, and `int` cuts: 30 for validation. You rounded up.",
                lambda n, valid_fraction, seed: _split_with(n, valid_fraction, seed, lambda k, n: slice(k + (n == 103), n),
                                                            lambda k, n: slice(0, k + (n == 103))),
                when=lambda facts: facts["split_indices(103, 0.3, 1): how many for training, validation"] == (72, 31)
                and facts["split_indices(103, 0.3, 1): indices in both sets"] == 0),
    ],
    hints=[
        "Shuffle indices, cut once.",
        "`torch.randperm(n, generator=g)`.",
        "`order = torch.randperm(_, generator=_); k = int(_); return order[_], order[_]`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 06.4 evaluate

def _batches(n: int, sizes: tuple[int, ...], features: int, classes: int, seed: int) -> list:
    """A loader in its simplest form: a list of (images, labels)."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, features, generator=generator)
    y = torch.randint(0, classes, (n,), generator=generator)
    X, y = X.to(devices.device()), y.to(devices.device())
    ends = np.cumsum(sizes).tolist()
    return [(X[end - size:end], y[end - size:end]) for size, end in zip(sizes, ends, strict=True)]


def _small_model(features: int, classes: int, seed: int):
    """Linear, dropout, linear, with fixed weights; large ones, so that the batches' losses differ."""
    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(features, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, classes))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model.to(devices.device())


def _note_forward(notes: list, module, inputs) -> None:
    """A hook that notes the mode of each forward pass."""
    import torch

    notes.append((module.training, torch.is_grad_enabled()))


def _observe_evaluate(evaluate, see):
    import torch

    for sizes, features, classes, training in (((4, 4, 3), 6, 5, True), ((5, 2), 3, 4, False)):
        asked = f"evaluate(model, loader) with batches of {', '.join(map(str, sizes))}, model in " \
                f"{'training' if training else 'eval'} mode"
        model = _small_model(features, classes, seed=sum(sizes)).train(training)
        notes: list = []
        model.register_forward_pre_hook(functools.partial(_note_forward, notes))
        with torch.enable_grad():
            see.call(evaluate, model, _batches(sum(sizes), sizes, features, classes, seed=features), label=asked, rtol=1e-5,
                     parts=("the loss", "the accuracy"))
            recording = torch.is_grad_enabled()
        see.fact(f"{asked}: forward passes in", "training mode" if any(t for t, _ in notes) else "eval mode",
                 implied="eval mode")
        see.fact(f"{asked}: a graph for gradients", "is built" if any(g for _, g in notes) else "is not built",
                 implied="is not built")
        see.fact(f"{asked}: the mode afterwards", "training" if model.training else "eval",
                 implied="training" if training else "eval")
        see.fact(f"{asked}: recording of gradients afterwards", "on" if recording else "off", implied="on")


def _reference_evaluate(model, loader):
    """One image at a time, in NumPy, from the weights."""
    W1, b1, W2, b2 = (p.detach().cpu().numpy().astype(float) for p in model.parameters())
    losses, hits = [], []
    for X, y in loader:
        for x, label in zip(X.cpu().numpy(), y.tolist(), strict=True):
            scores = W2 @ np.maximum(W1 @ x + b1, 0) + b2
            losses.append(np.log(np.exp(scores).sum()) - scores[label])
            hits.append(int(scores.argmax()) == label)
    return float(np.mean(losses)), float(np.mean(hits))


def _evaluate_with(model, loader, *, eval_mode=True, graph=False, per_batch=False, keepdim=False, count=len):
    """The right answer with one part changed, for the mistakes below."""
    import torch
    import torch.nn.functional as F

    was = model.training
    if eval_mode:
        model.eval()
    total = hits = seen = 0
    with torch.enable_grad() if graph else torch.no_grad():
        for x, y in loader:
            scores = model(x)
            weight = 1 if per_batch else len(y)
            total += F.cross_entropy(scores, y).item() * weight
            right = scores.argmax(1, keepdim=keepdim) == y
            hits += right.sum().item() / (len(y) if per_batch else 1)
            seen += weight if count is len else 1
    model.train(was)
    return total / seen, hits / seen


_FIRST = "evaluate(model, loader) with batches of 4, 4, 3, model in training mode"


def _batch_means() -> tuple:
    return _evaluate_with(_small_model(6, 5, seed=11), _batches(11, (4, 4, 3), 6, 5, seed=6), per_batch=True)


_SECOND = "evaluate(model, loader) with batches of 5, 2, model in eval mode"


def _evaluate_and_stay_in(mode: str):
    def evaluate(model, loader):
        found = _evaluate_with(model, loader)
        model.train(mode == "training")
        return found
    return evaluate


evaluate = Exercise(
    "06.4", "evaluate",
    observe=_observe_evaluate,
    expected=_reference_evaluate,
    mistakes=[
        Mistake("eval() forgotten, dropout is on: accuracy falls from 98.4 to 98.1 % and varies between calls.",
                lambda model, loader: _evaluate_with(model, loader, eval_mode=False),
                when=lambda facts: facts[f"{_FIRST}: forward passes in"] == "training mode"),
        Mistake("This is the mean of the batch means: the last batch of 3 counts as much as 4. Weight each by its size.",
                lambda model, loader: _evaluate_with(model, loader, per_batch=True),
                when=lambda facts: _close(facts[_FIRST][0], _batch_means()[0])),
        Mistake("No no_grad: the graph is kept for a backward pass that never comes, which costs memory.",
                lambda model, loader: _evaluate_with(model, loader, graph=True),
                when=lambda facts: facts[f"{_FIRST}: a graph for gradients"] == "is built"),
        Mistake("Shape (N, 1) against (N,): the comparison gave (N, N), and accuracy is near 10 % for any model.",
                lambda model, loader: _evaluate_with(model, loader, keepdim=True)),
        Mistake("Divided by the number of batches, not of samples.",
                lambda model, loader: _evaluate_with(model, loader, count=None),
                when=lambda facts: _close(facts[_FIRST][0], np.array(_evaluate_first(count=None))[0])),
        Mistake("Right numbers, wrong mode afterwards. Remember `model.training` at the start, and give it back with `model.train(was)`.",
                _evaluate_and_stay_in("eval"), when=lambda facts: facts[f"{_FIRST}: the mode afterwards"] == "eval"),
        Mistake("`model.train()` at the end: a model that came in eval mode leaves in training mode. Give back the mode you found.",
                _evaluate_and_stay_in("training"), when=lambda facts: facts.get(f"{_SECOND}: the mode afterwards") == "training"),
        Mistake("Swapped: return the loss first, then the accuracy.", lambda model, loader: _evaluate_with(model, loader)[::-1]),
        Mistake("The accuracy is in percent; asked is a number in 0..1.",
                lambda model, loader: (lambda loss, hits: (loss, 100 * hits))(*_evaluate_with(model, loader))),
        Mistake("The loss is right, but the accuracy is the mean of the batches' accuracies: the last, shorter batch counts too much.",
                lambda model, loader: (_evaluate_with(model, loader)[0], _evaluate_with(model, loader, per_batch=True)[1])),
    ],
    hints=[
        "Sum over samples, divide once.",
        "`model.eval()`, `torch.no_grad()`, `argmax(1)`.",
        "`hits += (logits.argmax(_) == y).sum().item()`.",
    ],
)


def _evaluate_first(**options) -> tuple:
    return _evaluate_with(_small_model(6, 5, seed=11), _batches(11, (4, 4, 3), 6, 5, seed=6), **options)


# ---------------------------------------------------------------------------------------------- 06.5 fit

_TRAIN_X = [1.5, -0.5, 2.0, 1.0, 0.5, -1.0, 3.0, -2.0, 1.0, 2.5, -1.5]
_TRAIN_Y = [1, 0, 1, 1, 1, 0, 1, 0, 0, 1, 0]
_VALID_X = [2.0, 1.0, -1.0, 0.5, -0.5, 1.5, -2.0]
_VALID_Y = [1, 0, 0, 1, 1, 1, 1]


def _one_feature(values, labels, sizes):
    import torch

    X, y = torch.tensor(values, dtype=torch.get_default_dtype())[:, None], torch.tensor(labels)
    return list(zip(X.split(list(sizes)), y.split(list(sizes)), strict=True))


def _note_fit(notes: list, path: Path, module, inputs) -> None:
    """A hook: which images passed (the training images come in batches of 4, 4, 3), in which mode, was there a file?"""
    import torch

    which = "training" if len(inputs[0]) in (4, 3) else "validation"
    notes.append((which, module.training, torch.is_grad_enabled(), path.exists()))


def _observe_fit(fit, see):
    import torch

    train = _one_feature(_TRAIN_X, _TRAIN_Y, (4, 4, 3))
    valid = _one_feature(_VALID_X, _VALID_Y, (5, 2))
    empty = _one_feature([0.0] * 7, _VALID_Y, (5, 2))
    # Validation falls, rises and falls a little again; the second epoch is the best. Blank images always score alike.
    cases = (("9 epochs", valid, 9, 0.06, 0.9), ("3 epochs on blank validation images, which score the same in each", empty, 3, 0.3, 0.0))
    with tempfile.TemporaryDirectory() as folder:
        for number, (asked, valid_loader, epochs, lr, momentum) in enumerate(cases):
            path = Path(folder) / f"best{number}.pt"
            model = torch.nn.Linear(1, 2, bias=False).train(number == 0)
            with torch.no_grad():
                model.weight.copy_(torch.tensor([[1.2], [-0.9]]))
            notes: list = []
            model.register_forward_pre_hook(functools.partial(_note_fit, notes, path))
            optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
            with torch.enable_grad():
                see.call(fit, model, train, valid_loader, optimizer, epochs, path, label=asked, rtol=1e-5)
            _observe_after_fit(model, path, notes, asked, see)


def _observe_after_fit(model, path: Path, notes: list, asked: str, see) -> None:
    training = {(mode, graph) for which, mode, graph, _ in notes if which == "training"}
    validation = {(mode, graph) for which, mode, graph, _ in notes if which == "validation"}
    see.fact(f"{asked}: forward passes of training images", _modes(training), implied="training mode, with graph")
    see.fact(f"{asked}: forward passes of validation images", _modes(validation), implied="eval mode, without graph")
    see.fact(f"{asked}: weights that the model ends with", model.weight.detach(), rtol=1e-5)
    kind, weights = _load(path)
    see.fact(f"{asked}: the file at path", kind, implied="a state_dict")
    see.fact(f"{asked}: weights in the file", weights, rtol=1e-5)
    # The best epoch is never the last one. A wrong file says more when we know when it was written.
    last = weights is not None and np.array_equal(weights.numpy(), model.weight.detach().numpy())
    during = any(there for *_, there in notes)
    see.fact(f"{asked}: a file with the last weights", "none" if not last else "from every epoch" if during else "from the end",
             implied="none")


def _modes(modes: set) -> str:
    if not modes:
        return "none of them"
    return " and ".join(f"{'training' if mode else 'eval'} mode, with{'' if graph else 'out'} graph"
                        for mode, graph in sorted(modes))


def _load(path: Path):
    """What the file holds, and its weights (None where they cannot be had)."""
    import torch

    if not path.is_file():
        return "there is none", None
    try:
        state = torch.load(path, weights_only=True)
    except Exception:
        return "weights_only load fails: it holds more than tensors", None
    if not isinstance(state, dict) or list(state) != ["weight"]:
        return describe(state), None
    return "a state_dict", state["weight"]


def _reference_fit(model, train_loader, valid_loader, optimizer, epochs, path):
    """Softmax regression with one feature, its gradient by formula, in NumPy; then the weights go where they belong."""
    import torch

    lr, momentum = (optimizer.param_groups[0][name] for name in ("lr", "momentum"))
    W, velocity, kept = model.weight.detach().numpy().astype(float), 0.0, []
    history: dict = {"train_loss": [], "valid_loss": []}
    for _ in range(epochs):
        losses = []
        for X, y in train_loader:
            values, slope = _cross_entropy(W, X.numpy(), y.numpy())
            losses += values
            velocity = momentum * velocity + slope
            W = W - lr * velocity
        history["train_loss"].append(float(np.mean(losses)))
        checked = [loss for X, y in valid_loader for loss in _cross_entropy(W, X.numpy(), y.numpy())[0]]
        history["valid_loss"].append(float(np.mean(checked)))
        kept.append(W)
    best = kept[int(np.argmin(np.round(history["valid_loss"], 12)))]  # the first of equal ones
    with torch.no_grad():
        model.weight.copy_(torch.tensor(W))
    torch.save({"weight": torch.tensor(best, dtype=model.weight.dtype)}, path)
    return history


def _cross_entropy(W, X, y):
    """The loss of each sample, and the gradient of their mean with respect to W (2, 1)."""
    scores = X @ W.T
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    return (-np.log(p[rows, y])).tolist(), (p - np.eye(2)[y]).T @ X / len(y)


def _fit_with(model, train_loader, valid_loader, optimizer, epochs, path, *, keep="best", what=None, valid_mode=False,
              zero=True, per="sample", measured_after=False, train_mode=True):
    """The right answer with one part changed, for the mistakes below."""
    import torch
    import torch.nn.functional as F

    history: dict = {"train_loss": [], "valid_loss": []}
    best = {"rising": -1.0, "never": 0.0}.get(keep, float("inf"))
    kept = None
    for _ in range(epochs):
        if train_mode:
            model.train()
        total = seen = 0
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            if zero:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total, seen = total + loss.item() * len(y), seen + len(y)
        divisor = {"sample": seen, "batch": len(train_loader), "epoch": 1}[per]
        history["train_loss"].append(_evaluate_with(model, train_loader)[0] if measured_after else total / divisor)
        history["valid_loss"].append(_evaluate_with(model, valid_loader, eval_mode=not valid_mode)[0])
        new = history["valid_loss"][-1]
        if keep == "every" or (new > best if keep == "rising" else new < best):
            best, kept = new, model.state_dict()
            if keep != "reference":
                torch.save(model if what == "model" else kept, path)
    if keep == "reference":
        torch.save(kept, path)
    return history


def _fit_mistake(**options):
    def fit(model, train_loader, valid_loader, optimizer, epochs, path):
        return _fit_with(model, train_loader, valid_loader, optimizer, epochs, path, **options)
    return fit


def _fit_and_load(model, train_loader, valid_loader, optimizer, epochs, path):
    import torch

    history = _fit_with(model, train_loader, valid_loader, optimizer, epochs, path)
    model.load_state_dict(torch.load(path, weights_only=True))
    return history


def _ends_with_the_best(facts) -> bool:
    """Whether the model ends with the weights of the file although these are not the last ones of a right run."""
    kept, end = facts["9 epochs: weights in the file"], facts["9 epochs: weights that the model ends with"]
    return is_tensor(kept) and _close(kept, end) and abs(float(end[0]) - _BEST_WEIGHT) < 1e-3


_BEST_WEIGHT = -0.1177  # of a right run, after the second epoch; it ends at -2.3032


fit = Exercise(
    "06.5", "fit",
    observe=_observe_fit,
    expected=_reference_fit,
    seconds=30.0,  # the first use of an optimizer in a process takes seconds on a slow disk
    mistakes=[
        Mistake("Saves every epoch: the file holds the last weights, not the best.", _fit_mistake(keep="every"),
                when=lambda facts: facts["9 epochs: a file with the last weights"] == "from every epoch" and not _ends_with_the_best(facts)),
        Mistake("The file is right, but the model ends with the best weights. Leave the last ones in it; who wants the best loads the file.",
                _fit_and_load, when=lambda facts: _ends_with_the_best(facts)),
        Mistake("zero_grad is missing: the gradients of all batches so far add up.", _fit_mistake(zero=False)),
        Mistake("Divided by the number of batches, not of samples.", _fit_mistake(per="batch")),
        Mistake("The sum over all samples; asked is the mean per sample.", _fit_mistake(per="epoch")),
        Mistake("This is the training loss after the epoch, measured anew. Asked is the one met on the way, during the updates.",
                _fit_mistake(measured_after=True)),
        Mistake("No `model.train()` at the start of an epoch: a model that comes in eval mode learns without dropout.",
                _fit_mistake(train_mode=False), when=lambda facts: any(
                    name.endswith("forward passes of training images") and "eval mode" in str(fact) for name, fact in facts.items())),
        Mistake("No file: the best loss must start at infinity, so that the first epoch saves.", _fit_mistake(keep="never"),
                when=lambda facts: facts["9 epochs: the file at path"] == "there is none" and isinstance(facts["9 epochs"], dict)),
        Mistake("best = model.state_dict() without a copy is the same memory: it moves with training. Save at once, or copy.",
                _fit_mistake(keep="reference"),
                when=lambda facts: facts["9 epochs: a file with the last weights"] == "from the end"),
        Mistake("Saves when the validation loss rises: a new best is smaller, compare with <.", _fit_mistake(keep="rising")),
        Mistake("Validation in training mode uses dropout: two evaluations differ. Call evaluate, which switches to eval mode.",
                _fit_mistake(valid_mode=True),
                when=lambda facts: "training mode" in facts["9 epochs: forward passes of validation images"]),
        Mistake("You saved the whole model object, so a weights_only load fails: save model.state_dict().",
                _fit_mistake(what="model"),
                when=lambda facts: "weights_only" in facts["9 epochs: the file at path"]),
    ],
    hints=[
        "Remember the smallest loss so far.",
        '`float("inf")`, `torch.save(model.state_dict(), path)`.',
        "`if valid < best: best = _; torch.save(_, _)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 06.6 per_class_accuracy

# (number of classes, classes that occur among the targets, seed): 3 of 5 is absent; 0 and the last of 7 are absent
_CLASS_CASES = ((5, (0, 1, 2, 4), 1), (7, (1, 2, 3, 5), 7), (3, (0, 1, 2), 3))


def _observe_per_class(per_class_accuracy, see):
    import torch

    for n_classes, present, seed in _CLASS_CASES:
        rng = np.random.default_rng(seed)
        targets = rng.choice(present, 29)
        guesses = rng.integers(0, n_classes - (n_classes == 7), 29)  # the last of 7 is never predicted either
        predictions = np.where(rng.random(29) < 0.5, targets, guesses)
        asked = f"29 predictions, n_classes={n_classes}"
        got = see.call(per_class_accuracy, _on_device(predictions), _on_device(targets), n_classes, label=asked, record=False, asks="a tensor")
        if is_tensor(got) and got.is_floating_point():  # any precision will do; NaN never equals NaN
            got = torch.where(got.isnan(), torch.full_like(got, -1), got).double()
        see.fact(f"{asked} (NaN is shown as -1)", got, rtol=1e-5)


def _reference_per_class(predictions, targets, n_classes):
    pairs = list(zip(predictions.tolist(), targets.tolist(), strict=True))
    found = []
    for c in range(n_classes):
        mine = [p == t for p, t in pairs if t == c]
        found.append(sum(mine) / len(mine) if mine else float("nan"))
    return _on_device(np.array(found))


def _precision(predictions, targets, n_classes):
    import torch

    return torch.stack([(targets[predictions == c] == c).float().mean() for c in range(n_classes)])


def _share_of_all(predictions, targets, n_classes):
    import torch

    return torch.stack([((predictions == c) & (targets == c)).float().mean() for c in range(n_classes)])


per_class_accuracy = Exercise(
    "06.6", "per_class_accuracy",
    observe=_observe_per_class,
    expected=_reference_per_class,
    mistakes=[
        Mistake("You divide by the predictions of the class: that is precision. Divide by its targets.", _precision),
        Mistake("You divide by all samples: your numbers sum to the total accuracy. Divide by the targets of the class.",
                _share_of_all),
        Mistake("0 for the absent class: unknown is not zero. Return NaN.",
                lambda predictions, targets, n_classes: _reference_per_class(predictions, targets, n_classes).nan_to_num(0)),
        Mistake("These are percent; asked are shares in 0..1.",
                lambda predictions, targets, n_classes: 100 * _reference_per_class(predictions, targets, n_classes)),
    ],
    hints=[
        "Of all true 7s, how many were called 7?",
        "A boolean mask, or `torch.bincount(..., minlength=)`.",
        "`(predictions[targets == c] == _).float().mean()`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 06.7 permute_pixels

def _permutation(seed: int):
    return _on_device(np.random.default_rng(seed).permutation(784))


def _observe_permute(permute_pixels, see):
    rng = np.random.default_rng(67)
    images = rng.normal(size=(3, 1, 28, 28)).astype(np.float32)
    images[2] = images[0]
    got = see.call(permute_pixels, _on_device(images), _permutation(1), label="permute_pixels(3 images, permutation)")
    if not is_tensor(got) or tuple(got.shape) != images.shape:
        return
    same = bool((got[0] == got[2]).all())
    see.fact("two equal images", "stay equal" if same else "become different")
    rows = bool((got[0, 0].sort(dim=1).values.cpu() == _on_device(np.sort(images[0, 0], axis=1)).cpu()).all())
    see.fact("pixels", "stay in their row" if rows else "leave their row")
    one = rng.normal(size=(1, 1, 28, 28)).astype(np.float32)
    see.call(permute_pixels, _on_device(one), _permutation(2), label="permute_pixels(1 image, another permutation)")


def _reference_permute(images, permutation):
    """Pixel by pixel."""
    order, out = permutation.tolist(), []
    for image in images.cpu().numpy():
        flat = [image[0, k // 28, k % 28] for k in order]
        out.append(np.array(flat).reshape(1, 28, 28))
    return _on_device(np.array(out))


def _new_permutation_each(images, permutation):
    import torch

    return torch.stack([image.flatten()[permutation[torch.randperm(784)]].view(1, 28, 28) for image in images])


def _inverse(images, permutation):
    out = images.flatten(1).clone()
    out[:, permutation] = images.flatten(1)
    return out.view(-1, 1, 28, 28)


permute_pixels = Exercise(
    "06.7", "permute_pixels",
    observe=_observe_permute,
    expected=_reference_permute,
    mistakes=[
        Mistake("A new permutation for each image: accuracy drops to chance, the pixels no longer mean the same.",
                _new_permutation_each, when=lambda facts: facts.get("two equal images") == "become different"),
        Mistake("This is the inverse permutation: output pixel k must be input pixel permutation[k].", _inverse),
        Mistake("`flatten()` without the 1 makes one row of all images, so you return 784 pixels of the first one. Keep the batch: flatten(1).",
                lambda images, permutation: images.flatten()[permutation],
                when=lambda facts: _shape_of(facts["permute_pixels(3 images, permutation)"]) == (784,)),
        Mistake("Reordered, but still flat: fold the rows back to (N, 1, 28, 28).", lambda images, permutation: images.flatten(1)[:, permutation],
                when=lambda facts: _shape_of(facts["permute_pixels(3 images, permutation)"]) == (3, 784)),
        Mistake("You permute columns only, rows keep their place: flatten to 784 first.",
                lambda images, permutation: images[..., permutation[permutation < 28]],
                when=lambda facts: facts.get("pixels") == "stay in their row"),
    ],
    hints=[
        "Flatten, reorder, fold back.",
        "`flatten(1)[:, permutation]`.",
        "`.view(_, 1, 28, 28)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 06.8 to_mnist_style

def _canvas(top: int, left: int, height: int, width: int) -> np.ndarray:
    """A rectangle of uneven dark ink on white paper (28, 28) uint8."""
    canvas = np.full((28, 28), 255, np.uint8)
    rows, columns = np.mgrid[:height, :width]
    canvas[top:top + height, left:left + width] = 5 + 11 * rows + 7 * columns
    return canvas


def _letter() -> np.ndarray:
    """An L with a pale stem and a dark foot: neither the middle of its box nor of its pixels is its center of mass."""
    canvas = np.full((28, 28), 255, np.uint8)
    canvas[3:15, 5:8] = 190
    canvas[13:15, 5:21] = 20
    return canvas


_LETTER = "an L with a pale stem and a dark foot"
# None of their centers lies half-way between two pixels, so there is one right shift.
_CANVASES = ((2, 3, 7, 4), (15, 1, 5, 9), (17, 19, 8, 6))


def _observe_mnist_style(to_mnist_style, see):
    import torch

    for top, left, height, width in _CANVASES:
        canvas = _canvas(top, left, height, width)
        see.call(to_mnist_style, torch.tensor(canvas), rtol=1e-5,
                 label=f"a rectangle of {height} x {width} pixels with its corner at row {top}, column {left}")
    see.call(to_mnist_style, torch.tensor(_letter()), label=_LETTER, rtol=1e-5)
    see.call(to_mnist_style, torch.full((28, 28), 255, dtype=torch.uint8), label="a blank canvas", rtol=1e-5)


def _reference_mnist_style(canvas):
    """Try every shift that pushes no ink off the paper; take the one with the center of mass next to (14, 14)."""
    import torch

    ink = 255.0 - canvas.numpy().astype(float)
    for axis in (0, 1):
        used = np.flatnonzero(ink.sum(axis=1 - axis))
        if not len(used):
            break
        shifts = range(-used[0], 28 - used[-1])
        profile = ink.sum(axis=1 - axis)
        off = [abs(np.average(np.arange(28) + shift, weights=profile) - 14) for shift in shifts]
        ink = np.roll(ink, shifts[int(np.argmin(off))], axis=axis)
    return torch.tensor(((ink / 255 - MEAN) / STD).astype(np.float32))[None, None]


def _box(ink):
    """1 in the smallest rectangle around the ink, else 0."""
    box, (rows, columns) = ink * 0, ink.nonzero(as_tuple=True)
    if len(rows):
        box[rows.min():rows.max() + 1, columns.min():columns.max() + 1] = 1
    return box


def _mnist_style_with(canvas, *, invert=True, weights="ink", swap=False, standardize=True, middle=14, whole=round, scale=255):
    """The right answer with one part changed, for the mistakes below."""
    import torch

    paper = canvas.float() / scale
    ink = 255 / scale - paper
    mass = {"ink": ink, "paper": paper, "pixels": (ink > 0).float(), "box": _box(ink)}[weights]
    if bool(ink.any()):
        place = torch.arange(28)
        cy, cx = ((mass.sum(axis) * place).sum() / mass.sum() for axis in (1, 0))
        shifts = (whole(middle - cy.item()), whole(middle - cx.item()))
        ink = torch.roll(ink if invert else paper, shifts[::-1] if swap else shifts, (0, 1))
    elif not invert:
        ink = paper
    return ((ink - MEAN) / STD if standardize else ink).float()[None, None]


to_mnist_style = Exercise(
    "06.8", "to_mnist_style",
    observe=_observe_mnist_style,
    expected=_reference_mnist_style,
    mistakes=[
        Mistake("Not inverted: the background is 2.82, the network sees a white page.",
                lambda canvas: _mnist_style_with(canvas, invert=False),
                when=lambda facts: abs(facts["a blank canvas"].mean().item() - 2.8215) < 1e-2),
        Mistake("Centered before inverting: the paper has the mass. Invert first.",
                lambda canvas: _mnist_style_with(canvas, weights="paper")),
        Mistake("Rows and columns exchanged: shifted by dx vertically. The dims are (0, 1) = (dy, dx).",
                lambda canvas: _mnist_style_with(canvas, swap=True)),
        Mistake("No standardization: the background must be -0.4242, got 0.",
                lambda canvas: _mnist_style_with(canvas, standardize=False),
                when=lambda facts: facts["a blank canvas"].abs().max().item() == 0),
        Mistake("Not divided by 255: you get values up to 827. The scale must be that of the training images.",
                lambda canvas: _mnist_style_with(canvas, scale=1)),
        Mistake("Each inked pixel counts alike in yours. A dark one has more mass: weight the indices with the ink.",
                lambda canvas: _mnist_style_with(canvas, weights="pixels")),
        Mistake("That centers the box around the drawing. Asked is the center of mass of the ink.",
                lambda canvas: _mnist_style_with(canvas, weights="box")),
        Mistake("`int` cuts towards zero, so the center may stay a whole pixel off. Round the shift.",
                lambda canvas: _mnist_style_with(canvas, whole=int)),
        Mistake("Centered on 13.5, the middle of 28 rows. Asked is row 14, column 14.", lambda canvas: _mnist_style_with(canvas, middle=13.5)),
        Mistake("The shape is (1, 28, 28): the batch axis is missing too.", lambda canvas: _mnist_style_with(canvas)[0],
                when=lambda facts: _shape_of(facts[_LETTER]) == (1, 28, 28)),
    ],
    hints=[
        "MNIST is white on black and centered by mass.",
        "A weighted mean of the indices, then `torch.roll(ink, (dy, dx), (0, 1))`.",
        "`cy = (ink.sum(_) * r).sum() / ink.sum()`.",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("06", [
    Question("Why multiply by the batch size when summing the loss over an epoch?",
             ("The loss is a batch mean, and the last batch may be shorter",
              "Mean times size is the batch's sum; the sums add up, and one division by the samples seen ends it."),
             [("To undo the learning rate", "The learning rate scales the step of the optimizer, not the loss that you print."),
              ("For the GPU", "A GPU computes the same mean as a CPU.")]),
    Question("Why must test accuracy not choose the number of epochs?",
             ("The choice would be fitted to the test set",
              "Then the test set has been used for training decisions, and its accuracy promises too much for new images."),
             [("It is slower", "It is, since every epoch would be tested, but that is not the reason."),
              ("Test data are harder", "They come from the same source; nothing makes them harder.")]),
    Question("All images get the same random permutation of their pixels, for training and test. The accuracy of the MLP changes by about",
             ("nothing", "The first layer treats the 784 inputs alike; it never knew which pixels are neighbors."),
             [("90 points, it falls to 10 %", "That happens only with a different permutation for each image."),
              ("1 point, it improves", "A permutation adds no information."),
              ("10 points, it falls to 88 %", "It would if the network used which pixels are neighbors. It does not.")]),
    Question("The network gives the true class p = 0.162. The loss of this image is",
             ("1.82", "−ln 0.162 = 1.82."),
             [("0.838", "That is 1 − p. Cross-entropy takes the logarithm."),
              ("0.162", "That is p itself: no logarithm was taken."),
              ("2.63", "That is the logarithm to base 2; the loss uses the natural one.")]),
    Question("The training loss still falls at epoch 50. What first?",
             ("Look at the validation loss", "If it falls too, train on; if it rises, the network is learning its images by heart."),
             [("Train longer at once", "Without validation you cannot tell whether longer is better."),
              ("Add a layer", "Without validation you cannot tell whether a larger network helps or overfits."),
              ("Stop: the loss should be 0 by now", "A training loss of 0 is no goal; new images are.")]),
    Question("What does `batch_size=None` do in a DataLoader?",
             ("No collation: the sampler's item is used as index as it is",
              "The sampler hands over a list of 256 indices, and the data set is indexed once with the whole list."),
             [("Batches of one image", "That is batch_size=1."),
              ("One batch with the whole data set", "The sampler decides how many indices come at a time."),
              ("It switches shuffling off", "Shuffling is the sampler's part: RandomSampler or SequentialSampler.")]),
    Question("A model is right on 99.2 % of the 0s and 97.3 % of the 9s. Certain that 9 is harder?",
             ("Likely, but with 1,000 images the standard error is 0.5 points",
              "√(0.973 · 0.027 / 1,009) = 0.5 points: a difference of 1.9 points is more than noise, one of 0.5 is not."),
             [("No difference", "1.9 points exceed the noise of about half a point."),
              ("No, 9 is just rarer", "The counts are alike: 980 zeros and 1,009 nines.")]),
])


# ---------------------------------------------------------------------------------------------- figures: look

def _cpu(values) -> np.ndarray:
    """Numbers of a tensor on any device, or of anything array-like."""
    return values.detach().cpu().numpy() if is_tensor(values) else np.asarray(values)


def _sheet(pictures, titles=None, columns: int = 10, size: float = 0.95, colors=None, low: float = 0, high: float = 255):
    """A contact sheet with ``vmin`` and ``vmax`` fixed, so that black and white mean the same in every picture."""
    rows = -(-len(pictures) // columns)
    fig, axes = plots.figure(rows, columns, size=(size * columns, size * (1.3 if titles else 1.0) * rows), squeeze=False)
    for place, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if place < len(pictures):
            ax.imshow(pictures[place], cmap="gray", vmin=low, vmax=high)
            if titles:
                ax.set_title(titles[place], fontsize=10, color=colors[place] if colors else plots.BLACK)
    return fig


def show_pipeline() -> None:
    """The seven steps, and which of the three sets each of them may see."""
    steps = ("look", "preprocess", "define", "choose loss\nand optimizer", "train and\nvalidate", "keep\nthe best", "test\nonce")
    sees = ("training", "training", "", "", "training,\nvalidation", "validation", "test")
    colors = (plots.BLUE, plots.BLUE, plots.GREY, plots.GREY, plots.BLUE, plots.GREEN, plots.RED)
    fig, ax = plots.figure(size=(9.6, 1.9))
    ax.set(xlim=(-0.8, 12.8), ylim=(-1.0, 1.0))
    ax.set_axis_off()
    for n, (step, set_, color) in enumerate(zip(steps, sees, colors, strict=True)):
        ax.text(2 * n, 0.15, step, ha="center", va="center", fontsize=11,
                bbox={"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": color, "linewidth": 2})
        ax.text(2 * n, -0.75, set_, ha="center", va="center", fontsize=10, color=color)
        ax.text(2 * n, 0.83, str(n + 1), ha="center", va="center", fontsize=10, color=color, fontweight="bold")
        if n < 6:
            ax.annotate("", (2 * n + 1.13, 0.15), (2 * n + 0.87, 0.15), arrowprops={"arrowstyle": "->", "color": plots.BLACK})
    plots.show(fig, "Seven boxes in a row: look, preprocess, define, choose loss and optimizer, train and validate, keep the best, test "
                    "once. Below each, the data that it may see: training, then training and validation, and only the last one test.")


def show_digits(images, labels) -> None:
    """Twenty images with their labels. Args: images (n, 28, 28) uint8; labels (n,)."""
    plots.show(_sheet(_cpu(images), [str(int(n)) for n in labels]),
               f"{len(images)} training images of handwritten digits with their labels above, white ink on black.")


def show_gray_values(image, label) -> None:
    """One image as the table of numbers that it is. Args: image (28, 28) uint8; label."""
    fig, ax = plots.figure(size=(8.2, 8.2))
    ax.imshow(image, cmap="gray", vmin=0, vmax=255)
    for (row, column), gray in np.ndenumerate(np.asarray(image)):
        ax.text(column, row, str(gray), ha="center", va="center", fontsize=6.6, color="black" if gray > 127 else "white" if gray > 40 else "#AAAAAA")
    ax.set(xticks=range(0, 28, 3), yticks=range(0, 28, 3), xlabel="column", ylabel="row")
    ax.grid(False)
    plots.show(fig, dpi=95, alt=f"An image of a {label} as a table of 28 rows and 28 columns of gray values: 0 is black, 255 is white, and the edge of "
                    "a stroke has values between.")


def _closest(images, labels, a: int, b: int) -> tuple[int, int]:
    """The two most similar images of two classes, as indices."""
    X = images.reshape(len(images), -1).astype(np.float32)
    first, second = np.flatnonzero(labels == a), np.flatnonzero(labels == b)
    distance = (X[first] ** 2).sum(1)[:, None] - 2 * X[first] @ X[second].T + (X[second] ** 2).sum(1)
    i, j = np.unravel_index(distance.argmin(), distance.shape)
    return int(first[i]), int(second[j])


def show_pairs(images, labels) -> None:
    """For 3/8, 4/9 and 1/7, the two training images that are most alike. Args: images (n, 28, 28) uint8; labels (n,)."""
    pairs = ((3, 8), (4, 9), (1, 7))
    found = [_closest(images, labels, a, b) for a, b in pairs]
    fig = _sheet([images[i] for pair in found for i in pair], [f"label {c}" for pair in pairs for c in pair], columns=6, size=1.25)
    plots.show(fig, "Three pairs of training images, each the closest of its two classes: a 3 and an 8, a 4 and a 9, a 1 and a 7. Within a "
                    "pair, the two look nearly the same and have different labels.")


def show_scale_rule(image) -> None:
    """An empty patch with and without fixed limits. Args: image (28, 28) uint8."""
    patch = np.zeros((28, 28), np.uint8)
    patch[10, 12] = 1  # one pixel one step above black: invisible, one would think
    fig, axes = plots.figure(1, 4, size=(7.4, 2.3))
    kinds = ((image, {}, "digit, free limits"), (image, {"vmin": 0, "vmax": 255}, "digit, 0 to 255"),
             (patch, {}, "nearly empty,\nfree limits"), (patch, {"vmin": 0, "vmax": 255}, "nearly empty,\n0 to 255"))
    for ax, (picture, limits, title) in zip(axes, kinds, strict=True):
        ax.imshow(picture, cmap="gray", **limits)
        ax.set_title(title, fontsize=10)
        ax.set_axis_off()
    plots.show(fig, "A digit looks alike with free limits and with limits of 0 to 255. A nearly empty patch, all 0 but for one pixel of value "
                    "1, shows a white spot with free limits and plain black with 0 to 255.")


QUIZ_SEED = 12


def quiz_images(images, labels) -> tuple[np.ndarray, np.ndarray]:
    """Twelve training images to be read by a person, and their labels."""
    chosen = np.random.default_rng(QUIZ_SEED).choice(len(images), 12, replace=False)
    return np.asarray(images)[chosen], np.asarray(labels)[chosen]


def show_quiz(images, labels) -> None:
    """Twelve images without labels, numbered. Args: images, labels of the training set."""
    pictures, _ = quiz_images(images, labels)
    plots.show(_sheet(pictures, [f"({n})" for n in range(1, 13)], columns=6, size=1.2), "Twelve training images without labels, numbered from "
               "1 to 12. Which digits are they?")


def compare_reading(mine: str, images, labels) -> None:
    """Compare twelve digits that a person typed with the labels of the quiz images."""
    digits = "".join(c for c in str(mine) if c.isdigit())
    _, right = quiz_images(images, labels)
    if len(digits) != 12:
        print(f"○ {len(digits)} of 12 digits so far: type them into the quotes, then run this cell again.")
        return
    wrong = [f"({n}) is labeled {b}, you read {a}" for n, (a, b) in enumerate(zip(digits, right, strict=True), 1) if int(a) != b]
    print(f"You read {12 - len(wrong)} of 12 as labeled.", *wrong, sep="\n")


# ---------------------------------------------------------------------------------------------- figures: preprocess, define

def show_scaling(images) -> None:
    """Histograms of the gray values as they come, divided by 255, and standardized. Args: images (n, 28, 28) uint8."""
    gray = np.asarray(images[:1000], dtype=np.float32).ravel()
    fig, axes = plots.figure(1, 3, size=(9.4, 2.8), sharey=True)
    kinds = ((gray, "as stored: 0 to 255", 255), (gray / 255, "divided by 255: 0 to 1", 1),
             ((gray / 255 - MEAN) / STD, "standardized: −0.42 to 2.82", None))
    for ax, (values, title, _) in zip(axes, kinds, strict=True):
        ax.hist(values, bins=32, color=plots.BLUE, weights=np.full(len(values), 100 / len(values)))
        ax.axvline(values.mean(), color=plots.RED, linewidth=2, linestyle="--", label=f"mean {values.mean():.2f}".replace("-", "−"))
        ax.set(title=title, xlabel="value")
        plots.legend(ax)
    axes[0].set(ylabel="% of the pixels")
    plots.show(fig, "Three histograms of the same pixels: four in five are black. As stored, the values reach 255; divided by 255, they lie "
                    "in 0 to 1; standardized, their mean is near 0, and they reach from −0.42 to 2.82. Only the axis changes.")


def show_flatten() -> None:
    """4 x 4 pixels, row by row, become a row of 16."""
    fig, (left, right) = plots.figure(1, 2, size=(8.6, 2.3), width_ratios=(1, 4))
    for ax, grid in ((left, np.arange(16).reshape(4, 4)), (right, np.arange(16).reshape(1, 16))):
        ax.imshow(grid // 4, cmap="Blues", vmin=-1, vmax=6)
        for (row, column), number in np.ndenumerate(grid):
            ax.text(column, row, str(number), ha="center", va="center")
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
    left.set_title("4 × 4")
    right.set_title("flattened: 16")
    plots.show(fig, "A square of 4 by 4 numbered pixels becomes one row of 16: first the top row, then the second, and so on.")


def show_blocks() -> None:
    """The parameters of each layer as areas to scale, beside the small network of lesson 03."""
    layers = (("784 → 512", 784, 512), ("512 → 512", 512, 512), ("512 → 10", 512, 10))
    fig, ax = plots.figure(size=(9.2, 4.2))
    left = 0
    for (name, inputs, outputs), color in zip(layers, (plots.BLUE, plots.GREEN, plots.RED), strict=True):
        ax.add_patch(_rectangle(left, 0, outputs, inputs, color))
        wide = outputs > 50
        ax.text(left + (outputs / 2 if wide else outputs + 12), inputs / 2, f"{name}\n{(inputs + 1) * outputs:,}", va="center",
                ha="center" if wide else "left", fontsize=12, color="white" if wide else plots.BLACK)
        left += outputs + (40 if wide else 190)
    ax.add_patch(_rectangle(left + 60, 0, 20, 784, plots.ORANGE))
    ax.text(left + 100, 392, "784 → 20 → 10\n15,910\nin all", va="center", fontsize=12)
    ax.set(xlim=(-10, left + 330), ylim=(-15, 800), xlabel="units of the layer", ylabel="inputs of the layer", xticks=[], yticks=[0, 512, 784])
    ax.grid(False)
    plots.show(fig, "The three weight matrices as rectangles to scale: 784 by 512 with 401,920 parameters, 512 by 512 with 262,656, and a thin "
                    "one, 512 by 10, with 5,130. At the right, for comparison, a network with 20 hidden units: a thin strip of 15,910.")


def _rectangle(left, bottom, width, height, color):
    from matplotlib.patches import Rectangle

    return Rectangle((left, bottom), width, height, facecolor=color, edgecolor="white")


# ---------------------------------------------------------------------------------------------- figures: loss and sets

# Scores of an image of a 2. Made up, so that class 8 wins with 4 and class 2 has 2.9986.
SCORES = (2.2, -1.0, 2.9986, -2.0, 0.5, 2.4, 2.0, 1.3, 4.0, 2.7667)


def show_softmax(before, after, label: int = 2) -> None:
    """Ten probabilities before and after one gradient step. Args: before, after (10,), each sums to 1."""
    fig, axes = plots.figure(1, 2, size=(9.2, 3.2), sharey=True)
    for ax, p, title in zip(axes, (_cpu(before), _cpu(after)), ("before", "after one gradient step"), strict=True):
        bars = ax.bar(range(10), p, color=[plots.GREEN if c == label else plots.GREY for c in range(10)])
        bars[label].set_hatch("//")
        ax.annotate(f"{p[label]:.3f}", (label, p[label]), xytext=(0, 3), textcoords="offset points", ha="center")
        ax.annotate(f"{p[8]:.3f}", (8, p[8]), xytext=(0, 3), textcoords="offset points", ha="center")
        ax.set(title=f"{title}: loss {-np.log(p[label]):.3f}", xlabel="class", xticks=range(10), ylim=(0, 0.52))
    axes[0].set(ylabel="probability")
    plots.show(fig, f"Probabilities of the ten classes for an image of a {label}. Before, class 8 leads with {_cpu(before)[8]:.2f} and class "
                    f"{label} (hatched) has {_cpu(before)[label]:.2f}. After one step, class {label} has {_cpu(after)[label]:.2f}, and "
                    "every other class has lost.")


def show_three_sets(sizes) -> None:
    """Three sets with three roles. Args: sizes of training, validation and test set."""
    fig, ax = plots.figure(size=(9.2, 2.0))
    names = ("training\nthe weights learn from it", "validation\nwe choose by it", "test\nlooked at once")
    left = 0
    for size, name, color, hatch in zip(sizes, names, (plots.BLUE, plots.GREEN, plots.RED), ("", "//", "xx"), strict=True):
        ax.barh(0, size, left=left, color=color, alpha=0.30, edgecolor=color, hatch=hatch, linewidth=1.5)
        title, role = name.split("\n")
        ax.text(left + size / 2, 0.72, role if size > sizes[0] / 2 else role.replace(" by", "\nby").replace(" once", "\nonce"), ha="center",
                va="center", fontsize=10)
        ax.text(left + size / 2, 0, f"{title}\n{size:,}", ha="center", va="center", fontsize=11,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5})
        left += size * 1.0
    ax.set(ylim=(-0.5, 1.05), xlim=(0, left))
    ax.set_axis_off()
    plots.show(fig, f"One bar in three parts, to scale: {sizes[0]:,} images for training, {sizes[1]:,} for validation and {sizes[2]:,} for the "
                    "test.")


# ---------------------------------------------------------------------------------------------- figures: training

def show_loaders() -> None:
    """60,000 small fetches against 235 large ones."""
    fig, (top, bottom) = plots.figure(2, 1, size=(9.2, 2.9))
    for n in range(120):
        top.add_patch(_rectangle(n, 0, 0.55, 1, plots.RED))
    for n in range(4):
        bottom.add_patch(_rectangle(n * 14, 0, 12.5, 1, plots.BLUE))
    top.set_title("per image: fetch one, transform it, put it aside, ... then stack 20 of them: 60,000 fetches an epoch", fontsize=11, loc="left")
    bottom.set_title("per batch: one index with 256 numbers: 235 fetches an epoch", fontsize=11, loc="left")
    for ax in (top, bottom):
        ax.set(xlim=(0, 120), ylim=(-0.1, 1.1), xticks=[], yticks=[])
        ax.grid(False)
        for side in ax.spines.values():
            side.set_visible(False)
    plots.show(fig, "Above, a long row of thin bars, one for each fetched image. Below, a short row of four wide bars, one for each batch: the "
                    "same images with far fewer steps of Python. The drawing is not to scale.")


def show_one_cycle(rates, epochs: int) -> None:
    """The learning rate over the steps. Args: rates, one number a step; epochs."""
    fig, ax = plots.figure(size=(7.2, 3.2))
    ax.plot(np.arange(len(rates)), rates, linewidth=2.5)
    for epoch in range(1, epochs):
        ax.axvline(epoch * len(rates) / epochs, color=plots.GREY, linestyle=":", linewidth=1)
    top = int(np.argmax(rates))
    ax.plot([0, top], [rates[0], max(rates)], "o", color=plots.BLUE)
    ax.annotate(f"{max(rates):.4f}", (top, max(rates)), xytext=(0, 7), textcoords="offset points", ha="center")
    ax.annotate(f"{rates[0]:.5f}", (0, rates[0]), xytext=(-4, 9), textcoords="offset points", ha="left")
    ax.set(xlabel="step (dotted: a new epoch)", ylabel="learning rate", ylim=(0, 1.15 * max(rates)), xlim=(-0.05 * len(rates), None))
    plots.show(fig, f"The learning rate over {len(rates):,} steps: it starts small, rises to its maximum within the first third, and falls to "
                    "zero along a cosine.")


def show_history(history: dict, title: str = "") -> None:
    """Training and validation loss per epoch, with the epoch that was saved. Args: history as ``fit`` returns it."""
    train, valid = history["train_loss"], history["valid_loss"]
    epochs, best = np.arange(1, len(train) + 1), int(np.argmin(valid))
    fig, ax = plots.figure(size=(6.6, 3.5))
    ax.plot(epochs, train, "o-", label="training (dropout on)")
    ax.plot(epochs, valid, "s--", color=plots.RED, label="validation")
    ax.plot(epochs[best], valid[best], "*", color=plots.BLACK, markersize=17, label=f"saved: epoch {best + 1}", zorder=4)
    ax.set(xlabel="epoch", ylabel="mean loss", xticks=epochs, ylim=(0, None), title=title)
    plots.legend(ax)
    plots.show(fig, f"Training and validation loss over {len(train)} epochs. The lowest validation loss, {valid[best]:.3f}, is that of epoch "
                    f"{best + 1}, marked by a star.")


def show_overfitting() -> None:
    """A sketch, not a measurement: 200 epochs asked for, validation rises from 100 on."""
    epochs = np.linspace(1, 200, 400)
    train = 0.9 * np.exp(-epochs / 45) + 0.02
    valid = 0.9 * np.exp(-epochs / 35) + 0.12 + 0.35 * np.clip((epochs - 60) / 140, 0, None) ** 2
    best = int(np.argmin(valid))
    fig, ax = plots.figure(size=(6.6, 3.4))
    ax.plot(epochs, train, label="training", linewidth=2)
    ax.plot(epochs, valid, "--", color=plots.RED, label="validation", linewidth=2)
    ax.plot(epochs[best], valid[best], "*", color=plots.BLACK, markersize=17, label="keep these weights")
    ax.set(xlabel="epoch", ylabel="loss", title="a sketch", ylim=(0, None))
    plots.legend(ax)
    plots.show(fig, "A sketch of a long training of 200 epochs: the training loss keeps falling; the validation loss falls until about epoch "
                    "100, where a star says to keep these weights, and rises after it.")


# ---------------------------------------------------------------------------------------------- figures: test

def show_per_class(accuracy, counts) -> None:
    """Accuracy of each class with its standard error. Args: accuracy (10,), counts (10,) of test images."""
    p, n = 100 * _cpu(accuracy), _cpu(counts)
    error = np.sqrt(p * (100 - p) / n)
    fig, ax = plots.figure(size=(7.6, 3.4))
    ax.errorbar(range(10), p, yerr=error, fmt="o", capsize=5, markersize=8, color=plots.BLUE, linewidth=2)
    ax.axhline((p * n).sum() / n.sum(), color=plots.BLACK, linestyle="--", linewidth=1, label="all test images")
    ax.set(xlabel="class", ylabel="accuracy in %", xticks=range(10))
    plots.legend(ax)
    worst = int(p.argmin())
    plots.show(fig, f"Accuracy of the ten classes, each with a bar of one standard error up and down. The lowest is class {worst} with "
                    f"{p[worst]:.1f} %; the dashed line is the accuracy over all classes.")


def show_confusion(targets, predictions) -> None:
    """Counts of (true class, predicted class). Args: targets (n,), predictions (n,)."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (_cpu(targets), _cpu(predictions)), 1)
    errors = counts * (1 - np.eye(10, dtype=int))
    fig, ax = plots.figure(size=(5.6, 5.2))
    ax.imshow(errors, cmap="Reds", vmin=0)
    for (row, column), count in np.ndenumerate(counts):
        strong = errors[row, column] > 0.6 * errors.max()
        ax.text(column, row, str(count) if count else "·", ha="center", va="center", fontsize=9,
                color="white" if strong else plots.GREY if not count else plots.BLACK)
    ax.set(xlabel="predicted", ylabel="true", xticks=range(10), yticks=range(10))
    ax.grid(False)
    row, column = np.unravel_index(errors.argmax(), errors.shape)
    plots.show(fig, "The confusion matrix: rows are the true classes, columns the predictions. Nearly all images lie on the diagonal. The most "
                    f"frequent error: {errors[row, column]} times a {row} was called {column}.")


def show_errors(images, targets, predictions, probabilities) -> None:
    """The errors of which the network was surest. Args: images (n, 28, 28) uint8; the rest (n,), and (n, 10)."""
    targets, predictions, p = _cpu(targets), _cpu(predictions), _cpu(probabilities)
    wrong = np.flatnonzero(targets != predictions)
    wrong = wrong[np.argsort(-p[wrong, predictions[wrong]])][:16]
    fig = _sheet(_cpu(images)[wrong], [f"{predictions[i]} ({targets[i]})" for i in wrong], columns=8, size=1.1, colors=[plots.RED] * len(wrong))
    plots.show(fig, f"The {len(wrong)} errors of which the network was surest. Above each image, in red, what it said, and the true label in "
                    "parentheses. Some are hard for people too.")


def show_dropout_left_on(with_eval: float, without) -> None:
    """Accuracy of one model with eval(), and of several calls without. Args: accuracies in 0..1."""
    values = 100 * np.array([with_eval, *without])
    fig, ax = plots.figure(size=(6.8, 2.9))
    names = ["eval()", *(f"train(), call {n}" for n in range(1, len(values)))]
    ax.plot(values[1:], range(len(values) - 1, 0, -1), "X", color=plots.RED, markersize=11)
    ax.plot(values[:1], [len(values)], "o", color=plots.BLUE, markersize=11)
    ax.set(yticks=range(len(values), 0, -1), yticklabels=names, xlabel="test accuracy in %", ylim=(0.4, len(values) + 0.6))
    plots.show(fig, f"Test accuracy of one and the same network: {values[0]:.2f} % in eval mode (circle), and {len(without)} calls in training "
                    f"mode (crosses), between {values[1:].min():.2f} and {values[1:].max():.2f} %.")


# ---------------------------------------------------------------------------------------------- figures: what it cannot see

def show_permuted(images, permuted) -> None:
    """Images and the same with their pixels in another order. Args: (n, 1, 28, 28) each, standardized."""
    plain, mixed = _cpu(images)[:, 0], _cpu(permuted)[:, 0]
    fig = _sheet([*plain, *mixed], columns=len(plain), size=1.1, low=-MEAN / STD, high=(1 - MEAN) / STD)
    plots.show(fig, f"Above, {len(plain)} digits. Below, the same ones with all pixels moved in the same random order: to us, noise.")


def show_templates(linear, first_layer) -> None:
    """Ten rows of a linear classifier and twenty of the network's first layer. Args: (10, 784) and (hidden, 784)."""
    linear, hidden = _cpu(linear).reshape(-1, 28, 28), _cpu(first_layer).reshape(-1, 28, 28)
    strongest = np.argsort(-np.square(hidden).sum(axis=(1, 2)))[:20]
    fig, axes = plots.figure(3, 10, size=(9.6, 3.5))
    for n, ax in enumerate(axes.flat):
        picture = linear[n] if n < 10 else hidden[strongest[n - 10]]
        limit = np.abs(picture).max()
        ax.imshow(picture, cmap=plots.DIVERGING, vmin=-limit, vmax=limit)
        ax.set_axis_off()
        if n < 10:
            ax.set_title(str(n), fontsize=10)
    plots.show(fig, "Rows of weights as pictures of 28 by 28: blue speaks for ink, red against it. Above, the ten templates of a linear "
                    f"classifier, one a digit. Below, 20 of the {len(hidden)} templates of the network's first layer: blobs and strokes anywhere.")


def show_connections() -> None:
    """16 inputs and 4 hidden nodes, connected in four ways: 68, 20, 5 and 10 parameters."""
    kinds = (("dense", 68), ("own quadrant", 20), ("one shared set", 5), ("two shared sets", 10))
    fig, axes = plots.figure(1, 4, size=(9.8, 3.4))
    quadrant = np.array([2 * (row // 2) + column // 2 for row in range(4) for column in range(4)])
    colors, dashes = (plots.BLUE, plots.RED, plots.GREEN, plots.PURPLE), ("-", "--", "-.", ":")
    for ax, (name, count) in zip(axes, kinds, strict=True):
        sets = 2 if count == 10 else 1
        for node in range(4 * sets):
            y = 15 - (node % 4) * 4 - 1.5
            x = 3 + 0.9 * (node // 4)
            for pixel in range(16):
                if count != 68 and quadrant[pixel] != node % 4:
                    continue
                color = colors[node // 4] if count in (5, 10) else colors[node % 4]
                ax.plot([0, x], [15 - pixel, y], color=color, linewidth=1, alpha=0.75,
                        linestyle=dashes[node // 4] if count in (5, 10) else dashes[node % 4])
            ax.plot(x, y, "o", markersize=13, color="white", markeredgecolor=plots.BLACK, zorder=3)
        ax.plot([0] * 16, range(16), "s", markersize=7, color=plots.BLACK, zorder=3)
        ax.set(xlim=(-0.6, 4.6), ylim=(-1, 16))
        ax.set_title(f"{name}\n{count} parameters", fontsize=11)
        ax.set_axis_off()
    plots.show(fig, "Sixteen pixels at the left of each panel, hidden nodes at the right. Dense: every node sees every pixel, 68 parameters. Own "
                    "quadrant: each of four nodes sees four pixels, 20. One shared set of weights: 5. Two shared sets, two nodes for each "
                    "quadrant: 10.")


def show_rolled(images, accuracies: dict[int, float]) -> None:
    """A digit rolled diagonally, and the test accuracy. Args: images, shift -> (28, 28); accuracies, shift -> 0..1."""
    fig, axes = plots.figure(1, len(accuracies), size=(2.2 * len(accuracies), 2.7))
    for ax, (shift, accuracy) in zip(axes, accuracies.items(), strict=True):
        ax.imshow(_cpu(images[shift]), cmap="gray", vmin=-MEAN / STD, vmax=(1 - MEAN) / STD)
        ax.set_title(f"{shift} pixels: {100 * accuracy:.1f} %", fontsize=11)
        ax.set_axis_off()
    said = ", ".join(f"{100 * a:.1f} % for {s}" for s, a in accuracies.items())
    plots.show(fig, f"A test digit moved down and to the right, and the accuracy on all test digits moved like it, by pixels: {said}.")


# ---------------------------------------------------------------------------------------------- figures: drawings

def drawings():
    """Three drawings as a pen pad gives them: (3, 28, 28) uint8, dark ink on white paper, off-center. They are a 7, a 2 and a 4."""
    import torch

    strokes = (
        (((6, 5), (15, 5)), ((15, 5), (9, 19))),
        (((12, 10), (14, 8)), ((14, 8), (18, 8)), ((18, 8), (19, 12)), ((19, 12), (11, 22)), ((11, 22), (21, 22))),
        (((9, 3), (4, 12)), ((4, 12), (15, 12)), ((13, 4), (12, 19))),
    )
    return torch.tensor(np.stack([_pen(lines) for lines in strokes]))


def _pen(lines, width: float = 1.25) -> np.ndarray:
    """Straight strokes ((x, y), (x, y)) with soft edges, dark on white (28, 28) uint8."""
    rows, columns = np.mgrid[:28, :28].astype(float)
    nearest = np.full((28, 28), np.inf)
    for (x0, y0), (x1, y1) in lines:
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        along = np.clip(((columns - x0) * (x1 - x0) + (rows - y0) * (y1 - y0)) / length, 0, 1)
        nearest = np.minimum(nearest, np.hypot(columns - x0 - along * (x1 - x0), rows - y0 - along * (y1 - y0)))
    ink = np.clip(width + 0.5 - nearest, 0, 1)
    return np.round(255 * (1 - ink)).astype(np.uint8)


def as_it_is(canvas):
    """A canvas (28, 28) uint8 given to the network without care: scaled and standardized, neither inverted nor centered."""
    return ((canvas.float() / 255 - MEAN) / STD)[None, None]


def _probabilities(model, image) -> np.ndarray:
    """Softmax of one image (1, 1, 28, 28), with the model's mode left as it was."""
    import torch

    was, device = model.training, next(model.parameters()).device
    model.eval()
    with torch.no_grad():
        p = model(image.to(device)).softmax(dim=1)[0]
    model.train(was)
    return _cpu(p)


def show_drawings(model, canvases, prepare, title: str) -> list[int]:
    """Three drawings, what the network sees of them, and its ten probabilities; returns the digits it read.

    Args: model; canvases (n, 28, 28) uint8; prepare, canvas -> (1, 1, 28, 28); title.
    """
    fig, axes = plots.figure(len(canvases), 3, size=(7.6, 1.75 * len(canvases)), width_ratios=(1, 1, 3))
    answers = []
    for row, canvas in zip(axes, canvases, strict=True):
        seen = prepare(canvas)
        p = _probabilities(model, seen)
        answers.append(int(p.argmax()))
        row[0].imshow(_cpu(canvas), cmap="gray", vmin=0, vmax=255)
        row[1].imshow(_cpu(seen)[0, 0], cmap="gray", vmin=-MEAN / STD, vmax=(1 - MEAN) / STD)
        for ax in row[:2]:
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            for side in ax.spines.values():
                side.set_visible(True)
        row[2].bar(range(10), p, color=[plots.BLUE if c == answers[-1] else plots.GREY for c in range(10)])
        row[2].set(xticks=range(10), ylim=(0, 1.12), yticks=(0, 0.5, 1), ylabel="probability")
        row[2].annotate(f"{p.max():.2f}", (answers[-1], p.max()), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=9)
    axes[0][0].set_title("drawing", fontsize=11)
    axes[0][1].set_title("the network sees", fontsize=11)
    axes[0][2].set_title(title, fontsize=11)
    said = ", ".join(map(str, answers))
    plots.show(fig, f"Three drawings of a 7, a 2 and a 4 on white paper, {title}: at the left the drawing, in the middle what the network "
                    f"sees, at the right its ten probabilities. It reads {said}.")
    return answers


def digit_pad(model, prepare) -> None:
    """A pad to draw on: the network reads each stroke. Without a notebook, one line says so.

    Args: model; prepare, canvas (28, 28) uint8 tensor -> (1, 1, 28, 28).
    """
    import torch

    def read(canvas: np.ndarray):
        image = prepare(torch.tensor(canvas))
        seen = np.clip((_cpu(image)[0, 0] * STD + MEAN) * 255, 0, 255)
        return _probabilities(model, image), seen

    widgets.drawing_pad(read)
