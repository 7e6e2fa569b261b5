"""Lesson 12, inside a ConvNet: its exercises, its quiz, its figures. Imports torch only when somebody needs it."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers import devices, plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import describe, is_tensor

if TYPE_CHECKING:
    from torch import Tensor, nn

# ---------------------------------------------------------------------------------------------- what the checks share


def _numbers(*shape: int, seed: int, scale: float = 1.0, shift: float = 0.1):
    """Fixed float32 numbers on the device of the lesson."""
    import torch

    values = scale * np.random.default_rng(seed).normal(shift, 1.0, shape)
    return torch.tensor(values, dtype=torch.float32, device=devices.device())


def _cpu(value) -> np.ndarray:
    """A tensor as a NumPy array, whatever device it is on."""
    return value.detach().cpu().numpy() if is_tensor(value) else np.asarray(value)


@contextlib.contextmanager
def _exact() -> Iterator[None]:
    """Noise in float32, whatever the default is; on a GPU, convolutions in full float32: TF32 is too coarse for a comparison."""
    import torch

    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_default_dtype(default)


def _filled(model: nn.Module, seed: int, scale: float = 0.4) -> nn.Module:
    import torch

    with torch.no_grad():
        for place, parameter in enumerate(model.parameters()):
            parameter.copy_(_numbers(*parameter.shape, seed=seed + place, scale=scale).to(parameter))
    return model.float().to(devices.device())


def looking_net(seed: int = 12, dead: int = 2) -> nn.Module:
    """Two convolutions, each with an in-place ReLU behind it, and a pool; channel ``dead`` of the second is always negative."""
    import torch
    from torch import nn

    class Counting(nn.Sequential):
        """Counts how often it is called; a copy counts on the same sheet."""

        calls: list[int] = []

        def forward(self, x):
            self.calls.append(len(x))
            return super().forward(x)

    with torch.random.fork_rng(devices=[]):
        block = nn.Sequential(OrderedDict(conv=nn.Conv2d(5, 4, 3, stride=2, padding=1), act=nn.ReLU(inplace=True)))
        model = Counting(OrderedDict(stem=nn.Conv2d(3, 5, 3, padding=1), act=nn.ReLU(inplace=True), block=block, pool=nn.MaxPool2d(2)))
    _filled(model, seed)
    with torch.no_grad():
        model.block.conv.bias[dead] = -60.0
    return model


def _layers_of(model, x) -> dict:
    """What each layer of a looking_net gives, from its weights alone."""
    import torch.nn.functional as F

    s, b = model.stem, model.block.conv
    stem = F.conv2d(x, s.weight, s.bias, padding=1)
    act = F.relu(stem)
    conv = F.conv2d(act, b.weight, b.bias, stride=2, padding=1)
    block = F.relu(conv)
    return {"stem": stem, "act": act, "block.conv": conv, "block.act": block, "block": block, "pool": F.max_pool2d(block, 2)}


def _state_of(model) -> dict[str, str]:
    """What a look at a model must not change, in words."""
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) + len(m._backward_pre_hooks)
                for m in model.modules())
    grads = sum(p.grad is not None for p in model.parameters())
    return {"hooks left on the model": str(hooks), "parameters that have a gradient now": str(grads),
            "its mode": "training" if model.training else "eval",
            "parameters that can be trained": str(sum(p.requires_grad for p in model.parameters()))}


def _left_alone(see, asked: str, model, before: dict[str, str], weights: dict) -> None:
    """Facts: the model is as it was."""
    import torch

    for what, was in before.items():
        see.fact(f"{asked}: {what}", _state_of(model)[what], implied=was)
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, weights[k])]
    see.fact(f"{asked}: weights that changed", ", ".join(changed) or "none", implied="none")


def _weights(model) -> dict:
    return {k: v.clone() for k, v in model.state_dict().items()}


@contextlib.contextmanager
def watch(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Inside the block, the results of these layers **with their graph**, so that gradients can be asked of them, and for them.

    ``with watch(model, ["3"]) as seen: model(x)`` and then ``seen["3"]``. The model goes on with a copy, so an in-place layer
    behind it writes over that one. Raises KeyError for a name that `named_modules` does not have. No hook is left.
    """
    import torch

    layers = dict(model.named_modules())
    seen: dict[str, Tensor] = {}
    chosen = [(name, layers[name]) for name in names]

    def keep(name):
        def hook(module, args, out):
            if torch.is_grad_enabled() and not out.requires_grad:
                out.requires_grad_()  # a frozen network
            seen[name] = out
            return out.clone()
        return hook

    with contextlib.ExitStack() as stack:
        for name, layer in chosen:
            stack.callback(layer.register_forward_hook(keep(name)).remove)
        yield seen


def _late(facts: dict, *ends: str, value=None) -> bool:
    return any(k.endswith(ends) and (value is None or v == value) for k, v in facts.items())


# ---------------------------------------------------------------------------------------------- 12.1 record_activations

def _observe_record(record_activations, see):
    with _exact():
        for names, shape, training in ((["block.conv", "stem", "act"], (2, 3, 12, 14), False),
                                       (["stem", "pool", "block"], (1, 3, 10, 6), True), (["stem"], (3, 3, 4, 6), False)):
            model = looking_net().train(training)
            others = _OtherHooks(model) if len(names) == 1 else None
            before, weights = _state_of(model), _weights(model)
            x = _numbers(*shape, seed=shape[2])
            asked = f"names {names}, x of shape {shape}"
            found = see.call(record_activations, model, x, list(names), label=asked, record=False, asks="a dict")
            see.fact(f"{asked}: the names", list(found) if isinstance(found, dict) else describe(found), implied=list(names))
            if not isinstance(found, dict) or list(found) != list(names):
                return
            for name in names:
                see.fact(f"{asked}: {name}", found[name], rtol=1e-4, atol=1e-5)
            if not all(map(is_tensor, found.values())):
                return
            see.fact(f"{asked}: do the results need gradients?", "yes" if any(v.requires_grad for v in found.values()) else "no",
                     implied="no")
            see.fact(f"{asked}: calls of the model", str(len(model.calls)), implied="1")
            if others is not None:
                see.fact(f"{asked}: two hooks that somebody else had put on the model", others(), implied="there")
                see.fact(f"{asked}: what the next layer gets", others.passed_on, implied="the layer's own result")
            _left_alone(see, asked, model, before, weights)
            kept = {name: value.clone() for name, value in found.items()}
            model(x + 1)
            same = all(bool((found[name] == kept[name]).all()) for name in names)
            see.fact(f"{asked}: your result after another call of the model", "the same" if same else "changed", implied="the same")
        model = looking_net()
        see.fact(UNKNOWN, _how(lambda: record_activations(model, _numbers(1, 3, 4, 6, seed=1), ["stem", "stemm"])),
                 implied="raises KeyError")
        see.fact("names ['stem'], pictures with 4 channels", _how(lambda: record_activations(model, _numbers(1, 4, 4, 6, seed=1), ["stem"])),
                 implied="raises RuntimeError")
        see.fact(AFTER_ERRORS, _state_of(model)["hooks left on the model"], implied="0")


UNKNOWN, AFTER_ERRORS = "names ['stem', 'stemm']", "hooks left on the model after these errors"


class _OtherHooks:
    """Two hooks of somebody else: is the result of the stem what the next layer gets? Called, it says whether both are still there."""

    def __init__(self, model: nn.Module):
        self.model, self.passed_on, self._out = model, "the layer's own result", None
        model.stem.register_forward_hook(self._leaves)
        model.act.register_forward_pre_hook(self._arrives)

    def _leaves(self, module, args, out):
        self._out = out

    def _arrives(self, module, args):
        if args[0] is not self._out:
            self.passed_on = "another tensor"

    def __call__(self) -> str:
        hooks = [*self.model.stem._forward_hooks.values(), *self.model.act._forward_pre_hooks.values()]
        return "there" if self._leaves in hooks and self._arrives in hooks else "gone"

    def __deepcopy__(self, memo):
        return self  # a copy of the model reports to the same


def _how(run: Callable) -> str:
    try:
        return f"returns {describe(run())}"
    except Exception as problem:
        return f"raises {type(problem).__name__}"


def _reference_record(model, x, names):
    import torch

    with torch.no_grad():
        model(x)  # raises what the model raises
        found = _layers_of(model, x)
    return {name: found[name] for name in names}


def _record_with(clone=True, remove=True, bind=True, detach=True, order=True, missing: str = "key", what: str = "out",
                 hands_back=False, calls_each=False, mode_stays=True, clears=False):
    def record_activations(model, x, names):
        import torch

        layers, found, handles = dict(model.named_modules()), {}, []
        if missing == "key":
            [layers[name] for name in names]
        if not mode_stays:
            model.eval()
        name = None
        try:
            for name in names:
                if missing == "skip" and name not in layers:
                    continue
                layer = model.get_submodule(name) if missing == "attribute" else layers[name]

                def keep(module, args, out, mine=name):
                    value = args[0] if what == "in" else out
                    value = value.detach() if detach else value
                    found[mine if bind else name] = value.clone() if clone else value  # noqa: B023
                    return found[mine] if hands_back else None
                handles.append(layer.register_forward_hook(keep))
            with torch.no_grad() if detach else contextlib.nullcontext():
                for _ in names if calls_each else [0]:
                    model(x)
            if remove == "late":
                [handle.remove() for handle in handles]
        finally:
            if clears:
                for layer in model.modules():
                    layer._forward_hooks.clear()
            elif remove is True:
                [handle.remove() for handle in handles]
        return {name: found[name] for name in names if name in found} if order else found
    return record_activations


def _hooks_stay(facts: dict, *, only_after_errors: bool) -> bool:
    after = facts.get(AFTER_ERRORS, "0") != "0"
    in_between = any(": hooks left" in k and v != ("2" if "['stem']" in k else "0") for k, v in facts.items())
    return after and not in_between if only_after_errors else after or in_between


record_activations = Exercise(
    "12.1", "record_activations",
    observe=_observe_record,
    expected=_reference_record,
    mistakes=[
        Mistake("Your hook hands a value back (`return`, or a lambda whose call gives one), and the network goes on with that one: the "
                "in-place ReLU then writes over your copy. A hook that only looks returns None.", _record_with(hands_back=True),
                when=lambda f: _late(f, "what the next layer gets", value="another tensor")),
        Mistake("No negative values after a convolution: the in-place ReLU behind it wrote over your tensor. Clone it.",
                _record_with(clone=False),
                when=lambda f: any(k.endswith(": block.conv") and is_tensor(v) and v.shape == (2, 4, 6, 7) and bool((v >= 0).all())
                                   for k, v in f.items())),
        Mistake("You keep what goes into the layer: a hook gets (module, args, out), and `out` is what the layer gives.",
                _record_with(what="in")),
        Mistake("Your hooks stay if something raises: remove them in `finally`, which runs in any case.", _record_with(remove="late"),
                when=lambda f: _hooks_stay(f, only_after_errors=True)),
        Mistake("Your hooks stay on the model: every later call still runs them. Keep the handles, and remove them.",
                _record_with(remove=False), when=lambda f: _hooks_stay(f, only_after_errors=False) and not _late(f, "else had put on the model",
                                                                                                                 value="gone")),
        Mistake("Hooks of somebody else are gone too: remove yours alone, each by the handle that register_forward_hook gave you.",
                _record_with(clears=True), when=lambda f: _late(f, "else had put on the model", value="gone")),
        Mistake("All hooks write to the last name: the loop has moved on when they run. Bind it with name=name.",
                _record_with(bind=False), when=lambda f: any(k.endswith("the names") and isinstance(v, list) and 0 < len(v) < 3
                                                             and "block.conv" in k for k, v in f.items())),
        Mistake("The results need gradients, so each holds the graph of the whole pass: use `no_grad` and `detach`.",
                _record_with(detach=False), when=lambda f: _late(f, "do the results need gradients?", value="yes")),
        Mistake("The names come in the order of the network: give them in the order in which they were asked.", _record_with(order=False)),
        Mistake("You call the model once for each name: put all hooks on it first, then call it once.", _record_with(calls_each=True),
                when=lambda f: any(k.endswith("calls of the model") and v not in ("0", "1") for k, v in f.items())),
        Mistake("The model is in eval mode now: it must be as you found it. Leave its mode alone.", _record_with(mode_stays=False),
                when=lambda f: any("'pool'" in k and k.endswith("its mode") and v == "eval" for k, v in f.items())),
        Mistake("An unknown name raises AttributeError, as `get_submodule` does: it must be KeyError. Look it up in "
                "dict(model.named_modules()).", _record_with(missing="attribute"), when=lambda f: f.get(UNKNOWN) == "raises AttributeError"),
        Mistake("An unknown name is passed over in silence: raise KeyError.", _record_with(missing="skip"),
                when=lambda f: f.get(UNKNOWN, "").startswith("returns a dict")),
    ],
    hints=[
        "A hook sees what a layer gives, without a change of the model's code. It only looks: it keeps a copy, and returns nothing.",
        "First look up all names in dict(model.named_modules()): an unknown one then raises before any hook is there. In `try`: a hook for "
        "each, and one call of the model. In `finally`: `handle.remove()` for each handle.",
        "`def keep(name): return lambda module, args, out: found.update({name: out.___().___()})`; the call is found.update, which gives None.",
    ],
)


# ---------------------------------------------------------------------------------------------- 12.2 sparsity

def _activations(case: int) -> dict:
    """Results of two layers after ReLU: one channel dead in all images, one in one image only."""
    import torch

    shapes = {0: ((2, 5, 4, 6), (3, 7, 3, 2)), 1: ((4, 3, 2, 5),)}[case]
    found = {}
    for place, shape in enumerate(shapes):
        a = torch.relu(_numbers(*shape, seed=40 + 3 * case + place, shift=0.3 - 0.2 * place))
        a[:, 1] = 0
        a[0, 2] = 0  # dead in the first image alone
        a[-1, 0, 0, :2] = torch.tensor([0.7, 1e-6])  # small is not zero
        found[("block1", "block2", "other")[place + 2 * case]] = a
    return found


def _observe_sparsity(sparsity, see):
    for case in (0, 1):
        given = _activations(case)
        asked = "results of shapes " + ", ".join(str(tuple(a.shape)) for a in given.values())
        found = see.call(sparsity, given, label=asked, record=False, asks="a dict")
        if not isinstance(found, dict):
            see.fact(f"{asked}: returns", describe(found), implied="a dict")
            return
        see.fact(f"{asked}: the names", list(found), implied=list(given))
        for name, value in found.items():
            pair = isinstance(value, tuple | list) and len(value) == 2
            see.fact(f"{asked}: {name} has", "a share and a number" if pair else describe(value), implied="a share and a number")
            if not pair:
                return
            share, dead = (v.item() if is_tensor(v) and v.numel() == 1 else v for v in value)
            see.fact(f"{asked}: {name}, share of zeros", share, rtol=1e-5, atol=1e-6)
            see.fact(f"{asked}: {name}, dead channels", dead, rtol=1e-5, atol=1e-6)


def _sparsity_with(share=lambda a: (a == 0).mean(), dead=lambda a: (a == 0).all((0, 2, 3)).sum()):
    return lambda activations: {name: (float(share(_cpu(a))), int(dead(_cpu(a)))) for name, a in activations.items()}


sparsity = Exercise(
    "12.2", "sparsity",
    observe=_observe_sparsity,
    expected=_sparsity_with(),
    mistakes=[
        Mistake("That is the share of what is active: asked is the share of zeros.", _sparsity_with(share=lambda a: (a != 0).mean())),
        Mistake("A channel that is zero in one image is not dead: it must be zero for all images, at all places.",
                _sparsity_with(dead=lambda a: (a == 0).all((2, 3)).any(0).sum())),
        Mistake("You look at the first image only: use the whole batch.",
                _sparsity_with(lambda a: (a[0] == 0).mean(), lambda a: (a[0] == 0).all((1, 2)).sum())),
        Mistake("That is a number of zeros: divide by how many values there are, for a share between 0 and 1.",
                _sparsity_with(share=lambda a: (a == 0).sum())),
        Mistake("You count the dead channels of each image and add them up: a channel counts once, if it is zero everywhere.",
                _sparsity_with(dead=lambda a: (a == 0).all((2, 3)).sum())),
        Mistake("That is a percentage: a share is a number between 0 and 1.", _sparsity_with(share=lambda a: 100 * (a == 0).mean())),
        Mistake("The two are swapped: first the share of zeros, then the number of dead channels.",
                lambda activations: {k: pair[::-1] for k, pair in _sparsity_with()(activations).items()}),
        Mistake("You count small values as zeros: only what is exactly 0 counts.", _sparsity_with(share=lambda a: (a < 1e-3).mean())),
        Mistake("You count dead images: the axis of the channels is 1, so reduce over the axes 0, 2 and 3.",
                _sparsity_with(dead=lambda a: (a == 0).all((1, 2, 3)).sum())),
        Mistake("You count places that are zero in all images: a channel counts once, if all of its places are zero.",
                _sparsity_with(dead=lambda a: (a == 0).all(0).sum())),
        Mistake("That is the share of dead channels: asked is how many there are.",
                lambda activations: {k: (share, dead / activations[k].shape[1]) for k, (share, dead) in _sparsity_with()(activations).items()}),
        Mistake("There is only one layer in your answer: does `return` stand inside the loop?",
                lambda activations: dict(list(_sparsity_with()(activations).items())[:1])),
    ],
    hints=[
        "Two questions, two reductions: how many of all values, and how many of the channels.",
        "A channel is dead if all of its values are zero: reduce over the axes 0, 2 and 3.",
        "`(a == 0).float().___()` and `(a != 0).sum(dim=(0, 2, 3))`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 12.3 top_activations

def _observe_top(top_activations, see):
    with _exact():
        for layer, channel, n, k in (("block.conv", 1, 6, 3), ("stem", 4, 5, 5), ("block.act", 3, 7, 4), ("block.conv", 2, 4, 2)):
            model = looking_net().train(n == 5)
            before, weights = _state_of(model), _weights(model)
            images = _numbers(n, 3, 12, 14, seed=60 + n) * _numbers(n, 1, 1, 1, seed=8 * n, shift=1.5).abs()
            asked = f"layer {layer}, channel {channel}, {n} images, k={k}"
            found = see.call(top_activations, model, layer, channel, images, k, label=asked, record=False, asks="a list")
            see.fact(f"{asked}: image, row, column, value", _hits(found))
            _left_alone(see, asked, model, before, weights)


def _hits(found):
    try:
        return [" ".join([*(f"{float(v):g}" for v in hit[:3]), f"{float(hit[3]):.3f}"]) if len(hit) == 4 else describe(hit) for hit in found]
    except Exception:
        return describe(found)


def _top_with(order=-1, row_first=True, by_width=True, several=False, what: Callable | None = None, score: Callable = np.max, every=False,
              mixed=False, whole_rows=True, last: Callable = list):
    def top_activations(model, layer, channel, images, k):
        import torch

        with torch.no_grad():
            found = _cpu(_layers_of(model, images)[layer])
        maps = what(found, channel) if what else found[:, channel]
        n, height, width = maps.shape
        hits = [(i, r, c, float(maps[i, r, c])) for i in range(n) for r in range(height) for c in range(width)]
        if not several:
            hits = [max((hit for hit in hits if hit[0] == i), key=lambda hit: hit[3]) for i in range(n)]
            hits = [(i, r, c, v if score is np.max else float(score(maps[i]))) for i, r, c, v in hits]
        best = sorted(hits, key=lambda hit: order * hit[3])[:n if every else k]
        if mixed:  # the place of the first, second, ... image
            best = [(i, *hits[place][1:3], v) for place, (i, _, _, v) in enumerate(best)]
        if not by_width:
            best = [(i, *divmod(r * width + c, height), v) for i, r, c, v in best]
        if not whole_rows:
            best = [(i, r + c / width, c, v) for i, r, c, v in best]
        return last([(i, r, c, v) if row_first else (i, c, r, v) for i, r, c, v in best])
    return top_activations


def _top_and_eval(model, layer, channel, images, k):
    model.eval()
    return _top_with()(model, layer, channel, images, k)


def _top_and_hook(model, layer, channel, images, k):
    dict(model.named_modules())[layer].register_forward_hook(lambda module, args, out: None)
    return _top_with()(model, layer, channel, images, k)


top_activations = Exercise(
    "12.3", "top_activations",
    observe=_observe_top,
    expected=_top_with(),
    mistakes=[
        Mistake("One image takes several places: each image is in the list at most once, with its strongest place.", _top_with(several=True)),
        Mistake("The weakest come first: sort from the strongest down.", _top_with(order=1)),
        Mistake("Row and column are swapped: a map is (H, W), so row = index // W.", _top_with(row_first=False)),
        Mistake("You divide by the height: in a map that is not square the index counts along rows of W values.", _top_with(by_width=False)),
        Mistake("The row is no whole number: index // W, with two strokes.", _top_with(whole_rows=False)),
        Mistake("You rank by the mean of each map: asked is the strongest place.", _top_with(score=np.mean)),
        Mistake("You take the absolute values: a strongly negative place excites nothing.", _top_with(what=lambda a, c: np.abs(a[:, c]))),
        Mistake("You cut off negative values: in a map without a positive one, the strongest place is the one nearest to 0.",
                _top_with(what=lambda a, c: a[:, c].clip(min=0))),
        Mistake("You index the images with the channel: maps are (N, C, H, W), so take [:, channel].",
                _top_with(what=lambda a, c: a[min(c, len(a) - 1)])),
        Mistake("All images are in your list: give the k strongest alone.", _top_with(every=True)),
        Mistake("The right images, in the wrong order: the strongest stands first.", _top_with(last=lambda hits: hits[::-1])),
        Mistake("The right images, in the order of their numbers: the strongest stands first.", _top_with(last=sorted)),
        Mistake("The first number is the rank: asked is which image it is.",
                _top_with(last=lambda hits: [(rank, *hit[1:]) for rank, hit in enumerate(hits)])),
        Mistake("The places belong to other images: after sorting, take row and column of the image whose value it is.", _top_with(mixed=True)),
        Mistake("The model is in eval mode now: it must be as you found it.", _top_and_eval,
                when=lambda f: any(", 5 images" in k and k.endswith("its mode") and v == "eval" for k, v in f.items())),
        Mistake("A hook of yours stays on the model: remove it, or use record_activations, which does.", _top_and_hook,
                when=lambda f: any("hooks left" in k and v != "0" for k, v in f.items())),
    ],
    hints=[
        "The maximum of each image's map first, then a ranking of the images.",
        "`record_activations` gives the maps; `flatten(1).max(1)` gives values and flat indices, one for each image; `argsort` ranks the images.",
        "`row, column = divmod(index, ___)`, with `index` a Python int (`.item()`).",
    ],
)


# ---------------------------------------------------------------------------------------------- 12.4 to_picture

def _observe_picture(to_picture, see):
    pictures = {"values from -9 to 12, shape (3, 12, 14)": _numbers(3, 12, 14, seed=3, scale=3.0, shift=0.4),
                "one value of 500, shape (3, 9, 16)": _numbers(3, 9, 16, seed=4, scale=0.2, shift=-0.5),
                "one value of 12, one of -12, shape (3, 10, 15)": _numbers(3, 10, 15, seed=6),
                "values that differ by 0.00002, shape (3, 7, 11)": _numbers(3, 7, 11, seed=7, scale=2e-5),
                "all 0.7, shape (3, 8, 5)": _numbers(3, 8, 5, seed=5) * 0 + 0.7}
    pictures["one value of 500, shape (3, 9, 16)"][1, 4, 7] = 500.0
    two = pictures["one value of 12, one of -12, shape (3, 10, 15)"]
    two[0, 3, 8], two[2, 6, 1] = 12.0, -12.0
    for label, x in pictures.items():
        found = see.call(to_picture, x, label=label, record=False, asks="a tensor")
        kind = f"{str(found.dtype).removeprefix('torch.')} {tuple(found.shape)}" if is_tensor(found) else describe(found)
        wanted = f"uint8 {(*x.shape[1:], 3)}"
        see.fact(f"{label}: kind", kind, implied=wanted)
        if kind != wanted:
            return
        see.fact(f"{label}: gray levels", found.float(), rtol=0, atol=1.01)


def _picture_with(eps=1e-5, clip=True, scale=True, first=False, spread: Callable = np.std, middle=0.5, per_channel=False, contrast=0.1,
                  levels=255, last: Callable | None = None):
    def to_picture(x):
        import torch

        v = _cpu(x).astype(np.float64)
        axes = {"axis": (1, 2), "keepdims": True} if per_channel else {}
        with np.errstate(all="ignore"):
            v = (v - v.mean(**axes)) / (spread(v, **axes) + eps) * contrast + middle if scale else (v - v.min()) / (v.max() - v.min() + 1e-9)
        v = v.clip(0, 1) if clip else v
        v = np.nan_to_num(v * levels, nan=0.0)
        v = v if last else _uint8(v)
        v = v if first else v.transpose(1, 2, 0).copy()
        return torch.from_numpy(last(v) if last else v).to(x.device)
    return to_picture


def _uint8(v: np.ndarray) -> np.ndarray:
    return v.astype(np.int64).astype(np.uint8)


def _picture_in_place(x):
    x -= x.mean()
    x /= x.std() + 1e-5
    return _picture_with()(x)


to_picture = Exercise(
    "12.4", "to_picture",
    observe=_observe_picture,
    expected=_picture_with(),
    mistakes=[
        Mistake("The caller's tensor changed: `x -= ...` works in place. Make a new one.", _picture_in_place,
                when=lambda f: any("inputs stay" in k for k in f)),
        Mistake("A constant picture has a spread of 0, and 0 / 0 is NaN: add 1e-5 to the standard deviation.", _picture_with(eps=0.0)),
        Mistake("uint8 wraps around: what is too bright becomes dark. Clip to 0..1 before you multiply by 255.", _picture_with(clip=False)),
        Mistake("Minimum and maximum decide: one outlier makes all else gray. Standardize.", _picture_with(scale=False)),
        Mistake("Channels come first: a picture is (H, W, 3). Use permute.", _picture_with(first=True)),
        Mistake("Each color is standardized on its own, which changes the colors: mean and spread are of the whole tensor.",
                _picture_with(per_channel=True)),
        Mistake("Rows and columns are swapped: permute(1, 2, 0) gives (H, W, 3).", _picture_with(last=lambda v: _uint8(v).transpose(1, 0, 2).copy())),
        Mistake("reshape does not move the axes, it only counts anew: colors and places get mixed. Use permute(1, 2, 0).",
                _picture_with(first=True, last=lambda v: _uint8(v).reshape(*v.shape[1:], 3))),
        Mistake("The values are no uint8: convert in the end, `.to(torch.uint8)`.", _picture_with(last=lambda v: v.astype(np.float32)),
                when=lambda f: any(k.endswith("kind") and isinstance(v, str) and v.startswith(("float", "int")) for k, v in f.items())),
        Mistake("Everything is black: multiply by 255 before the conversion to uint8, which cuts off what is behind the point.",
                _picture_with(levels=1)),
        Mistake("Hardly anything is gray: after the division, times 0.1, or most values are cut off.", _picture_with(contrast=1.0)),
        Mistake("A batch axis is left: one picture is (H, W, 3).", _picture_with(last=lambda v: _uint8(v)[None])),
        Mistake("The middle must be gray: add 0.5 after the scaling.", _picture_with(middle=0.0)),
        Mistake("You divide by the variance: divide by its root, the standard deviation.", _picture_with(spread=np.var)),
    ],
    hints=[
        "Five steps: center, scale, move to the middle, clip, convert.",
        "The order matters: first the clip to 0..1, then the factor 255, then uint8; last the axes.",
        "`((x - x.mean()) / (x.std() + ___) * ___ + ___).clamp(0, 1)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 12.5 maximize_channel

def _observe_maximize(maximize_channel, see):
    import torch

    with _exact():
        for layer, channel, options in (("stem", 3, {"size": 12, "steps": 3, "step_size": 0.5, "seed": 4}),
                                        ("block.conv", 1, {"size": 10, "steps": 4, "step_size": 0.2, "seed": 1}),
                                        ("stem", 1, {"size": 8, "steps": 1, "step_size": 0.7, "seed": 0}),
                                        ("block.act", 2, {"size": 8, "steps": 2, "step_size": 0.4, "seed": 2})):
            model = looking_net().train(options["seed"] == 1)
            before, weights = _state_of(model), _weights(model)
            asked = f"layer {layer}, channel {channel}, " + ", ".join(f"{k}={v}" for k, v in options.items())
            torch.manual_seed(77)
            state = torch.random.get_rng_state()
            found = see.call(maximize_channel, model, layer, channel, label=asked, record=False, asks="a picture and a history", **options)
            pair = isinstance(found, tuple | list) and len(found) == 2 and is_tensor(found[0])
            see.fact(f"{asked}: result", "a picture and a history" if pair else describe(found), implied="a picture and a history")
            if not pair:
                return
            history = [v.item() if is_tensor(v) and v.numel() == 1 else v for v in list(found[1])] if not is_tensor(found[1]) else found[1]
            see.fact(f"{asked}: activation before each step", history, rtol=1e-4, atol=1e-5)
            see.fact(f"{asked}: the picture", found[0].detach(), rtol=1e-3, atol=1e-4)
            see.fact(f"{asked}: does the picture hang on a graph?", "yes" if found[0].requires_grad else "no", implied="no")
            see.fact(f"{asked}: torch's global random numbers", "untouched" if torch.equal(torch.random.get_rng_state(), state) else "moved",
                     implied="untouched")
            _left_alone(see, asked, model, before, weights)


def _rms(g):
    return (g * g).mean().sqrt() + 1e-5


def _ascent(model, score_of: Callable, x, steps: int, step_size: float, sign: float = 1.0, length: Callable = _rms, after: Callable | None = None):
    """The rule of the lesson, on a copy of the model: (picture, scores before each step)."""
    import copy

    frozen, history = copy.deepcopy(model).requires_grad_(False), []
    for _ in range(steps):
        x = x.detach().clone().requires_grad_()
        score = score_of(frozen, x)
        history.append(score.item())
        if not score.requires_grad:
            continue
        score.backward()
        x = x + sign * step_size * x.grad / length(x.grad)
        x = after(x) if after else x
    return x.detach(), history


# wrong lengths of the gradient, and what to say
LENGTHS = (
    (lambda g: 1.0, "The gradient is not normalized: the length of a step then depends on the layer. Divide by its root mean square."),
    (lambda g: g.norm() + 1e-5, "You divide by the length of the whole gradient, the root of the sum of squares: the mean of the squares is asked, "
                                "so that the size of the picture has no say."),
    (lambda g: g.abs().mean() + 1e-5, "You divide by the mean of the absolute values: square, mean, root."),
    (lambda g: g.abs().max() + 1e-5, "You divide by the largest entry of the gradient: square, mean, root."),
    (lambda g: (g * g).mean() + 1e-5, "You divide by the mean square: its root is missing."),
    (lambda g: ((g * g).mean() + 1e-5).sqrt(), "The 1e-5 stands under the root: add it to the root, or it is not small beside a small gradient."),
    (lambda g: g.std() + 1e-5, "You divide by the standard deviation, which subtracts the mean first: square, mean, root."),
    (lambda g: (g * g).mean().sqrt(), "The 1e-5 is missing: a gradient of 0 would give 0 / 0."),
)


def _noise(size: int, seed: int | None, scale: float = 0.1, uniform: bool = False):
    import torch

    generator = None if seed is None else torch.Generator().manual_seed(seed)
    draw = torch.rand if uniform else torch.randn
    return scale * draw(1, 3, size, size, generator=generator, dtype=torch.float32)


def _maximize_with(sign=1.0, length=_rms, noise: Callable = _noise, mean: Callable = lambda maps, c: maps[c].mean(), relu=False, accumulate=False,
                   history: Callable | None = None, more=0, clip=False, once=False):
    def maximize_channel(model, layer, channel, size=24, steps=20, step_size=0.5, seed=0):
        import torch

        def score(net, x):
            maps = _layers_of(net, x)[layer][0]
            return mean(maps.relu() if relu else maps, channel)

        x = noise(size, seed).to(devices.device())
        if accumulate or once:
            values, total = [], torch.zeros_like(x)
            for step in range(steps):
                x = x.detach().requires_grad_()
                if not once or not step:
                    value = score(model, x)
                    total = total + torch.autograd.grad(value, x)[0]
                values.append(value.item())
                x = x + step_size * total / _rms(total)
            return x.detach(), values
        x, values = _ascent(model, score, x, steps + more, step_size, sign, length, (lambda x: x.clamp(0, 1)) if clip else None)
        return x, history(values, score(model, x).item()) if history else values
    return maximize_channel


def _maximize_with_global_seed(model, layer, channel, size=24, steps=20, step_size=0.5, seed=0):
    import torch

    torch.manual_seed(seed)
    return _maximize_with(noise=lambda size, seed: _noise(size, None))(model, layer, channel, size, steps, step_size, seed)


def _maximize_in_eval(model, layer, channel, size=24, steps=20, step_size=0.5, seed=0):
    model.eval()
    return _maximize_with()(model, layer, channel, size, steps, step_size, seed)


def _maximize_backward(model, layer, channel, size=24, steps=20, step_size=0.5, seed=0):
    x, history = _noise(size, seed).to(devices.device()), []
    for _ in range(steps):
        x = x.detach().requires_grad_()
        score = _layers_of(model, x)[layer][0, channel].mean()
        history.append(score.item())
        score.backward()
        x = x + step_size * x.grad / (x.grad.pow(2).mean().sqrt() + 1e-5)
    return x.detach(), history


maximize_channel = Exercise(
    "12.5", "maximize_channel",
    observe=_observe_maximize,
    expected=_maximize_with(),
    mistakes=[
        Mistake("The activation falls: you go down. For a maximum, add the gradient.", _maximize_with(sign=-1.0)),
        *(Mistake(diagnosis, _maximize_with(length=length)) for length, diagnosis in LENGTHS),
        Mistake("You set the seed of all of torch, so every later random number of the notebook changes: draw with "
                "generator=torch.Generator().manual_seed(seed).", _maximize_with_global_seed),
        Mistake("Two calls with one seed differ: draw the noise with torch.Generator().manual_seed(seed).",
                _maximize_with(noise=lambda size, seed: _noise(size, None))),
        Mistake("`seed` is ignored: all seeds give the same noise.", _maximize_with(noise=lambda size, seed: _noise(size, 0))),
        Mistake("The noise is ten times too strong: 0.1 * torch.randn.", _maximize_with(noise=lambda size, seed: _noise(size, seed, 1.0))),
        Mistake("That is `rand`, numbers from 0 to 1: `randn` gives them around 0.",
                _maximize_with(noise=lambda size, seed: _noise(size, seed, uniform=True))),
        Mistake("Parameters have gradients now: `backward` fills them too. Ask for the picture's gradient alone, "
                "torch.autograd.grad(score, x).", _maximize_backward,
                when=lambda f: any(k.endswith("parameters that have a gradient now") and v != "0" for k, v in f.items())),
        Mistake("You average the whole layer: the mean runs over one channel.", _maximize_with(mean=lambda maps, c: maps.mean())),
        Mistake("You add up the channel's values: their mean is asked.", _maximize_with(mean=lambda maps, c: maps[c].sum())),
        Mistake("You take the largest value of the channel: its mean over all places is asked.", _maximize_with(mean=lambda maps, c: maps[c].max())),
        Mistake("That is a column of all maps, not a channel: a result is (N, C, H, W), so take [:, channel].",
                _maximize_with(mean=lambda maps, c: maps[..., c].mean())),
        Mistake("Each step adds the old gradients: make a fresh x for each step, or reset x.grad.", _maximize_with(accumulate=True)),
        Mistake("You call the model once, before the loop: the picture changes in each step, so each step needs its own pass.",
                _maximize_with(once=True)),
        Mistake("You measure after the in-place ReLU: it wrote over the layer's result. Copy it in the hook (lesson.watch does).",
                _maximize_with(relu=True)),
        Mistake("The history holds the activation after each step: note it before the update.",
                _maximize_with(history=lambda values, end: [*values[1:], end])),
        Mistake("One number too many in the history: it has one for each step, from before the step.",
                _maximize_with(history=lambda values, end: [*values, end])),
        Mistake("The history holds the loss, which is minus the activation.", _maximize_with(history=lambda values, end: [-v for v in values])),
        Mistake("That is one step too many.", _maximize_with(more=1)),
        Mistake("Return the two together, the picture first: `return x, history`.",
                lambda model, layer, channel, **options: _maximize_with()(model, layer, channel, **options)[::-1],
                when=lambda f: any(k.endswith(": result") and v in ("a tuple of 2", "a list of 2") for k, v in f.items())),
        Mistake("The history is missing: `return x, history`.",
                lambda model, layer, channel, **options: _maximize_with()(model, layer, channel, **options)[0]),
        Mistake("You clip the picture to 0..1: it may have any values. to_picture brings them into range.", _maximize_with(clip=True)),
        Mistake("The picture still hangs on a graph, and with it the whole pass: detach it.",
                lambda model, layer, channel, **options: (lambda found: (found[0].requires_grad_(), found[1]))(
                    _maximize_with()(model, layer, channel, **options)),
                when=lambda f: _late(f, "hang on a graph?", value="yes")),
        Mistake("The model is in eval mode now: it must be as you found it.", _maximize_in_eval,
                when=lambda f: any("seed=1" in k and k.endswith("its mode") and v == "eval" for k, v in f.items())),
    ],
    hints=[
        "What needs a gradient here? The picture, not the weights.",
        "In each step: x must ask for gradients; then a pass inside `with lesson.watch(model, [layer]) as seen:`, the mean of one channel, "
        "its value into the history, and torch.autograd.grad(mean, x) for the gradient. record_activations would not do: it cuts the graph.",
        "`x = (x + step_size * g / (___ + 1e-5)).detach()`, where ___ is the root of the mean of g².",
    ],
    seconds=25,  # the first optimizer of torch.optim takes seconds to load, on a busy machine more than ten
)


# ---------------------------------------------------------------------------------------------- 12.6 deep_dream

def _observe_dream(deep_dream, see):
    with _exact():
        for layers, shape, options in ((["stem"], (1, 3, 20, 26), {"octaves": 3, "scale": 1.4, "steps": 2, "step_size": 0.05}),
                                       (["block.conv", "stem"], (1, 3, 17, 12), {"octaves": 2, "scale": 1.6, "steps": 3, "step_size": 0.1}),
                                       (["block.conv"], (1, 3, 12, 14), {"octaves": 1, "scale": 1.3, "steps": 1, "step_size": 0.2})):
            model = looking_net().train(len(layers) == 2)
            before, weights = _state_of(model), _weights(model)
            image = _smooth(shape)
            asked = f"layers {layers}, image {shape}, " + ", ".join(f"{k}={v}" for k, v in options.items())
            found = see.call(deep_dream, model, layers, image, label=asked, record=False, asks="a picture", **options)
            see.fact(f"{asked}: shape", str(tuple(found.shape)) if is_tensor(found) else describe(found), implied=str(shape))
            if not is_tensor(found) or tuple(found.shape) != shape:
                return
            see.fact(f"{asked}: the dream", found.detach(), rtol=1e-5, atol=4e-4)
            see.fact(f"{asked}: does it hang on a graph?", "yes" if found.requires_grad else "no", implied="no")
            _left_alone(see, asked, model, before, weights)


def _smooth(shape):
    import torch.nn.functional as F

    return F.avg_pool2d(_numbers(shape[0], shape[1], shape[2] + 4, shape[3] + 4, seed=shape[2]), 5, stride=1) * 3


def _resized(picture, size, mode="bilinear", **how):
    import torch.nn.functional as F

    return F.interpolate(picture, size=size, mode=mode, **({"align_corners": False} | how if mode == "bilinear" else {}))


def _whole(n: int, scale: float, k: int) -> int:
    return round(n / scale**k)


def _each_from_the_last(n: int, scale: float, k: int) -> int:
    for _ in range(k):
        n = round(n / scale)
    return n


def _dream_with(start: Callable = lambda place, base, detail, x: base + detail, largest_first=False, length=_rms, sign=1.0, counted=slice(None),
                value: Callable = lambda a: (a * a).mean(), size_of: Callable = _whole, octaves_more=0, steps_more=0, resize=_resized, shrunk=False,
                clip=False, hand_back: Callable = lambda x, detail: x, scale_used=None):
    def deep_dream(model, layers, image, octaves=3, scale=1.4, steps=4, step_size=0.05):
        import torch

        def score(net, x):
            found = _layers_of(net, x)
            return sum(value(found[name]) for name in layers[counted])

        sizes = [tuple(size_of(n, scale_used or scale, k) for n in image.shape[-2:]) for k in reversed(range(octaves + octaves_more))]
        bases = [resize(image, size) for size in sizes]
        if shrunk:  # each from the next larger one
            for place in reversed(range(len(sizes) - 1)):
                bases[place] = resize(bases[place + 1], sizes[place])
        if largest_first:
            sizes, bases = sizes[::-1], bases[::-1]
        detail, x = torch.zeros_like(image), image
        for place, (size, base) in enumerate(zip(sizes, bases, strict=True)):
            x = start(place, base, resize(detail, size), resize(x, size))
            x, _ = _ascent(model, score, x, steps + steps_more, step_size, sign, length, (lambda x: x.clamp(0, 1)) if clip else None)
            detail = x - base
        return hand_back(x, detail)
    return deep_dream


def _dream_backward(model, layers, image, octaves=3, scale=1.4, steps=4, step_size=0.05):
    sum((_layers_of(model, image)[name] ** 2).mean() for name in layers).backward()
    return _dream_with()(model, layers, image, octaves, scale, steps, step_size)


def _dream_in_eval(model, layers, image, octaves=3, scale=1.4, steps=4, step_size=0.05):
    model.eval()
    return _dream_with()(model, layers, image, octaves, scale, steps, step_size)


deep_dream = Exercise(
    "12.6", "deep_dream",
    observe=_observe_dream,
    expected=_dream_with(),
    mistakes=[
        Mistake("You enlarge the whole result from octave to octave, so the photo gets blurred. Carry the added detail only: result minus "
                "resized photo.", _dream_with(start=lambda place, base, detail, x: x if place else base)),
        Mistake("You begin with the largest size: coarse structure must come first.", _dream_with(largest_first=True),
                when=lambda f: any("image (1, 3, 20, 26)" in k and k.endswith(": shape") and v == "(1, 3, 10, 13)" for k, v in f.items())),
        Mistake("You begin with the largest size, and enlarge the last result: coarse structure must come first.",
                lambda model, layers, image, **options: _resized(_dream_with(largest_first=True)(model, layers, image, **options),
                                                                 tuple(image.shape[-2:]))),
        *(Mistake(diagnosis.replace("depends on the layer", "differs from octave to octave"), _dream_with(length=length))
          for length, diagnosis in LENGTHS),
        Mistake("The activations fall: add the gradient.", _dream_with(sign=-1.0)),
        Mistake("Only the first layer counts in your sum: add the mean squares of all layers.", _dream_with(counted=slice(1))),
        Mistake("Only the last layer counts in your sum: add the mean squares of all layers.", _dream_with(counted=slice(-1, None))),
        Mistake("You sum the activations, not their squares: then a layer with negative values counts the wrong way.",
                _dream_with(value=lambda a: a.mean())),
        Mistake("You add up the squares of a layer: take their mean, or the layer with the most values has the say.",
                _dream_with(value=lambda a: (a * a).sum())),
        Mistake("You take the length of each result: the mean of its squares is asked, without a root.", _dream_with(value=lambda a: a.norm())),
        Mistake("Only the last octave counts, since the detail of the smaller sizes is lost: start = base + resized detail.",
                _dream_with(start=lambda place, base, detail, x: base)),
        Mistake("All octaves have the full size: the size of octave k is round(H / scale**k).", _dream_with(size_of=lambda n, scale, k: n)),
        Mistake("The sizes are cut off, not rounded: round(H / scale**k).", _dream_with(size_of=lambda n, scale, k: int(n / scale**k))),
        Mistake("The sizes are rounded up: round(H / scale**k).", _dream_with(size_of=lambda n, scale, k: -int(-n // scale**k))),
        Mistake("Each size comes from the rounded one before it: compute it from the photo's, round(H / scale**k).",
                _dream_with(size_of=_each_from_the_last)),
        Mistake("`scale` is ignored: 1.4 is its default only.", _dream_with(scale_used=1.4)),
        Mistake("That is one octave too many: k runs from octaves - 1 down to 0.", _dream_with(octaves_more=1)),
        Mistake("That is one step too many in each octave.", _dream_with(steps_more=1)),
        Mistake("Each photo is a resized copy of a resized copy: resize the photo itself each time.", _dream_with(shrunk=True)),
        Mistake("You resize by copying pixels: bilinear is asked, mode=\"bilinear\".",
                _dream_with(resize=lambda p, size: _resized(p, size, "nearest"))),
        Mistake("The corners are aligned: leave align_corners at False.", _dream_with(resize=lambda p, size: _resized(p, size, align_corners=True))),
        Mistake("You resize with antialias=True: leave it at its default, False.",
                _dream_with(resize=lambda p, size: _resized(p, size, antialias=True))),
        Mistake("You clip to 0..1: the photo is normalized, so its values go below 0 and above 1.", _dream_with(clip=True)),
        Mistake("That is the detail alone: return the last result, photo and detail.", _dream_with(hand_back=lambda x, detail: detail)),
        Mistake("The result still hangs on a graph: detach it.", _dream_with(hand_back=lambda x, detail: x.requires_grad_()),
                when=lambda f: _late(f, "hang on a graph?", value="yes")),
        Mistake("Parameters have gradients now: `backward` fills them too. torch.autograd.grad(score, x) asks for the picture's alone.",
                _dream_backward, when=lambda f: any(k.endswith("parameters that have a gradient now") and v != "0" for k, v in f.items())),
        Mistake("The model is in eval mode now: it must be as you found it.", _dream_in_eval,
                when=lambda f: any("octaves=2" in k and k.endswith("its mode") and v == "eval" for k, v in f.items())),
    ],
    hints=[
        "Two pictures at each size: the resized photo, and the detail that was added so far.",
        "A loop over the sizes from the smallest to the largest; inside it the ascent of 12.5 on the sum of the layers' mean squares.",
        "`x = base + F.interpolate(detail, size=___, mode=\"bilinear\", align_corners=False)`, and in the end `detail = x - ___`.",
    ],
    seconds=25,  # as in 12.5
)


# ---------------------------------------------------------------------------------------------- 12.7 class_heatmap

def judging_net(seed: int = 31) -> nn.Module:
    """Two convolutions and a dense layer with weights of its own for each place; class 3 has no evidence in its favor."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        model = nn.Sequential(OrderedDict(
            stem=nn.Conv2d(3, 5, 3, padding=1), act=nn.ReLU(), body=nn.Conv2d(5, 6, 3, stride=2, padding=1), out=nn.ReLU(),
            flat=nn.Flatten(), fc=nn.Linear(6 * 6 * 7, 4)))
    _filled(model, seed)
    with torch.no_grad():
        model.fc.weight.mul_(0.4)
        model.fc.weight[[0, 2]] = model.fc.weight[[2, 0]].clone()  # so that class 2 is the predicted one
        model.fc.weight[3] = -model.fc.weight[3].abs()
        model.fc.bias.copy_(torch.tensor([0.3, 2.5, -0.7, 0.2]))
    return model


def _judged(model, image, layer: str):
    """(maps of a layer, scores as a function of these maps), from the weights alone."""
    import torch.nn.functional as F

    def from_out(a):
        return F.linear(a.flatten(1), model.fc.weight, model.fc.bias)[0]

    def from_act(a):
        return from_out(F.relu(F.conv2d(a, model.body.weight, model.body.bias, stride=2, padding=1)))

    act = F.relu(F.conv2d(image, model.stem.weight, model.stem.bias, padding=1))
    out = F.relu(F.conv2d(act, model.body.weight, model.body.bias, stride=2, padding=1))
    return {"act": (act, from_act), "out": (out, from_out)}[layer]


def _observe_heatmap(class_heatmap, see):
    with _exact():
        for layer, index in (("out", 1), ("out", None), ("out", 3), ("act", 2), ("act", None), ("out", 0)):
            model = judging_net().train(index == 2)
            before, weights = _state_of(model), _weights(model)
            image = _numbers(1, 3, 12, 14, seed=11)
            asked = f"layer {layer}, class_index={index}, image (1, 3, 12, 14)"
            options = {} if index is None else {"class_index": index}
            found = see.call(class_heatmap, model, layer, image, label=asked, record=False, asks="a tensor", **options)
            see.fact(f"{asked}: the map", found.detach() if is_tensor(found) else found, rtol=1e-5, atol=2e-4)
            if is_tensor(found):
                see.fact(f"{asked}: does it hang on a graph?", "yes" if found.requires_grad else "no", implied="no")
            _left_alone(see, asked, model, before, weights)


def _to_maximum(heat):
    return heat / heat.max() if heat.max() > 0 else heat


def _heatmap_with(weights: Callable = lambda g: g.mean((2, 3), keepdim=True), add: Callable = lambda parts: parts.sum(0),
                  cut: Callable = lambda heat: heat.relu(), divide: Callable = _to_maximum, index: Callable = lambda scores, k: int(scores.argmax()) if k is None else k,
                  of: Callable = lambda scores, k: scores[k], alone=False):
    def class_heatmap(model, layer, image, class_index=None):
        import torch

        with torch.no_grad():
            maps, scores_of = _judged(model, image, layer)
            maps = maps.detach()
        leaf = maps.clone().requires_grad_()
        scores = scores_of(leaf)
        g = torch.autograd.grad(of(scores, index(scores, class_index)), leaf)[0]
        return divide(cut(add(g[0] if alone else (weights(g) * maps)[0]))).detach()
    return class_heatmap


def _heatmap_backward(model, layer, image, class_index=None):
    maps, scores_of = _judged(model, image, layer)
    scores_of(maps).sum().backward()
    return _heatmap_with()(model, layer, image, class_index)


def _heatmap_in_eval(model, layer, image, class_index=None):
    model.eval()
    return _heatmap_with()(model, layer, image, class_index)


def _enlarged(heat):
    import torch.nn.functional as F

    return F.interpolate(_to_maximum(heat)[None, None], size=(12, 14), mode="bilinear")[0, 0]


def _only_zeros_fail(facts: dict) -> bool:
    maps = [v for k, v in facts.items() if k.endswith("the map") and is_tensor(v)]
    return any(bool(v.isnan().any()) for v in maps) and all(bool(v.isnan().any()) or abs(v.max().item() - 1) < 1e-3 for v in maps)


class_heatmap = Exercise(
    "12.7", "class_heatmap",
    observe=_observe_heatmap,
    expected=_heatmap_with(),
    mistakes=[
        Mistake("Evidence against the class is left in the map: cut it with ReLU before you divide.", _heatmap_with(cut=lambda heat: heat)),
        Mistake("You take the absolute value of the map: evidence against the class counts as evidence for it. ReLU cuts it off.",
                _heatmap_with(cut=lambda heat: heat.abs())),
        Mistake("You take the absolute value of the weights: evidence against the class counts as evidence for it.",
                _heatmap_with(weights=lambda g: g.mean((2, 3), keepdim=True).abs())),
        Mistake("You take the absolute value of the gradient: evidence against the class counts as evidence for it.",
                _heatmap_with(weights=lambda g: g.abs().mean((2, 3), keepdim=True))),
        Mistake("ReLU comes too early: channels that speak against the class must count, so add up all maps first, then cut.",
                _heatmap_with(add=lambda parts: parts.relu().sum(0))),
        Mistake("ReLU on the gradient comes too early: average it as it is, add up the weighted maps, then cut.",
                _heatmap_with(weights=lambda g: g.relu().mean((2, 3), keepdim=True))),
        Mistake("The maximum must be 1: divide by it, unless it is 0.", _heatmap_with(divide=lambda heat: heat)),
        Mistake("You divide by the sum: divide by the maximum, unless it is 0.",
                _heatmap_with(divide=lambda heat: heat / heat.sum().clamp(min=1e-20))),
        Mistake("You divide by the sum, which may be 0: divide by the maximum, unless it is 0.", _heatmap_with(divide=lambda heat: heat / heat.sum())),
        Mistake("You stretch from the minimum to the maximum: then 0 no longer means that nothing speaks for the class. Divide by the maximum alone.",
                _heatmap_with(divide=lambda heat: (heat - heat.min()) / (heat.max() - heat.min()).clamp(min=1e-12))),
        Mistake("class_index is ignored: all classes give the same map.", _heatmap_with(index=lambda scores, k: int(scores.argmax()))),
        Mistake("Class 0 is taken for None: `class_index or ...` goes on for both. Ask `if class_index is None`.",
                _heatmap_with(index=lambda scores, k: k or int(scores.argmax()))),
        Mistake("You add up all scores: the gradient of one class's score is asked.", _heatmap_with(of=lambda scores, k: scores.sum())),
        Mistake("Those are gradients alone: multiply each map by its weight, and add up.", _heatmap_with(alone=True)),
        Mistake("Those are the maps without weights: that says where something is, not what speaks for the class.",
                _heatmap_with(weights=lambda g: g.mean((2, 3), keepdim=True) * 0 + 1)),
        Mistake("You average the gradient over the channels: one weight for each channel is asked, the mean over rows and columns.",
                _heatmap_with(weights=lambda g: g.mean(1, keepdim=True))),
        Mistake("You take the largest gradient of each channel: its mean over rows and columns is the weight.",
                _heatmap_with(weights=lambda g: g.amax((2, 3), keepdim=True))),
        Mistake("You take the largest of the weighted maps at each place: add them up.", _heatmap_with(add=lambda parts: parts.amax(0))),
        Mistake("That is the gradient of a probability, or of its logarithm: take the score before the softmax, which mixes the classes.",
                _heatmap_with(of=lambda scores, k: scores.softmax(0)[k])),
        Mistake("You multiply place by place: average the gradient over all places first, one weight for each channel.",
                _heatmap_with(weights=lambda g: g)),
        Mistake("The map is enlarged: it keeps the size of the layer's result. overlay enlarges it, in the next exercise.",
                _heatmap_with(divide=_enlarged),
                when=lambda f: any("layer out" in k and k.endswith("the map") and is_tensor(v) and v.shape == (12, 14) for k, v in f.items())),
        Mistake("0 / 0: a class without evidence in its favor has a map of zeros. Divide only if the maximum is above 0.",
                _heatmap_with(divide=lambda heat: heat / heat.max()), when=_only_zeros_fail),
        Mistake("Parameters have gradients now: `backward` fills them too. torch.autograd.grad(score, maps) asks for the gradient of the maps alone.",
                _heatmap_backward, when=lambda f: any(k.endswith("parameters that have a gradient now") and v != "0" for k, v in f.items())),
        Mistake("The result still hangs on a graph: detach it.",
                lambda model, layer, image, class_index=None: _heatmap_with()(model, layer, image, class_index).requires_grad_(),
                when=lambda f: _late(f, "hang on a graph?", value="yes")),
        Mistake("The model is in eval mode now: it must be as you found it.", _heatmap_in_eval,
                when=lambda f: any("class_index=2" in k and k.endswith("its mode") and v == "eval" for k, v in f.items())),
    ],
    hints=[
        "The gradient of one score with respect to the result of one layer says what each place of each map contributes.",
        "Average the gradient over rows and columns: one weight for each channel. Then weight, add up, ReLU, divide.",
        "`(maps * grad.mean(___, keepdim=True)).sum(___)`, with `lesson.watch` for the maps.",
    ],
    seconds=10,
)


# ---------------------------------------------------------------------------------------------- 12.8 overlay

def check_colors(values):
    """Cold to hot in three straight lines, a little below 0 and above 1 in places: (H, W) in 0..1 to (H, W, 3)."""
    import torch

    return torch.stack([1.9 * values - 0.6, 1 - (2 * values - 1).abs(), 1.7 - 2.2 * values], -1)


def _observe_overlay(overlay, see):
    for shape, small, options in (((9, 14), (3, 4), {}), ((12, 7), (6, 7), {"alpha": 0.75}), ((8, 8), (2, 5), {"alpha": 0.1})):
        photo = _numbers(*shape, 3, seed=shape[1], scale=0.6, shift=0.8).clamp(0, 1)
        heat = _numbers(*small, seed=shape[0], scale=0.3, shift=1.6).clamp(0, 1)
        label = f"photo {(*shape, 3)}, heat {small}" + "".join(f", {k}={v}" for k, v in options.items())
        see.call(overlay, photo, heat, check_colors, label=label, rtol=1e-4, atol=1e-5, **options)


def _bilinear(heat: np.ndarray, height: int, width: int) -> np.ndarray:
    """Between the four nearest values; a value stands in the middle of its cell."""
    def places(n, small):
        at = np.clip((np.arange(n) + 0.5) * small / n - 0.5, 0, small - 1)
        low = np.minimum(at.astype(int), small - 1)
        return low, np.minimum(low + 1, small - 1), at - low

    top, bottom, down = places(height, heat.shape[0])
    left, right, across = places(width, heat.shape[1])
    rows = heat[top] * (1 - down)[:, None] + heat[bottom] * down[:, None]
    return rows[:, left] * (1 - across) + rows[:, right] * across


def _overlay_with(blend=lambda photo, color, a: (1 - a) * photo + a * color, enlarge=_bilinear, clip=True, color_first=False, colored=True,
                  alpha_used=None):
    def overlay(photo, heat, colormap, alpha=0.4):
        import torch

        def enlarged(values):
            return torch.tensor(enlarge(_cpu(values).astype(np.float64), *photo.shape[:2]), dtype=torch.float32, device=photo.device)

        big, alpha = enlarged(heat), alpha_used or alpha
        color = colormap(big) if colored else big[..., None]
        if color_first:
            color = torch.stack([enlarged(plane) for plane in colormap(heat).unbind(-1)], -1)
        mixed = blend(photo, color, alpha) if blend else (1 - alpha * big[..., None]) * photo + alpha * big[..., None] * color
        return mixed.clamp(0, 1) if clip else mixed
    return overlay


def _nearest(heat, height, width):
    rows, columns = (np.floor(np.arange(n) * s / n).astype(int) for n, s in ((height, heat.shape[0]), (width, heat.shape[1])))
    return heat[rows][:, columns]


def _enlarge_with(**how):
    def enlarge(heat, height, width):
        import torch
        import torch.nn.functional as F

        return F.interpolate(torch.tensor(heat)[None, None], size=(height, width), **how)[0, 0].numpy()
    return enlarge


def _photo_shrunk(photo, heat, colormap, alpha=0.4):
    import torch.nn.functional as F

    small = F.interpolate(photo.permute(2, 0, 1)[None], size=tuple(heat.shape), mode="bilinear")[0].permute(1, 2, 0)
    return ((1 - alpha) * small + alpha * colormap(heat)).clamp(0, 1)


overlay = Exercise(
    "12.8", "overlay",
    observe=_observe_overlay,
    expected=_overlay_with(),
    mistakes=[
        Mistake("Added, not blended: whites are clipped. The photo's share is 1 - alpha.", _overlay_with(lambda p, c, a: p + a * c)),
        Mistake("Blocks: the heat is enlarged by copying. Use bilinear interpolation.", _overlay_with(enlarge=_nearest)),
        Mistake("alpha belongs to the heat, 1 - alpha to the photo.", _overlay_with(lambda p, c, a: a * p + (1 - a) * c)),
        Mistake("The photo changed: work on a new tensor.",
                lambda photo, heat, colormap, alpha=0.4: photo.copy_(_overlay_with()(photo, heat, colormap, alpha)),
                when=lambda f: any("inputs stay" in k for k in f)),
        Mistake("The corners are aligned: ask for align_corners=False.", _overlay_with(enlarge=_enlarge_with(mode="bilinear", align_corners=True))),
        Mistake("You enlarge with bicubic curves, which overshoot: mode=\"bilinear\".", _overlay_with(enlarge=_enlarge_with(mode="bicubic"))),
        Mistake("You color first and enlarge the colors: enlarge the heat, then color it, or shades appear that the colormap does not have.",
                _overlay_with(color_first=True)),
        Mistake("The heat is not colored: give it to `colormap`.", _overlay_with(colored=False)),
        Mistake("`alpha` is ignored: 0.4 is its default only.", _overlay_with(alpha_used=0.4)),
        Mistake("The share of the color differs from place to place: it is alpha everywhere, and the color alone says how hot it is.",
                _overlay_with(blend=None)),
        Mistake("The photo is multiplied by 1 - alpha, the color by 1: its share is alpha.", _overlay_with(lambda p, c, a: (1 - a) * p + c)),
        Mistake("Values below 0 and above 1 are left: clip to 0..1 in the end.", _overlay_with(clip=False)),
        Mistake("You shrink the photo to the size of the heat: enlarge the heat to the size of the photo.", _photo_shrunk,
                when=lambda f: any(is_tensor(v) and v.shape == (3, 4, 3) for v in f.values())),
    ],
    hints=[
        "Enlarge the heat, color it, blend.",
        "`F.interpolate` wants four axes: heat[None, None] goes in, [0, 0] comes out; its size is that of the photo.",
        "`((1 - alpha) * photo + ___).clamp(___)`, where the heat has gone through F.interpolate, then through colormap.",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("12", [
    Question("All maps of a layer look equally bright in a grid. What can you say about their strength?",
             ("Nothing: each map is scaled on its own", "The grid standardizes map by map, so a weak one looks like a strong one."),
             [("They are equally strong", "The scaling makes them look so."),
              ("The layer is saturated", "That would have to be measured on the values."),
              ("The network was not trained", "An untrained network's grid looks no different in this respect.")]),
    Question("Stored results of a convolution have no negative values. Why?",
             ("An in-place ReLU wrote over them: clone", "The ReLU behind the convolution works on the same memory."),
             [("Convolutions give no negative values", "Weights and biases may be negative."),
              ("The hook was on the wrong layer", "The hook was right; its tensor changed afterwards."),
              ("no_grad sets them to zero", "no_grad changes no value.")]),
    Question("What does gradient ascent on the input change?",
             ("The pixels", "The weights stay as they are; the picture moves."),
             [("The weights", "They are frozen."),
              ("The definition of the score", "It stays the mean of one channel."),
              ("Pixels and weights", "The weights stay as they are.")]),
    Question("Why divide by the root mean square of the gradient?",
             ("So that the length of a step is the same for every layer and channel", "Raw gradients differ by orders of magnitude."),
             [("To avoid a division by zero", "That is what the 1e-5 is for."),
              ("To turn ascent into descent", "The sign stays."),
              ("To keep the pixels in 0..1", "Nothing here does that.")]),
    Question("The activation stays 0.000 for 40 steps. What is it?",
             ("A dead ReLU: no gradient. Maximize before the ReLU, or start elsewhere", "Zero times anything is zero."),
             [("The step is too small", "Zero times anything is zero."),
              ("The picture is too small", "A smaller picture gives smaller maps, not zeros."),
              ("The channel is at its maximum", "At a maximum it would not be 0.")]),
    Question("Why the score before the softmax?",
             ("The softmax saturates, and mixes the classes",
              "Near probability 1 its gradient vanishes; and a probability also rises when other scores fall."),
             [("It is faster", "Hardly, and that is not the reason."),
              ("Probabilities have no gradient", "They have one; near 1 it is tiny."),
              ("The softmax is not part of the model", "It could be added; the gradient would still be poor.")]),
    Question("In a heatmap two elephants and a tusk light up. What was shown?",
             ("Regions that raised this score in this network", "It is evidence about the network."),
             [("The network understands elephants", "That does not follow."),
              ("There are two elephants", "The map is not a count."),
              ("Everything else is background", "It is what did not raise this score.")]),
])


# ---------------------------------------------------------------------------------------------- tools of the lesson

def receptive_field(features, index: int) -> tuple[int, int]:
    """(pixels a side, stride) that one value of the result of ``features[index]`` sees; convolutions and pools as in VGG."""
    size, jump = 1, 1
    for layer in list(features)[:index + 1]:
        kernel = getattr(layer, "kernel_size", 1)
        stride = getattr(layer, "stride", 1)
        kernel, stride = (v[0] if isinstance(v, tuple) else v for v in (kernel, stride))
        size, jump = size + (kernel - 1) * jump, jump * stride
    return size, jump


def box(row: int, column: int, field: int, stride: int, side: int) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of what a value at (row, column) sees, cut off at the edges of a picture of side x side."""
    edges = []
    for place in (row, column):
        middle = place * stride + (stride - 1) / 2
        edges.append((max(0, round(middle - field / 2 + 0.5)), min(side, round(middle + field / 2 + 0.5))))
    return edges[0][0], edges[1][0], edges[0][1], edges[1][1]


def photo_net(size: int = 64, epochs: int = 3) -> nn.Module:
    """The cats-and-dogs network of lesson 10 with the weights that lesson 10 saved; where it saved none, after a few epochs here.

    Args: size of the photos that it was trained on, in pixels; epochs, if there are no saved weights. `.weights` says which they are.
    """
    import torch
    from torch import nn

    from helpers.lessons import cnns
    from helpers.weights import UnusableWeights, load_weights

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers, side = [], size
        for i, o in ((3, 32), (32, 64), (64, 128), (128, 128)):
            layers += [nn.Conv2d(i, o, 3), nn.ReLU(), nn.MaxPool2d(2)]
            side = (side - 2) // 2
        model = nn.Sequential(nn.Sequential(*layers), nn.Sequential(nn.Flatten(), nn.Linear(128 * side**2, 512), nn.ReLU(),
                                                                    nn.Linear(512, 1), nn.Flatten(0)))
    try:
        saved = list(load_weights(cnns.photo_net_file(size)).values())
    except UnusableWeights:
        saved = []
    if [v.shape for v in saved] == [p.shape for p in model.parameters()]:
        with torch.no_grad():  # the attributes of a student's class may have any names: the order of the tensors counts
            for p, v in zip(model.parameters(), saved, strict=True):
                p.copy_(v)
        model.weights = "saved by lesson 10"
    else:
        _learn_photos(model, size, epochs)
        model.weights = f"of {epochs} epochs here, since lesson 10 has saved none on this computer"
    return model.eval()


def _learn_photos(model, size: int, epochs: int, most: int = 120) -> None:
    """Lesson 10 in short: a part of the photos, in a range of -1..1, a few epochs."""
    import torch
    import torch.nn.functional as F
    from PIL import Image

    from helpers import data

    if not epochs:
        return
    photos = data.cats_and_dogs()
    files = [(label, file) for label, kind in enumerate(photos.classes) for file in sorted((photos.train / kind).iterdir())]
    X, y = [], []
    for place in np.linspace(0, len(files) - 1, min(most, len(files))).astype(int):
        label, file = files[place]
        with Image.open(file) as picture:
            X.append(np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)))
        y.append(label)
    X = torch.from_numpy(np.stack(X)).permute(0, 3, 1, 2).float() / 127.5 - 1
    y = torch.tensor(y, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    batches = [part for _ in range(epochs) for part in torch.randperm(len(X), generator=generator).split(10)]
    _adam(list(model.parameters()), lambda step: F.binary_cross_entropy_with_logits(model(X[batches[step]]), y[batches[step]]), len(batches), 1e-3)


def _adam(parameters: Sequence, loss: Callable, steps: int, lr: float, decay: float = 0.0) -> None:
    """Adam in a few lines, as in lesson 05. The first optimizer of torch.optim loads its compiler, which takes seconds."""
    import torch

    mean, square = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    for step in range(steps):
        gradients = torch.autograd.grad(loss(step), parameters)
        with torch.no_grad():
            for p, g, m, v in zip(parameters, gradients, mean, square, strict=True):
                g = g + decay * p
                m.lerp_(g, 0.1)
                v.lerp_(g * g, 0.001)
                p -= lr * (m / (1 - 0.9 ** (step + 1))) / ((v / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)


def two_flowers(seed: int, side: int = 96):
    """A drawn garden with two kinds of flowers: picture (side, side, 3) uint8, their two labels, their two masks."""
    from helpers import data, flowers

    rng = np.random.default_rng(seed)
    a, b = rng.choice(len(data.FLOWER_CLASSES), 2, replace=False)
    picture, first, second = flowers.draw_two((data.FLOWER_CLASSES[a], data.FLOWER_CLASSES[b]), side, rng)
    return picture, (int(a), int(b)), (first, second)


def heat_inside(heat, mask: np.ndarray) -> float:
    """How much denser the heat is inside a mask than anywhere: share of heat inside / share of the area. 1 is chance."""
    inside = _bilinear(_cpu(heat).astype(np.float64), *mask.shape)
    return float((inside * mask).sum() / max(inside.sum(), 1e-12) / mask.mean())


def colors(values):
    """Heat 0..1 (H, W) to colors (H, W, 3): dark blue, purple, orange, light yellow."""
    import torch

    stops = torch.tensor([[0.15, 0.15, 0.35], [0.5, 0.15, 0.6], [1.0, 0.45, 0.1], [1.0, 1.0, 0.5]],
                         dtype=torch.float32, device=values.device)
    place = values.clamp(0, 1) * (len(stops) - 1)
    low = place.long().clamp(max=len(stops) - 2)
    return torch.lerp(stops[low], stops[low + 1], (place - low)[..., None])


def unnormalized(x, mean, std) -> np.ndarray:
    """Normalized (3, H, W) to (H, W, 3) in 0..1, for drawing."""
    v = _cpu(x) * np.array(std)[:, None, None] + np.array(mean)[:, None, None]
    return v.clip(0, 1).transpose(1, 2, 0)


# ---------------------------------------------------------------------------------------------- figures

def _bare(ax) -> None:
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _pictures(pictures, titles=(), columns: int | None = None, size: float = 1.4, rows: Sequence[str] = (), title_size: float = 10.5):
    """A grid of pictures (H, W) or (H, W, 3); returns the figure and its axes in a list."""
    n = len(pictures)
    columns = columns or n
    lines = -(-n // columns)
    fig, axes = plots.figure(lines, columns, size=(columns * size + (0.9 if rows else 0), lines * (size + (0.25 if len(titles) else 0.05))),
                             squeeze=False)
    flat = list(axes.flat)
    for ax in flat:
        _bare(ax)
    for place, picture in enumerate(pictures):
        shown = _cpu(picture)
        flat[place].imshow(shown, **({"cmap": "gray"} if shown.ndim == 2 else {}))
        if place < len(titles):
            flat[place].set_title(titles[place], fontsize=title_size)
    for line, name in enumerate(rows):
        axes[line, 0].set_ylabel(name, fontsize=10, rotation=0, ha="right", va="center")
    return fig, flat


def show_tools() -> None:
    """Three tools and the question that each answers."""
    fig, ax = plots.figure(size=(8.8, 2.7))
    rows = (("activations", "what is passed on?", "hooks"), ("preferred pattern", "what does a channel look for?", "ascent on pixels"),
            ("class heatmap", "why this class, and where?", "gradients of a score"))
    for place, ((name, question, how), color) in enumerate(zip(rows, (plots.BLUE, plots.GREEN, plots.RED), strict=True)):
        ax.add_patch(_card(place * 3.3, color))
        ax.text(place * 3.3, 0.62, name, ha="center", va="center", fontsize=14, fontweight="bold", color=color)
        ax.text(place * 3.3, 0.05, question, ha="center", va="center", fontsize=11.5)
        ax.text(place * 3.3, -0.55, how, ha="center", va="center", fontsize=11, color="#555555")
    ax.set(xlim=(-1.7, 8.3), ylim=(-1.15, 1.15))
    ax.set_axis_off()
    plots.show(fig, "Three boxes. Activations, by hooks: what is passed on? Preferred pattern, by ascent on pixels: what does a channel look "
                    "for? Class heatmap, by gradients of a score: why this class, and where?", dpi=90)


def _card(x: float, color: str):
    from matplotlib.patches import FancyBboxPatch

    return FancyBboxPatch((x - 1.5, -1.0), 3.0, 2.0, boxstyle="round,pad=0.02,rounding_size=0.12", facecolor="white", edgecolor=color,
                          linewidth=2.2)


def _scaled(v: np.ndarray) -> np.ndarray:
    return (v - v.min()) / max(float(v.max() - v.min()), 1e-9)


def show_filters(trained, untrained, n: int = 16) -> None:
    """First-layer filters as small color pictures, each scaled on its own. Args: weights (C, 3, k, k) of two networks."""
    pictures = [_scaled(_cpu(w)[i].transpose(1, 2, 0)) for w in (trained, untrained) for i in range(n)]
    fig, _ = _pictures(pictures, columns=n, size=0.62, rows=("trained", "random"))
    plots.show(fig, f"The first {n} filters of the first layer as color pictures, each scaled on its own. Trained: edges of several directions "
                    "and opposite colors. Random weights: confetti.", dpi=110)


def _tile(map2d: np.ndarray) -> np.ndarray:
    """One map as a gray picture: standardized, 64 levels a standard deviation around 128. A constant map is gray, not NaN."""
    spread = map2d.std()
    return np.clip((map2d - map2d.mean()) / (spread if spread > 1e-6 else 1.0) * 64 + 128, 0, 255).astype(np.uint8)


def grid(maps, columns: int = 16, most: int = 32) -> np.ndarray:
    """Maps (C, h, w) side by side, each standardized on its own; at most so many. The maps stay as they are."""
    maps = _cpu(maps)[:most]
    c, h, w = maps.shape
    lines = -(-c // columns)
    sheet = np.full((lines * (h + 1) - 1, min(columns, c) * (w + 1) - 1), 255, np.uint8)
    for i, m in enumerate(maps):
        r, k = divmod(i, columns)
        sheet[r * (h + 1):r * (h + 1) + h, k * (w + 1):k * (w + 1) + w] = _tile(m)
    return sheet


def show_channels(photo, maps, channels: Sequence[int]) -> None:
    """A photo and a few maps of one layer. Args: photo (H, W, 3) in 0..1; maps (C, h, w); zero-based channels."""
    maps = _cpu(maps)
    fig, _ = _pictures([photo, *(_tile(maps[c]) for c in channels)], ["the photo", *(f"channel {c}" for c in channels)], size=2.3)
    plots.show(fig, f"A photo and channels {', '.join(map(str, channels))} of the first layer's result, {maps.shape[1]} by {maps.shape[2]} values "
                    "each: gray pictures in which nearly all of the photo is still there, with other edges and areas bright in each.",
               dpi=75, colors=32)


def show_grids(activations: dict, columns: int = 16, most: int = 16) -> None:
    """One row of maps for each layer. Args: name -> (1, C, h, w)."""
    fig, axes = plots.figure(len(activations), 1, size=(9.2, 0.66 * len(activations) + 0.1), squeeze=False)
    for ax, (name, a) in zip(axes[:, 0], activations.items(), strict=True):
        ax.imshow(grid(a[0], columns, most), cmap="gray", aspect="auto", interpolation="nearest")
        _bare(ax)
        ax.set_ylabel(f"{name}\n{tuple(a.shape[1:])}", fontsize=8.5, rotation=0, ha="right", va="center")
    first, last = (tuple(a.shape[1:]) for a in (list(activations.values())[0], list(activations.values())[-1]))
    silent = sum(int(np.ptp(m) < 1e-6) for a in activations.values() for m in _cpu(a)[0, :most])
    plots.show(fig, f"{len(activations)} rows of {most} maps each, from the first layer's result {first} to the last {last}. Above, the photo is "
                    f"still to be seen; below, coarse cells are left. {silent} maps are plain gray: nothing in this photo excites them. Each map is "
                    "scaled on its own.", dpi=75, colors=16)


# Share of zeros after the ReLUs of SqueezeNet 1.0 (the first convolution, then its eight blocks), measured once: 64 flower photographs, 128 pixels.
SQUEEZENET_ZEROS = (0.49, 0.46, 0.45, 0.57, 0.52, 0.67, 0.57, 0.81, 0.88)


def show_sparsity(curves: dict[str, Sequence[float]]) -> None:
    """Share of zeros after each ReLU. Args: name of the network -> shares in 0..1."""
    fig, ax = plots.figure(size=(7.2, 3.4))
    for (name, values), mark, color in zip(curves.items(), "osX^", (plots.BLUE, plots.RED, plots.GREEN, plots.PURPLE), strict=False):
        ax.plot(np.linspace(0, 1, len(values)), [100 * v for v in values], f"{mark}-", color=color, label=name)
    ax.set(xlabel="depth: first layer to last", ylabel="zeros in %", ylim=(0, 100), xticks=[0, 1], xticklabels=["first", "last"])
    plots.legend(ax, loc="lower center")
    said = "; ".join(f"{name} from {100 * v[0]:.0f} to {100 * v[-1]:.0f} %" for name, v in curves.items())
    plots.show(fig, f"Share of zeros after each ReLU, from the first layer to the last. {said}.", dpi=90)


def show_bicycle() -> None:
    """A bicycle as many people draw it from memory, and one that could be ridden."""
    fig, axes = plots.figure(1, 2, size=(7.4, 2.9))
    for ax, title, wrong in ((axes[0], "from memory", True), (axes[1], "one that could be ridden", False)):
        turn = np.linspace(0, 2 * np.pi, 80)
        for x in (0, 3):
            ax.plot(x + np.cos(turn), np.sin(turn), color=plots.BLACK, lw=2.5)
        crank, seat, head = (1.4, 0.0), (1.05, 1.6), (2.55, 1.5)
        tubes = [(seat, crank), (crank, head), (seat, head)]
        tubes += [((0, 0), (3, 0)), (head, (3, 0))] if wrong else [((0, 0), crank), ((0, 0), seat), (head, (3, 0))]
        for a, b in tubes:
            bad = wrong and (a, b) == ((0, 0), (3, 0))
            ax.plot(*zip(a, b, strict=True), color=plots.RED if bad else plots.BLUE, lw=3.5, ls="--" if bad else "-")
        ax.plot([0.75, 1.35], [1.75, 1.75], color=plots.BLACK, lw=4)
        ax.plot([2.45, 2.4, 2.75], [1.5, 1.85, 1.9], color=plots.BLACK, lw=3)
        ax.set(title=title, xlim=(-1.2, 4.2), ylim=(-1.2, 2.2))
        ax.set_aspect("equal")
        _bare(ax)
    plots.show(fig, "Two drawings of a bicycle. From memory: a tube, dashed, joins the two wheels, so it could not be steered. Right: the "
                    "frame leads to the rear wheel only. Abstraction keeps the bicycle and drops its tubes.", dpi=90)


def show_patches(photos, rows: dict[str, list[tuple[int, tuple[int, int, int, int], float]]]) -> None:
    """For each channel, the pictures that excite it most, with the field that excites it framed.

    Args: photos (n, H, W, 3) uint8; rows: name -> [(image, (top, left, bottom, right), value), ...].
    """
    from matplotlib.patches import Rectangle

    pictures = [photos[i] for hits in rows.values() for i, *_ in hits]
    fig, axes = _pictures(pictures, columns=len(list(rows.values())[0]), size=1.15, rows=list(rows))
    for ax, (_, (top, left, bottom, right), _) in zip(axes, [hit for hits in rows.values() for hit in hits], strict=True):
        ax.add_patch(Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor=plots.YELLOW, linewidth=2))
    plots.show(fig, f"{len(rows)} channels, one a row, with the {len(list(rows.values())[0])} pictures that excite each most; a yellow frame shows "
                    "what the strongest value sees. Within a row the framed patches are alike.", dpi=75, colors=32)


def show_ascent(frames, values: Sequence[float], what: str) -> None:
    """A picture while it grows. Args: pictures (H, W, 3) uint8 and the activation of each."""
    fig, _ = _pictures(list(frames), [f"{v:.2f}" for v in values], size=1.7)
    plots.show(fig, f"{len(values)} pictures from noise to pattern while {what} is driven up, with its activation above: from {values[0]:.2f} to "
                    f"{values[-1]:.2f}.", dpi=70, colors=40)


def show_lengths(lengths: dict[str, float]) -> None:
    """Root mean square of the raw gradient for channels of several layers, on a logarithmic axis."""
    fig, ax = plots.figure(size=(7.0, 2.7))
    ax.barh(range(len(lengths)), list(lengths.values()), color=plots.RED, height=0.6)
    ax.set_yticks(range(len(lengths)), list(lengths))
    ax.set(xscale="log", xlabel="root mean square of the gradient of one channel's mean, for each pixel")
    ax.invert_yaxis()
    low, high = min(lengths.values()), max(lengths.values())
    plots.show(fig, f"Raw gradients differ {high / low:.0f}-fold from layer to layer: from {low:.1e} to {high:.1e}. One step size cannot serve all "
                    "of them; divided by this length it can.", dpi=90)


def show_dead(after: Sequence[float], before: Sequence[float]) -> None:
    """The activation over the steps, maximized after the ReLU and before it."""
    fig, ax = plots.figure(size=(6.8, 3.1))
    ax.plot(after, color=plots.RED, ls="--", lw=2.5, label="maximized after the ReLU")
    ax.plot(before, color=plots.BLUE, lw=2.5, label="maximized before the ReLU")
    ax.axhline(0, color=plots.BLACK, lw=0.8)
    ax.set(xlabel="step", ylabel="activation")
    plots.legend(ax)
    plots.show(fig, f"A channel that starts dead. After the ReLU the activation stays at {after[-1]:.3f} for all {len(after)} steps; before the ReLU "
                    f"it starts at {before[0]:.2f} and reaches {before[-1]:.2f}.", dpi=90)


def show_mosaics(mosaics: dict[str, Sequence]) -> None:
    """Preferred patterns of several layers. Args: name -> pictures (H, W, 3) uint8, as many for each."""
    n = len(list(mosaics.values())[0])
    fig, axes = plots.figure(1, len(mosaics), size=(9.4, 9.4 / len(mosaics) + 0.6))
    side = int(n**0.5)
    for ax, (name, pictures) in zip(np.atleast_1d(axes), mosaics.items(), strict=True):
        ax.imshow(mosaic([_cpu(p) for p in pictures], side))
        ax.set_title(name, fontsize=11)
        _bare(ax)
    plots.show(fig, f"Preferred patterns of {n} channels each for {', '.join(mosaics)}: plain colors first, then fine stripes, then coarser stripes "
                    "and weaves, then curls and corners.", dpi=64, colors=36)


def mosaic(pictures: Sequence[np.ndarray], side: int, margin: int = 5) -> np.ndarray:
    """side x side pictures with a white margin between them; 8 x 8 of 64 pixels make 547 x 547."""
    h, w = pictures[0].shape[:2]
    sheet = np.full((side * (h + margin) - margin, side * (w + margin) - margin, 3), 255, np.uint8)
    for i, picture in enumerate(pictures[:side * side]):
        r, c = divmod(i, side)
        sheet[r * (h + margin):r * (h + margin) + h, c * (w + margin):c * (w + margin) + w] = picture
    return sheet


def show_dream(photo, detail, dream) -> None:
    """Photo + detail = dream. Args: pictures (H, W, 3) in 0..1."""
    fig, axes = _pictures([photo, detail, dream], ["photo", "+ detail (× 2)", "= dream"], size=2.7, title_size=12)
    plots.show(fig, "Three pictures: a photo, the detail that was added to it (enhanced twice, gray is none), and their sum, in which textures "
                    "that the network likes have grown out of the photo.", dpi=70, colors=48)


def show_three_lines(maps, weights, heat, names: Sequence[str]) -> None:
    """Grad-CAM as a sum: a few maps with their weights, and the heat. Args: maps (k, h, w); weights (k,); heat (h, w)."""
    maps, weights = _cpu(maps), _cpu(weights)
    fig, axes = _pictures([*maps, _cpu(heat)], [*(f"{w:+.3f} × {name}" for w, name in zip(weights, names, strict=True)), "heat"], size=1.9)
    axes[-1].images[0].set_cmap("inferno")
    plots.show(fig, f"The {len(maps)} maps that matter most, with their weights {', '.join(f'{w:+.3f}' for w in weights)}, and the heat that the "
                    "weighted sum of all maps gives after ReLU.", dpi=95)


def show_saturation(margins: Sequence[float], probability: Sequence[float], score: Sequence[float]) -> None:
    """How long the gradients are while a network gets surer. Args: probabilities, and two gradient norms for each."""
    fig, ax = plots.figure(size=(6.8, 3.1))
    ax.plot(margins, score, "o-", color=plots.BLUE, label="of the score")
    ax.plot(margins, probability, "X--", color=plots.RED, label="of the probability")
    ax.set(yscale="log", xlabel="probability of the predicted class", ylabel="length of the gradient")
    plots.legend(ax)
    plots.show(fig, f"While the probability goes from {margins[0]:.2f} to {margins[-1]:.4f}, the gradient of the score stays, and that of the "
                    f"probability falls {probability[0] / probability[-1]:.0f}-fold: the softmax saturates.", dpi=90)


def show_overlays(pictures: Sequence, titles: Sequence[str], alt: str) -> None:
    """Pictures (H, W, 3) side by side, with a text that says what is to be seen."""
    fig, _ = _pictures([_cpu(p) for p in pictures], titles, size=2.7 if len(pictures) < 4 else 2.25)
    plots.show(fig, alt, dpi=75, colors=96)


def pattern_sliders(ascend: Callable[[int, int], tuple], channels: int) -> None:
    """Channel and number of steps to turn; ``ascend(channel, steps)`` gives (picture (H, W, 3) uint8, activation)."""
    def draw(channel, steps):
        picture, value = ascend(int(channel), int(steps))
        fig, _ = _pictures([_cpu(picture)], [f"channel {int(channel)}, {int(steps)} steps: {value:.2f}"], size=3.2)
        return fig, f"Channel {int(channel)} after {int(steps)} steps: activation {value:.2f}."
    widgets.sliders(draw, channel=(0, channels - 1, 3, 1), steps=(1, 40, 10, 1))



def flower_head(features, normalized: Callable, channels: int):
    """A linear head for the five drawn flowers on the mean of each map: (head, its accuracy on drawn test pictures).

    Args: features, images (N, 3, H, W) to maps; normalized, uint8 (n, H, W, 3) to a batch on the device; channels of the maps.
    The maps of the training pictures are computed once, standardized, and the standardization is put into the weights.
    """
    import torch
    import torch.nn.functional as F
    from torch import nn

    from helpers import data, flowers

    cache = data._writable_cache()
    pictures = flowers.flowers(cache=cache and cache / "standins")
    X, y, X_test, y_test = (np.asarray(part) for part in pictures[:4])
    X, y = X[::2], y[::2]  # 60 of each kind are enough

    def means(images):
        with torch.no_grad():
            return torch.cat([features(normalized(part)).mean((2, 3)) for part in np.array_split(images, -(-len(images) // 50))])

    Z, Z_test = means(X), means(X_test)
    middle, spread = Z.mean(0), Z.std(0) + 1e-5
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        linear = nn.Linear(channels, len(data.FLOWER_CLASSES)).to(Z.device)
        fresh = nn.Linear(channels, len(data.FLOWER_CLASSES)).to(Z.device)
    labels = torch.as_tensor(y).to(Z.device)
    _adam(list(linear.parameters()), lambda step: F.cross_entropy(linear((Z - middle) / spread), labels), 200, lr=0.02, decay=1e-3)
    with torch.no_grad():
        fresh.weight.copy_(linear.weight / spread)
        fresh.bias.copy_(linear.bias - (linear.weight * (middle / spread)).sum(1))
        hits = (fresh(Z_test).argmax(1) == torch.as_tensor(y_test).to(Z.device)).float().mean().item()
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), fresh).eval(), hits
