"""Lesson 10, training ConvNets: its exercises, its quiz and its figures. Imports torch only when somebody needs it."""

from __future__ import annotations

import re
import tempfile
import zlib
from pathlib import Path

import numpy as np

from helpers import devices, plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import Raised, describe, is_tensor

MEAN, STD = 0.1307, 0.3081  # of MNIST's training images, as values in 0..1
VEHICLES = ("airplane", "automobile", "ship", "truck")


def _cpu(array) -> np.ndarray:
    return array.detach().cpu().numpy() if is_tensor(array) else np.asarray(array)


def _on_device(array):
    """An array as a tensor on the device of the lesson."""
    import torch

    return torch.tensor(array, device=devices.device())


# ---------------------------------------------------------------------------------------------- networks that compare

_A_MODULE = "an nn.Module"


def _values(shape, kind: str):
    """Fixed numbers that depend on nothing but a layer's shape and the kind of parameter."""
    import torch

    generator = torch.Generator().manual_seed(zlib.crc32(f"{kind} {tuple(shape)}".encode()))
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32)


def _fill(net) -> None:
    """Fixed parameters and running statistics by shape, so that two networks compare whatever their layers are called."""
    import torch

    with torch.no_grad():
        for module in net.modules():
            weight = getattr(module, "weight", None)
            shape = tuple(weight.shape) if is_tensor(weight) else ()
            for name, values in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                if not values.is_floating_point():
                    continue
                new = _values(values.shape, f"{name} {shape}")
                if name == "weight" and values.ndim > 1:
                    new = 1.4 * new / values[0].numel() ** 0.5
                elif name == "weight":
                    new = 1 + 0.3 * new
                elif name == "running_var":
                    new = 0.5 + new.square()
                else:
                    new = 0.4 * new
                values.copy_(new)


def _made(see, make, *args, label: str, **kwargs):
    """The network that the student's class makes, on the CPU; None (and a fact) if it is none."""
    import torch

    net = see.call(make, *args, label=label, record=False, asks=_A_MODULE, **kwargs)
    kind = _A_MODULE if isinstance(net, torch.nn.Module) else describe(net)
    see.fact(f"{label} is", kind, implied=_A_MODULE)
    return net.to("cpu") if kind == _A_MODULE else None


def _wrong(diagnosis: str, make, when=None) -> Mistake:
    """A known mistake in an exercise that asks for a class; ``make`` builds the wrong network."""
    return Mistake(diagnosis, type("Wrong", (), {"__new__": lambda cls, *args, **kwargs: make(*args, **kwargs)}), when)


def _images(n: int, *shape: int, seed: int = 0):
    import torch

    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed + n))


def _count(net) -> int:
    import torch

    lazy = torch.nn.parameter.UninitializedParameter
    return sum(p.numel() for p in net.parameters() if not isinstance(p, lazy))


def _scores(see, net, x, label: str, shape: tuple) -> bool:
    """Facts about the scores of an eval pass: their shape, and whether they are probabilities."""
    import torch

    net.eval()
    with torch.no_grad():
        scores = see.call(net, x, label=f"{label}: scores of {len(x)} images", record=False, asks="a tensor")
    got = str(tuple(scores.shape)) if is_tensor(scores) else describe(scores)
    see.fact(f"{label}: shape of the scores of {len(x)} images", got, implied=str(shape))
    if got != str(shape):
        return False
    see.fact(f"{label}: parameters", _count(net))
    sums = bool(((scores.sum(-1) - 1).abs() < 1e-3).all())
    see.fact(f"{label}: rows of the scores that sum to 1", "all" if sums else "not all", implied="not all")
    return True


def _filled(see, net, label: str, *inputs) -> None:
    import torch

    _fill(net)
    net.eval()
    with torch.no_grad():
        for x in inputs:
            see.fact(f"{label}: result for a batch of {len(x)} in eval mode, with given weights", net(x), rtol=1e-4)
        again = net(inputs[0])
        see.fact(f"{label}: two passes in eval mode", "the same" if torch.equal(again, net(inputs[0])) else "differ",
                 implied="the same")


def _gradient_reaches(see, net, x, label: str) -> None:
    """A fact: how many parameters get no gradient."""
    import torch

    with torch.enable_grad():
        net.zero_grad()
        result = net(x)
        if result.requires_grad:
            result.square().sum().backward()
    missing = sum(p.grad is None or not bool(p.grad.abs().sum() > 0) for p in net.parameters())
    see.fact(f"{label}: parameters that get no gradient", missing, implied=0)


def _raised(facts: dict, *texts: str) -> bool:
    """Whether something raised an exception whose text holds one of these."""
    return any(isinstance(v, Raised) and any(t in v.text for t in texts) for v in facts.values())


class _Share:
    """Notes the zeros in what the layers receive, by number of inputs for dense ones: dropout in training mode shows there."""

    def __init__(self, net):
        import torch

        self.zeros: dict[int, object] = {}
        self.in_maps = 0.0  # the largest share of zeros that a convolution meets, away from a padded border
        self.handles = [m.register_forward_pre_hook(self._look) for m in net.modules() if isinstance(m, torch.nn.Linear)]
        self.handles += [m.register_forward_pre_hook(self._look_at_maps) for m in net.modules() if isinstance(m, torch.nn.Conv2d)]

    def _look(self, module, inputs) -> None:
        self.zeros[module.in_features] = inputs[0] == 0

    def _look_at_maps(self, module, inputs) -> None:
        self.in_maps = max(self.in_maps, float((inputs[0][..., 2:-2, 2:-2] == 0).double().mean()))

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()


def _ones_everywhere(net) -> None:
    """Weights 0 and biases 1: every map and every hidden unit is 1, so a zero can only come from dropout."""
    import torch

    with torch.no_grad():
        for p in net.parameters():
            p.fill_(1.0 if p.ndim == 1 else 0.0)


def _observe_dropout(see, net, x, label: str, inputs: dict[int, tuple[str, float]], maps: int) -> None:
    """Facts: what dropout sets to 0 in training mode.

    inputs: number of inputs of a dense layer -> name and share; maps: how many maps the first of them flattens.
    """
    _ones_everywhere(net)
    net.train()
    share = _Share(net)
    import torch

    with torch.no_grad():
        scores = net(x)
    share.close()
    asked = f"{label}, training mode"
    for place, (features, (name, p)) in enumerate(inputs.items()):
        zeros = share.zeros.get(features)
        found = None if zeros is None else float(zeros.double().mean())
        near = found is not None and abs(found - p) < 0.07
        text = "none" if found == 0 else "no such layer" if found is None else f"about {p:g}" if near and p else f"{found:.2f}"
        see.fact(f"{asked}: share of {name} that dropout sets to 0", text, implied=f"about {p:g}" if p else "none")
        if place == 0 and p and found:
            groups = zeros.view(len(x), maps, -1)
            whole = bool((groups.all(2) | ~groups.any(2)).all())
            see.fact(f"{asked}: what is set to 0 in {name}", "whole maps" if whole else "single values", implied="single values")
    see.fact(f"{asked}: share of the convolutions' inputs that dropout sets to 0", "none" if share.in_maps == 0 else f"{share.in_maps:.2f}",
             implied="none")
    other = scores[scores != 1]  # all are 1, unless something comes behind the last layer
    p = max(p for _, p in inputs.values())
    dropped = bool(((other == 0) | ((other - 1 / (1 - p)).abs() < 1e-4)).all())
    see.fact(f"{asked}: results that dropout changes", "none" if not len(other) else "some" if dropped else "all are others", implied="none")


# ---------------------------------------------------------------------------------------------- 10.1 MnistConvNet

_MNIST = "MnistConvNet()"


def _observe_mnist(MnistConvNet, see):
    import torch

    net = _made(see, MnistConvNet, label=_MNIST)
    if net is None:
        return
    x = _images(3, 1, 28, 28)
    if not _scores(see, net, x, _MNIST, (3, 10)):
        return
    _filled(see, net, _MNIST, x, _images(1, 1, 28, 28))
    _gradient_reaches(see, net.train(), x, _MNIST)
    with torch.no_grad():
        same = torch.equal(net(x), net(x))
    see.fact(f"{_MNIST}: two passes in training mode", "the same" if same else "differ", implied="the same")


def _convnet(*tail, pad: int = 0, pool: bool = True, last_relu: bool = True, fc_relu: bool = True, act: str = "ReLU", kind: str = "MaxPool2d",
             drop: float | None = None, pools: int = 2, start: int = 1, side: int = 0):
    """The right network with one part changed, for the mistakes below."""
    from torch import nn

    side = side or ({(0, True): 3, (1, True): 7, (0, False): 22}[pad, pool] if pools == 2 else 1)
    layers = []
    for number, (i, o) in enumerate(((1, 32), (32, 64), (64, 64))):
        layers.append(nn.Conv2d(i, o, 3, padding=pad))
        layers += [getattr(nn, act)()] if number < 2 or last_relu else []
        layers += [getattr(nn, kind)(2)] if number < pools and pool else []
    return nn.Sequential(*layers, nn.Flatten(start), nn.Linear(64 * side**2, 64), *([getattr(nn, act)()] if fc_relu else []),
                         *([nn.Dropout(drop)] if drop else []), nn.Linear(64, 10), *tail)


def _with_log_softmax(make):
    def net(*args, **kwargs):
        from torch import nn

        return nn.Sequential(make(*args, **kwargs), nn.LogSoftmax(dim=1))
    return net


def _with_softmax(make):
    def net(*args, **kwargs):
        from torch import nn

        return nn.Sequential(make(*args, **kwargs), nn.Softmax(dim=1))
    return net


def _with_relu(make):
    def net(*args, **kwargs):
        from torch import nn

        return nn.Sequential(make(*args, **kwargs), nn.ReLU())
    return net


def _unregistered(dense: bool):
    """Layers that PyTorch does not know of: the convolutions in a Python list, and (dense) the others too."""
    from torch import nn

    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            layers = list(_convnet())
            self.convs = layers[:8]
            self.head = layers[8:] if dense else nn.Sequential(*layers[8:])

        def forward(self, x):
            for layer in [*self.convs, *self.head]:
                x = layer(x)
            return x

    return Hidden()


def _reference_mnist():
    """Written with unfolded patches and products instead of convolution layers."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    class Reference(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(i, o, 3) for i, o in ((1, 32), (32, 64), (64, 64)))
            self.dense = nn.ModuleList((nn.Linear(576, 64), nn.Linear(64, 10)))

        def forward(self, x):
            for number, conv in enumerate(self.convs):
                side = x.shape[-1] - 2
                patches = F.unfold(x, 3)
                x = (conv.weight.flatten(1) @ patches + conv.bias[:, None]).clamp(min=0).unflatten(2, (side, side))
                if number < 2:
                    half = side // 2 * 2
                    x = x[:, :, :half, :half].unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
            x = torch.relu(x.flatten(1) @ self.dense[0].weight.T + self.dense[0].bias)
            return x @ self.dense[1].weight.T + self.dense[1].bias

    return Reference()


def _linear_at_the_end(facts) -> bool:
    """The result is the one without ReLU after the third convolution."""
    import torch

    net, label = _convnet(last_relu=False), f"{_MNIST}: result for a batch of 3 in eval mode, with given weights"
    _fill(net)
    with torch.no_grad():
        return bool(torch.allclose(facts[label], net(_images(3, 1, 28, 28)), rtol=1e-3, atol=1e-4))


MnistConvNet = Exercise(
    "10.1", "MnistConvNet",
    observe=_observe_mnist,
    expected=_reference_mnist,
    kind="class",
    mistakes=[
        _wrong("Each row sums to 1: there is a softmax at the end. `CrossEntropyLoss` expects raw scores.",
                _with_softmax(_convnet), when=lambda f: f[f"{_MNIST}: rows of the scores that sum to 1"] == "all"),
        _wrong("No ReLU after conv3: conv3 and fc1 then form one linear map.", lambda: _convnet(last_relu=False),
                when=_linear_at_the_end),
        _wrong("3,136 inputs to fc1: that is padding=1. The picture has no padding, which leaves 3 x 3 x 64 = 576.",
                lambda: _convnet(pad=1), when=lambda f: _raised(f, "x3136 ") or f.get(f"{_MNIST}: parameters") == 257_162),
        _wrong("30,976 inputs to fc1: the two 2 x 2 pools are missing.", lambda: _convnet(pool=False),
                when=lambda f: _raised(f, "x30976 ") or f.get(f"{_MNIST}: parameters") == 2_038_922),
        _wrong("ReLU on the ten scores: a score must be free to be negative.", _with_relu(_convnet),
                when=lambda f: bool((f[f"{_MNIST}: result for a batch of 3 in eval mode, with given weights"] >= 0).all())),
        _wrong("No ReLU after fc1: the two dense layers then form one linear map.", lambda: _convnet(fc_relu=False)),
        _wrong("These are logarithms of probabilities: `CrossEntropyLoss` applies log-softmax itself. Return raw scores.", _with_log_softmax(_convnet)),
        _wrong("Sigmoid in place of ReLU: its slope is at most 0.25, and deep nets hardly learn with it.", lambda: _convnet(act="Sigmoid")),
        _wrong("The pools average; in the picture they take the maximum.", lambda: _convnet(kind="AvgPool2d")),
        _wrong("No parameters: layers that are made in `forward`, or kept in a Python list, are unknown to `parameters()`. Make them in `__init__`.",
                lambda: _unregistered(True), when=lambda f: f.get(f"{_MNIST}: parameters") == 0),
        _wrong("Only the dense layers are registered. Convolutions in a Python list are unknown to `parameters()`: use `nn.ModuleList`.",
                lambda: _unregistered(False), when=lambda f: f.get(f"{_MNIST}: parameters") == 37_578),
        _wrong("A third pool: there is none after conv3, so that 3 x 3 x 64 = 576 values reach fc1.", lambda: _convnet(pools=3),
                when=lambda f: _raised(f, "(3x64 and 576x") or f.get(f"{_MNIST}: parameters") == 60_554),
        _wrong("`flatten()` makes one row of the whole batch. Keep the batch axis: `flatten(1)`.", lambda: _convnet(start=0),
                when=lambda f: _raised(f, "(1x1728 and ", "(1728) and ", "(1728x")),
        _wrong("576 values reach fc1, and it was made for another number: conv3 gives 64 maps of 3 x 3.", lambda: _convnet(side=5),
                when=lambda f: _raised(f, "(3x576 and ")),
        _wrong("Dropout is not in the picture: two passes in training mode differ. This network has none.", lambda: _convnet(drop=0.5),
                when=lambda f: f.get(f"{_MNIST}: two passes in training mode") == "differ" and f[f"{_MNIST}: parameters"] == 93_322),
    ],
    hints=[
        "Write the shape after each layer next to it.",
        "26, 13, 11, 5, 3 pixels a side, 64 maps at the end.",
        "`nn.Linear(___*___*___, 64)` after `x.flatten(1)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 10.2 summarize

def _table_net():
    from torch import nn

    return nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10))


_TABLE = [("0", (32, 26, 26), 320), ("1", (32, 26, 26), 0), ("2", (32, 13, 13), 0), ("3", (64, 11, 11), 18_496),
          ("4", (64, 11, 11), 0), ("5", (64, 5, 5), 0), ("6", (64, 3, 3), 36_928), ("7", (64, 3, 3), 0), ("8", (576,), 0),
          ("9", (64,), 36_928), ("10", (64,), 0), ("11", (10,), 650)]


def _odd_net():
    """Nested, with BatchNorm and dropout, one ReLU and one layer used twice, one layer never used, the head defined first."""
    from torch import nn

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(24, 5)
            self.spare = nn.Linear(7, 7)
            self.relu = nn.ReLU()
            self.mix = nn.Linear(24, 24)
            self.body = nn.Sequential(nn.Conv2d(2, 6, 3), nn.Sequential(nn.BatchNorm2d(6), nn.Dropout(0.5)))
            self.pool = nn.AdaptiveAvgPool2d(2)

        def forward(self, x):
            x = self.pool(self.relu(self.body(x))).flatten(1)
            return self.head(self.relu(self.mix(self.mix(x))))

    return Odd()


_ODD_TABLE = [("body.0", (6, 5, 4), 114), ("body.1.0", (6, 5, 4), 12), ("body.1.1", (6, 5, 4), 0), ("relu", (6, 5, 4), 0),
              ("pool", (6, 2, 2), 0), ("mix", (24,), 600), ("mix", (24,), 0), ("relu", (24,), 0), ("head", (5,), 125)]


def _hooks(model) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def _observe_summarize(summarize, see):
    import torch

    cases = (("the MNIST network", _table_net, (2, 1, 28, 28), False), ("a nested network in training mode", _odd_net, (3, 2, 7, 6), True),
             ("the nested network in eval mode", _odd_net, (1, 2, 7, 6), False))
    for name, make, shape, training in cases:
        asked = f"summarize({name}, x of shape {shape})"
        model = make().train(training)
        leaf = next(m for m in model.modules() if not list(m.children()))
        leaf.register_forward_hook(lambda module, args, out: None)  # somebody else's
        before = {k: v.clone() for k, v in model.state_dict().items()}
        rows = see.call(summarize, model, _images(shape[0], *shape[1:]), label=asked, record=False, asks="a list of rows")
        see.fact(f"{asked}: its rows", _rows(rows))
        see.fact(f"{asked}: hooks of its own left on the model", _hooks(model) - 1, implied=0)
        see.fact(f"{asked}: the mode afterwards", "training" if model.training else "eval",
                 implied="training" if training else "eval")
        changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
        see.fact(f"{asked}: changed in the model", ", ".join(changed) or "nothing", implied="nothing")


def _rows(rows):
    """Rows as texts, whatever kind of sequence the shapes are; anything else as it is described."""
    try:
        return [f"{name} {tuple(int(n) for n in shape)} {int(count)}" for name, shape, count in list(rows)]
    except Exception:
        return describe(rows)


def _reference_summarize(model, x):
    return _ODD_TABLE if hasattr(model, "mix") else _TABLE


def _summarize_with(model, x, *, leaves=True, remove=True, eval_mode=True, batch=False, calls=True, once=True, late=False,
                    inputs=False, classes=False, back: bool | str = True, buffers=False, again=True, rude=False):
    """The right answer with one part changed, for the mistakes below."""
    import torch

    rows, handles, seen, was = [], [], set(), model.training

    def look(name, module, args, out):
        out = args[0] if inputs else out
        name = type(module).__name__ if classes else list(model.named_modules())[-1][0] if late else name
        own = 0 if once and module in seen else sum(p.numel() for p in (module.state_dict().values() if buffers else module.parameters()))
        if again or module not in seen:
            rows.append((name, tuple(out.shape) if batch else tuple(out.shape[1:]), own))
        seen.add(module)

    for name, module in model.named_modules():
        if not leaves or not list(module.children()):
            handles.append(module.register_forward_hook(lambda m, args, out, name=name: look(name, m, args, out)))
    if eval_mode:
        model.eval()
    with torch.no_grad():
        model(x)
    if back:
        model.train(back == "train" or was)
    for handle in handles if remove else ():
        handle.remove()
    if rude:
        for module in model.modules():
            module._forward_hooks.clear()
    if not calls:
        order = [name for name, _ in model.named_modules()]
        rows.sort(key=lambda row: order.index(row[0]))
    return rows


def _summarize_mistake(**options):
    return lambda model, x: _summarize_with(model, x, **options)


_NESTED = "summarize(a nested network in training mode, x of shape (3, 2, 7, 6))"
_IN_EVAL = "summarize(the nested network in eval mode, x of shape (1, 2, 7, 6))"

summarize = Exercise(
    "10.2", "summarize",
    observe=_observe_summarize,
    expected=_reference_summarize,
    mistakes=[
        Mistake("Containers are listed too, so their parameters are counted twice: hook only modules without children.",
                _summarize_mistake(leaves=False), when=lambda f: any(row.startswith("body ") for row in f[f"{_NESTED}: its rows"])),
        Mistake("Hooks not removed: after the call the model still carries yours.", _summarize_mistake(remove=False),
                when=lambda f: f[f"{_NESTED}: hooks of its own left on the model"] > 0),
        Mistake("The batch axis is still there: drop the first entry of each shape.", _summarize_mistake(batch=True),
                when=lambda f: f[f"{_NESTED}: its rows"][0].startswith("body.0 (3, 6")),
        Mistake("These are the layers in the order of definition: report calls, in the order in which they happen.",
                _summarize_mistake(calls=False), when=lambda f: f[f"{_NESTED}: its rows"][0].startswith("head")),
        Mistake("A layer that is called twice has its parameters once: 0 at the second call.", _summarize_mistake(once=False)),
        Mistake("Every row has the name of the last layer: the hook looks up `name` when it is called, after the loop. Bind it: `name=name`.",
                _summarize_mistake(late=True), when=lambda f: len({row.split(" ")[0] for row in f[f"{_NESTED}: its rows"]}) == 1),
        Mistake("These are the shapes of what goes in. Asked is the shape of the result, the hook's third argument.", _summarize_mistake(inputs=True),
                when=lambda f: f[f"{_NESTED}: its rows"][0].startswith("body.0 (2, 7, 6)")),
        Mistake("The first entry is the name in the model, such as body.0, and not the class of the layer.", _summarize_mistake(classes=True),
                when=lambda f: f[f"{_NESTED}: its rows"][0].startswith("Conv2d")),
        Mistake("BatchNorm's running mean and variance are counted too. They are buffers, not parameters: `module.parameters()` leaves them out.",
                _summarize_mistake(buffers=True), when=lambda f: f[f"{_NESTED}: its rows"][1].endswith(" 25")),
        Mistake("Each layer is listed once. Asked is a row for each call: a layer that is called twice has two rows.",
                _summarize_mistake(again=False), when=lambda f: len(f[f"{_NESTED}: its rows"]) == 7 and f[f"{_NESTED}: its rows"][5].startswith("mix")),
        Mistake("Hooks that were not yours are gone: remove only the handles that you got.", _summarize_mistake(rude=True),
                when=lambda f: f[f"{_NESTED}: hooks of its own left on the model"] < 0),
        Mistake("It ran in training mode, and the running statistics of BatchNorm changed: switch to eval and back.",
                _summarize_mistake(eval_mode=False), when=lambda f: "running_mean" in f[f"{_NESTED}: changed in the model"]),
        Mistake("The model stays in eval mode: note `model.training` first, and give it back.", _summarize_mistake(back=False),
                when=lambda f: f[f"{_NESTED}: the mode afterwards"] == "eval"),
        Mistake("`model.train()` at the end: a model that came in eval mode leaves in training mode. Give back the mode you found.",
                _summarize_mistake(back="train"), when=lambda f: f[f"{_IN_EVAL}: the mode afterwards"] == "training"),
    ],
    hints=[
        "Forward hooks: a function that PyTorch calls after each forward pass of a module. One pass in eval mode, and all rows are there.",
        "`register_forward_hook` returns a handle; `handle.remove()` takes the hook off again. Keep a set of the names you have met: "
        "met again, a layer has 0 parameters.",
        "`def hook(module, args, out, name=name): rows.append((name, ___, ___))`",
    ],
)


# ---------------------------------------------------------------------------------------------- 10.3 CifarNet

def _observe_cifar(CifarNet, see):
    import torch

    for label, kwargs, p in (("CifarNet(dropout=0.5)", {"dropout": 0.5}, 0.5), ("CifarNet()", {}, 0.25),
                             ("CifarNet(dropout=0.0)", {"dropout": 0.0}, 0.0)):
        net = _made(see, CifarNet, label=label, **kwargs)
        if net is None:
            return
        x = _images(3, 3, 32, 32)
        if not _scores(see, net, x, label, (3, 10)):
            return
        _filled(see, net, label, x, _images(1, 3, 32, 32))
        if p == 0.5:
            _gradient_reaches(see, net.eval(), x, label)
        with torch.no_grad():
            net.train()
            same = torch.equal(net(x), net(x))
        see.fact(f"{label}: two passes in training mode", "the same" if same else "differ", implied="differ" if p else "the same")
        _observe_dropout(see, net, _images(6, 3, 32, 32), label, {1024: ("the flattened map", p), 500: ("fc1's results", p)}, maps=64)


def _cifar(dropout=0.25, *, pad=1, first=True, second=True, always=False, last_relu=True, relu=True, scores=False,
           kind="MaxPool2d", first_kind="Dropout", body=False):
    import torch.nn.functional as F
    from torch import nn

    class Always(nn.Module):
        def forward(self, x):
            return F.dropout(x, dropout)

    drop = Always if always else lambda: nn.Dropout(dropout)
    layers = [part for i, o in ((3, 16), (16, 32), (32, 64)) for part in (nn.Conv2d(i, o, 3, padding=pad), *([nn.ReLU()] if relu else []),
                                                                              getattr(nn, kind)(2), *([drop()] if body and o < 64 else []))]
    before = [getattr(nn, first_kind)(dropout)] if first and not always else []  # in front of flatten, where Dropout2d knows the maps
    return nn.Sequential(*layers, *before, nn.Flatten(), *([drop()] if first and always else []), nn.Linear(1024 if pad else 256, 500),
                         *([nn.ReLU()] if last_relu else []), *([drop()] if second else []), nn.Linear(500, 10),
                         *([drop()] if scores else []))


def _reference_cifar(dropout=0.25):
    """Convolutions as products with unfolded patches, dropout as a mask."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    class Reference(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(i, o, 3) for i, o in ((3, 16), (16, 32), (32, 64)))
            self.dense = nn.ModuleList((nn.Linear(1024, 500), nn.Linear(500, 10)))

        def drop(self, x):
            return x * (torch.rand_like(x) >= dropout) / (1 - dropout) if self.training else x

        def forward(self, x):
            for conv in self.convs:
                side = x.shape[-1]
                x = conv.weight.flatten(1) @ F.unfold(x, 3, padding=1) + conv.bias[:, None]
                x = x.clamp(min=0).unflatten(2, (side // 2, 2, side // 2, 2)).amax((3, 5))
            x = self.dense[0](self.drop(x.flatten(1))).clamp(min=0)
            return self.dense[1](self.drop(x))

    return Reference()


_CIFAR = "CifarNet(dropout=0.5)"


def _on_scores(facts, missing: int) -> bool:
    """Whether the scores are dropped, and so many of the two right places are not."""
    shares = [facts[f"{_CIFAR}, training mode: share of {name} that dropout sets to 0"] for name in ("the flattened map", "fc1's results")]
    return facts[f"{_CIFAR}, training mode: results that dropout changes"] == "some" and shares.count("none") == missing


def _share_is(facts, label: str, p: float) -> bool:
    """Whether dropout takes a share of about p, which is not the one asked for."""
    text = facts[f"{label}, training mode: share of the flattened map that dropout sets to 0"]
    return text[0].isdigit() and abs(float(text) - p) < 0.07


CifarNet = Exercise(
    "10.3", "CifarNet",
    observe=_observe_cifar,
    expected=_reference_cifar,
    kind="class",
    mistakes=[
        _wrong("Each row sums to 1: there is a softmax at the end. The loss wants raw scores.", _with_softmax(_cifar),
                when=lambda f: f[f"{_CIFAR}: rows of the scores that sum to 1"] == "all"),
        _wrong("Still random in eval mode: F.dropout(x, p) drops always. It needs the flag: pass self.training.",
                lambda dropout=0.25: _cifar(dropout, always=True),
                when=lambda f: f[f"{_CIFAR}: two passes in eval mode"] == "differ"),
        _wrong("256 inputs to fc1: without padding the maps shrank to 2 x 2. Use padding=1.",
                lambda dropout=0.25: _cifar(dropout, pad=0),
                when=lambda f: _raised(f, "x256 ") or f.get(f"{_CIFAR}: parameters") == 157_094),
        _wrong("Dropout is missing: train and eval outputs agree for dropout=0.5.",
                lambda dropout=0.25: _cifar(dropout, first=False, second=False),
                when=lambda f: f[f"{_CIFAR}: two passes in training mode"] == "the same"),
        _wrong("A third dropout, on the scores: they are set to 0 at random. Two places are asked for.",
                lambda dropout=0.25: _cifar(dropout, scores=True), when=lambda f: _on_scores(f, 0)),
        _wrong("Dropout on the scores: they are set to 0 at random. It belongs on the flattened map and after fc1's ReLU.",
                lambda dropout=0.25: _cifar(dropout, second=False, scores=True), when=lambda f: _on_scores(f, 1) or _on_scores(f, 2)),
        _wrong("One dropout of two: it belongs on the flattened map and after fc1's ReLU.",
                lambda dropout=0.25: _cifar(dropout, first=False),
                when=lambda f: sum(f[f"{_CIFAR}, training mode: share of {n} that dropout sets to 0"] == "none"
                                   for n in ("the flattened map", "fc1's results")) == 1),
        _wrong("No ReLU after the convolutions: without it they form one linear map.", lambda dropout=0.25: _cifar(dropout, relu=False)),
        _wrong("No ReLU after fc1: the two dense layers then form one linear map.", lambda dropout=0.25: _cifar(dropout, last_relu=False)),
        _wrong("These are logarithms of probabilities: the loss applies log-softmax itself. Return raw scores.", _with_log_softmax(_cifar)),
        _wrong("Whole maps are dropped, as `Dropout2d` does it. Asked is dropout of single values: `nn.Dropout` on the flattened map.",
                lambda dropout=0.25: _cifar(dropout, first_kind="Dropout2d"),
                when=lambda f: f[f"{_CIFAR}, training mode: what is set to 0 in the flattened map"] == "whole maps"),
        _wrong("Dropout between the convolutions: it belongs on the flattened map and after fc1's ReLU only.",
                lambda dropout=0.25: _cifar(dropout, body=True),
                when=lambda f: f[f"{_CIFAR}, training mode: share of the convolutions' inputs that dropout sets to 0"] != "none"),
        _wrong("The argument `dropout` is not used: the probability is always 0.25.", lambda dropout=0.25: _cifar(),
                when=lambda f: _share_is(f, _CIFAR, 0.25)),
        _wrong("Not the argument but its complement: `nn.Dropout(p)` sets a share p to 0, and does not keep it.",
                lambda dropout=0.25: _cifar(1 - dropout), when=lambda f: _share_is(f, "CifarNet()", 0.75)),
        _wrong("The argument `dropout` is not used: half of the values are always dropped, as `nn.Dropout()` does it without a number.",
                lambda dropout=0.25: _cifar(0.5), when=lambda f: _share_is(f, "CifarNet()", 0.5)),
        _wrong("ReLU on the ten scores: a score must be free to be negative.", _with_relu(_cifar),
                when=lambda f: bool((f[f"{_CIFAR}: result for a batch of 3 in eval mode, with given weights"] >= 0).all())),
        _wrong("The pools average; asked are maxima.", lambda dropout=0.25: _cifar(dropout, kind="AvgPool2d")),
    ],
    hints=[
        "Three times convolution, ReLU, pool; then two dense layers.",
        "With padding=1 only the pools shrink the maps: 64·4·4 values at the end.",
        "`F.dropout(x, self.p, ___)`, or two `nn.Dropout(dropout)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 10.4 augment_batch

def _lopsided(channels: int = 3, height: int = 7, width: int = 6) -> np.ndarray:
    """(channels, height, width) of different numbers, none of them 0."""
    values = np.random.default_rng(104).permutation(channels * height * width) + 1
    return (values / 10).reshape(channels, height, width).astype(np.float32)


def _moved(image: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """The image moved down by dy and right by dx; zeros enter."""
    out = np.zeros_like(image)
    height, width = image.shape[1:]
    for y in range(height):
        for x in range(width):
            if 0 <= y - dy < height and 0 <= x - dx < width:
                out[:, y, x] = image[:, y - dy, x - dx]
    return out


def _candidates(image: np.ndarray, m: int, flip: bool) -> dict[bytes, tuple]:
    return {_moved(picture, dy, dx).tobytes(): (mirrored, dy, dx)
            for mirrored, picture in ((False, image), (True, image[:, :, ::-1].copy()))[: 2 if flip else 1]
            for dy in range(-m, m + 1) for dx in range(-m, m + 1)}


_STRANGE = "results that no mirroring and shifting gives"


def _observe_augment(augment_batch, see):
    import torch

    image = _lopsided()
    for n, kwargs, m, flip in ((400, {}, 2, True), (90, {"max_shift": 1, "flip": False}, 1, False)):
        asked = f"{n} copies of one image" + "".join(f", {k}={v}" for k, v in kwargs.items())
        torch.manual_seed(n)
        before = torch.random.get_rng_state()
        x = _on_device(np.tile(image, (n, 1, 1, 1)))
        got = see.call(augment_batch, x, torch.Generator().manual_seed(7), label=asked, record=False, asks="a tensor", **kwargs)
        same_state = torch.equal(torch.random.get_rng_state(), before)
        fine = is_tensor(got) and tuple(got.shape) == tuple(x.shape) and got.dtype == torch.float32 and got.device.type == x.device.type
        see.fact(f"{asked}: result", "float32, shape and device of x" if fine else describe(got), implied="float32, shape and device of x")
        if not fine:
            return
        torch.rand(3)
        again = augment_batch(x.clone(), torch.Generator().manual_seed(7), **kwargs)
        see.fact(f"{asked}: an equally seeded second call", "gives the same" if torch.equal(again, got) else "gives another",
                 implied="gives the same")
        see.fact(f"{asked}: global random state", "unchanged" if same_state else "changed", implied="unchanged")
        _observe_results(see, asked, _cpu(got), image, m, flip)
        if flip:
            generator = torch.Generator().manual_seed(7)
            calls = [_cpu(augment_batch(x[:20].clone(), generator)) for _ in range(2)]
            see.fact("20 copies of one image, a second call with the same generator", "gives the same" if np.array_equal(*calls) else "gives another",
                     implied="gives another")
            generator = torch.Generator().manual_seed(8)
            known = _candidates(image, m, True)
            found = [[known.get(np.ascontiguousarray(r).tobytes(), (None,))[0] for r in _cpu(augment_batch(x[:3].clone(), generator))] for _ in range(12)]
            each = {tuple(sorted(set(row), key=str)) for row in found}
            see.fact("12 batches of 3 copies: of a batch are mirrored", {((False,),): "none", ((True,),): "all", ((False,), (True,)): "none or all"}.get(
                tuple(sorted(each)) if (None,) not in each and all(None not in e for e in each) else (), "some, none or all"), implied="some, none or all")
    several = np.stack([np.roll(image, k, axis=2) + k for k in range(11)])
    got = see.call(augment_batch, _on_device(several), torch.Generator().manual_seed(3), max_shift=0, flip=False, label="11 images, max_shift=0, flip=False")
    got = see.call(augment_batch, _on_device(several), torch.Generator().manual_seed(4), max_shift=3, label="11 images, max_shift=3",
                   record=False, asks="a tensor")
    own = sum(r.tobytes() in _candidates(i, 3, True) for r, i in zip(_cpu(got), several, strict=True))
    see.fact("11 images, max_shift=3: results that come from their own image", own, implied=11)


def _bytes(images) -> set[bytes]:
    return {np.ascontiguousarray(image).tobytes() for image in images}


def _padded(image: np.ndarray, m: int, mode: str) -> set[bytes]:
    """All windows of the padded image and of the padded mirror image."""
    _, height, width = image.shape
    wide = [np.pad(p, ((0, 0), (m, m), (m, m)), mode=mode) for p in (image, image[:, :, ::-1])]
    return _bytes(p[:, top:top + height, left:left + width] for p in wide for top in range(2 * m + 1) for left in range(2 * m + 1))


def _strange_kind(strange: list[np.ndarray], image: np.ndarray, m: int, flip: bool) -> str:
    """What kind of results these are that no mirroring and shifting by up to m gives."""
    if not strange:
        return "none"
    texts = [np.ascontiguousarray(r).tobytes() for r in strange]
    every = {"mirrored": _candidates(image, m, True), "rolled around": _padded(image, m, "wrap"), "the edge repeated": _padded(image, m, "edge"),
             "reflected at the edge": _padded(image, m, "reflect"), "the channels in reverse order": _candidates(image[::-1].copy(), m, False),
             "shifted too far": _candidates(image, m + 1, flip)}
    for kind, known in every.items():
        if all(t in known for t in texts):
            return kind
    upside = _candidates(image[:, ::-1].copy(), m, True)
    if any(t in upside for t in texts):
        return "upside down"
    planes = [_candidates(plane[None], m, True) for plane in image]
    if all(r[c][None].tobytes() in planes[c] for r in strange for c in range(len(image))):
        return "each channel moved on its own"
    return "others"


def _observe_results(see, asked: str, got: np.ndarray, image: np.ndarray, m: int, flip: bool) -> None:
    known = _candidates(image, m, flip)
    found = [known.get(np.ascontiguousarray(r).tobytes()) for r in got]
    strange = [r for r, place in zip(got, found, strict=True) if place is None]
    see.fact(f"{asked}: {_STRANGE}", _strange_kind(strange, image, m, flip), implied="none")
    places = [place for place in found if place is not None]
    see.fact(f"{asked}: different shifts (dy, dx), of {(2 * m + 1) ** 2}", len({p[1:] for p in places}), implied=(2 * m + 1) ** 2)
    for axis, name in ((1, "dy"), (2, "dx")):
        see.fact(f"{asked}: different {name}, of {2 * m + 1}", len({p[axis] for p in places}), implied=2 * m + 1)
    count = sum(p[0] for p in places)
    if flip:
        for axis, name in ((1, "dy"), (2, "dx")):  # of 400 right ones 160 are expected, with a standard deviation of 10
            far = sum(abs(p[axis]) == m for p in places)
            see.fact(f"{asked}: with {name} = -2 or 2", "120 to 200" if 120 <= far <= 200 else str(far), implied="120 to 200")
        see.fact(f"{asked}: mirrored", "150 to 250" if 150 <= count <= 250 else str(count), implied="150 to 250")
        see.fact(f"{asked}: mirrored or not at the same shift", "both" if len(set(places)) >= 40 else "one of them", implied="both")


def _reference_augment(x, generator, max_shift=2, flip=True):
    """One image at a time, moved by a loop over pixels in NumPy."""
    import torch

    out = []
    for image in _cpu(x):
        mirrored = flip and torch.rand((), generator=generator).item() < 0.5
        dy, dx = (torch.randint(2 * max_shift + 1, (2,), generator=generator) - max_shift).tolist()
        out.append(_moved(image[:, :, ::-1] if mirrored else image, dy, dx))
    return torch.tensor(np.stack(out), device=x.device)


def _augment_with(x, generator, max_shift=2, flip=True, *, axis=-1, per_image=True, roll=False, in_place=False, own=True, top=1,
                  pad="constant", diagonal=False, mirrors: bool | str = True, seed=None, draw="whole", rows=True, reverse=False,
                  channels=False):
    """The right answer with one part changed, for the mistakes below."""
    import torch
    import torch.nn.functional as F

    source = x if in_place else x.clone()
    if channels:  # a draw for each channel
        flat = x.flatten(0, 1)[:, None]
        return _augment_with(flat, generator, max_shift, flip).view(x.shape)
    generator = torch.Generator().manual_seed(seed) if seed is not None else generator if own else None
    n, m = len(x), max_shift
    draws = n if per_image else 1
    if draw == "whole":
        shifts = torch.randint(0, 2 * m + top, (draws, 2), generator=generator).expand(n, 2).tolist()
    else:
        real = (2 * torch.rand(draws, 2, generator=generator) - 1) * m
        shifts = ((real.round() if draw == "rounded" else real.trunc()).int() + m).tolist()
    mirror = (torch.rand(1 if mirrors == "batch" else draws, generator=generator) < (2 if mirrors == "every" else 0.5)).expand(n).tolist()
    for i in range(n):
        image = source[i].flip(axis) if (flip or mirrors == "always") and mirrors and mirror[i] else source[i].clone()
        if reverse:
            image = image.flip(0)
        top_, left = shifts[i] if not diagonal else shifts[i][:1] * 2
        top_ = top_ if rows else m
        if roll:
            source[i] = torch.roll(image, (top_ - m, left - m), (1, 2))
        else:
            source[i] = F.pad(image[None], (m, m, m, m), mode=pad)[0, :, top_:top_ + x.shape[2], left:left + x.shape[3]]
    return source


def _augment_mistake(**options):
    return lambda x, generator, max_shift=2, flip=True: _augment_with(x, generator, max_shift, flip, **options)


_COPIES, _FEW = "400 copies of one image", "90 copies of one image, max_shift=1, flip=False"


def _strange(facts, kind: str) -> bool:
    return facts[f"{_COPIES}: {_STRANGE}"] == kind


def _shifts(facts) -> int:
    return facts[f"{_COPIES}: different shifts (dy, dx), of 25"]


augment_batch = Exercise(
    "10.4", "augment_batch",
    observe=_observe_augment,
    expected=_reference_augment,
    mistakes=[
        Mistake("Images are upside down: mirror the width axis (the last one), not the height.", _augment_mistake(axis=-2),
                when=lambda f: _strange(f, "upside down")),
        Mistake("One draw for the whole batch: all images got the same shift. Draw one for each image.",
                _augment_mistake(per_image=False), when=lambda f: _shifts(f) == 1 and _strange(f, "none")),
        Mistake("Pixels re-enter on the opposite side, as `roll` does it; zeros should enter.", _augment_mistake(roll=True),
                when=lambda f: _strange(f, "rolled around")),
        Mistake("The caller's batch was overwritten: make a new tensor.", _augment_mistake(in_place=True),
                when=lambda f: f"{_COPIES}: its inputs stay as they are" in f),
        Mistake("Two calls with equally seeded generators differ: pass `generator` to every draw.", _augment_mistake(own=False),
                when=lambda f: f[f"{_COPIES}: an equally seeded second call"] == "gives another"),
        Mistake("Two calls with one generator give the same. Your function seeds a generator of its own, so that each epoch would see the same "
                "variants: draw from `generator` itself.", _augment_mistake(seed=0),
                when=lambda f: f["20 copies of one image, a second call with the same generator"] == "gives the same" and _shifts(f) > 1),
        Mistake("The largest shift never comes: the upper end of `randint` is not included, so 2m + 1 is needed.",
                _augment_mistake(top=0), when=lambda f: _shifts(f) in {16, 20} and _strange(f, "none")),
        Mistake("Rounded: the outermost shifts come half as often as the others. `randint` draws whole numbers uniformly.",
                _augment_mistake(draw="rounded"), when=lambda f: _shifts(f) == 25 and _strange(f, "none") and all(
                    f[f"{_COPIES}: with {name} = -2 or 2"].isdigit() and int(f[f"{_COPIES}: with {name} = -2 or 2"]) < 120 for name in ("dy", "dx"))),
        Mistake("Cut to whole numbers toward 0: the outermost shifts never come. `randint` draws whole numbers uniformly.",
                _augment_mistake(draw="cut"), when=lambda f: _shifts(f) == 9 and _strange(f, "none")),
        Mistake("The edge is repeated where zeros should enter: pad with the constant 0.", _augment_mistake(pad="replicate"),
                when=lambda f: _strange(f, "the edge repeated")),
        Mistake("The picture is reflected at its edge where zeros should enter: pad with the constant 0.", _augment_mistake(pad="reflect"),
                when=lambda f: _strange(f, "reflected at the edge")),
        Mistake("The channels come in reverse order: mirror the last axis, not the one of the colors.", _augment_mistake(reverse=True, mirrors=False),
                when=lambda f: _strange(f, "the channels in reverse order")),
        Mistake("Each channel moves on its own: one draw for a picture, and all its channels follow.", _augment_mistake(channels=True),
                when=lambda f: _strange(f, "each channel moved on its own")),
        Mistake("`max_shift` is ignored: with max_shift=1 some pictures are shifted by 2.", lambda x, generator, max_shift=2, flip=True: _augment_with(x, generator, 2, flip),
                when=lambda f: _strange(f, "none") and f[f"{_FEW}: {_STRANGE}"] == "shifted too far"),
        Mistake("The same number for rows and columns, so that pictures move along a diagonal only. Draw two for each image.", _augment_mistake(diagonal=True),
                when=lambda f: _shifts(f) == 5 and _strange(f, "none") and f[f"{_COPIES}: different dy, of 5"] == f[f"{_COPIES}: different dx, of 5"] == 5),
        Mistake("Shifted along one axis only: draw a dy and a dx for each image.", _augment_mistake(rows=False),
                when=lambda f: _shifts(f) == 5 and _strange(f, "none") and 1 in (f[f"{_COPIES}: different dy, of 5"], f[f"{_COPIES}: different dx, of 5"])),
        Mistake("No image is mirrored.", _augment_mistake(mirrors=False),
                when=lambda f: f["12 batches of 3 copies: of a batch are mirrored"] == "none" and f[f"{_COPIES}: mirrored"] == "0" and _strange(f, "none")),
        Mistake("Every image is mirrored: half of them should be.", _augment_mistake(mirrors="every"),
                when=lambda f: f["12 batches of 3 copies: of a batch are mirrored"] == "all"),
        Mistake("One draw decides for a whole batch whether it is mirrored. Draw one for each image.", _augment_mistake(mirrors="batch"),
                when=lambda f: f["12 batches of 3 copies: of a batch are mirrored"] == "none or all"),
        Mistake("`flip=False` is ignored: some images are mirrored all the same.", _augment_mistake(mirrors="always"),
                when=lambda f: f.get(f"{_COPIES}: mirrored") == "150 to 250" and f[f"{_FEW}: {_STRANGE}"] == "mirrored"),
    ],
    hints=[
        "Pad all sides with zeros, then cut a window of the old size out, at another place for each image.",
        "The window's first row and first column are uniform in 0..2m, one pair for each image.",
        "`rows = torch.arange(H) + top[:, ___]` gives (N, H) row numbers; columns alike; then one index.",
    ],
)


# ---------------------------------------------------------------------------------------------- 10.5 per_class_accuracy

# (rows, classes, classes that occur among the targets, seed)
_CLASS_CASES = ((37, 6, (0, 1, 3, 4), 2), (23, 4, (0, 1, 2, 3), 5), (19, 5, (0, 2, 3), 8))


def _class_case(n: int, classes: int, present: tuple, seed: int) -> tuple:
    """Logits (n, classes) and targets (n,) in which only some classes occur."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(present, n, p=np.arange(1, len(present) + 1) / sum(range(1, len(present) + 1)))
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), targets] += 1.2
    if seed == 8:
        logits[:, 4] -= 20  # the last class is never predicted either
    return _on_device(logits.astype(np.float32)), _on_device(targets)


def _observe_per_class(per_class_accuracy, see):
    import torch

    for case in _CLASS_CASES:
        n, classes, *_ = case
        asked = f"{n} rows, {classes} classes"
        got = see.call(per_class_accuracy, *_class_case(*case), classes, label=asked, record=False, asks="a tensor")
        if is_tensor(got) and got.is_floating_point():  # NaN never equals NaN
            if tuple(got.shape) == (classes,):
                absent = ", ".join(str(c) for c in range(classes) if c not in case[2])
                found = ", ".join(str(int(c)) for c in got.isnan().nonzero().flatten())
                see.fact(f"{asked}: classes with NaN", found or "none", implied=absent or "none")
            got = torch.where(got.isnan(), torch.full_like(got, -1), got)
        see.fact(f"{asked} (NaN is shown as -1)", got, rtol=1e-5)


def _reference_per_class(logits, targets, n_classes):
    import torch

    pairs = [(max(range(n_classes), key=row.__getitem__), t) for row, t in zip(logits.tolist(), targets.tolist(), strict=True)]
    out = []
    for c in range(n_classes):
        hits = [p == t for p, t in pairs if t == c]
        out.append(sum(hits) / len(hits) if hits else float("nan"))
    return torch.tensor(out, dtype=torch.float32, device=targets.device)


def _per_class_with(logits, targets, n_classes, by="targets", absent=float("nan"), dim=1):
    import torch

    guesses = logits.argmax(dim)
    right = torch.bincount(targets[guesses == targets], minlength=n_classes).float()
    true, said = torch.bincount(targets, minlength=n_classes), torch.bincount(guesses, minlength=n_classes)
    if by == "one against the rest":
        return (len(targets) - true - said + 2 * right) / len(targets)
    counts = {"targets": true, "guesses": said, "all": torch.full_like(true, len(targets)), "nothing": torch.ones_like(true)}[by]
    found = right / counts
    return torch.where(torch.bincount(targets, minlength=n_classes) == 0, torch.full_like(found, absent), found)


_FIRST = "37 rows, 6 classes (NaN is shown as -1)"


def _same_where_present(facts, by: str) -> bool:
    """Whether the answer for the first case is the one that divides by ``by``, in the classes that occur."""
    _, classes, present, _ = _CLASS_CASES[0]
    found, wrong = facts[_FIRST], _per_class_with(*_class_case(*_CLASS_CASES[0]), classes, by=by)
    return bool(np.allclose(_cpu(found)[list(present)], _cpu(wrong)[list(present)], rtol=1e-4))


per_class_accuracy = Exercise(
    "10.5", "per_class_accuracy",
    observe=_observe_per_class,
    expected=_reference_per_class,
    mistakes=[
        Mistake("Divided by the predicted counts: that is precision. Accuracy per class divides by the true count.",
                lambda logits, targets, n_classes: _per_class_with(logits, targets, n_classes, by="guesses"),
                when=lambda f: _same_where_present(f, "guesses")),
        Mistake("Divided by all samples, so that the values sum to the overall accuracy: divide by the samples of the class.",
                lambda logits, targets, n_classes: _per_class_with(logits, targets, n_classes, by="all"),
                when=lambda f: _same_where_present(f, "all")),
        Mistake("These are percent; asked are shares in 0..1.",
                lambda logits, targets, n_classes: 100 * _per_class_with(logits, targets, n_classes)),
        Mistake("0 for absent classes: no sample, no accuracy, so NaN.",
                lambda logits, targets, n_classes: _per_class_with(logits, targets, n_classes, absent=0.0)),
        Mistake("-1 for absent classes: no sample, no accuracy, so NaN.",
                lambda logits, targets, n_classes: _per_class_with(logits, targets, n_classes, absent=-1.0)),
        Mistake("Each class against the rest: images of other classes that were not called c count as right, too. Look at the images of class c only.",
                lambda logits, targets, n_classes: _per_class_with(logits, targets, n_classes, by="one against the rest"),
                when=lambda f: _same_where_present(f, "one against the rest")),
        Mistake("These are numbers of hits: divide by the number of samples of the class.",
                lambda logits, targets, n_classes: _per_class_with(logits, targets, n_classes, by="nothing"),
                when=lambda f: _same_where_present(f, "nothing")),
        Mistake("This is the share of errors: 1 minus what is asked.",
                lambda logits, targets, n_classes: 1 - _per_class_with(logits, targets, n_classes)),
        Mistake("`//` rounds down to whole numbers: divide with `/`.",
                lambda logits, targets, n_classes: _per_class_with(logits, targets, n_classes).floor()),
        Mistake("One number for all classes: that is the overall accuracy. Asked is one number for each true class.",
                lambda logits, targets, n_classes: (logits.argmax(1) == targets).float().mean(),
                when=lambda f: is_tensor(f[_FIRST]) and f[_FIRST].ndim == 0),
        Mistake("Too short: `bincount` ends with the largest class that occurs. Give it minlength=n_classes.",
                lambda logits, targets, n_classes: _per_class_with(logits, targets, n_classes)[:int(targets.max()) + 1],
                when=lambda f: tuple(f[_FIRST].shape) == (5,)),
        Mistake("The absent classes are left out, so that a place no longer says which class it is: NaN for those.",
                lambda logits, targets, n_classes: _per_class_with(logits, targets, n_classes)[targets.unique()],
                when=lambda f: tuple(f[_FIRST].shape) == (4,)),
        Mistake("argmax runs over the batch: it must run over the classes, dimension 1.",
                lambda logits, targets, n_classes: _per_class_with(logits, targets, n_classes, dim=0),
                when=lambda f: _raised(f, "size of tensor a (6) must match the size of tensor b (37)", "size of tensor a (37) must match the size of tensor b (6)",
                                       "the mask [37] at index 0 does not match the shape of the indexed tensor [6]")),
    ],
    hints=[
        "Of all images of class c, how many hit?",
        "`torch.bincount(..., minlength=n_classes)` counts; 0 / 0 is NaN by itself.",
        "`bincount(targets[___]) / bincount(___)`, with minlength in both.",
    ],
)


# ---------------------------------------------------------------------------------------------- 10.6 ResidualBlock

def _observe_block(ResidualBlock, see):
    import torch

    cases = ((16, 32, 2, (2, 9, 8)), (16, 16, 1, (3, 7, 5)), (6, 10, 1, (2, 5, 6)), (12, 12, 2, (1, 6, 7)))
    for i, o, stride, (n, height, width) in cases:
        label = f"ResidualBlock({i}, {o}" + (f", stride={stride})" if stride > 1 else ")")
        block = _made(see, ResidualBlock, i, o, label=label, **({"stride": stride} if stride > 1 else {}))
        if block is None:
            return
        x = 0.3 + _images(n, i, height, width)
        block.eval()
        with torch.no_grad():
            try:
                block(x.clone())  # lazy layers make their parameters here
            except Exception:  # it comes again below; what was made says more about it
                see.fact(f"{label}: parameters", _count(block))
        _fill(block)
        with torch.no_grad():
            got = see.call(block, x, label=f"{label}: result", record=False, asks="a tensor")
        shape = (n, o, -(-height // stride), -(-width // stride))
        found = str(tuple(got.shape)) if is_tensor(got) else describe(got)
        see.fact(f"{label}: shape of the result for {tuple(x.shape)}", found, implied=str(shape))
        if found != str(shape):
            return
        see.fact(f"{label}: parameters", _count(block))
        see.fact(f"{label}: smallest value of the result", "0" if float(got.min()) == 0 else f"{float(got.min()):.2f}", implied="0")
        if (i, o, stride) == (16, 16, 1):
            see.fact(f"{label}, all weights of the branch 0, positive input", _passes(block, x.abs()), implied="passes through")
            _fill(block)
        see.fact(f"{label}: result in eval mode, with given weights and running statistics", got, rtol=1e-4)
        with torch.enable_grad():
            y = x.clone().requires_grad_()
            block(y * 1.0).sum().backward()
            reached = y.grad is not None and bool(y.grad.abs().sum() > 0)
        see.fact(f"{label}: the gradient", "reaches the input" if reached else "is cut off", implied="reaches the input")


def _passes(block, x) -> str:
    """What the block makes of x when all its convolutions are 0 and BatchNorm changes nothing."""
    import torch

    with torch.no_grad():
        for module in block.modules():
            for name, p in module.named_parameters(recurse=False):
                p.fill_(1.0 if name == "weight" and p.ndim == 1 else 0.0)
            for name, b in module.named_buffers(recurse=False):
                b.fill_(1 if name == "running_var" else 0)
        got = block(x)
    if torch.allclose(got, x, rtol=1e-3):
        return "passes through"
    return "gives 0" if not bool(got.any()) else "gives something else"


def _block(i, o, stride=1, *, branch_relu=False, final_relu=True, shortcut="right", bias=False, late: bool | str = False, norm=True,
           middle=True, added: bool | str = True, kernel=1, order="right", pad=1):
    """The right block with one part changed, for the mistakes below."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            first, second = (stride, stride) if late == "both" else (1, stride) if late else (stride, 1)
            convs = nn.Conv2d(i, o, 3, first, pad, bias=bias), nn.Conv2d(o, o, 3, second, pad, bias=bias)
            one = nn.BatchNorm2d(o)
            norms = one, one if order == "shared" else nn.BatchNorm2d(o)
            relu = nn.ReLU() if middle else nn.Identity()
            self.branch = nn.Sequential(*{
                "ReLU first": (convs[0], relu, norms[0], convs[1], norms[1]),
                "before": (nn.BatchNorm2d(i), relu, convs[0], norms[0], relu, convs[1]),
                "one": (convs[0], norms[0]),
            }.get(order, (convs[0], norms[0], relu, convs[1], norms[1])))
            same = (i == o and stride == 1) or shortcut == "identity" or (shortcut == "channels" and i == o)
            if shortcut != "none" and (not same or shortcut == "always"):
                self.down = nn.Sequential(nn.Conv2d(i, o, kernel, 1 if shortcut == "large" else stride, kernel // 2, bias=bias),
                                          *([nn.BatchNorm2d(o)] if norm else []))

        def forward(self, x):
            y = self.branch(x)
            y = torch.relu(y) if branch_relu else y
            if shortcut != "none" and added:
                side = self.down(x) if hasattr(self, "down") else x
                y = torch.cat([y, side], 1) if added == "cat" else y * side if added == "times" else y - side if added == "minus" else y + side
            return torch.relu(y) if final_relu else y

    return Block()


def _block_mistake(**options):
    return lambda in_channels, out_channels, stride=1: _block(in_channels, out_channels, stride, **options)


def _reference_block(in_channels, out_channels, stride=1):
    """BatchNorm written out, and the shortcut as a strided slice times a matrix."""
    import torch
    from torch import nn

    def norm(bn, x):
        scale = bn.weight / (bn.running_var + bn.eps).sqrt()
        return x * scale[:, None, None] + (bn.bias - bn.running_mean * scale)[:, None, None]

    class Reference(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
            self.b = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
            projected = stride != 1 or in_channels != out_channels
            self.norms = nn.ModuleList(nn.BatchNorm2d(out_channels) for _ in range(3 if projected else 2))
            self.matrix = nn.Conv2d(in_channels, out_channels, 1, bias=False) if projected else None

        def forward(self, x):
            y = norm(self.norms[1], self.b(norm(self.norms[0], self.a(x)).clamp(min=0)))
            if self.matrix is not None:
                x = norm(self.norms[2], torch.einsum("oi,nihw->nohw", self.matrix.weight[:, :, 0, 0], x[:, :, ::stride, ::stride]))
            return torch.maximum(x + y, torch.zeros(()))

    return Reference()


_DOWN, _SAME = "ResidualBlock(16, 32, stride=2)", "ResidualBlock(16, 16)"


def _no_projection(facts) -> bool:
    """Whether the last block that was made has the parameters of its branch only."""
    without = {_DOWN: 13_952, "ResidualBlock(6, 10)": 1_480, "ResidualBlock(12, 12, stride=2)": 2_640}
    label = [k for k in facts if k.endswith(": parameters")][-1]
    return without.get(label.removesuffix(": parameters")) == facts[label]


def _sizes_clash(facts, sizes: set[str]) -> bool:
    """Whether branch and shortcut, with all their parameters, gave maps of these two sizes for (2, 16, 9, 8)."""
    texts = [v.text for v in facts.values() if isinstance(v, Raised) and "must match the size of tensor" in v.text]
    return bool(texts) and set(re.findall(r"\((\d+)\)", texts[0])) == sizes and facts[f"{_DOWN}: parameters"] == 14_528


ResidualBlock = Exercise(
    "10.6", "ResidualBlock",
    observe=_observe_block,
    expected=_reference_block,
    kind="class",
    mistakes=[
        _wrong("ReLU on the branch: it can then only add, never subtract. The ReLU comes after the addition.",
                _block_mistake(branch_relu=True, final_relu=False)),
        _wrong("ReLU twice, on the branch and at the end: the branch can then only add, never subtract. Keep the one after the addition.",
                _block_mistake(branch_relu=True)),
        _wrong("No final ReLU: the result has negative values.", _block_mistake(final_relu=False)),
        _wrong("Identity where the shape changes: the shapes do not match. Project with a strided 1 x 1 convolution and BatchNorm.",
                _block_mistake(shortcut="identity"), when=lambda f: _raised(f, "must match the size of tensor") and _no_projection(f)),
        _wrong("A projection where the number of channels changes, and none where only the stride does: the shape changes there too.",
                _block_mistake(shortcut="channels")),
        _wrong("The projection keeps the size of the maps, and the branch halves it: give the 1 x 1 convolution the `stride`, too.",
                _block_mistake(shortcut="large"), when=lambda f: _sizes_clash(f, {"4", "8"})),
        _wrong("Both convolutions of the branch have the stride, so that it shrinks twice: it belongs to the first.",
                _block_mistake(late="both"), when=lambda f: _sizes_clash(f, {"2", "4"})),
        _wrong("The branch loses the border: its 3 x 3 convolutions need padding=1.", _block_mistake(pad=0),
                when=lambda f: _sizes_clash(f, {"2", "5"})),
        _wrong("No shortcut: with all weights of the branch 0 the input must pass through; yours gives 0.",
                _block_mistake(shortcut="none"),
                when=lambda f: f.get(f"{_DOWN}: parameters") == 13_952 and f.get(f"{_SAME}: parameters", 4_672) == 4_672),
        _wrong("Projection everywhere, which costs parameters: keep the identity when the shape is unchanged.",
                _block_mistake(shortcut="always"), when=lambda f: f[f"{_SAME}: parameters"] == 4_960),
        _wrong("The convolutions have biases, which the BatchNorm behind them takes off again: bias=False.",
                _block_mistake(bias=True), when=lambda f: f[f"{_DOWN}: parameters"] in (14_592, 14_624)),
        _wrong("The second convolution has the stride: it belongs to the first.", _block_mistake(late=True)),
        _wrong("No ReLU between the two convolutions.", _block_mistake(middle=False)),
        _wrong("The shortcut is made, and never added: with all weights of the branch 0 the input must pass through.", _block_mistake(added=False)),
        _wrong("Concatenated: twice the channels. The shortcut is added, number by number.", _block_mistake(added="cat"),
                when=lambda f: f.get(f"{_DOWN}: shape of the result for (2, 16, 9, 8)") == "(2, 64, 5, 4)"),
        _wrong("The projection is 3 x 3; 1 x 1 is enough to change the number of channels, and a ninth of the weights.", _block_mistake(kernel=3),
                when=lambda f: f[f"{_DOWN}: parameters"] == 18_624),
        _wrong("One BatchNorm for both convolutions: each needs its own, since their results have other means.", _block_mistake(order="shared"),
                when=lambda f: f[f"{_DOWN}: parameters"] == 14_464 and f[f"{_SAME}: parameters"] == 4_640),
        _wrong("The projection lacks its BatchNorm.", _block_mistake(norm=False),
                when=lambda f: f[f"{_DOWN}: parameters"] == 14_464 and f[f"{_SAME}: parameters"] == 4_672),
        _wrong("ReLU comes before the first BatchNorm: asked is convolution, BatchNorm, ReLU.", _block_mistake(order="ReLU first")),
        _wrong("BatchNorm and ReLU come before the convolutions. That block exists, too; in ours they come behind them.",
                _block_mistake(order="before"), when=lambda f: f[f"{_DOWN}: parameters"] == 14_496 and f[f"{_SAME}: parameters"] == 4_672),
        _wrong("One convolution on the branch; there are two.", _block_mistake(order="one"),
                when=lambda f: f[f"{_DOWN}: parameters"] == 5_248),
        _wrong("Branch and shortcut are multiplied. They are added.", _block_mistake(added="times")),
        _wrong("The shortcut is subtracted. It is added.", _block_mistake(added="minus")),
    ],
    hints=[
        "Draw the two paths, from the input to the addition.",
        "The shortcut must produce the branch's shape: which cases need a projection?",
        "`return F.relu(self.branch(x) + ___)`",
    ],
)


# ---------------------------------------------------------------------------------------------- 10.7 SmallPhotoNet

_SIZES = {150: 3_453_121, 64: 504_001, 96: 1_290_433}


def _observe_photo(SmallPhotoNet, see):
    import torch

    for size, kwargs in ((96, {"size": 96, "dropout": 0.5}), (64, {"size": 64}), (150, {})):
        label = f"SmallPhotoNet({', '.join(f'{k}={v}' for k, v in kwargs.items())})"
        net = _made(see, SmallPhotoNet, label=label, **kwargs)
        if net is None:
            return
        net.eval()
        x = _images({64: 3, 96: 2, 150: 1}[size], 3, size, size)  # a photo of 150 x 150 takes long: one, once
        with torch.no_grad():
            got = see.call(net, x, label=f"{label}: logits of {len(x)} images", record=False, asks="a tensor")
        shape = str(tuple(got.shape)) if is_tensor(got) else describe(got)
        see.fact(f"{label}: shape of the logits of {len(x)} images", shape, implied=str((len(x),)))
        if shape != str((len(x),)):
            return
        see.fact(f"{label}: parameters", _count(net))
        if size == 150:
            return
        one = _images(1, 3, size, size)
        _filled(see, net, label, x, one)
        net.train()
        with torch.no_grad():
            same = torch.equal(net(x), net(x))
        p = kwargs.get("dropout", 0.0)
        see.fact(f"{label}: two passes in training mode", "the same" if same else "differ", implied="differ" if p else "the same")
        if size == 64:
            _gradient_reaches(see, net.eval(), x, label)
        else:
            _observe_dropout(see, net, one, label, {2048: ("the flattened map", p), 512: ("fc1's results", 0.0)}, maps=128)


def _photo(size=150, dropout=0.0, *tail, squeeze=True, outputs=1, hard=False, place=1, drop=True, pad=0, kind="Dropout", pool="MaxPool2d",
           relu=True, fc_relu=True):
    """The right network with one part changed, for the mistakes below."""
    import torch.nn.functional as F
    from torch import nn

    class Always(nn.Module):
        def forward(self, x):
            return F.dropout(x, dropout)

    side = size
    for _ in range(4):
        side = (side - 2 + 2 * pad) // 2
    layers = [part for i, o in ((3, 32), (32, 64), (64, 128), (128, 128))
              for part in (nn.Conv2d(i, o, 3, padding=pad), *([nn.ReLU()] if relu else []), getattr(nn, pool)(2))]
    make = Always if kind == "Always" else lambda: getattr(nn, kind)(dropout)
    before = [make()] if drop and place != 2 else []
    dense = [nn.Linear(6272 if hard else 128 * side * side, 512), *([nn.ReLU()] if fc_relu else []),
             *([make()] if drop and place != 1 else []), nn.Linear(512, outputs)]
    return nn.Sequential(*layers, *before, nn.Flatten(), *dense, *tail, *([nn.Flatten(0)] if squeeze and outputs == 1 else []))


def _photo_squeezed(size=150, dropout=0.0):
    from torch import nn

    class Squeezed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = _photo(size, dropout, squeeze=False)

        def forward(self, x):
            return self.net(x).squeeze()

    return Squeezed()


def _photo_with(layer: str):
    def net(size=150, dropout=0.0):
        from torch import nn

        return _photo(size, dropout, nn.Dropout(dropout) if layer == "Dropout" else getattr(nn, layer)())
    return net


def _reference_photo(size=150, dropout=0.0):
    """With strided slices in place of pooling layers, and dropout as a mask."""
    import torch
    from torch import nn

    class Reference(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(i, o, 3) for i, o in ((3, 32), (32, 64), (64, 128), (128, 128)))
            inputs = 128 * {150: 7, 96: 4, 64: 2}[size] ** 2
            self.hidden, self.out = nn.Linear(inputs, 512), nn.Linear(512, 1)

        def forward(self, x):
            for conv in self.convs:
                x = conv(x).clamp(min=0)
                half = x.shape[-1] // 2 * 2
                x = x[..., :half, :half]
                x = torch.stack([x[..., a::2, b::2] for a in (0, 1) for b in (0, 1)]).amax(0)
            x = x.flatten(1)
            if self.training:
                x = x * (torch.rand_like(x) >= dropout) / (1 - dropout)
            x = (x @ self.hidden.weight.T + self.hidden.bias).clamp(min=0)
            return x @ self.out.weight[0] + self.out.bias

    return Reference()


_P96, _P64 = "SmallPhotoNet(size=96, dropout=0.5)", "SmallPhotoNet(size=64)"


def _within(facts, low: float, high: float) -> bool:
    """Whether all logits in eval mode lie in low..high, for both sizes: the right ones are 1 to 2 and -5."""
    values = np.concatenate([_cpu(facts[f"{label}: result for a batch of {n} in eval mode, with given weights"]) for label, n in ((_P96, 2), (_P64, 3))])
    return bool(((values >= low) & (values <= high)).all())


SmallPhotoNet = Exercise(
    "10.7", "SmallPhotoNet",
    observe=_observe_photo,
    expected=_reference_photo,
    kind="class",
    mistakes=[
        _wrong("The results lie in 0..1: there is a sigmoid at the end, and `BCEWithLogitsLoss` wants logits.", _photo_with("Sigmoid"),
                when=lambda f: _within(f, 0, 1)),
        _wrong("The results lie in -1..1: there is a tanh at the end, and `BCEWithLogitsLoss` wants logits.", _photo_with("Tanh"),
                when=lambda f: _within(f, -1, 1) and not _within(f, 0, 1)),
        _wrong("ReLU on the logit: it must be free to be negative, or the first class can never be named.", _photo_with("ReLU"),
                when=lambda f: _within(f, 0, 100) and not _within(f, 0, 1) and f[f"{_P96}: parameters"] == 1_290_433
                and not _cpu(f[f"{_P64}: result for a batch of 3 in eval mode, with given weights"]).any()),
        _wrong("Shape (N, 1): against targets (N,) it broadcasts to N x N in a hand-written loss. Return (N,).",
                lambda size=150, dropout=0.0: _photo(size, dropout, squeeze=False),
                when=lambda f: f[f"{_P96}: shape of the logits of 2 images"] == "(2, 1)"),
        _wrong("6,272 is hard-coded, which fits 150 only: compute the side length from `size`.",
                lambda size=150, dropout=0.0: _photo(size, dropout, hard=True), when=lambda f: _raised(f, "and 6272x512")),
        _wrong("Two outputs: one logit is enough for two classes.", lambda size=150, dropout=0.0: _photo(size, dropout, outputs=2),
                when=lambda f: f[f"{_P96}: shape of the logits of 2 images"] == "(2, 2)"),
        _wrong("Dropout after the hidden layer: it belongs on the flattened map.",
                lambda size=150, dropout=0.0: _photo(size, dropout, place=2),
                when=lambda f: f[f"{_P96}, training mode: share of the flattened map that dropout sets to 0"] == "none"
                and f[f"{_P96}, training mode: share of fc1's results that dropout sets to 0"] != "none"),
        _wrong("padding=1 keeps the maps larger: 6 x 6 in place of 4 x 4 for size 96. These convolutions have no padding.",
                lambda size=150, dropout=0.0: _photo(size, dropout, pad=1), when=lambda f: f.get(f"{_P96}: parameters") == 2_601_153),
        _wrong("`squeeze()` takes the batch axis too when there is one photo. Name the axis: squeeze(1), or flatten(0).", _photo_squeezed,
                when=lambda f: getattr(f[f"{_P96}: result for a batch of 1 in eval mode, with given weights"], "ndim", 1) == 0),
        _wrong("Still random in eval mode: F.dropout(x, p) drops always. It needs the flag: pass self.training.",
                lambda size=150, dropout=0.0: _photo(size, dropout, kind="Always"), when=lambda f: f[f"{_P96}: two passes in eval mode"] == "differ"),
        _wrong("Whole maps are dropped, as `Dropout2d` does it. Asked is dropout of single values: `nn.Dropout` on the flattened map.",
                lambda size=150, dropout=0.0: _photo(size, dropout, kind="Dropout2d"),
                when=lambda f: f[f"{_P96}, training mode: what is set to 0 in the flattened map"] == "whole maps"),
        _wrong("Dropout twice: it belongs on the flattened map only.", lambda size=150, dropout=0.0: _photo(size, dropout, place=3),
                when=lambda f: all(f[f"{_P96}, training mode: share of {name} that dropout sets to 0"] != "none" for name in ("the flattened map", "fc1's results"))),
        _wrong("Dropout on the logit: it is set to 0 at random. It belongs on the flattened map.", _photo_with("Dropout"),
                when=lambda f: f[f"{_P96}, training mode: results that dropout changes"] == "some"),
        _wrong("The argument `dropout` is not used: with dropout=0 two passes in training mode differ.",
                lambda size=150, dropout=0.0: _photo(size, 0.5), when=lambda f: f[f"{_P64}: two passes in training mode"] == "differ"),
        _wrong("No ReLU after the convolutions: without it they form nearly one linear map.", lambda size=150, dropout=0.0: _photo(size, dropout, relu=False)),
        _wrong("No ReLU after the dense layer of 512: it and the last one then form one linear map.",
                lambda size=150, dropout=0.0: _photo(size, dropout, fc_relu=False)),
        _wrong("The pools average; asked are maxima.", lambda size=150, dropout=0.0: _photo(size, dropout, pool="AvgPool2d")),
        _wrong("Dropout is missing: two passes in training mode agree for dropout=0.5.",
                lambda size=150, dropout=0.0: _photo(size, dropout, drop=False),
                when=lambda f: f[f"{_P96}: two passes in training mode"] == "the same"),
    ],
    hints=[
        "One block without padding: size → (size − 2) // 2.",
        "Four times: 150 → 74 → 36 → 17 → 7.",
        "`nn.Linear(128*side*side, 512)` with `side` from a loop; at the end `.squeeze(___)` or `.flatten()`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 10.8 shift_agreement

def _slanted_model(seed: int):
    """BatchNorm, dropout and one linear layer with a weight of its own for each pixel: it minds every shift."""
    import torch
    from torch import nn

    model = nn.Sequential(nn.BatchNorm2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(2 * 6 * 7, 5))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float32))
        model[0].running_mean.copy_(torch.tensor([0.3, -0.5]))
        model[0].running_var.copy_(torch.tensor([0.6, 1.7]))
    return model.float().to(devices.device())  # float32, whatever the default is


def _observe_shift(shift_agreement, see):
    import torch

    for n, dx, training in ((29, 0, True), (29, 1, True), (23, -1, False), (29, 3, False), (23, -2, True)):
        asked = f"shift_agreement(model, {n} images, dx={dx}), model in {'training' if training else 'eval'} mode"
        model = _slanted_model(seed=n).train(training)
        x = _on_device(_smooth_images(n))
        before = {k: v.clone() for k, v in model.state_dict().items()}
        see.call(shift_agreement, model, x, dx, label=asked, rtol=1e-5)
        changed = any(not torch.equal(v, before[k]) for k, v in model.state_dict().items())
        see.fact(f"{asked}: the model's statistics", "changed" if changed else "unchanged", implied="unchanged")
        see.fact(f"{asked}: the mode afterwards", "training" if model.training else "eval",
                 implied="training" if training else "eval")


def _smooth_images(n: int) -> np.ndarray:
    """(n, 2, 6, 7) float32, neighboring pixels alike, so that a shift changes some predictions and not all."""
    rough = np.random.default_rng(n).normal(size=(n, 2, 10, 11))
    return sum(rough[:, :, a:a + 6, b:b + 7] for a in range(5) for b in range(5)).astype(np.float32) / 3


def _reference_shift(model, x, dx):
    """In NumPy, from the model's numbers."""
    def predictions(pictures):
        bn, fc = model[0], model[3]
        mean, var, gain, bias = (_cpu(t)[:, None, None] for t in (bn.running_mean, bn.running_var, bn.weight, bn.bias))
        z = (pictures - mean) / np.sqrt(var + bn.eps) * gain + bias
        return (z.reshape(len(z), -1) @ _cpu(fc.weight).T + _cpu(fc.bias)).argmax(1)

    pictures = _cpu(x)
    moved = np.stack([_moved(picture, 0, dx) for picture in pictures])
    return float((predictions(pictures) == predictions(moved)).mean())


def _shift_with(model, x, dx, *, roll=False, eval_mode=True, axis=3, logits=False, tensor=False, sign=1, restore: bool | str = True,
                pad="constant", compare="classes"):
    """The right answer with one part changed, for the mistakes below."""
    import torch
    import torch.nn.functional as F

    was = model.training
    dx = abs(dx) if sign == "abs" else max(dx, 0) if sign == "positive" else sign * dx
    if eval_mode:
        model.eval()
    amount = (dx, -dx) if axis == 3 else (0, 0, dx, -dx)
    if pad == "constant":
        moved = torch.roll(x, dx, axis) if roll else F.pad(x, (dx, 0) if roll is None else amount)
    else:
        moved = F.pad(x, (abs(dx), abs(dx), 0, 0), mode=pad)[..., abs(dx) - dx:][..., :x.shape[3]]
    with torch.no_grad():
        a, b = model(x), model(moved)
    if restore:
        model.train(restore == "train" or was)
    over = 0 if compare == "over the batch" else 1
    same = (F.cosine_similarity(a, b) if compare == "cosine" else torch.isclose(a, b) if logits else a.argmax(over) == b.argmax(over)).float().mean()
    return same if tensor else same.item()


def _shift_mistake(**options):
    return lambda model, x, dx: _shift_with(model, x, dx, **options)


shift_agreement = Exercise(
    "10.8", "shift_agreement",
    observe=_observe_shift,
    expected=_reference_shift,
    mistakes=[
        Mistake("Columns wrapped around, as `roll` does it: zeros should enter.", _shift_mistake(roll=True)),
        Mistake("Columns wrapped around, as `roll` does it, and to the other side: zeros should enter, and positive dx is to the right.",
                _shift_mistake(roll=True, sign=-1)),
        Mistake("The edge is repeated where zeros should enter.", _shift_mistake(pad="replicate")),
        Mistake("The picture gets wider, and the model takes one width only: cut off on the other side what you add, `F.pad(x, (dx, -dx))`.",
                _shift_mistake(roll=None), when=lambda f: _raised(f, "(29x96 and 84x5)")),
        Mistake("With dx = 0 nothing is left: `x[..., :-0]` is empty. `F.pad(x, (dx, -dx))` needs no such case.",
                lambda model, x, dx: _shift_with(model, x[..., :-dx] if dx == 0 else x, dx), when=lambda f: _raised(f, "(29x0 and 84x5)")),
        Mistake("argmax runs over the batch: the classes are dimension 1.", _shift_mistake(compare="over the batch")),
        Mistake("This is how alike the scores are. Asked is the share of images whose predicted class stays.", _shift_mistake(compare="cosine")),
        Mistake("Negative dx moves nothing: then the picture goes to the left.", _shift_mistake(sign="positive")),
        Mistake("Negative dx moves to the right, too: then the picture should go to the left.", _shift_mistake(sign="abs")),
        Mistake("Training mode: dx = 0 must give 1.0, and dropout made it random. Switch to eval, and back.",
                _shift_mistake(eval_mode=False),
                when=lambda f: any(v == "changed" for k, v in f.items() if k.endswith("statistics"))),
        Mistake("Rows were shifted: columns are the last axis.", _shift_mistake(axis=2)),
        Mistake("Logits were compared: compare the predicted classes.", _shift_mistake(logits=True)),
        Mistake("A tensor came back: return a Python float, with `.item()`.", _shift_mistake(tensor=True),
                when=lambda f: is_tensor(next(iter(f.values())))),
        Mistake("Shifted to the other side: positive dx is to the right.", _shift_mistake(sign=-1)),
        Mistake("The model stays in eval mode: restore the mode in which you found it.", _shift_mistake(restore=False),
                when=lambda f: any(k.endswith("afterwards") and "in training mode" in k and v == "eval" for k, v in f.items())),
        Mistake("`model.train()` at the end: a model that came in eval mode leaves in training mode. Give back the mode you found.",
                _shift_mistake(restore="train"),
                when=lambda f: any(k.endswith("afterwards") and "in eval mode" in k and v == "training" for k, v in f.items())),
        Mistake("These are percent; asked is a share in 0..1.", lambda model, x, dx: 100 * _shift_with(model, x, dx)),
        Mistake("This is the share that changes. Asked is the share that stays.", lambda model, x, dx: 1 - _shift_with(model, x, dx)),
        Mistake("A number of images; asked is their share: divide by how many there are.", lambda model, x, dx: round(_shift_with(model, x, dx) * len(x))),
    ],
    hints=[
        "Two predictions, one comparison.",
        "`F.pad` accepts negative amounts, which cut columns off.",
        "`(a == ___).float().mean().___`",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("10", [
    Question("A picture of 32 x 32 pixels passes three convolutions with padding 1, each followed by a 2 x 2 pool. There are 64 "
             "maps at the end. How many values does `flatten` give?",
             ("1,024", "32 → 16 → 8 → 4, and 64 · 4 · 4 = 1,024."),
             [("16", "That is one map; there are 64."), ("4,096", "That is after two pools: 64 · 8 · 8.")]),
    Question("In the MNIST network, why have conv3 and fc1 the same number of parameters?",
             ("Both have 576 inputs for each of 64 outputs", "3 · 3 · 64 = 576 weights make one value of a map; 576 flattened values "
              "make one hidden unit. With 64 biases: 36,928 twice. A coincidence."),
             [("The pool between them has the other parameters", "A pool has no parameters, and there is none between them."),
              ("The table must have a bug", "Count: 576 · 64 + 64, twice.")]),
    Question("With augmentation and dropout the training accuracy lies below the validation accuracy. What do you say first?",
             ("As expected: training is measured on harder, randomized input", "Training pictures are moved and mirrored, and dropout "
              "takes away units; validation has neither."),
             [("Validation pictures leaked into the training set", "Possible, and worth a look; it is not the first explanation here."),
              ("The training labels are noisy", "Possible; but the effect comes without any noise.")]),
    Question("Validation accuracy goes from 71 % to 82 %. Which report says what was meant?",
             ("11 points; 15 % relative; 38 % fewer errors", "82 − 71 = 11 points; 11 / 71 = 15 %; the errors go from 29 to 18, which is "
              "11 / 29 = 38 % fewer. Always say which."),
             [("11 % better", "Points, or percent of 71? Nobody can know."), ("82 % better", "That is the new value, not the change.")]),
    Question("Where does augmentation belong?",
             ("On training batches only", "Validation and test ask how the network does on pictures as they are."),
             [("On training and validation batches", "Then you measure another task, and another one in each epoch."),
              ("Once, on the files, before training", "Then an epoch sees the same variants again and again.")]),
    Question("Why do very deep networks need skip connections?",
             ("Deep plain nets train worse; a skip gives a short gradient path and an easy identity", "Their *training* loss is higher, "
              "so it is a matter of optimization. A block has to learn only what to add."),
             [("They add parameters", "An addition has none."),
              ("They prevent overfitting", "The deep plain net does not even fit its training data.")]),
    Question("After an 80/20 split the printed validation loss is a fifth of the training loss. What do you suspect first?",
             ("The sum was divided by the size of the whole set instead of the 20 % seen", "A factor of exactly 5 is the ratio of the two "
              "numbers."),
             [("The network generalizes very well", "Validation loss below training loss may happen with dropout; not by a factor of 5."),
              ("The learning rate is too small", "Then both losses are high.")]),
    Question("Which classes of CIFAR-10 are harder?",
             ("Animals: cat, bird, deer", "Pose, color and background vary. A vehicle is stiff, and its type has few shapes."),
             [("Vehicles: ship, truck", "They are stiff and come in few colors: the easier ones."),
              ("All alike, since each has as many pictures", "The number is the same, the variation is not.")]),
])


# ---------------------------------------------------------------------------------------------- figures: story and shapes

def _bare(ax) -> None:
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for side in ax.spines.values():
        side.set_visible(False)


def show_uses() -> None:
    """What ConvNets did, one line a task; facts, not a measurement."""
    uses = ((1998, "reading digits on checks"), (2012, "naming what a photo shows"), (2013.6, "finding objects"),
            (2014.5, "writing captions"), (2015.2, "Atari games"), (2015.5, "outlining objects"), (2016.1, "Go"),
            (2016.7, "speech (WaveNet)"), (2017.3, "sketches"), (2020.8, "vision transformers"))
    fig, ax = plots.figure(size=(8.6, 3.6))
    ax.axvspan(2012, 2020.8, color=plots.SKY, alpha=0.2)
    ax.text(2012.2, 0.6, "ConvNets lead in vision", ha="left", va="top", color=plots.BLUE, fontsize=10.5)
    for row, (year, name) in enumerate(uses):
        other = "transformers" in name
        ax.plot(year, -row, "s" if other else "o", color=plots.RED if other else plots.BLUE, markersize=8)
        ax.text(year + 0.4, -row, name, va="center", fontsize=10.5)
    ax.set(xlim=(1997, 2027), ylim=(-len(uses) + 0.4, 0.9), xlabel="year", xticks=range(2000, 2026, 5), yticks=[])
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)
    plots.show(fig, "A time line, one row a task. 1998: ConvNets read digits on checks. From 2012 to about 2020 they lead in vision: naming "
                    "photos, finding and outlining objects, captions; also Atari and Go, speech, sketches. Then vision transformers.")


def show_network(shapes, title: str = "") -> None:
    """A network as blocks: width for channels, height for the side of a map. Args: shapes, list of (name, shape)."""
    fig, ax = plots.figure(size=(9.4, 3.0))
    at, largest = 0.0, max(shape[1] for _, shape in shapes if len(shape) == 3)
    for name, shape in shapes:
        maps = len(shape) == 3
        width = 0.5 + 0.13 * shape[0] ** 0.6 if maps else 0.7
        height = 0.2 + 2.6 * (shape[1] / largest) ** 0.8 if maps else 0.3 + 0.35 * np.log10(shape[0])
        color = plots.SKY if "pool" in name else plots.BLUE if maps else plots.ORANGE
        ax.bar(at + width / 2, height, width, bottom=-height / 2, color=color, edgecolor="white")
        text = f"{shape[0]}×{shape[1]}×{shape[2]}" if maps else f"{shape[0]:,}"
        ax.text(at + width / 2, height / 2 + 0.1, text, ha="center", fontsize=9.5)
        ax.text(at + width / 2, -1.75, name, ha="center", fontsize=9.5, color=plots.GREY)
        at += width + 0.62
    _bare(ax)
    ax.set(ylim=(-2, 2), xlim=(-0.4, at - 0.3), title=title)
    steps = ", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in shapes)
    plots.show(fig, f"The network as blocks, from left to right: {steps}. Maps get smaller and more, then rows of numbers.")


def show_field(image) -> None:
    """How much of a digit one value of the third convolution sees. Args: image (28, 28) uint8."""
    fig, axes = plots.figure(1, 2, size=(7.0, 3.4))
    for ax, side, name in zip(axes, (7, 18), ("without pools", "with two pools"), strict=True):
        ax.imshow(_cpu(image), cmap="gray", vmin=0, vmax=255)
        low = 14 - side / 2 - 0.5
        ax.plot([low, low + side, low + side, low, low], [low, low, low + side, low + side, low],
                color=plots.YELLOW, linewidth=3)
        ax.set_title(f"{name}: {side} × {side} pixels", fontsize=11)
        _bare(ax)
    plots.show(fig, "A digit twice. A yellow square shows what one value of the third convolution sees: 7 by 7 pixels without pools, 18 by "
                    "18 with two pools, nearly the whole digit.")


def show_flat_sizes() -> None:
    """Values that reach the first dense layer, with and without pools."""
    fig, ax = plots.figure(size=(7.6, 2.5))
    values = (30_976, 576)
    ax.barh((1, 0), values, color=(plots.RED, plots.BLUE))
    for y, value, text in zip((1, 0), values, ("30,976 values: 15,859,712 weights to 512 units", "576 values: 294,912 weights to 512 units"),
                              strict=True):
        inside = value > 10_000
        ax.text(value - 400 if inside else value + 400, y, text, va="center", ha="right" if inside else "left",
                color="white" if inside else plots.BLACK, fontsize=10.5)
    ax.set(yticks=(1, 0), yticklabels=("no pools", "two pools"), xlabel="values after flatten")
    plots.show(fig, "Two bars: without pools 30,976 values reach the dense layer, with two pools 576. To 512 units that makes 15,859,712 "
                    "and 294,912 weights.")


# ---------------------------------------------------------------------------------------------- figures: training

def _smoothed(losses, window: int = 10) -> np.ndarray:
    losses = np.asarray(losses, float)
    window = max(1, min(window, len(losses)))
    return np.convolve(losses, np.ones(window) / window, mode="valid")


def show_cycle(rates, losses, epochs: int, other=None) -> None:
    """Learning rate and loss of each step on one time axis. Args: rates, losses (steps,); other, losses of another recipe."""
    fig, ax = plots.figure(size=(7.8, 3.5))
    steps = np.arange(len(losses))
    smooth = _smoothed(losses)
    ax.plot(np.arange(len(smooth)) + len(losses) - len(smooth), smooth, color=plots.BLUE, linewidth=2, label="loss, one cycle")
    if other is not None:
        smooth = _smoothed(other)
        at = np.linspace(0, len(losses) - 1, len(other))[len(other) - len(smooth):]
        ax.plot(at, smooth, "--", color=plots.RED, linewidth=1.8, label="loss, constant rate")
    ax.set(xlabel="step of the one-cycle recipe (dotted: a new epoch)", ylabel="loss (mean of 10 steps)", ylim=(0, None))
    right = ax.twinx()
    right.plot(steps, rates, ":", color=plots.BLACK, linewidth=2, label="learning rate")
    right.set_ylabel("learning rate")
    right.set_ylim(0, 1.15 * max(rates))
    right.spines["right"].set_visible(True)
    right.grid(False)
    for epoch in range(1, epochs):
        ax.axvline(epoch * len(losses) / epochs, color=plots.GREY, linestyle=":", linewidth=1)
    lines = [*ax.get_lines(), *right.get_lines()]
    names = [line.get_label() for line in lines]
    chosen = [(line, name) for line, name in zip(lines, names, strict=True) if not name.startswith("_")]
    ax.legend([line for line, _ in chosen], [name for _, name in chosen], frameon=False, loc="upper right")
    text = f"Over {len(losses)} steps the learning rate rises to {max(rates):g} in the first quarter and falls to 0; the loss falls fast and "
    plots.show(fig, text + f"ends near {_smoothed(losses)[-1]:.2f}."
               + ("" if other is None else f" Dashed, the recipe with constant rate on the same images; it ends near {_smoothed(other)[-1]:.2f}."))


def show_recipes() -> None:
    """Test accuracies measured once on the real digits, one mark a seed (an epoch for the reference)."""
    rows = (("reference, 5 epochs: after each", (98.13, 98.97, 98.97, 99.07, 99.21), plots.RED, "X"),
            ("one cycle, 2 epochs", (99.18, 99.07, 99.03), plots.BLUE, "o"), ("one cycle, 3 epochs", (99.19, 99.19), plots.BLUE, "o"),
            ("BatchNorm, one cycle, 2 epochs", (99.24, 99.21, 99.39), plots.GREEN, "s"))
    fig, ax = plots.figure(size=(8.0, 3.0))
    for y, (_, values, color, mark) in zip(range(len(rows), 0, -1), rows, strict=True):
        ax.plot(values, [y] * len(values), mark, color=color, markersize=9, alpha=0.8)
    ax.axvline(99.08, color=plots.BLACK, linestyle="--", linewidth=1.2, label="published: 99.08 %")
    ax.axvspan(99.08 - 0.09, 99.08 + 0.09, color=plots.GREY, alpha=0.2, label="± one standard error")
    ax.set(yticks=range(len(rows), 0, -1), yticklabels=[r[0] for r in rows], xlabel="test accuracy in %", xlim=(98.0, 99.5),
           ylim=(0.4, len(rows) + 0.6))
    plots.legend(ax, loc="lower left")
    plots.show(fig, "Test accuracies on the real digits. The reference recipe needs five epochs to pass 99.08 %. One cycle of two epochs "
                    "gives 99.03 to 99.18 %, with BatchNorm 99.21 to 99.39 %. A grey band shows one standard error, 0.09 points.")


def show_histories(plain: dict, moved: dict) -> None:
    """Training accuracy per epoch and the validation accuracy at the end, without and with augmentation.

    Args: each a dict with ``train`` (list of accuracies in 0..1) and ``valid`` (one number, of the validation pictures).
    """
    fig, ax = plots.figure(size=(7.2, 3.5))
    for history, name, color, mark in ((plain, "without", plots.RED, "X"), (moved, "with augmentation", plots.BLUE, "o")):
        epochs = np.arange(1, len(history["train"]) + 1)
        ax.plot(epochs, 100 * np.asarray(history["train"]), "-" if mark == "o" else "--", color=color, label=f"training, {name}")
        ax.plot(epochs[-1] + 0.25, 100 * history["valid"], mark, color=color, markersize=11, label=f"validation, {name}")
    ax.set(xlabel="epoch", ylabel="accuracy in %", xticks=epochs)
    plots.legend(ax, loc="lower right")
    plots.show(fig, f"Accuracy over {len(epochs)} epochs. Training ends at {100 * plain['train'][-1]:.0f} % without and "
                    f"{100 * moved['train'][-1]:.0f} % with augmentation, validation gives {100 * plain['valid']:.1f} % and {100 * moved['valid']:.1f} %: "
                    f"the gap is {100 * (plain['train'][-1] - plain['valid']):.1f} points without and "
                    f"{100 * (moved['train'][-1] - moved['valid']):.1f} with augmentation.".replace("-", "−"))


# ---------------------------------------------------------------------------------------------- figures: color pictures

def show_pictures(images, labels, classes) -> None:
    """Two pictures of each class. Args: images (n, 32, 32, 3) uint8; labels (n,); names of the ten classes."""
    images, labels = _cpu(images), _cpu(labels)
    rows = [np.flatnonzero(labels == c)[k] for k in range(2) for c in range(10)]
    fig = plots.images(images[rows], [classes[labels[r]] for r in rows], columns=10, size=0.95)
    plots.show(fig, "Twenty color pictures of 32 by 32 pixels, two of each class: " + ", ".join(classes) + ".", colors=64)


def show_planes(image, name: str) -> None:
    """A picture and its red, green and blue plane as gray pictures. Args: image (32, 32, 3) uint8; name of the class."""
    image = _cpu(image)
    fig, axes = plots.figure(1, 4, size=(8.4, 2.5))
    for ax, title, picture in zip(axes, (name, "red", "green", "blue"), (image, *np.moveaxis(image, 2, 0)), strict=True):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
        ax.set_title(title, fontsize=11)
        _bare(ax)
    means = [f"{v:.0f}" for v in image.reshape(-1, 3).mean(0)]
    plots.show(fig, f"A picture of the class {name}, and its three planes as gray pictures: white is much of that color. Mean values: red "
                    f"{means[0]}, green {means[1]}, blue {means[2]}.")


def show_augmented(original, variants) -> None:
    """A picture and variants of it. Args: original (3, h, w) in -1..1; variants (n, 3, h, w)."""
    pictures = np.concatenate([_cpu(original)[None], _cpu(variants)]) / 2 + 0.5
    pictures = np.clip(pictures, 0, 1).transpose(0, 2, 3, 1)
    fig = plots.images(pictures, ["original", *[""] * (len(pictures) - 1)], columns=8, size=1.05)
    plots.show(fig, f"A picture and {len(pictures) - 1} variants of it as training sees them: some mirrored, each shifted by up to 4 pixels. "
                    "What enters at the border is gray: 0 after normalization.")


def show_fill_modes(modes: dict[str, str]) -> None:
    """What enters beside `abcd`. Args: modes, name -> twelve characters."""
    fig, ax = plots.figure(size=(7.6, 0.62 * len(modes) + 0.3))
    shades = dict(zip("abcdk", (0.9, 0.7, 0.5, 0.3, 0.0), strict=True))
    for y, (_, text) in enumerate(reversed(modes.items())):
        for x, letter in enumerate(text):
            inside = 4 <= x < 8
            dark = shades[letter] < 0.45
            ax.add_patch(_square(x, y, str(0.1 + 0.85 * shades[letter]), plots.RED if inside else "white"))
            ax.text(x + 0.5, y + 0.45, letter, ha="center", va="center", fontsize=12, color="white" if dark else plots.BLACK,
                    fontweight="bold" if inside else "normal")
    ax.set(xlim=(0, 12), ylim=(0, len(modes)))
    _bare(ax)
    ax.set_yticks([y + 0.45 for y in range(len(modes))])
    ax.set_yticklabels(list(reversed(modes)), fontsize=11)
    said = "; ".join(f"{name}: {text[:4]} abcd {text[8:]}" for name, text in modes.items())
    plots.show(fig, f"What fills the border beside abcd (framed), for each mode. {said}.")


def _square(x: float, y: float, color: str, edge: str):
    from matplotlib.patches import Rectangle

    return Rectangle((x + 0.04, y + 0.04), 0.92, 0.84, facecolor=color, edgecolor=edge, linewidth=2)


def show_confusion(targets, predictions, classes) -> None:
    """Counts of (true class, predicted class). Args: targets, predictions (n,); names of the classes."""
    n = len(classes)
    counts = np.zeros((n, n), int)
    np.add.at(counts, (_cpu(targets), _cpu(predictions)), 1)
    fig, ax = plots.figure(size=(6.4, 5.4))
    ax.imshow(counts, cmap="Blues", vmin=0)
    for (row, column), count in np.ndenumerate(counts):
        ax.text(column, row, str(count) if count else "·", ha="center", va="center", fontsize=9,
                color="white" if count > 0.6 * counts.max() else plots.BLACK)
    ax.set(xlabel="predicted", ylabel="true", xticks=range(n), yticks=range(n), yticklabels=classes)
    ax.set_xticklabels(classes, rotation=40, ha="right")
    ax.grid(False)
    errors = counts * (1 - np.eye(n, dtype=int))
    row, column = np.unravel_index(errors.argmax(), errors.shape)
    both = counts[list(classes).index("cat"), list(classes).index("dog")] + counts[list(classes).index("dog"), list(classes).index("cat")]
    plots.show(fig, f"The confusion matrix: rows are true classes, columns predictions. The most frequent error: {errors[row, column]} times "
                    f"{classes[row]} was called {classes[column]}. Cats and dogs were taken for each other {both} times.")


def show_class_bars(accuracy, classes) -> None:
    """Accuracy of each class, vehicles apart from animals. Args: accuracy (10,) in 0..1; names of the classes."""
    p = 100 * _cpu(accuracy)
    vehicle = [name in VEHICLES for name in classes]
    order = sorted(range(len(classes)), key=lambda c: (not vehicle[c], -p[c]))
    fig, ax = plots.figure(size=(7.6, 3.4))
    for x, c in enumerate(order):
        ax.bar(x, p[c], color=plots.BLUE if vehicle[c] else plots.ORANGE, hatch="" if vehicle[c] else "//", edgecolor="white")
        ax.text(x, 4, f"{p[c]:.0f}", ha="center", fontsize=10.5, bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none"})
    for is_vehicle, name, color in ((True, "vehicles", plots.BLUE), (False, "animals", plots.ORANGE)):
        places = [x for x, c in enumerate(order) if vehicle[c] == is_vehicle]
        mean = p[[order[x] for x in places]].mean()
        ax.plot([places[0] - 0.45, places[-1] + 0.45], [mean, mean], "--", color=plots.BLACK, linewidth=1.2)
        ax.text(np.mean(places), 107, f"{name}: mean {mean:.0f} %", ha="center", color=color, fontsize=11)
    ax.set(ylabel="accuracy in %", ylim=(0, 116), yticks=range(0, 101, 20))
    ax.set_xticks(range(len(order)), [classes[c] for c in order], rotation=25, ha="right")
    means = [p[[c for c in range(len(classes)) if vehicle[c] == v]].mean() for v in (True, False)]
    plots.show(fig, f"Accuracy of each class. The four vehicles, plain bars: {means[0]:.0f} % in the mean. The six animals, hatched bars: "
                    f"{means[1]:.0f} %.")


# ---------------------------------------------------------------------------------------------- figures: deeper networks

def show_timeline() -> None:
    """Layers with weights of five well-known networks over the years."""
    nets = ((1998, 5, "LeNet-5"), (2012, 8, "AlexNet"), (2014, 19, "VGG"), (2014.6, 22, "Inception"), (2015.9, 152, "ResNet"))
    fig, ax = plots.figure(size=(7.8, 3.5))
    ax.plot([n[0] for n in nets], [n[1] for n in nets], "o", color=plots.BLUE, markersize=11)
    for year, depth, name in nets:
        left = name in ("VGG", "AlexNet", "ResNet")
        ax.annotate(f"{name}: {depth}", (year, depth), xytext=(-11 if left else 10, -4 if not left else 3), textcoords="offset points",
                    ha="right" if left else "left", fontsize=11)
    ax.set(yscale="log", ylim=(3, 300), xlim=(1996, 2021), xlabel="year", ylabel="layers with weights")
    ax.set_yticks([5, 10, 20, 50, 100, 200], ["5", "10", "20", "50", "100", "200"])
    ax.minorticks_off()
    plots.show(fig, "Layers with weights over the years, on a logarithmic axis: LeNet-5 in 1998 has 5, AlexNet in 2012 has 8, VGG in 2014 has "
                    "19, Inception in 2014 has 22, ResNet in 2015 has 152.")


def show_block() -> None:
    """The two paths of a residual block."""
    fig, ax = plots.figure(size=(8.4, 2.6))
    parts = ((2.0, "conv 3×3", plots.BLUE), (3.45, "BN, ReLU", plots.SKY), (4.9, "conv 3×3", plots.BLUE), (6.35, "BN", plots.SKY))
    ax.annotate("", (9.75, 0), (0.4, 0), arrowprops={"arrowstyle": "->", "color": plots.BLACK, "linewidth": 1.6})
    for x, name, color in parts:
        ax.text(x, 0, name, ha="center", va="center", fontsize=11, color="white" if color == plots.BLUE else plots.BLACK,
                bbox={"boxstyle": "round,pad=0.45", "facecolor": color, "edgecolor": "white"})
    ax.plot([1.0, 1.0, 7.4, 7.4], [0, 1.2, 1.2, 0.17], color=plots.RED, linewidth=2.5)
    ax.text(4.2, 1.33, "shortcut: x itself, or conv 1×1 and BN where the shape changes", ha="center", color=plots.RED, fontsize=11)
    ax.text(7.4, 0, "+", ha="center", va="center", fontsize=15, bbox={"boxstyle": "circle", "facecolor": "white", "edgecolor": plots.BLACK})
    ax.text(8.5, 0, "ReLU", ha="center", va="center", fontsize=11, bbox={"boxstyle": "round,pad=0.45", "facecolor": plots.SKY, "edgecolor": "white"})
    ax.text(0.25, 0, "x", ha="center", va="center", fontsize=13)
    ax.set(xlim=(0, 9.9), ylim=(-0.6, 1.8))
    _bare(ax)
    plots.show(fig, "A residual block. The branch: convolution, BatchNorm, ReLU, convolution, BatchNorm. The shortcut leads past it. Both "
                    "are added, and only then comes the last ReLU.")


def show_depth(plain, residual) -> None:
    """Training losses of a plain and of a residual network of 49 convolutions. Args: (steps,) each."""
    fig, ax = plots.figure(size=(7.2, 3.5))
    for losses, name, color, style in ((plain, "plain", plots.RED, "--"), (residual, "residual", plots.BLUE, "-")):
        ax.plot(losses, color=color, alpha=0.25, linewidth=1)
        smooth = _smoothed(losses)
        ax.plot(np.arange(len(smooth)) + len(losses) - len(smooth), smooth, style, color=color, linewidth=2.4, label=name)
    ax.axhline(np.log(10), color=plots.BLACK, linestyle=":", linewidth=1, label="chance: ln 10")
    low = min(_smoothed(residual).min(), _smoothed(plain).min()) - 0.15
    ax.set(xlabel="step", ylabel="training loss", ylim=(low, 2.75))
    plots.legend(ax, loc="lower left")
    ends = [np.mean(losses[-20:]) for losses in (plain, residual)]
    plots.show(fig, f"Training loss of two networks with 49 convolutions over {len(plain)} steps. Mean of the last 20 steps: plain "
                    f"{ends[0]:.2f}, near chance, and residual {ends[1]:.2f}. Faint: single steps; strong: means of 10.")


# ---------------------------------------------------------------------------------------------- figures: photos

def show_photos(images, labels, classes) -> None:
    """A row of each class. Args: images (n, 3, h, w) in 0..1; labels (n,) of 0 and 1; names of the classes."""
    images, labels = _cpu(images).transpose(0, 2, 3, 1), _cpu(labels)
    rows = [*np.flatnonzero(labels == 0)[:6], *np.flatnonzero(labels == 1)[:6]]
    fig = plots.images(images[rows], [classes[int(labels[r])] for r in rows], columns=6, size=1.2)
    plots.show(fig, f"Twelve pictures of {images.shape[1]} by {images.shape[2]} pixels: six of the class {classes[0]}, six of {classes[1]}.", colors=64)


def show_ladder() -> None:
    """The published ladder from 71 to 82 %, and three ways to say the difference."""
    fig, axes = plots.figure(1, 2, size=(8.8, 3.2), width_ratios=(1, 1.25))
    axes[0].bar((0, 1), (71, 82), color=(plots.RED, plots.BLUE), width=0.6)
    axes[0].bar((0, 1), (29, 18), bottom=(71, 82), color="#DDDDDD", width=0.6, hatch="//", edgecolor="white")
    for x, right in enumerate((71, 82)):
        axes[0].text(x, right / 2, f"{right} % right", ha="center", color="white", fontsize=11)
        axes[0].text(x, right + (100 - right) / 2, f"{100 - right} % wrong", ha="center", va="center", fontsize=10)
    axes[0].set(xticks=(0, 1), xticklabels=("from scratch", "+ augmentation\n+ dropout"), ylabel="% of validation photos", ylim=(0, 100))
    said = (("points", "82 − 71 = 11"), ("relative", "11 / 71 = 15 %"), ("errors", "11 / 29 = 38 % fewer"))
    for y, (name, text) in enumerate(reversed(said)):
        axes[1].text(0.1, y, name, ha="left", fontsize=13, color=plots.GREY)
        axes[1].text(0.9, y, text, ha="left", fontsize=13)
    axes[1].set(xlim=(0, 3), ylim=(-0.7, 2.7), title="one difference, said in three ways")
    _bare(axes[1])
    plots.show(fig, "Left, two bars: 71 % of the validation photos right and 29 % wrong from scratch, 82 % and 18 % with augmentation and "
                    "dropout. Right: 11 points; 15 % relative; 38 % fewer errors.")


def show_gap(rows) -> None:
    """Training and test accuracy with its 95 % interval. Args: rows of (name, training accuracy, hits, test pictures)."""
    fig, ax = plots.figure(size=(7.4, 1.3 + 0.75 * len(rows)))
    for y, (_, train, hits, n) in zip(range(len(rows), 0, -1), rows, strict=True):
        low, high = (100 * v for v in interval(hits, n))
        ax.plot([low, high], [y, y], color=plots.BLUE, linewidth=3, label="95 % interval" if y == 1 else None)
        ax.plot(100 * hits / n, y, "o", color=plots.BLUE, markersize=11, label="test" if y == 1 else None)
        ax.plot(100 * train, y, "X", color=plots.RED, markersize=11, label="training" if y == 1 else None)
    ax.axvline(50, color=plots.BLACK, linestyle=":", linewidth=1)
    ax.set(yticks=range(len(rows), 0, -1), yticklabels=[r[0] for r in rows], xlabel="accuracy in % (dotted: guessing)",
           ylim=(0.4, len(rows) + 0.6), xlim=(30, 103))
    plots.legend(ax, outside=True)
    said = "; ".join(f"{name}: training {100 * t:.0f} %, test {100 * h / n:.0f} %" for name, t, h, n in rows)
    plots.show(fig, f"Training accuracy (crosses) and test accuracy (circles) with its 95 % interval. {said}.")


def interval(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share, by Wilson's formula (1927). Args: hits of n. Returns (low, high) in 0..1."""
    z, p = 1.96, hits / n
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return float(center - half), float(center + half)


# ---------------------------------------------------------------------------------------------- figures: shifts and bugs

def show_shifts(curves: dict[str, list[float]], shifts, image) -> None:
    """Share of unchanged predictions. Args: curves, name -> shares in 0..1; shifts; image, shift -> (28, 28) picture."""
    fig, axes = plots.figure(1, 2, size=(9.0, 3.5), width_ratios=(3, 1.5))
    for (name, shares), (color, style, mark) in zip(curves.items(), ((plots.RED, "--", "X"), (plots.BLUE, "-", "o")), strict=True):
        axes[0].plot(shifts, 100 * np.asarray(shares), style, marker=mark, color=color, label=name, markersize=7)
    axes[0].set(xlabel="shift to the right in pixels", ylabel="same class as before, %", ylim=(0, 104), xticks=shifts)
    plots.legend(axes[0], loc="lower center")
    axes[1].imshow(np.concatenate([image(s) for s in (-6, 0, 6)], axis=0), cmap="gray")
    axes[1].set_title("−6, 0 and 6 pixels", fontsize=11)
    _bare(axes[1])
    said = "; ".join(f"{name}: {100 * shares[0]:.0f} % at {shifts[0]} pixels, {100 * shares[len(shares) // 2 - 2]:.0f} % at −2" for name, shares in curves.items())
    plots.show(fig, f"Share of test digits that keep their predicted class when they are shifted. {said.replace('at -', 'at −')}. Both curves "
                    "fall to both sides. At the right, one digit at three places.")


def shift_knob(model, image) -> None:
    """A slider that moves one digit, and the ten probabilities. Args: model, images to logits; image (28, 28) in 0..1."""
    import torch.nn.functional as F

    def draw(shift: float):
        dx = round(shift)
        moved = F.pad(image, (dx, -dx))
        p = _probabilities(model, moved[None, None])
        fig, axes = plots.figure(1, 2, size=(7.4, 2.8), width_ratios=(1, 2.2))
        axes[0].imshow(_cpu(moved), cmap="gray", vmin=0, vmax=1)
        _bare(axes[0])
        axes[1].bar(range(10), p, color=[plots.BLUE if c == p.argmax() else plots.GREY for c in range(10)])
        axes[1].set(xticks=range(10), ylim=(0, 1.05), xlabel="class", ylabel="probability")
        return fig, f"Shifted by {dx} pixels: the network says {int(p.argmax())} with probability {p.max():.2f}.".replace("by -", "by −")

    widgets.sliders(draw, shift=(-10, 10, 0, 1))


def _probabilities(model, x) -> np.ndarray:
    """Softmax of one image (1, 1, 28, 28), with the model's mode left as it was."""
    import torch

    was = model.training
    model.eval()
    with torch.no_grad():
        p = model(x).softmax(1)[0]
    model.train(was)
    return _cpu(p)


def photo_net_file(size: int) -> Path:
    """Where the network for photos of size x size is kept for lesson 12: in the cache, or else in the temporary folder."""
    from helpers import data

    folder = data._writable_cache() or Path(tempfile.gettempdir())
    return folder / "lesson10" / f"small_photo_net_{size}.pt"


def show_divisor(train: float, wrong: float, right: float, whole: int, seen: int) -> None:
    """Training loss, and the validation sum divided by the whole set and by the images seen."""
    fig, ax = plots.figure(size=(7.4, 2.6))
    names = ("training", f"validation sum / {whole:,}", f"validation sum / {seen:,}")
    values = (train, wrong, right)
    ax.barh((2, 1, 0), values, color=(plots.GREY, plots.RED, plots.BLUE))
    for y, value in zip((2, 1, 0), values, strict=True):
        ax.text(value + 0.01 * max(values), y, f"{value:.4f}", va="center")
    ax.set(yticks=(2, 1, 0), yticklabels=names, xlabel="mean loss", xlim=(0, 1.15 * max(values)))
    plots.show(fig, f"Three bars. Training loss {train:.4f}. The sum over {seen:,} validation images divided by {whole:,}: {wrong:.4f}, far too "
                    f"good. Divided by the {seen:,} seen: {right:.4f}.")


def show_checklist() -> None:
    """The steps of a project, in order."""
    steps = ("load\nand look", "preprocess", "research", "define", "loss and\noptimizer", "train,\nvalidate", "test\nonce")
    fig, ax = plots.figure(size=(9.4, 1.7))
    for x, step in enumerate(steps):
        last = x == len(steps) - 1
        ax.text(x, 0, step, ha="center", va="center", fontsize=10.5, color="white",
                bbox={"boxstyle": "round,pad=0.5", "facecolor": plots.RED if last else plots.BLUE, "edgecolor": "white"})
        if not last:
            ax.annotate("", (x + 0.61, 0), (x + 0.43, 0), arrowprops={"arrowstyle": "->", "color": plots.BLACK})
    ax.set(xlim=(-0.6, len(steps) - 0.4), ylim=(-0.6, 0.6))
    _bare(ax)
    plots.show(fig, "Seven boxes in a row: load and look, preprocess, research, define, loss and optimizer, train with validation, test once.")
