"""Lesson 13, style transfer: its exercises, its quiz and its figures. Imports torch only when somebody needs it."""

from __future__ import annotations

import contextlib
import difflib
import html
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers import devices, plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import Raised, describe, difference, is_tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for colors in 0..1: each network of the lesson takes them
STYLE_WEIGHTS = {"conv1_1": 1.0, "conv2_1": 0.75, "conv3_1": 0.2, "conv4_1": 0.2, "conv5_1": 0.2}
CONTENT_LAYER = "conv4_2"


# ---------------------------------------------------------------------------------------------- what the checks share

def _numbers(*shape: int, seed: int, scale: float = 1.0, shift: float = 0.2, dtype: str = "float64"):
    """A tensor of numbers around ``shift``, on the device of the lesson."""
    import torch

    values = scale * np.random.default_rng(seed).normal(shift, 1.0, shape)
    return torch.tensor(values, dtype=getattr(torch, dtype), device=devices.device())


def _colors(*shape: int, seed: int, dtype: str = "float64"):
    """A normalized picture (1, 3, H, W) whose colors lie between black and white."""
    import torch

    values = np.random.default_rng(seed).uniform(0.05, 0.95, shape)
    mean, std = (np.array(v)[:, None, None] for v in (MEAN, STD))
    return torch.tensor((values - mean) / std, dtype=getattr(torch, dtype), device=devices.device())


def _row(values, like):
    """Three numbers as (3, 1, 1), to go with a picture."""
    import torch

    return torch.tensor(values, dtype=like.dtype, device=like.device).reshape(3, 1, 1)


def _pieces(network) -> list:
    """Copies of the parameters, to be compared later."""
    return [parameter.detach().clone() for parameter in network.parameters()]


def _alike(label: str, example: Callable, arguments: Callable, rtol: float | None = None) -> Callable:
    """Recognizes a mistake by one call alone, the one with this label: it gave what ``example`` gives for the same arguments.

    So a second fault, say a missing ValueError, does not hide the first. The right answer must differ in this call.
    """
    def when(facts):
        return difference(example(*arguments()), facts[label], rtol) is None
    return when


def _condition(network) -> dict[str, list]:
    """What a function that only looks at a network leaves as it is; the keys say what happened to it."""
    modules = list(network.modules())
    return {
        "its modules are others": [id(m) for m in modules],
        "its mode changed between training and eval": [m.training for m in modules],
        "its ReLUs no longer work in place": [getattr(m, "inplace", None) for m in modules],
        "a hook is left on it": [len(m._forward_hooks) for m in modules],
        "requires_grad of its weights changed": [p.requires_grad for p in network.parameters()],
    }


def _what_changed(network, before: Mapping[str, list]) -> str:
    now = _condition(network)
    return next((what for what in before if now[what] != before[what]), "as it was")


def _as_before(network, before, gradients) -> str:
    import torch

    if not all(torch.equal(a, b.detach()) for a, b in zip(before, network.parameters(), strict=True)):
        return "its weights changed"
    for old, parameter in zip(gradients, network.parameters(), strict=True):
        new = parameter.grad
        if (new is None) != (old is None) or (new is not None and not torch.equal(new, old)):
            return "the .grad of its weights changed"
    return "as it was"


# ---------------------------------------------------------------------------------------------- 13.1 im_convert

_COLORFUL, _ROW_ONLY = "a picture (1, 3, 4, 6), some colors outside of 0..1", "a picture of a single row (1, 3, 1, 5)"


def _colorful():
    return _numbers(1, 3, 4, 6, seed=1, scale=2.0, dtype="float32")  # some colors are brighter than white


def _observe_convert(im_convert, see):
    see.call(im_convert, _colorful(), label=_COLORFUL)
    target = _numbers(1, 3, 5, 2, seed=2, dtype="float32").requires_grad_()
    before = target.detach().clone()
    see.call(im_convert, target, label="a target (1, 3, 5, 2) that requires a gradient", changes_inputs=True)
    same = bool((target.detach() == before).all())
    found = "with other numbers" if not same else "as it was" if target.requires_grad and target.is_leaf else "without its gradient"
    see.fact("the target afterwards", found, implied="as it was")
    see.call(im_convert, _numbers(1, 3, 3, 7, seed=3, dtype="float32").requires_grad_() * 0.5,
             label="a picture (1, 3, 3, 7) that comes out of a computation", changes_inputs=True)
    see.call(im_convert, _numbers(1, 3, 1, 5, seed=4, dtype="float32"), label=_ROW_ONLY)


def as_colors(tensor):
    """Channel by channel in NumPy."""
    values = tensor.detach().cpu().numpy().astype(np.float64)[0]
    channels = [np.clip(v * s + m, 0, 1) for v, m, s in zip(values, MEAN, STD, strict=True)]
    return np.stack(channels, axis=-1).astype(np.float32)


def _convert(undo=lambda x, mean, std: x * std + mean, limit=lambda x: x.clamp(0, 1), axes=(1, 2, 0), reshape: bool = False,
             finish=lambda x: x.numpy()):
    def im_convert(tensor):
        x = tensor.detach().cpu()[0]
        x = limit(undo(x, _row(MEAN, x), _row(STD, x)))
        return finish((x.reshape(x.shape[1], x.shape[2], 3) if reshape else x.permute(*axes)).contiguous())
    return im_convert


def _wrong_convert(diagnosis: str, **fault) -> Mistake:
    example = _convert(**fault)
    return Mistake(diagnosis, example, when=_alike(_COLORFUL, example, lambda: (_colorful(),), rtol=1e-5))


def _convert_in_place(tensor):
    x = tensor.detach()[0]
    x.mul_(_row(STD, x)).add_(_row(MEAN, x))
    return x.clamp(0, 1).permute(1, 2, 0).contiguous().cpu().numpy()


def _convert_switching_off(tensor):
    return as_colors(tensor.requires_grad_(False))


def _convert_squeezed(tensor):
    x = (tensor.detach() * _row(STD, tensor) + _row(MEAN, tensor)).clamp(0, 1).squeeze()
    return x.permute(1, 2, 0).cpu().numpy()


def _only_the_row_is_wrong(facts) -> bool:
    row = facts[_ROW_ONLY]
    return difference(as_colors(_colorful()), facts[_COLORFUL], 1e-5) is None and (isinstance(row, Raised) or row.shape != (1, 5, 3))


im_convert = Exercise(
    "13.1", "im_convert",
    observe=_observe_convert,
    expected=as_colors,
    rtol=1e-5, atol=1e-6,
    parameters=("tensor",),
    mistakes=[
        _wrong_convert("Nothing is clipped: a plot would cut values outside of 0..1, or stretch all the others. Clip to 0..1.",
                       limit=lambda x: x),
        _wrong_convert("(x + mean) * std is the wrong order. Undo the last thing first: multiply by std, then add the mean.",
                       undo=lambda x, mean, std: (x + mean) * std),
        _wrong_convert("Mean and std are exchanged: multiply by std, then add the mean.", undo=lambda x, mean, std: x * mean + std),
        _wrong_convert("The normalization was not undone, only clipped: multiply by std and add the mean first.",
                       undo=lambda x, mean, std: x),
        _wrong_convert("That normalizes a second time. The tensor is normalized already: go the way back, x * std + mean.",
                       undo=lambda x, mean, std: (x - mean) / std),
        _wrong_convert("x * 0.5 + 0.5 undoes another normalization, with 0.5 everywhere. Here each channel has its own mean and std.",
                       undo=lambda x, mean, std: x * 0.5 + 0.5),
        _wrong_convert("You clip before the normalization is undone. The limits 0 and 1 are those of colors: clip at the end.",
                       undo=lambda x, mean, std: x.clamp(0, 1) * std + mean, limit=lambda x: x),
        _wrong_convert("You stretch the smallest number to 0 and the largest to 1: each picture would get other colors. Clip to 0..1.",
                       limit=lambda x: (x - x.min()) / (x.max() - x.min())),
        _wrong_convert("`reshape` deals the values out anew, so the channels are mixed. `permute` moves the axis.", reshape=True),
        _wrong_convert("The channel comes first in what you return. A plot wants (height, width, 3).", axes=(0, 1, 2)),
        _wrong_convert("Height and width are exchanged: the picture lies on its side.", axes=(2, 1, 0)),
        _wrong_convert("These are whole numbers up to 255. Asked is float32 in 0..1.", finish=lambda x: (x * 255).numpy().astype(np.uint8)),
        _wrong_convert("It is still a tensor: `.numpy()` makes the array.", finish=lambda x: x),
        Mistake("In place: your target holds colors of 0..1 now, and the next step starts from there. Compute a new tensor.",
                _convert_in_place,
                when=lambda facts: "in place" in str(facts) or facts.get("the target afterwards") == "with other numbers"),
        Mistake("The target lost its gradient: after the first look at it no step could change it. `detach()` gives you a tensor "
                "without a graph and leaves the target alone.", _convert_switching_off,
                when=lambda facts: facts.get("the target afterwards") == "without its gradient"),
        Mistake("`squeeze()` takes off every axis of length 1, here the only row too. `squeeze(0)` or `[0]` takes off the batch axis alone.",
                _convert_squeezed, when=_only_the_row_is_wrong),
    ],
    hints=[
        "What normalized it? Undo the steps, the last one first.",
        "`detach`, `cpu`, and `permute` on the picture without its batch axis.",
        "`(x.permute(1, 2, 0) * ... + ...).clamp(0, 1).numpy()`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 13.2 vgg_layer_names

# convolutions a block
_NETWORKS = {"VGG19": (2, 2, 4, 4, 4), "VGG16": (2, 2, 3, 3, 3), "VGG13": (2, 2, 2, 2, 2), "a network of three blocks": (3, 1, 2)}


def _vgg(blocks: Sequence[int], batch_norm: bool = False, average: bool = False, tail: bool = True):
    """A network with the modules of a VGG, but few channels."""
    from torch import nn

    layers: list = []
    channels = 3
    for block, convolutions in enumerate(blocks):
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, 2, 3, padding=1)] + [nn.BatchNorm2d(2)] * batch_norm + [nn.ReLU(inplace=True)]
            channels = 2
        if tail or block < len(blocks) - 1:
            layers.append(nn.AvgPool2d(2) if average else nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _vgg_cases():
    for name, blocks in _NETWORKS.items():
        yield name, blocks, {}
    yield "VGG13 with BatchNorm", _NETWORKS["VGG13"], {"batch_norm": True}
    yield "three blocks with BatchNorm", (3, 1, 2), {"batch_norm": True}  # the third of a block is not where steps of 2 lead
    yield "VGG16 with average pooling", _NETWORKS["VGG16"], {"average": True}
    yield "VGG13 without its last pooling", _NETWORKS["VGG13"], {"tail": False}


def _observe_names(vgg_layer_names, see):
    for name, blocks, options in _vgg_cases():
        names = see.call(vgg_layer_names, _vgg(blocks, **options), label=name, record=False, changes_inputs=True,
                         asks="a dictionary")
        kind = "a dictionary" if isinstance(names, dict) else describe(names)
        see.fact(f"{name}: the result", kind, implied="a dictionary")
        if kind != "a dictionary":
            return
        see.fact(f"{name}: the keys", ", ".join(repr(k) for k in names))
        see.fact(f"{name}: the names", ", ".join(str(v) for v in names.values()))


def _names_by_arithmetic(blocks, batch_norm=False, average=False, tail=True) -> dict[int, str]:
    """From the sizes of the blocks alone."""
    step, start, names = 3 if batch_norm else 2, 0, {}
    for block, convolutions in enumerate(blocks, start=1):
        names |= {start + step * n: f"conv{block}_{n + 1}" for n in range(convolutions)}
        start += step * convolutions + 1
    return names


def _reference_names(features):
    for _, blocks, options in _vgg_cases():
        if [type(m) for m in _vgg(blocks, **options)] == [type(m) for m in features]:
            return _names_by_arithmetic(blocks, **options)
    raise ValueError("not a network of this check")


def _walk(first_block: int = 1, first: int = 1, reset: bool = True, text: bool = False, average: bool = True,
          count_all: bool = False, restart: int | None = None, swap: bool = False, early: bool = False):
    def vgg_layer_names(features):
        from torch import nn

        names, block, place = {}, first_block, first
        for index, layer in enumerate(features):
            if isinstance(layer, nn.Conv2d):
                key = len(names) if count_all else index
                names[str(key) if text else key] = f"conv{place}_{block}" if swap else f"conv{block}_{place}"
                place += 1
            elif isinstance(layer, nn.MaxPool2d) or (average and isinstance(layer, nn.AvgPool2d)):
                block, place = block + 1, (first if restart is None else restart) if reset else place
            if early:
                return names
        return names
    return vgg_layer_names


def _by_place(place_of: Callable, others: bool = False):
    """Names whose second number comes from the index and from where the block starts."""
    def vgg_layer_names(features):
        from torch import nn

        names, block, start = {}, 1, 0
        for index, layer in enumerate(features):
            if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
                block, start = block + 1, index + 1
            elif others or isinstance(layer, nn.Conv2d):
                names[index] = f"conv{block}_{place_of(index, start)}"
        return names
    return vgg_layer_names


_VGG19_TABLE = _names_by_arithmetic(_NETWORKS["VGG19"])

vgg_layer_names = Exercise(
    "13.2", "vgg_layer_names",
    observe=_observe_names,
    expected=_reference_names,
    parameters=("features",),
    mistakes=[
        Mistake("You count from 0. The literature starts at conv1_1.", _walk(0, 0)),
        Mistake("Only the blocks count from 0. The literature starts at conv1_1.", _walk(0, 1)),
        Mistake("The second number counts from 0. The literature starts at conv1_1.", _walk(1, 0)),
        Mistake("The second number goes on after a pooling: what you call conv2_3 is conv2_1. Start again at 1.", _walk(reset=False)),
        Mistake("After a pooling the second number starts at 0. It starts at 1 in each block.", _walk(restart=0)),
        Mistake("Block and place are exchanged: conv3_1 is the first convolution of block 3.", _walk(swap=True)),
        Mistake("The second number is the place among all modules. Count the convolutions of the block alone.",
                _by_place(lambda index, start: index + 1),
                when=lambda facts: facts["VGG19: the names"].startswith(("conv1_0, conv1_2, conv2_5", "conv1_1, conv1_3, conv2_6"))),
        Mistake("You count in steps of two modules. With BatchNorm there is a convolution in every third: count the convolutions.",
                _by_place(lambda index, start: (index - start) // 2 + 1)),
        Mistake("Other modules are named too. Only convolutions get a name.", _by_place(lambda index, start: index - start + 1, others=True),
                when=lambda facts: facts["VGG19: the keys"].count(",") > 15),
        Mistake("You return after the first module: `return` belongs behind the loop.", _walk(early=True),
                when=lambda facts: facts["VGG19: the keys"] in ("", "0")),
        Mistake("The pairs are turned around. Asked is index → name.",
                lambda features: {name: index for index, name in _walk()(features).items()},
                when=lambda facts: facts["VGG19: the keys"].startswith("'conv")),
        Mistake("The keys are text. They must be the numbers of the modules, so that `index in layers` finds them.",
                _walk(text=True), when=lambda facts: facts["VGG19: the keys"].startswith("'")),
        Mistake("This is VGG19's table. VGG16 has other indices: derive them from the modules.",
                lambda features: {i: n for i, n in _VGG19_TABLE.items()}),
        Mistake("Only max pooling ends a block in your code. Average pooling ends one too.", _walk(average=False)),
        Mistake("You number the convolutions among themselves. The key is the place among all modules: 0, 2, 5, ...",
                _walk(count_all=True)),
    ],
    hints=[
        "Two counters: one for the block, one within it.",
        "`enumerate(features)` and `isinstance(layer, nn.Conv2d)`.",
        "At a pooling (`nn.MaxPool2d` or `nn.AvgPool2d`): `block, place = ..., ...`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 13.3 get_features

_LAYERS = {0: "conv1_1", 2: "conv1_2", 4: "pool1", 5: "conv2_1"}
_FEW = {2: "conv1_2", 0: "first"}  # not in the order of the network


def _network(seed: int):
    """Convolutions and ReLUs that work in place, in float64; 9 modules."""
    import torch
    from torch import nn

    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(inplace=True),
              nn.MaxPool2d(2), nn.Conv2d(5, 6, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(6, 7, 3, padding=1), nn.ReLU(inplace=True)]
    network = nn.Sequential(*layers).double().eval()
    with torch.no_grad():
        for n, parameter in enumerate(network.parameters()):
            parameter.copy_(_numbers(*parameter.shape, seed=seed + n, scale=0.3, shift=0.1).cpu())
    return network.to(devices.device())


def _observe_features(get_features, see):
    for layers, seed, size in ((_LAYERS, 10, (6, 8)), (_FEW, 30, (5, 9))):
        network = _network(seed)
        late: list[int] = []
        network[7].register_forward_hook(lambda *args, late=late: late.append(1))
        before = _condition(network)
        image = _numbers(1, 3, *size, seed=seed + 1).requires_grad_()
        asked = f"an image (1, 3, {size[0]}, {size[1]}), layers {', '.join(layers.values())}"
        got = see.call(get_features, image, network, dict(layers), label=asked, record=False, changes_inputs=True, asks="a dictionary")
        kind = "a dictionary" if isinstance(got, dict) else describe(got)
        see.fact(f"{asked}: the result", kind, implied="a dictionary")
        if kind != "a dictionary":
            return
        see.fact(f"{asked}: the keys", ", ".join(sorted(map(str, got))))
        if set(got) != set(layers.values()):
            return
        for name in layers.values():
            see.fact(f"{asked}: {name}", got[name])
            if name == "conv1_1" and is_tensor(got[name]):
                low = float(got[name].detach().min())
                see.fact(f"{asked}: are there negative values in {name}", "yes" if low < 0 else "no: its minimum is 0")
        see.fact(f"{asked}: gradient of the image", _gradient(got, layers, image))
        see.fact(f"{asked}: runs of a module after the last one needed", len(late))
        see.fact(f"{asked}: the network afterwards", _what_changed(network, before), implied="as it was")


def _gradient(got, layers, image):
    """Of a weighted sum of all features, so that none can be missing."""
    import torch

    features = [got[name] for name in layers.values()]
    if not all(is_tensor(f) and f.requires_grad for f in features):
        return "none: no way back to the pixels"
    total = sum((n + 1) * (f * torch.cos(torch.arange(f.numel(), device=f.device).reshape(f.shape))).sum()
                for n, f in enumerate(features))
    gradient = torch.autograd.grad(total, image, allow_unused=True)[0]
    return "none: it does not reach your image" if gradient is None else gradient


def features_of(image, model, layers):
    """Outputs of the modules in ``layers``, name -> tensor, by their functions: none works in place."""
    import torch.nn.functional as F
    from torch import nn

    x, found = image, {}
    for index in range(max(layers) + 1):
        layer = model[index]
        if isinstance(layer, nn.Conv2d):
            x = F.conv2d(x, layer.weight, layer.bias, padding=1)
        else:
            x = F.relu(x) if isinstance(layer, nn.ReLU) else F.max_pool2d(x, 2)
        if index in layers:
            found[layers[index]] = x
    return found


def _runs(keep=lambda x: x.clone(), key=lambda index, layers: layers[index], last: Callable | None = max, soon: bool = False,
          early: bool = False, begin=lambda image: image):
    def get_features(image, model, layers):
        x, found = begin(image), {}
        for index, layer in enumerate(model):
            if soon and index == last(layers):
                break
            x = layer(x)
            if index in layers:
                found[key(index, layers)] = keep(x)
                if early:
                    return found
            if last is not None and index == last(layers):
                break
        return found
    return get_features


def _beside(image, model, layers, by: int = 1):
    """The output of the module after the one that was asked for (before it: by=-1)."""
    x, found = image, {}
    for index in range(max(layers) + 1 + max(by, 0)):
        if by < 0 and index in layers:
            found[layers[index]] = x.clone()
        x = model[index](x)
        if by > 0 and index - by in layers:
            found[layers[index - by]] = x.clone()
    return found


def _not_in_place(image, model, layers):
    for layer in model:
        if hasattr(layer, "inplace"):
            layer.inplace = False
    return features_of(image, model, layers)


def _hooks_stay(image, model, layers):
    found = {}
    for index, name in layers.items():
        model[index].register_forward_hook(lambda module, inputs, output, name=name: found.update({name: output.clone()}))
    model[:max(layers) + 1](image)
    return found


_FIRST_ASKED = "an image (1, 3, 6, 8), layers conv1_1, conv1_2, pool1, conv2_1"


def _each_on_the_image(image, model, layers):
    found = {}
    for index, name in layers.items():
        weight = model[index].weight if hasattr(model[index], "weight") else None
        x = image if weight is None or weight.shape[1] == 3 else image.repeat(1, 3, 1, 1)[:, :weight.shape[1]]
        found[name] = model[index](x)
    return found


get_features = Exercise(
    "13.3", "get_features",
    observe=_observe_features,
    expected=features_of,
    parameters=("image", "model", "layers"),
    mistakes=[
        Mistake("These are the outputs of the module after the one that was asked for: the numbers in `layers` count from 0, as "
                "`enumerate` does.", _beside, when=lambda facts: facts[f"{_FIRST_ASKED}: pool1"].shape[1] == 6),
        Mistake("These are the inputs of the modules. Keep what a module gives, after it ran.",
                lambda image, model, layers: _beside(image, model, layers, by=-1)),
        Mistake("There is nothing below 0: the ReLU after it worked in place, and you hold its output. Keep a clone.",
                _runs(keep=lambda x: x), when=lambda facts: any("minimum is 0" in str(v) for v in facts.values())),
        Mistake("The features are detached: there is no path back to the pixels, and their gradient would be None.",
                _runs(keep=lambda x: x.detach().clone()), when=lambda facts: any("no way back" in str(v) for v in facts.values())),
        Mistake("The chain starts from a detached copy of the image: gradients reach the copy, not the pixels. Start from the image itself.",
                _runs(begin=lambda image: image.detach().clone().requires_grad_()),
                when=lambda facts: any("does not reach" in str(v) for v in facts.values())),
        Mistake("Each module got the image. Modules are a chain: each takes what the one before it gives.", _each_on_the_image),
        Mistake("The keys are the numbers of the modules. Use the names: they survive a change of network.",
                _runs(key=lambda index, layers: index),
                when=lambda facts: any("the keys" in k and re.match(r"\d", str(v)) for k, v in facts.items())),
        Mistake("The whole network ran. Stop after the last module that is asked for: the rest is wasted time.",
                _runs(last=None), when=lambda facts: any("runs of a module" in k and v for k, v in facts.items())),
        Mistake("You stop one module too early: the last one that is needed must run.", _runs(soon=True)),
        Mistake("You stop at the last entry of `layers`. They may come in any order: `max(layers)` is the last module needed.",
                _runs(last=lambda layers: list(layers)[-1])),
        Mistake("You return after the first layer that was found: `return` belongs behind the loop.", _runs(early=True)),
        Mistake("You switched the network's ReLUs to work otherwise. It is not yours to change: keep clones.", _not_in_place,
                when=lambda facts: any("no longer work in place" in str(v) for v in facts.values())),
        Mistake("Your hooks stay on the network, one more with each call. Remove them: `handle.remove()`.", _hooks_stay,
                when=lambda facts: any("a hook is left" in str(v) for v in facts.values())),
    ],
    hints=[
        "Run the image through the network module by module, and keep copies on the way.",
        "`enumerate(model)` gives index and module; `max(layers)` is the last index needed.",
        "`x = ...(x)`; where the index is wanted, `found[...] = x.___()`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 13.4 gram_matrix

_MAPS, _ONE_MAP, _TWO = "features (1, 8, 4, 5)", "features (1, 1, 6, 5), a single map", "features (2, 3, 4, 5), a batch of two"


def _observe_gram(gram_matrix, see):
    import torch

    weights = torch.cos(torch.arange(64.0, dtype=torch.float64, device=devices.device())).reshape(8, 8)
    for shape, seed in (((1, 8, 4, 5), 40), ((1, 3, 7, 2), 41)):
        got = see.call(gram_matrix, _numbers(*shape, seed=seed), label=f"features {shape}")
        if not is_tensor(got) or got.ndim != 2:
            return
    turned = _numbers(1, 8, 6, 5, seed=42).transpose(2, 3)
    see.call(gram_matrix, turned, label="features (1, 8, 5, 6), a transposed view", changes_inputs=True)
    last = _numbers(1, 4, 5, 3, seed=43).permute(0, 3, 1, 2)
    see.call(gram_matrix, last, label="features (1, 3, 4, 5) whose channel lies last in memory", changes_inputs=True)
    features = _numbers(1, 8, 3, 4, seed=44).requires_grad_()
    got = see.call(gram_matrix, features, label="features (1, 8, 3, 4) that require a gradient", changes_inputs=True)
    if is_tensor(got) and got.requires_grad and got.shape == weights.shape:
        see.fact("gradient of the features", torch.autograd.grad((got * weights).sum(), features)[0])
    else:
        see.fact("gradient of the features", "none: no way back to the pixels")
    see.call(gram_matrix, _numbers(1, 1, 6, 5, seed=47), label=_ONE_MAP)
    see.raises(gram_matrix, _numbers(2, 3, 4, 5, seed=45), label=_TWO)
    see.raises(gram_matrix, _numbers(3, 2, 4, 5, seed=46), label="features (3, 2, 4, 5), a batch of three")


def gram_of(features):
    import torch

    if features.shape[0] != 1:
        raise ValueError("one picture at a time")
    return torch.einsum("nchw,ndhw->cd", features, features)


def _gram(batch: bool = True, rows=lambda f: f.reshape(f.shape[1], -1), product=lambda f: f @ f.mT, scale=lambda f: 1):
    def gram_matrix(features):
        if features.shape[0] != 1 and batch:
            raise ValueError("one picture at a time")
        return product(rows(features)) / scale(features)
    return gram_matrix


def _covariance(f):
    f = f - f.mean(1, keepdim=True)
    return f @ f.mT


def _cosine(f, centered: bool = False):
    f = f - f.mean(1, keepdim=True) if centered else f
    f = f / f.norm(dim=1, keepdim=True)
    return f @ f.mT


def _maps_right(facts) -> bool:
    return difference(gram_of(_numbers(1, 8, 4, 5, seed=40)), facts[_MAPS]) is None


def _wrong_gram(diagnosis: str, **fault) -> Mistake:
    example = _gram(**fault)
    return Mistake(diagnosis, example, when=_alike(_MAPS, example, lambda: (_numbers(1, 8, 4, 5, seed=40),)))


gram_matrix = Exercise(
    "13.4", "gram_matrix",
    observe=_observe_gram,
    expected=gram_of,
    parameters=("features",),
    mistakes=[
        _wrong_gram("That is pixels times pixels, (HW, HW): the first factor must be F itself, whose rows are the maps.",
                    product=lambda f: f.mT @ f),
        _wrong_gram("`reshape(-1, C)` deals the values out anew: its columns are no maps. Make each map a row, (C, H·W), then F Fᵀ.",
                    rows=lambda f: f.reshape(-1, f.shape[1]).T),
        _wrong_gram("The channels were moved to the end before the maps became rows: each row must be one map.",
                    rows=lambda f: f[0].permute(1, 2, 0).reshape(f.shape[1], -1)),
        _wrong_gram("Rows of pixels were multiplied, map by map. Flatten height and width first: each map is one row of F.",
                    rows=lambda f: f[0]),
        _wrong_gram("You subtract the mean: that is a covariance. A Gram matrix takes the maps as they are.", product=_covariance),
        _wrong_gram("Divided by the lengths of the maps: these are cosines. A Gram matrix takes the maps as they are.", product=_cosine),
        _wrong_gram("That is a correlation: means subtracted, divided by lengths. A Gram matrix takes the maps as they are.",
                    product=lambda f: _cosine(f, centered=True)),
        _wrong_gram("Divided by C·H·W: normalization belongs to the loss, which knows the layer.", scale=lambda f: f.numel()),
        _wrong_gram("Divided by H·W: normalization belongs to the loss, which knows the layer.", scale=lambda f: f[0, 0].numel()),
        _wrong_gram("Divided by C: normalization belongs to the loss, which knows the layer.", scale=lambda f: f.shape[1]),
        Mistake("The features are detached: there is no path back to the pixels.", lambda features: gram_of(features.detach()),
                when=lambda facts: _maps_right(facts) and facts["gradient of the features"] == "none: no way back to the pixels"),
        Mistake("`squeeze()` takes off every axis of length 1, with a single map that one too. `squeeze(0)` or `[0]` takes off the batch "
                "axis alone.", _gram(rows=lambda f: f.squeeze().flatten(1)),
                when=lambda facts: _maps_right(facts) and facts[_ONE_MAP].shape == (6, 6)),
        Mistake("Two pictures give one (2C, 2C) matrix: maps of different pictures are mixed. Refuse them with a ValueError.",
                _gram(batch=False, rows=lambda f: f.flatten(0, 1).flatten(1)),
                when=lambda facts: facts[_TWO] == "returns float64 tensor (6, 6)"),
        Mistake("A batch of two pictures is taken without a word. Look at `features.shape[0]` first, and raise ValueError.",
                _gram(batch=False, rows=lambda f: f[0].flatten(1)), when=lambda facts: str(facts[_TWO]).startswith("returns")),
    ],
    hints=[
        "One row for each map, one column for each pixel.",
        "`features.flatten(2)` on a batch of one; look at `features.shape[0]` first.",
        "`f @ f.___`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 13.5 style_loss

def _style_case(seed: int):
    shapes = {"conv1_1": (1, 3, 4, 5), "conv2_1": (1, 6, 2, 3), "conv4_2": (1, 5, 3, 2)}
    features = {name: _numbers(*shape, seed=seed + n).requires_grad_() for n, (name, shape) in enumerate(shapes.items())}
    grams = {name: gram_of(_numbers(*shape, seed=seed + 10 + n)) for n, (name, shape) in enumerate(reversed(shapes.items()))}
    return features, grams


_TWO_WEIGHTS = {"conv2_1": 0.3, "conv1_1": 1.9}  # neither their sum nor their number is 1, nor are both the same
_WEIGHTED = f"weights {_TWO_WEIGHTS}, features of three layers"


def _observe_style(style_loss, see):
    import torch

    for seed, weights in ((50, _TWO_WEIGHTS), (70, {"conv1_1": 0.25}), (90, {"conv2_1": 40.0, "conv1_1": 2.5})):
        features, grams = _style_case(seed)
        asked = f"weights {weights}, features of three layers"
        got = see.call(style_loss, features, grams, dict(weights), label=asked, changes_inputs=True)
        if not is_tensor(got) or got.ndim:
            return
        inputs = list(features.values())
        found = torch.autograd.grad(got, inputs, allow_unused=True) if got.requires_grad else [None] * 3
        for name, gradient in zip(features, found, strict=True):
            nothing = gradient is None or not gradient.any()
            see.fact(f"{asked}: gradient of {name}", "none" if nothing else gradient)
    features, _ = _style_case(110)
    same = {name: gram_of(f.detach()) for name, f in features.items()}
    see.call(style_loss, features, same, {"conv1_1": 2.0, "conv2_1": 3.0}, label="equal Gram matrices", changes_inputs=True, atol=1e-12)


def style_of(target_features, style_grams, weights):
    """Frobenius norms of the differences."""
    import torch

    total = 0.0
    for name, weight in weights.items():
        f = target_features[name]
        gap = torch.linalg.matrix_norm(gram_of(f) - style_grams[name]) ** 2
        total = total + weight * gap / f.shape[1] ** 2 / f[0].numel()
    return total


def _style(weigh=lambda w: w, size=lambda f: f[0].numel(), reduce=lambda d: d.square().mean(), everything: bool = False,
           combine=lambda terms, weights: sum(terms), finish=lambda total: total):
    def style_loss(target_features, style_grams, weights):
        terms = []
        for name in target_features if everything else weights:
            f = target_features[name]
            terms.append(weigh(weights.get(name, 1.0)) * reduce(gram_of(f) - style_grams[name]) / size(f))
        return finish(combine(terms, weights))
    return style_loss


def _rooted(gap):
    return (gap.square().mean() + 1e-300).sqrt()  # the gradient of a root at 0 is not a number


def _wrong_style(diagnosis: str, **fault) -> Mistake:
    example = _style(**fault)
    return Mistake(diagnosis, example, when=_alike(_WEIGHTED, example, lambda: (*_style_case(50), dict(_TWO_WEIGHTS))))


style_loss = Exercise(
    "13.5", "style_loss",
    observe=_observe_style,
    expected=style_of,
    parameters=("target_features", "style_grams", "weights"),
    mistakes=[
        _wrong_style("The weights are ignored: multiply the term of each layer by its weight.", weigh=lambda w: 1.0),
        _wrong_style("The weight is squared with the difference. Square first, then multiply by the weight.", weigh=lambda w: w * w),
        _wrong_style("The division by C·H·W is missing, so layers with many pixels count most.", size=lambda f: 1),
        _wrong_style("You multiply by C·H·W. Divide by it.", size=lambda f: 1 / f[0].numel()),
        _wrong_style("`/ C * H * W` divides by C alone and multiplies by the others. Divide by (C * H * W), in parentheses.",
                     size=lambda f: f.shape[1] / f[0, 0].numel()),
        _wrong_style("You divide by C² H² W², as some papers do. Here it is C·H·W.", size=lambda f: f[0].numel() ** 2),
        _wrong_style("That is 1 / (4 C² (HW)²) times a sum, as in the papers. Here it is the mean, divided by C·H·W.",
                     size=lambda f: 4 * f[0, 0].numel() ** 2),
        _wrong_style("You divide by H·W. The number of maps C belongs to it.", size=lambda f: f[0, 0].numel()),
        _wrong_style("You divide by C², the size of the Gram matrix; the mean does that already. Divide by C·H·W of the features.",
                     size=lambda f: f.shape[1] ** 2),
        _wrong_style("That is the sum over the entries of the Gram matrix. Asked is their mean.", reduce=lambda d: d.square().sum()),
        _wrong_style("You take absolute differences. Asked are squared ones.", reduce=lambda d: d.abs().mean()),
        _wrong_style("That is the square of the mean: differences up and down cancel. Square first, then take the mean.",
                     reduce=lambda d: d.mean().square()),
        _wrong_style("That is the root of the mean square. Asked is the mean square itself.", reduce=_rooted),
        _wrong_style("A layer that is not in `weights` is counted: the features hold the content layer too. Go through `weights`.",
                     everything=True),
        _wrong_style("Only the first layer is counted. Is the `return` inside the loop?", combine=lambda terms, weights: terms[0]),
        _wrong_style("Only the last layer is counted: add the terms, `total = total + ...`.", combine=lambda terms, weights: terms[-1]),
        _wrong_style("You take the mean over the layers. Asked is the sum of the weighted terms.",
                     combine=lambda terms, weights: sum(terms) / len(terms)),
        _wrong_style("You divide by the sum of the weights. Asked is the sum of the weighted terms.",
                     combine=lambda terms, weights: sum(terms) / sum(weights.values())),
        Mistake("A plain number has no path back to the pixels. Return the tensor, without item().", _style(finish=lambda t: t.item()),
                when=lambda facts: isinstance(facts[_WEIGHTED], float)),
        Mistake("There is no path back to the pixels: item(), detach() or torch.tensor(...) cut it.", _style(finish=lambda t: t.detach()),
                when=lambda facts: facts[f"{_WEIGHTED}: gradient of conv1_1"] == "none"),
    ],
    hints=[
        "One term for each layer that has a weight; the terms are added.",
        "A term is the mean squared difference of two Gram matrices, divided by C·H·W of the features.",
        "`weight * (gram_matrix(f) - G).square().mean() / (... * ... * ...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 13.6 new_target

_PLAIN, _STRIDED = "a content picture (1, 3, 4, 6)", "a content with permuted strides"


def _content():
    return _numbers(1, 3, 4, 6, seed=120)


def _observe_target(new_target, see):
    import torch

    plain = _content()
    carries = _numbers(1, 3, 5, 2, seed=121).requires_grad_() * 2
    strided = _numbers(1, 7, 4, 3, seed=122, dtype="float32").permute(0, 3, 1, 2)
    for asked, content in ((_PLAIN, plain), ("a content that carries a graph", carries), (_STRIDED, strided)):
        before = content.detach().clone()
        target = see.call(new_target, content, label=asked, record=False, changes_inputs=True, asks="a tensor")
        if not is_tensor(target):
            see.fact(f"{asked}: the result", describe(target), implied="a tensor")
            return
        see.fact(f"{asked}: the values", target.detach())
        see.fact(f"{asked}: a leaf", "yes" if target.is_leaf else "no: made by an operation", implied="yes")
        see.fact(f"{asked}: requires a gradient", str(target.requires_grad), implied="True")
        see.fact(f"{asked}: contiguous", str(target.is_contiguous()), implied="True")
        with torch.no_grad():
            target += 1.0
        same = bool((content.detach() == before).all())
        see.fact(f"{asked}: the content, after the target was changed", "as it was" if same else "changed with it", implied="as it was")
    _observe_noise(new_target, see)


def _observe_noise(new_target, see):
    """The noise can be drawn in several ways: what is judged is its distribution."""
    import torch

    content = _numbers(1, 3, 50, 60, seed=123)
    device = content.device

    def drawn(seed, size):
        generator = None if seed is None else torch.Generator(device=device).manual_seed(seed)
        return see.call(new_target, content, size, generator, label=f"noise={size}, generator {'of its own' if seed else 'None'} ({seed})",
                        record=False, asks="a tensor")

    first, again, other, small, free = drawn(5, 0.4), drawn(5, 0.4), drawn(6, 0.4), drawn(7, 0.05), drawn(None, 1.5)
    if not all(is_tensor(t) and t.shape == content.shape for t in (first, again, other, small, free)):
        see.fact("with noise: the shape", "another", implied="that of the content")
        return
    see.fact("with noise: a leaf that requires a gradient", str(first.is_leaf and first.requires_grad), implied="True")
    see.fact("two targets from one seed", "equal" if torch.equal(first, again) else "different", implied="equal")
    see.fact("two targets from two seeds", "equal" if torch.equal(first, other) else "different", implied="different")
    for target, size in ((first, 0.4), (small, 0.05), (free, 1.5)):
        noise = (target.detach() - content).double()
        off, spread, far = (float(v) for v in (noise.mean(), noise.std(), (noise.abs() > size).double().mean()))
        right = abs(off) < 0.06 * size and abs(spread / size - 1) < 0.06 and abs(far - 0.317) < 0.03
        found = f"about {size:g}" if right else f"mean {off:.2f}, spread {spread:.2f}, {far:.0%} beyond {size:g}"
        see.fact(f"noise={size:g}: the spread of normal noise", found, implied=f"about {size:g}")


def _reference_target(content, noise=0.0, generator=None):
    import torch

    values = content.detach().clone(memory_format=torch.contiguous_format)
    z = torch.empty_like(values).normal_(generator=generator)
    return torch.nn.Parameter(values + noise * z)


def _target(make):
    def new_target(content, noise=0.0, generator=None):
        import torch

        with torch.no_grad():
            z = noise * torch.randn(content.shape, generator=generator, dtype=content.dtype, device=content.device) if noise else 0.0
        return make(content, z)
    return new_target


def _shares(content, z):
    return (content.detach() if isinstance(z, float) else content.detach() + z).contiguous().requires_grad_()


def _uniform(content, noise=0.0, generator=None):
    import torch

    z = torch.rand(content.shape, generator=generator, dtype=content.dtype, device=content.device)
    return (content.detach() + noise * z).contiguous().requires_grad_()


def _unseeded(content, noise=0.0, generator=None):
    import torch

    return (content.detach() + noise * torch.randn_like(content)).contiguous().requires_grad_()


def _one_seed(content, noise=0.0, generator=None):
    import torch

    z = torch.randn(content.shape, generator=torch.Generator(content.device).manual_seed(1), dtype=content.dtype, device=content.device)
    return (content.detach() + noise * z).contiguous().requires_grad_()


def _noisy(mix):
    """A right target but for how content, noise and its size are mixed: ``mix(content, size, z)``."""
    def new_target(content, noise=0.0, generator=None):
        import torch

        z = torch.randn(content.shape, generator=generator, dtype=content.dtype, device=content.device)
        return mix(content.detach(), noise, z).contiguous().requires_grad_()
    return new_target


_NOT = "no: made by an operation"


def _values_right(facts) -> bool:
    return difference(_content(), facts[f"{_PLAIN}: the values"]) is None


def _spread(facts) -> float:
    """The spread of the noise where 0.4 was asked for, as far as the message of the check tells it."""
    found = facts["noise=0.4: the spread of normal noise"]
    return 0.4 if found == "about 0.4" else float(re.search(r"spread ([\d.]+)", found)[1])

new_target = Exercise(
    "13.6", "new_target",
    observe=_observe_target,
    expected=_reference_target,
    parameters=("content", "noise", "generator"),
    mistakes=[
        Mistake("No gradient is asked for: the optimizer would have nothing to do.",
                _target(lambda content, z: (content.detach() + z).clone().contiguous()),
                when=lambda facts: facts[f"{_PLAIN}: requires a gradient"] == "False"),
        Mistake("The content is left out: the target is noise alone.", _noisy(lambda content, size, z: size * z),
                when=lambda facts: not facts[f"{_PLAIN}: the values"].any()),
        Mistake("Clamped to 0..1, but the content is normalized: its colors reach from about -2 to 2.6. Clamp nothing here.",
                _noisy(lambda content, size, z: (content + size * z).clamp(0, 1)),
                when=lambda facts: difference(_content().clamp(0, 1), facts[f"{_PLAIN}: the values"]) is None),
        Mistake("`noise` is not used: multiply the random numbers by it, so that noise=0 gives the content itself.",
                _noisy(lambda content, size, z: content + z),
                when=lambda facts: not _values_right(facts) and abs(_spread(facts) - 1) < 0.05),
        Mistake("Both share their memory: the content picture changes with the target. Make a copy.", _target(_shares),
                when=lambda facts: any(v == "changed with it" for v in facts.values())),
        Mistake("Not a leaf: an operation came after the gradient was switched on, and an optimizer refuses the result.",
                _target(lambda content, z: content.detach().clone().requires_grad_() + z + 0.0),
                when=lambda facts: any(v == _NOT for v in facts.values())),
        Mistake("The strides of the content are kept: L-BFGS fails with \"view size is not compatible\". Make it contiguous.",
                _target(lambda content, z: (content.detach() + z).clone().requires_grad_()),
                when=lambda facts: _values_right(facts) and facts[f"{_STRIDED}: contiguous"] == "False"),
        Mistake("The noise is uniform on 0..1, so the picture gets brighter. Asked is normal noise (randn).", _uniform),
        Mistake("`noise` is the standard deviation: multiply the random numbers by `noise` itself, no root and no square.",
                _noisy(lambda content, size, z: content + size ** 0.5 * z),
                when=lambda facts: _values_right(facts) and any(abs(_spread(facts) - wrong) < 0.02 for wrong in (0.4 ** 0.5, 0.4 ** 2))),
        Mistake("The content fades as the noise grows: content * (1 - noise). Asked is the content plus the noise.",
                _noisy(lambda content, size, z: (1 - size) * content + size * z)),
        Mistake("The generator is not used: nobody could repeat your run.", _unseeded),
        Mistake("The noise is the same for every seed: use the generator that was handed over, and make none of your own.", _one_seed,
                when=lambda facts: facts["two targets from two seeds"] == "equal" and abs(_spread(facts) - 0.4) < 0.03),
        Mistake("The noise is left out.", lambda content, noise=0.0, generator=None: _reference_target(content),
                when=lambda facts: _values_right(facts) and _spread(facts) == 0 and facts["two targets from two seeds"] == "equal"),
        Mistake("A single random number moves the whole picture. Draw one for each value: torch.randn(content.shape, ...).",
                _noisy(lambda content, size, z: content + size * z.flatten()[0]),
                when=lambda facts: _values_right(facts) and _spread(facts) == 0 and facts["two targets from two seeds"] == "different"),
    ],
    hints=[
        "A leaf was made by you, not by an operation that autograd watched.",
        "Detach, copy, make contiguous, add the noise; last of all switch the gradient on.",
        "`content.detach().___().contiguous()`; `torch.randn(content.shape, generator=...)`; `.requires_grad_(True)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 13.7 total_variation

_FIRST_IMAGE = "an image (2, 3, 4, 6)"


def _observe_variation(total_variation, see):
    import torch

    for shape, seed in (((2, 3, 4, 6), 130), ((1, 3, 5, 2), 131), ((4, 7), 132), ((3, 2, 5), 133)):
        image = _numbers(*shape, seed=seed).requires_grad_()
        got = see.call(total_variation, image, label=f"an image {shape}", changes_inputs=True)
        if not is_tensor(got) or got.ndim:
            return
        see.fact(f"an image {shape}: gradient", torch.autograd.grad(got, image)[0] if got.requires_grad else "none")
    see.call(total_variation, torch.full((1, 3, 4, 5), 0.7, device=devices.device()), label="a picture of one color", atol=1e-12)


def _reference_variation(image):
    import torch

    return torch.diff(image, dim=-2).square().mean() + torch.diff(image, dim=-1).square().mean()


def _differences(image, axis):
    import torch

    return torch.diff(image, dim=axis)


def _variation(measure=lambda d: d.square().mean(), axes=(-2, -1), combine=sum, differences=_differences):
    def total_variation(image):
        return combine(measure(differences(image, axis)) for axis in axes if -axis <= image.ndim)
    return total_variation


def _joined(parts):
    import torch

    return torch.cat([d.flatten() for d in parts]).square().mean()


def _lengths(image):
    down, right = image.diff(dim=-2)[..., :-1], image.diff(dim=-1)[..., :-1, :]
    return (down.square() + right.square() + 1e-12).sqrt().mean()  # the gradient of a root at 0 is not a number


def _wrong_variation(diagnosis: str, example: Callable, rtol: float | None = None) -> Mistake:
    return Mistake(diagnosis, example, when=_alike(_FIRST_IMAGE, example, lambda: (_numbers(2, 3, 4, 6, seed=130),), rtol))


total_variation = Exercise(
    "13.7", "total_variation",
    observe=_observe_variation,
    expected=_reference_variation,
    parameters=("image",),
    mistakes=[
        _wrong_variation("Differences with their signs: rises and falls cancel. Square them first.", _variation(lambda d: d.mean())),
        _wrong_variation("That is the square of the mean: rises and falls cancel. Square first, then take the mean.",
                         _variation(lambda d: d.mean().square())),
        _wrong_variation("The rows are missing: each pixel has a neighbor below it too.", _variation(axes=(-1,))),
        _wrong_variation("The columns are missing: each pixel has a neighbor on its right too.", _variation(axes=(-2,))),
        _wrong_variation("You take absolute differences. Asked are squared ones.", _variation(lambda d: d.abs().mean())),
        _wrong_variation("Roots of the two means are added. Asked are the means of the squares themselves.",
                         _variation(lambda d: d.square().mean().sqrt())),
        _wrong_variation("That is the mean length of (down, right), the classic total variation. Here: the mean of the squares of each.",
                         _lengths, rtol=1e-3),
        _wrong_variation("You compare colors with each other. Neighbors are pixels: only the last two axes.", _variation(axes=(-3, -2))),
        _wrong_variation("All three axes: colors are no neighbors. Only the last two axes.", _variation(axes=(-3, -2, -1))),
        _wrong_variation("The axes are counted from the front, where batch and colors lie. Height and width are the last two: `[..., 1:, :]`.",
                         _variation(axes=(0, 1))),
        _wrong_variation("Sums grow with the picture. Take the mean of each direction.", _variation(lambda d: d.square().sum())),
        _wrong_variation("You divide both sums by the number of pixels. There are fewer differences than pixels: take the mean of each direction.",
                         lambda image: _variation(lambda d: d.square().sum())(image) / image.numel()),
        _wrong_variation("The mean of both directions: asked is their sum.", _variation(combine=lambda terms: sum(terms) / 2)),
        _wrong_variation("One mean over all differences: take one for each direction, and add the two.",
                         _variation(lambda d: d, combine=lambda parts: _joined(list(parts)))),
        _wrong_variation("`roll` wraps round: the last row is no neighbor of the first. Use slices, or torch.diff.",
                         _variation(differences=lambda image, axis: image - image.roll(1, axis))),
        _wrong_variation("Each pixel is compared with the one below and to the right, across the corner. Asked are two directions, one by one.",
                         lambda image: (image[..., 1:, 1:] - image[..., :-1, :-1]).square().mean()),
        Mistake("A plain number has no gradient. Return the tensor, without item().", lambda image: _reference_variation(image).item(),
                when=lambda facts: isinstance(facts[_FIRST_IMAGE], float)),
        Mistake("There is no path back to the pixels: item(), detach() or numpy() cut it.", lambda image: _reference_variation(image.detach()),
                when=lambda facts: facts[f"{_FIRST_IMAGE}: gradient"] == "none"
                and difference(_reference_variation(_numbers(2, 3, 4, 6, seed=130)), facts[_FIRST_IMAGE]) is None),
    ],
    hints=[
        "Subtract each pixel from its neighbor, downwards and to the right.",
        "Two slices an axis: all but the first, all but the last. (Or `torch.diff`.)",
        "`(image[..., 1:] - image[..., ___]).square().mean()`, and the same for the rows with `[..., 1:, :]`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 13.8 stylize

_STYLE_LAYERS = {"conv1_1": 1.0, "conv2_1": 0.6}
_NUMBERED = {0: "conv1_1", 2: "conv1_2", 5: "conv2_1"}


def _observe_stylize(stylize, see):
    for frozen, alpha, beta, steps, lr, content_size, style_size in (
            (False, 1.0, 0.02, 30, 0.05, (24, 20), (16, 28)), (True, 3.0, 0.004, 6, 0.1, (10, 14), (12, 8))):
        network = _network(160 + steps).requires_grad_(not frozen)
        content, style = _colors(1, 3, *content_size, seed=140 + steps), _colors(1, 3, *style_size, seed=150 + steps) * 0.5
        asked = f"content {content_size}, style {style_size}, alpha={alpha:g}, beta={beta:g}, {steps} steps"
        before = _pieces(network)
        parts = see.call(stylize, content, style, network, dict(_NUMBERED), dict(_STYLE_LAYERS), "conv1_2", alpha, beta, steps, lr,
                         label=asked, record=False, asks="a picture and a history")
        kind = "a picture and a history" if isinstance(parts, tuple | list) and len(parts) == 2 else describe(parts)
        see.fact(f"{asked}: the result", kind, implied="a picture and a history")
        if kind != "a picture and a history":
            return
        see.fact(f"{asked}: the network", _as_before(network, before, [None] * len(before)), implied="as it was")
        if not _observe_run(asked, parts, content, steps, see):
            return
    # one more: the style picture is the content picture
    network, content = _network(170), _colors(1, 3, 8, 10, seed=171)
    parts = stylize(content.clone(), content.clone(), network, dict(_NUMBERED), dict(_STYLE_LAYERS), "conv1_2", 1.0, 10.0, 2, 0.05)
    see.fact("style = content: first total", float(parts[1][0]), atol=1e-9)


def _observe_run(asked, parts, content, steps, see) -> bool:
    picture, history = parts
    if not isinstance(history, list) or not all(isinstance(v, float) for v in history) or len(history) != steps:
        if isinstance(history, list) and history and is_tensor(history[0]):
            found = "tensors: each keeps its graph alive" if history[0].requires_grad else "tensors"
        elif isinstance(history, list) and history and not isinstance(history[0], float):
            found = f"a list of {len(history)}, the first of them {describe(history[0])}"
        else:
            found = f"{len(history)} values" if isinstance(history, list) else describe(history)
        see.fact(f"{asked}: the history", found, implied=f"a list of {steps} floats")
        return False
    see.fact(f"{asked}: first total", history[0], rtol=1e-5)
    see.fact(f"{asked}: second total", history[1], rtol=1e-4)
    if not is_tensor(picture) or picture.shape != content.shape:
        see.fact(f"{asked}: the picture", describe(picture), implied=f"a tensor {tuple(content.shape)}")
        return False
    see.fact(f"{asked}: the picture's graph", "one" if picture.requires_grad else "none", implied="none")
    colors = picture.detach() * _row(STD, picture) + _row(MEAN, picture)
    low, high = float(colors.min()), float(colors.max())
    inside = "between black and white" if low > -1e-5 and high < 1 + 1e-5 else f"from {low:.2f} to {high:.2f}, 0 is black and 1 white"
    see.fact(f"{asked}: its colors", inside, implied="between black and white")
    see.fact(f"{asked}: totals", np.array(history), rtol=1e-4, atol=1e-3)
    see.fact(f"{asked}: the picture", picture.detach(), rtol=1e-5, atol=2e-3)
    return True


def _to_colors(target, content):
    lo, hi = ((c - _row(MEAN, content)) / _row(STD, content) for c in (0.0, 1.0))
    target.copy_(target.clamp(lo, hi))


def _stylize(weigh=lambda a, b, alpha, beta: alpha * a + beta * b, gap=lambda f, g: (f - g).square().mean(),
             optimizer=lambda pictures, lr: _adam(pictures, lr), stepping: bool = True, clamp=_to_colors, at_end=None, grads: bool = False,
             after: bool = False, network: bool = False, of_content: bool = False, everywhere: bool = False, renew: bool = False,
             kept=lambda total, style: total, start=lambda content: _reference_target(content)):
    """An answer with a right course and one fault."""
    def stylize(content, style, model, layers, style_weights, content_layer, alpha=1.0, beta=1e3, steps=30, lr=0.05):
        import torch

        with torch.no_grad():
            aims = features_of(content, model, layers)
            grams = {name: gram_of(f) for name, f in (aims if of_content else features_of(style, model, layers)).items()}
        target, history = start(content), []

        def losses():
            found = features_of(target, model, layers)
            a = sum(gap(found[name], aims[name]) for name in (aims if everywhere else [content_layer]))
            b = style_of(found, grams, style_weights)
            return weigh(a, b, alpha, beta), b

        steps_of = optimizer(model.parameters() if network else [target], lr * 1e-3 if network else lr)
        for _ in range(steps):
            total, b = losses()
            if not after:
                history.append(kept(total, b).item())
            if grads or network:
                steps_of.zero_grad()
                total.backward()
            else:
                target.grad, = torch.autograd.grad(total, [target])
            if stepping:
                steps_of.step()
            with torch.no_grad():
                if clamp is not None:
                    clamp(target, content)
                if after:
                    history.append(losses()[0].item())
            if renew:
                target = target.detach().clone().requires_grad_()
        if at_end is not None:
            with torch.no_grad():
                at_end(target, content)
        return target.detach(), history
    return stylize


def _adam(pictures, lr):
    import torch

    return torch.optim.Adam(pictures, lr=lr)


def _sgd(pictures, lr):
    import torch

    return torch.optim.SGD(pictures, lr=lr)


def _all_equal(facts) -> bool:
    totals = facts[f"{_FIRST}: totals"]
    return np.ptp(totals) == 0 and totals[0] != 0


def _still_from_the_second_on(facts) -> bool:
    totals = facts[f"{_FIRST}: totals"]
    return np.ptp(totals[1:]) == 0 and totals[0] != totals[1]


def _reference_stylize(content, style, model, layers, style_weights, content_layer, alpha=1.0, beta=1e3, steps=30, lr=0.05):
    """Adam written out."""
    import torch

    lo, hi = ((c - _row(MEAN, content)) / _row(STD, content) for c in (0.0, 1.0))
    with torch.no_grad():
        aim = features_of(content, model, layers)[content_layer]
        grams = {name: gram_of(f) for name, f in features_of(style, model, layers).items()}
    x, m, v, history = content.detach().clone(), 0.0, 0.0, []
    for step in range(1, steps + 1):
        x.requires_grad_()
        found = features_of(x, model, layers)
        total = alpha * (found[content_layer] - aim).square().mean() + beta * style_of(found, grams, style_weights)
        g, = torch.autograd.grad(total, x)
        history.append(total.item())
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x = x.detach() - lr * (m / (1 - 0.9 ** step)) / ((v / (1 - 0.999 ** step)).sqrt() + 1e-8)
        x = x.clamp(lo, hi)
    return x, history


_FIRST = "content (24, 20), style (16, 28), alpha=1, beta=0.02, 30 steps"

stylize = Exercise(
    "13.8", "stylize",
    observe=_observe_stylize,
    expected=_reference_stylize,
    seconds=30.0,
    parameters=("content", "style", "model", "layers", "style_weights", "content_layer", "alpha", "beta", "steps", "lr"),
    mistakes=[
        Mistake("All totals are equal: the picture never moves. Is optimizer.step() missing?", _stylize(stepping=False), when=_all_equal),
        Mistake("The total stands still from the second step on: the name `target` points to a new tensor, and the optimizer changes the old "
                "one. Clamp in place: `clamp_` under no_grad.", _stylize(renew=True), when=_still_from_the_second_on),
        Mistake("All totals are 0: the Gram matrices that you aim at are those of the content. Take them from the style.",
                _stylize(of_content=True), when=lambda facts: not facts[f"{_FIRST}: totals"].any()),
        Mistake("α and β are swapped: at the start the content term is 0, so the first total is β times the style loss.",
                _stylize(weigh=lambda a, b, alpha, beta: beta * a + alpha * b)),
        Mistake("α and β are left out: the total is alpha * content + beta * style.", _stylize(weigh=lambda a, b, alpha, beta: a + b)),
        Mistake("β is left out: the total is alpha * content + beta * style.", _stylize(weigh=lambda a, b, alpha, beta: alpha * a + b)),
        Mistake("α is left out: the total is alpha * content + beta * style.", _stylize(weigh=lambda a, b, alpha, beta: a + beta * b)),
        Mistake("The history holds the style loss alone. Asked is the total.", _stylize(kept=lambda total, style: style)),
        Mistake("The history holds the totals after the updates. The first entry is the start.", _stylize(after=True)),
        Mistake("The content loss is a sum over the features. Asked is the mean.", _stylize(gap=lambda f, g: (f - g).square().sum())),
        Mistake("The content loss is half a sum, as in the first paper. Asked is the mean.",
                _stylize(gap=lambda f, g: (f - g).square().sum() / 2)),
        Mistake("The content loss is divided by the mean square of the features. Here it is the plain mean squared difference; the "
                "normalization comes in with alpha.", _stylize(gap=lambda f, g: (f - g).square().mean() / g.square().mean())),
        Mistake("The content loss counts every layer. Only `content_layer` belongs to it.", _stylize(everywhere=True)),
        Mistake("The rate is fixed: hand `lr` to the optimizer.", _stylize(optimizer=lambda pictures, lr: _adam(pictures, 0.05))),
        Mistake("These are steps of plain gradient descent. Asked is Adam.", _stylize(optimizer=_sgd)),
        Mistake("The network was trained: its weights changed, the picture did not. Only the target goes into the optimizer.",
                _stylize(network=True), when=lambda facts: any(v == "its weights changed" for v in facts.values())),
        Mistake("backward() also fills the .grad of every weight that is not frozen. Ask for one gradient: "
                "torch.autograd.grad(total, [target]).", _stylize(grads=True),
                when=lambda facts: any("the .grad" in str(v) for v in facts.values())),
        Mistake("You clamp to 0..1. The target is normalized: black is (0 - mean) / std, white (1 - mean) / std.",
                _stylize(clamp=lambda target, content: target.copy_(target.clamp(0, 1)))),
        Mistake("You clamp to the smallest and the largest number of the content. Black and white do not depend on the picture: "
                "(0 - mean) / std and (1 - mean) / std.",
                _stylize(clamp=lambda target, content: target.copy_(target.clamp(content.min(), content.max())))),
        Mistake("You clamp once, at the end. Asked is a clamp after each step: the next loss is that of colors one can see.",
                _stylize(clamp=None, at_end=_to_colors)),
        Mistake("Some colors are darker than black or brighter than white. Clamp after each step.", _stylize(clamp=None),
                when=lambda facts: any("0 is black" in str(v) for v in facts.values())),
        Mistake("With style = content the first total must be 0, and yours is not: either the picture does not start as a copy of the "
                "content, or there is a term in the total that was not asked for.", _stylize(start=lambda content: _reference_target(content * 0)),
                when=lambda facts: facts["style = content: first total"] > 1e-6),
    ],
    hints=[
        "What goes into the optimizer? One tensor.",
        "Features of content and style are needed once, under `torch.no_grad()`; those of the target in each step.",
        "In each step: features, total, `history.append(...)`, `target.grad, = torch.autograd.grad(...)`, step; then under no_grad "
        "`target.___(lo, hi)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("13", [
    Question("How does a network tell style from content?",
             ("Gram matrices of its features forget positions: what is left is style.",
              "Shuffle the pixels of the features, and the Gram matrix stays."),
             [("Style is in the last layer, content in the first.",
               "No: style is read from five layers, fine and coarse, and content from a deep one."),
              ("It was trained with examples of painters.", "No: it was trained to name objects, and nobody told it of style."),
              ("Style is the difference of two pictures.", "No: pixel differences mix both.")]),
    Question("A layer has 64 maps of 100 × 80 pixels. How large is its Gram matrix? And for a picture twice as wide and high?",
             ("64 × 64, both times.", "The pixels are summed over. That is why the style picture may have any size."),
             [("8,000 × 8,000, then 32,000 × 32,000.", "That is pixels times pixels, the wrong way round."),
              ("64 × 64, then 128 × 128.", "The number of maps does not depend on the picture."),
              ("64 × 100 × 80.", "That is the size of the features themselves.")]),
    Question("α/β = 1e-4 in place of 1e-1. What do you get?",
             ("More style.", "Against α, the weight β of style is 1,000 times larger."),
             [("More content.", "You read the ratio upside down: α weighs content, and it got smaller."),
              ("The same picture: only the scale of the loss differs.", "Only if both were multiplied by one number."),
              ("A network that learns faster.", "Nothing is trained here.")]),
    Question("Which tensors get into the optimizer?",
             ("Only the target: `[target]`.", "One tensor, the pixels."),
             [("The parameters of the network.", "Then the measuring device would change, not the picture."),
              ("Target, content and style.", "Content and style are fixed: they are what we aim at."),
              ("The Gram matrices.", "They follow from the pixels; nobody can set them freely.")]),
    Question("What is the content loss at step 0 if you start from a copy of the content picture?",
             ("Exactly 0, and so is its gradient; from noise it is large.", "The first step is pure style."),
             [("Large: nothing has been optimized yet.", "From noise it is. A copy has the very features that we aim at."),
              ("1, as it is normalized.", "It is divided by the mean square of the features, and 0 divided by anything is 0."),
              ("It is not defined.", "It is a mean of squares, here of zeros.")]),
    Question("More weight on conv5_1 gives …",
             ("larger structures.", "Each of its values sees a large piece of the picture."),
             [("finer detail.", "Early layers do that: a value of conv1_1 sees 3 × 3 pixels."),
              ("more exact colors.", "Colors are what conv1_1 measures."),
              ("a sharper content.", "The Gram matrix of any layer forgets where things are.")]),
    Question("Your loss is 2,000,000. Is that good?",
             ("Nobody knows: it depends on network, normalization and β. Compare with the start.",
              "Only a ratio within one set-up means anything."),
             [("No, a loss should be below 1.", "Multiply β by 1e6, and the very same picture has a loss a million times larger."),
              ("Yes, it started at 50,000,000 in a paper.", "In another network, with other weights."),
              ("No: the gradient has exploded.", "A large loss is no explosion. Does it fall?")]),
    Question("You shuffle the feature vectors of all pixels in the same way. Which loss changes?",
             ("Only the content loss.", "A Gram matrix is a sum over pixels, and a sum has no order."),
             [("Only the style loss.", "It is the other way round."),
              ("Both.", "The Gram matrix sums over pixels. In which order does not matter."),
              ("Neither.", "Content compares pixel with pixel: the eye is no longer where it was.")]),
])


# ---------------------------------------------------------------------------------------------- pictures and layers

class UnknownLayer(ValueError):
    """There is no layer of this name. Notebooks show the message without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"✗ {self}"]


def layers_named(names: Mapping[int, str], wanted: Sequence[str]) -> dict[int, str]:
    """The part of ``names`` that is wanted, index -> name, in the order of the network.

    Raises UnknownLayer if the network has no layer of such a name.
    """
    for name in wanted:
        if name not in names.values():
            near = difflib.get_close_matches(str(name), names.values(), n=1, cutoff=0.5)
            guess = f" (did you mean {near[0]}?)" if near else ""
            raise UnknownLayer(f"the network has no layer {name!r}{guess}; it has {', '.join(names.values()) or 'no names'}")
    return {index: name for index, name in names.items() if name in wanted}


def read_picture(source: str | Path | bytes, longest: int) -> np.ndarray:
    """A picture of your own, its longer side ``longest`` pixels: (H, W, 3) uint8. UnusablePhoto says what is amiss.

    Gray pictures get three equal channels; what is transparent becomes white.
    """
    from helpers.photos import read_photo

    return scaled(read_photo(source), longest)


def scaled(picture: np.ndarray, longest: int) -> np.ndarray:
    """The picture (H, W, 3) uint8 with its longer side at ``longest`` pixels; no side gets below 16, which five blocks need."""
    from PIL import Image

    factor = longest / max(picture.shape[:2])
    height, width = (max(16, round(side * factor)) for side in picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def receptive_field(features, index: int) -> int:
    """How many pixels a side one value of module ``index`` can see. Convolutions and poolings without dilation."""
    sees, jump = 1, 1
    for layer in list(features)[: index + 1]:
        if hasattr(layer, "kernel_size"):
            kernel, stride = (v[0] if isinstance(v, tuple) else v for v in (layer.kernel_size, layer.stride))
            sees, jump = sees + (kernel - 1) * jump, jump * stride
    return sees


def network_here(name: str):
    """A pretrained network if its weights are on this machine, else None, with one printed line; downloads nothing."""
    from helpers import models
    from helpers.weights import UnusableWeights

    path = models._found(name)
    if path is not None:
        with contextlib.suppress(UnusableWeights):
            return models.load_backbone(name, file=path)
    print(f"○ The weights of {name} are not on this machine, so the comparison goes on without it.")
    return None


def _picture(tensor) -> np.ndarray:
    """A normalized tensor (1, 3, H, W) as (H, W, 3) in 0..1, or an array as it is."""
    return as_colors(tensor) if is_tensor(tensor) else np.asarray(tensor)


def clamp_(tensor) -> None:
    """Bring a normalized picture into the colors between black and white, in place and unseen by autograd."""
    import torch

    with torch.no_grad():
        low, high = ((c - _row(MEAN, tensor)) / _row(STD, tensor) for c in (0.0, 1.0))
        tensor.copy_(tensor.clamp(low, high))


# ---------------------------------------------------------------------------------------------- running an optimizer

@dataclass
class Run:
    """What came of an optimization: the picture, and the losses at each evaluation.

    picture (1, 3, H, W) clamped; history: (content, style, total) at each evaluation, from the start; before and after: the
    same three when it ended, before and after the colors were clamped; strip: evaluation -> (H, W, 3) in 0..1.
    """

    name: str
    picture: object
    history: list[tuple[float, float, float]]
    before: tuple[float, float, float]
    after: tuple[float, float, float]
    strip: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def totals(self) -> list[float]:
        return [total for _, _, total in self.history]

    def __repr__(self) -> str:
        content, style, total = self.before
        return f"{self.name:22} content {content:.3f}   style {style:.3f}   total {total:.3f}   clamped {self.after[2]:.3f}"


def optimize(terms: Callable, start, *, beta: float = 10.0, method: str = "L-BFGS", rate: float = 1.0, evaluations: int = 100,
             extra: Callable | None = None, keep: Sequence[int] = (), name: str = "") -> Run:
    """Change a picture until ``content + beta * style`` is small.

    Args:
        terms: picture -> (content loss, style loss), two scalars.
        start: where to begin, (1, 3, H, W) normalized; stays as it is.
        method: "L-BFGS" (history of 20 steps, no line search; clamped once, at the end) or "Adam" (clamped after each step).
        rate: learning rate; extra: picture -> one more term of the total; keep: evaluations whose picture is kept.
    """
    import torch

    target = start.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    history: list[tuple[float, float, float]] = []
    strip: dict[int, np.ndarray] = {}

    def measured():
        content, style = terms(target)
        total = content + beta * style + (extra(target) if extra is not None else 0.0)
        return total, tuple(float(v.detach()) if is_tensor(v) else float(v) for v in (content, style, total))

    def closure():
        if len(history) in keep:
            strip[len(history)] = as_colors(target)
        total, numbers = measured()
        history.append(numbers)
        target.grad, = torch.autograd.grad(total, [target])
        return total

    if method == "L-BFGS":
        optimizer = torch.optim.LBFGS([target], lr=rate, history_size=20, max_iter=evaluations, max_eval=evaluations,
                                      tolerance_grad=0.0, tolerance_change=0.0)
        optimizer.step(closure)
    elif method == "Adam":
        optimizer = torch.optim.Adam([target], lr=rate)
        for _ in range(evaluations):
            closure()
            optimizer.step()
            clamp_(target)
    else:
        raise ValueError(f"method is \"L-BFGS\" or \"Adam\", not {method!r}")
    with torch.no_grad():
        before = measured()[1]
        clamp_(target)
        after = measured()[1]
    if len(history) in keep or evaluations in keep:
        strip[evaluations] = as_colors(target)
    return Run(name or method, target.detach(), history, before, after, strip)


# ---------------------------------------------------------------------------------------------- figures

def _row_of(pictures: Mapping[str, object], width: float = 2.3, columns: int = 0):
    """A figure with pictures side by side, titled by their keys."""
    arrays = {title: _picture(p) for title, p in pictures.items()}
    columns = columns or len(arrays)
    rows = -(-len(arrays) // columns)
    tallest = max(a.shape[0] / a.shape[1] for a in arrays.values())
    fig, axes = plots.figure(rows, columns, size=(width * columns, rows * (width * tallest + 0.27)), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (title, array) in zip(axes.flat, arrays.items(), strict=False):
        ax.imshow(array, cmap="gray", interpolation="nearest")
        ax.set_title(title, fontsize=min(11, 120 * width / len(title)))  # a long title must not run into its neighbor's
    return fig


def _show_row(fig, alt: str) -> None:
    """Photographs need all 256 colors; the committed notebooks, with seventeen figures, must do with fewer."""
    plots.show(fig, alt=alt, dpi=72, colors=32 if os.environ.get("COURSE_PUBLISH") == "1" else 256)


def show_pictures(pictures: Mapping[str, object], alt: str, width: float = 2.3, columns: int = 0) -> None:
    """Pictures side by side. Args: title -> normalized tensor (1, 3, H, W) or array; alt, what is to be seen."""
    _show_row(_row_of(pictures, width, columns), alt)


def show_goal(content: np.ndarray, style: np.ndarray, evaluations: int = 100) -> None:
    """What the lesson is after: content, style, and a target painted by the functions of this module.

    Args: two pictures (H, W, 3) of 0..255.
    """
    import torch

    from helpers.models import load_backbone

    tiny = load_backbone("tiny")
    network = tiny.features.to(devices.device()).requires_grad_(False)
    layers = layers_named(tiny.layer_names, [*STYLE_WEIGHTS, CONTENT_LAYER])

    def features(picture):
        colors = torch.tensor(picture / 255, dtype=torch.float32, device=devices.device()).permute(2, 0, 1)
        normalized = ((colors - _row(MEAN, colors)) / _row(STD, colors))[None]
        return normalized, features_of(normalized, network, layers)

    start, wanted = features(content)
    grams = {name: gram_of(f) for name, f in features(style)[1].items()}
    weights = {name: 1 / (len(STYLE_WEIGHTS) * style_of(wanted, grams, {name: 1.0}).item()) for name in STYLE_WEIGHTS}

    def terms(target):
        found = features_of(target, network, layers)
        gap = (found[CONTENT_LAYER] - wanted[CONTENT_LAYER]).square().mean() / wanted[CONTENT_LAYER].square().mean()
        return gap, style_of(found, grams, weights)

    painted = optimize(terms, start, evaluations=evaluations).picture
    show_pictures({"content": content, "style": style, "target": painted}, width=3,
                  alt="Content, style, and a target: what is there comes from the first, strokes and colors from the second. Your own "
                      "code will paint such a picture.")


def show_strip(run: Run, alt: str = "") -> None:
    """How the picture changed. Args: a Run made with ``keep``."""
    pictures = {("start" if n == 0 else f"{n} evaluations"): picture for n, picture in run.strip.items()}
    _show_row(_row_of(pictures, width=2.1), alt or f"The picture at the start and after {', '.join(str(n) for n in run.strip if n)} "
                                                   "evaluations: first grain and colors of the style, then strokes; the content stays.")


def show_layout() -> None:
    """Three pictures go through one frozen network; only one of them changes."""
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    fig, ax = plots.figure(size=(9, 3.3))
    ax.set(xlim=(0, 9), ylim=(0, 3.3))
    ax.set_axis_off()

    def box(x, y, w, text, color, fill="white"):
        ax.add_patch(FancyBboxPatch((x, y), w, 0.56, boxstyle="round,pad=0.06", facecolor=fill, edgecolor=color, linewidth=2))
        ax.text(x + w / 2, y + 0.28, text, ha="center", va="center", fontsize=11)

    def arrow(a, b, color, bend=0.0, style="-|>"):
        ax.add_patch(FancyArrowPatch(a, b, arrowstyle=style, mutation_scale=15, color=color, linewidth=2,
                                     connectionstyle=f"arc3,rad={bend}"))

    for y, name, color in ((2.5, "content", plots.BLUE), (1.4, "target", plots.RED), (0.3, "style", plots.GREEN)):
        box(0.15, y, 1.3, name, color)
        arrow((1.55, y + 0.28), (2.65, y + 0.28), color)
    ax.add_patch(FancyBboxPatch((2.75, 0.25), 1.4, 2.86, boxstyle="round,pad=0.05", facecolor="#EEEEEE", edgecolor=plots.GREY, linewidth=2))
    ax.text(3.45, 1.68, "network\n(frozen)", ha="center", va="center", fontsize=12)
    box(5.0, 2.1, 2.2, "content loss: conv4_2", plots.BLUE)
    box(5.0, 0.65, 2.2, "style loss: 5 layers", plots.GREEN)
    for a, b, color in (((4.25, 2.78), (4.9, 2.5), plots.BLUE), ((4.25, 1.85), (4.9, 2.25), plots.RED),
                        ((4.25, 1.5), (4.9, 1.05), plots.RED), ((4.25, 0.58), (4.9, 0.85), plots.GREEN)):
        arrow(a, b, color)
    box(7.75, 1.4, 1.05, "α · + β ·", plots.BLACK)
    arrow((7.3, 2.3), (7.95, 2.06), plots.BLACK)
    arrow((7.3, 1.0), (7.95, 1.32), plots.BLACK)
    ax.annotate("", xy=(0.8, 1.3), xytext=(8.3, 1.3), arrowprops={"arrowstyle": "-|>", "color": plots.RED, "linewidth": 2,
                                                                 "linestyle": "--", "connectionstyle": "arc3,rad=-0.33"})
    ax.text(7.6, 0.2, "gradient, to the pixels only", color=plots.RED, ha="center", fontsize=11)
    plots.show(fig, dpi=88, alt="Content, target and style picture go through one frozen network. Two losses compare the target with the "
                                "others; the gradient goes back to the pixels of the target only.")


def show_gram(maps) -> None:
    """A matrix of maps (C, H*W), its transpose, and their product."""
    from matplotlib.patches import Rectangle

    maps = np.asarray(maps.detach().cpu())
    gram = maps @ maps.T
    fig, axes = plots.figure(1, 3, size=(9, 3.1), width_ratios=[maps.shape[1] / 8, 1, 1])
    limits = np.abs(maps).max(), np.abs(maps).max(), np.abs(gram).max()
    titles = (f"F: {maps.shape[0]} maps × {maps.shape[1]} pixels", f"Fᵀ: {maps.shape[1]} × {maps.shape[0]}",
              f"G = F Fᵀ: {gram.shape[0]} × {gram.shape[1]}")
    for ax, values, limit, title in zip(axes, (maps, maps.T, gram), limits, titles, strict=True):
        ax.imshow(values, cmap=plots.DIVERGING, vmin=-limit, vmax=limit)
        ax.set_title(title, fontsize=11.5)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
    c, d = 3, 1  # maps 4 and 2
    for ax, (x, y, w, h) in zip(axes, ((-0.5, c - 0.5, maps.shape[1], 1), (d - 0.5, -0.5, 1, maps.shape[1]), (d - 0.5, c - 0.5, 1, 1)),
                                strict=True):
        ax.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=plots.BLACK, linewidth=2.5))
    plots.show(fig, dpi=88, alt="Maps as rows, times their transpose, is a small square matrix. Framed: map 4, map 2, and the entry of the "
                                "Gram matrix that is their inner product.")


def show_shuffle(maps, order, gram_of: Callable) -> None:
    """A feature map before and after its pixels were shuffled, with both Gram matrices.

    Args: maps (1, C, H, W); order, a permutation of H*W; gram_of, features -> (C, C).
    """
    mixed = maps.flatten(2)[:, :, order].reshape(maps.shape)
    fig, axes = plots.figure(1, 4, size=(10, 2.6))
    for place, (features, word) in enumerate(((maps, "as it is"), (mixed, "shuffled"))):
        axes[2 * place].imshow(features[0, 1].detach().cpu(), cmap="gray")
        axes[2 * place].set_title(f"a map, {word}", fontsize=11.5)
        axes[2 * place + 1].imshow(gram_of(features).detach().cpu(), cmap="viridis")
        axes[2 * place + 1].set_title(f"Gram matrix, {word}", fontsize=11.5)
    for ax in axes:
        ax.set_axis_off()
    plots.show(fig, dpi=72, colors=64, alt="A feature map shows the content; with its pixels shuffled it shows nothing. The two Gram matrices "
                                            "are the same.")


def show_terms(raw: Mapping[str, float]) -> None:
    """The raw style term of each layer, as bars on a logarithmic axis."""
    fig, ax = plots.figure(size=(7, 2.7))
    bars = ax.barh(list(raw), list(raw.values()), color=plots.GREEN, height=0.6)
    ax.bar_label(bars, [f"{v:.3g}" for v in raw.values()], padding=4)
    ax.set(xscale="log", xlabel="raw style term at the start, with its weight (logarithmic)", xlim=(min(raw.values()) / 3, max(raw.values()) * 4))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    big, small = max(raw, key=raw.get), min(raw, key=raw.get)
    plots.show(fig, dpi=88, alt=f"Raw style terms of five layers, their weights included: {big} has {raw[big]:.3g}, {small} only {raw[small]:.3g}, "
                                f"{raw[big] / raw[small]:,.0f} times less.")


def show_curves(runs: Sequence[Run], alt: str) -> None:
    """Total loss against evaluations, on a logarithmic axis."""
    fig, ax = plots.figure(size=(7.4, 3.5))
    styles = ("-", "--", "-.", ":", "-", "--")
    for run, line in zip(runs, styles, strict=False):
        last = run.name == runs[-1].name
        ax.plot(range(1, len(run.totals) + 1), run.totals, line, label=f"{run.name}: {run.before[2]:.2f}",
                linewidth=2.6 if last else 1.8, color=plots.BLACK if last else None)
    ax.set(yscale="log", xlabel="evaluations of loss and gradient", ylabel="total loss")
    plots.legend(ax, outside=True)
    plots.show(fig, dpi=88, alt=alt)


def _beta_figure(runs: Mapping[float, Run], place: int):
    beta = list(runs)[place]
    content, style, _ = runs[beta].before
    fig = _row_of({f"β = {beta:g}": runs[beta].picture}, width=4.2)
    return fig, f"β = {beta:g}: content loss {content:.3f}, style loss {style:.3f}."


def beta_slider(runs: Mapping[float, Run]) -> None:
    """A slider over pictures that were computed before. Args: β -> Run."""
    widgets.sliders(lambda picture: _beta_figure(runs, int(picture) - 1), picture=(1, len(runs), 2, 1))


# ---------------------------------------------------------------------------------------------- pictures of one's own

UPLOAD_NOT_HERE = "○ Uploads need a notebook with ipywidgets; `lesson.read_picture(path, longest)` above reads a file in any case."


def upload(paint: Callable[[np.ndarray, np.ndarray], object], longest: int = 128) -> None:
    """Buttons to upload a content and a style picture, and one that starts.

    Args: paint, (content, style), both (H, W, 3) uint8 -> normalized tensor (1, 3, H, W); longest side in pixels.
    """
    if not widgets.available():
        print(UPLOAD_NOT_HERE)
        return
    from IPython.display import display

    display(_upload_box(paint, longest))


def _upload_box(paint: Callable, longest: int):
    """The widget of ``upload``: two uploads, a button, and the place of the result."""
    import ipywidgets

    places = {part: ipywidgets.FileUpload(description=part, accept="image/*", multiple=False) for part in ("content", "style")}
    button = ipywidgets.Button(description="paint", button_style="primary")
    result = ipywidgets.HTML("Choose a content and a style picture, then press paint.")

    def go(_):
        button.disabled = True
        result.value = "Painting ..."
        try:
            result.value = _painted(paint, {part: _uploaded(place.value) for part, place in places.items()}, longest)
        finally:
            button.disabled = False

    button.on_click(go)
    return ipywidgets.VBox([ipywidgets.HBox([*places.values(), button]), result])


def _uploaded(value) -> bytes | None:
    """The bytes of the newest file of an upload widget, in the form of ipywidgets 8 or 7; None if there is none."""
    if not value:
        return None
    newest = list(value.values() if isinstance(value, dict) else value)[-1]
    return bytes(newest["content"])


def _painted(paint: Callable, files: Mapping[str, bytes | None], longest: int) -> str:
    """The answer to the button, as HTML: the picture, or one line that says what is amiss."""
    from helpers.photos import UnusablePhoto

    pictures = {}
    for part, raw in files.items():
        if raw is None:
            return f"✗ The {part} picture is missing: choose a file first."
        try:
            pictures[part] = read_picture(raw, longest)
        except UnusablePhoto as problem:
            return f"✗ {html.escape(f'{part} picture: {problem}')}"
    try:
        painted = paint(pictures["content"], pictures["style"])
    except Exception as problem:  # it would vanish in the log of the kernel
        return f"✗ {html.escape(f'{type(problem).__name__}: {problem}')}"
    return widgets._picture(_row_of({**pictures, "result": painted}), "Your content, your style, and the result.")
