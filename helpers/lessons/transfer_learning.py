"""Lesson 11, transfer learning: its exercises, its quiz and its figures. Imports torch only when somebody needs it."""

from __future__ import annotations

import contextlib
import difflib
import functools
import math
import time

import numpy as np

from helpers import devices, plots
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import describe, is_tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's training pictures, RGB in 0..1


def _cpu(array) -> np.ndarray:
    """A tensor from any device, or anything else, as a NumPy array."""
    return array.detach().cpu().numpy() if is_tensor(array) else np.asarray(array)


def _randomized(module, seed: int):
    """The module with fixed weights, biases and statistics: none of them 0, variances positive and some of them small."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if not value.is_floating_point():
                continue
            if name.endswith("running_var"):
                value.copy_(torch.rand(value.shape, generator=generator, dtype=value.dtype) * 0.8 + 0.02)
            else:
                value.copy_(torch.randn(value.shape, generator=generator, dtype=value.dtype) * 0.6 + 0.1)
    return module


# ---------------------------------------------------------------------------------------------- 11.1 to_model_input

def _color_images(n: int, height: int, width: int, seed: int):
    import torch

    images = np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    return torch.tensor(images, device=devices.device())


@contextlib.contextmanager
def _float32():
    """Numbers of the check are float32, whatever the default is."""
    import torch

    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(default)


def _observe_input(to_model_input, see):
    with _float32():
        see.call(to_model_input, _color_images(5, 6, 9, 1), label=_FIRST_IMAGES)
        see.call(to_model_input, _color_images(2, 7, 4, 2), label="to_model_input(images (2, 7, 4, 3))")


def _reference_input(images):
    """What torchvision's own functions give."""
    import torch
    from torchvision.transforms.v2 import functional as tv

    return tv.normalize(tv.to_dtype(images.permute(0, 3, 1, 2), torch.float32, scale=True), MEAN, STD)


def _input_with(images, *, scale=255, how="permute", swap=False, mean=MEAN, std=STD, late=False, times=False, own=False):
    """The right answer with one part changed, for the mistakes below."""
    import torch

    n, height, width, _ = images.shape
    images = images.flip(3) if swap else images
    x = (images.permute(0, 3, 1, 2) if how != "reshape" else images.reshape(n, 3, height, width))
    x = x / (x.max() if scale == "max" else scale)
    mean, std = (torch.tensor(values, device=x.device).view(3, 1, 1) for values in (mean, std))
    if own:
        mean, std = (statistic(dim=(0, 2, 3), keepdim=True) for statistic in (x.mean, x.std))
    x = x / std - mean if late else (x - mean) * std if times else (x - mean) / std
    return {"swapped": x.transpose(2, 3), "last": x.permute(0, 2, 3, 1)}.get(how, x)


def _input_mistake(diagnosis: str, when=None, **changed) -> Mistake:
    return Mistake(diagnosis, lambda images: _input_with(images, **changed), when)


_FIRST_IMAGES = "to_model_input(images (5, 6, 9, 3))"

to_model_input = Exercise(
    "11.1", "to_model_input",
    observe=_observe_input,
    expected=_reference_input,
    rtol=1e-5, atol=1e-5,
    mistakes=[
        _input_mistake("Values around 500, at most 1,111: scale to 0..1 first.", scale=1,
                       when=lambda facts: _cpu(facts[_FIRST_IMAGES]).max() > 100),
        _input_mistake("Scaled to 0..1, but not normalized: minus MEAN, over STD is missing.", mean=(0.0,) * 3, std=(1.0,) * 3),
        _input_mistake("Shapes right, picture scrambled: move axes with `permute`.", how="reshape"),
        _input_mistake("Height and width are exchanged: only the channels move, to the front.", how="swapped",
                       when=lambda facts: facts[_FIRST_IMAGES].shape == (5, 3, 9, 6)),
        _input_mistake("The channels are still last: a network wants (N, 3, H, W).", how="last",
                       when=lambda facts: facts[_FIRST_IMAGES].shape == (5, 6, 9, 3)),
        _input_mistake("Divide by STD, do not multiply.", times=True),
        _input_mistake("MEAN is not subtracted.", mean=(0.0,) * 3),
        _input_mistake("These are the statistics of your own pictures; the network wants MEAN and STD, those of its training.", own=True),
        _input_mistake("The largest value of a uint8 image is 255, not 256.", scale=256),
        _input_mistake("Divide by 255, not by the largest value found: a dark picture must stay dark.", scale="max"),
        _input_mistake("Subtract the mean before dividing.", late=True),
        _input_mistake("Red and blue are exchanged.", swap=True),
        _input_mistake("These are not the constants the network was trained with.", mean=(0.5,) * 3, std=(0.5,) * 3),
    ],
    hints=[
        "Scale, standardize, reorder: three steps, and the constants belong to the channels.",
        "`images.permute(0, 3, 1, 2)` brings the channels forward; constants of shape (3, 1, 1) broadcast over the pixels.",
        "`(x / 255 - mean) / ___`, with `mean = torch.tensor(MEAN).view(___, 1, 1)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 11.2 freeze

def _modules_to_freeze():
    """Two modules with BatchNorm and dropout; of the first, one layer is frozen already and one is in eval mode."""
    from torch import nn

    first = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Dropout(0.5),
                          nn.Sequential(nn.Conv2d(5, 4, 2, bias=False), nn.BatchNorm2d(4)))
    first[0].requires_grad_(False)
    first[3].eval()
    second = nn.Sequential(nn.Linear(7, 3), nn.Dropout(0.2), nn.Linear(3, 2))
    return ("a network with BatchNorm, its first layer frozen already", first), ("two linear layers with dropout", second)


def _observe_freeze(freeze, see):
    for number, (name, module) in enumerate(_modules_to_freeze()):
        _randomized(module, number)
        before = {key: value.clone() for key, value in module.state_dict().items()}
        see.call(freeze, module, label=f"freeze({name}): numbers newly frozen", changes_inputs=True)
        left = sum(p.requires_grad for p in module.parameters())
        see.fact(f"{name}: parameters that still require a gradient", left)
        see.fact(f"{name}: parts that are still in training mode", sum(m.training for m in module.modules()))
        see.fact(f"{name}: a new attribute", _new_attribute(module), implied="none")
        same = list(before) == list(module.state_dict()) and all((before[k] == v).all() for k, v in module.state_dict().items())
        see.fact(f"{name}: its weights", "stay" if same else "changed", implied="stay")
        see.call(freeze, module, label=f"freeze({name}) once more", changes_inputs=True)


def _new_attribute(module) -> str:
    """An attribute that assignment has invented, on a module or on a parameter; "none" as a rule."""
    if any("requires_grad" in vars(m) for m in module.modules()):
        return "requires_grad of a module"
    odd = any("require_grad" in vars(thing) for thing in (*module.modules(), *module.parameters()))
    return "require_grad, without an s" if odd else "none"


def _reference_freeze(module):
    count = 0
    for part in module.modules():
        part.training = False
        for parameter in part.parameters(recurse=False):
            count += math.prod(parameter.shape) * parameter.requires_grad
            parameter.requires_grad = False
    return count


def _freeze_with(module, *, switch=True, eval_mode="all", attribute="", count="numbers"):
    found = [p for p in module.parameters() if p.requires_grad or count == "all"]
    if count == "buffers":
        found += module.buffers()
    if switch:
        module.requires_grad_(False)
    if count == "after":
        found = [p for p in found if p.requires_grad]
    if attribute == "module":
        module.requires_grad = False
    for p in module.parameters() if attribute == "letter" else ():
        p.require_grad = False
    for part in {"all": [module], "children": module.children()}.get(eval_mode, ()):
        part.eval()
    return len(found) if count == "tensors" else sum(p.numel() for p in found)


def _freeze_a_copy(module):
    import copy

    return _freeze_with(copy.deepcopy(module))


_FIRST_MODULE = "a network with BatchNorm, its first layer frozen already"

freeze = Exercise(
    "11.2", "freeze",
    observe=_observe_freeze,
    expected=_reference_freeze,
    mistakes=[
        Mistake("Weights are frozen, BatchNorm statistics and dropout are not.",
                lambda module: _freeze_with(module, eval_mode="none"),
                when=lambda facts: facts[f"{_FIRST_MODULE}: parts that are still in training mode"] > 1
                and facts[f"{_FIRST_MODULE}: parameters that still require a gradient"] == 0),
        Mistake("The parts are in eval mode, the module itself is not: call `eval` on the whole.",
                lambda module: _freeze_with(module, eval_mode="children"),
                when=lambda facts: facts[f"{_FIRST_MODULE}: parts that are still in training mode"] == 1),
        Mistake("This only creates an attribute; call `requires_grad_` or loop over parameters.",
                lambda module: _freeze_with(module, switch=False, attribute="module"),
                when=lambda facts: facts[f"{_FIRST_MODULE}: a new attribute"] == "requires_grad of a module"),
        Mistake("A letter is missing: `require_grad` is a new attribute, and Python does not mind. The switch is `requires_grad`.",
                lambda module: _freeze_with(module, switch=False, attribute="letter"),
                when=lambda facts: facts[f"{_FIRST_MODULE}: a new attribute"].startswith("require_grad,")),
        Mistake("You froze a copy: the module itself must change.", _freeze_a_copy),
        Mistake("Count what is newly frozen: numbers that were frozen before do not count.",
                lambda module: _freeze_with(module, count="all"),
                when=lambda facts: facts[f"freeze({_FIRST_MODULE}): numbers newly frozen"] == 238),
        Mistake("Count before you switch: afterwards nothing requires a gradient.", lambda module: _freeze_with(module, count="after"),
                when=lambda facts: facts[f"freeze({_FIRST_MODULE}): numbers newly frozen"] == 0
                and facts[f"{_FIRST_MODULE}: parameters that still require a gradient"] == 0),
        Mistake("Running statistics are buffers: no gradient ever reached them, so they do not count.",
                lambda module: _freeze_with(module, count="buffers")),
        Mistake("Count numbers (`numel`), not tensors.", lambda module: _freeze_with(module, count="tensors"),
                when=lambda facts: facts[f"freeze({_FIRST_MODULE}): numbers newly frozen"] == 5),
        Mistake("Parameters still collect gradients.", lambda module: _freeze_with(module, switch=False),
                when=lambda facts: facts[f"{_FIRST_MODULE}: parameters that still require a gradient"] > 0
                and facts[f"{_FIRST_MODULE}: parts that are still in training mode"] == 0),
    ],
    hints=[
        "There are two switches, and one of them moves what the other cannot reach.",
        "Loop over `module.parameters()`; count before you switch. The mode is a method of the module.",
        "For each parameter `p` that still learns: `count += p.___()`, then `p.requires_grad_(___)`. At the end the mode.",
    ],
)


# ---------------------------------------------------------------------------------------------- 11.3 make_head

_A_MODULE = "an nn.Module"


def _named(value) -> str:
    """`describe`, with modules called what they are."""
    from torch import nn

    return f"a module of the class {type(value).__name__}" if isinstance(value, nn.Module) else describe(value)


def _is_module(got, asked: str, see) -> bool:
    from torch import nn

    kind = _A_MODULE if isinstance(got, nn.Module) else describe(got)
    see.fact(f"{asked} returns", kind, implied=_A_MODULE)
    return kind == _A_MODULE


def _linear_layers(module) -> list:
    """The linear layers, the one with most inputs first, whatever the order in which they were created."""
    from torch import nn

    return sorted((m for m in module.modules() if isinstance(m, nn.Linear)), key=lambda m: -m.in_features)


def _observe_head(make_head, see):
    import torch

    for sizes, p in (((11, 6, 4), 0.4), ((9, 7, 3), None), ((8, 5, 1), 0.3)):
        asked = f"make_head({', '.join(map(str, sizes))}{'' if p is None else f', dropout={p}'})"
        options = {} if p is None else {"dropout": p}
        head = see.call(make_head, *sizes, label=asked, record=False, asks=_A_MODULE, **options)
        if not _is_module(head, asked, see):
            return
        head = head.to("cpu")
        see.fact(f"{asked}: parameters", sum(q.numel() for q in head.parameters()))
        layers = _linear_layers(head)
        found = ", ".join(f"{m.in_features}-{m.out_features}" for m in layers)
        see.fact(f"{asked}: linear layers", found)
        if found != f"{sizes[0]}-{sizes[1]}, {sizes[1]}-{sizes[2]}":
            return
        for number, layer in enumerate(layers):
            _randomized(layer, number)
        x = torch.randn(5, sizes[0], generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            see.call(head.eval(), x, label=f"{asked}: scores in eval mode, with given weights", rtol=1e-4)
            see.call(head, x[:1], label=f"{asked}: scores of a single picture in eval mode", rtol=1e-4)
        _observe_head_dropout(head.train(), asked, layers, 0.0 if p is None else p, see)
    for sizes in ((1024, 500, 2), (2048, 512, 2)):
        head = make_head(*sizes)
        see.fact(f"make_head({', '.join(map(str, sizes))}): parameters", sum(q.numel() for q in head.parameters()))


def _observe_head_dropout(head, asked: str, layers, p: float, see) -> None:
    """Every hidden unit is 1.5, score k is hidden unit k: so each dropout shows itself at the scores."""
    import torch

    first, last = layers
    with torch.no_grad():
        for layer in layers:
            layer.weight.zero_()
            layer.bias.zero_()
        first.weight[:, 0] = 1.5
        last.weight.copy_(torch.eye(*last.weight.shape))
        x = torch.ones(900, first.in_features)
        scores = head(x)
        factors = sorted({round(v / 1.5, 3) for v in scores.flatten().tolist()})
        see.fact(f"{asked}, training mode: a hidden unit arrives multiplied by", " or ".join(f"{v:g}" for v in factors[:4]))
        share = (scores == 0).double().mean().item()
        see.fact(f"{asked}, training mode: share of hidden units dropped", _in_range(share, p - 0.05, p + 0.05))
        if p and scores.shape[-1] > 1:
            together = bool(((scores == 0).all(-1) | (scores != 0).all(-1)).all())
            see.fact(f"{asked}, training mode: the hidden units of a picture drop out", "all together" if together else "each by itself")
        last.bias.fill_(0.25)
        see.fact(f"{asked}, training mode: scores that are set to 0", "none" if bool((head(x) != 0).all()) else "some")


def _in_range(value: float, low: float, high: float) -> str:
    return f"{max(low, 0):.2f} to {high:.2f}" if low <= value <= high else f"{value:.3f}"


def _reference_head(in_features, hidden, n_classes, dropout=0.0):
    """Written with products and a mask."""
    import torch
    from torch import nn

    class Reference(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(in_features, hidden), nn.Linear(hidden, n_classes)

        def forward(self, x):
            a = (x @ self.first.weight.T + self.first.bias).clamp(min=0)
            if self.training:
                a = a * (torch.rand_like(a) >= dropout) / (1 - dropout)
            return a @ self.last.weight.T + self.last.bias

    return Reference()


def _head(in_features, hidden, n_classes, dropout=0.0, *, activation="ReLU", tail=(), place="middle", share=None, bias=True, more=False,
          norm=False):
    """The right answer with one part changed, for the mistakes below. Args: share, dropout -> the number that nn.Dropout gets."""
    from torch import nn

    drop = [nn.Dropout(share(dropout) if share else dropout)]
    middle = [getattr(nn, activation)()] if activation else []
    return nn.Sequential(*(drop if place == "first" else []), nn.Linear(in_features, hidden, bias=bias),
                         *([nn.BatchNorm1d(hidden)] if norm else []), *middle, *([nn.Linear(hidden, hidden), nn.ReLU()] if more else []),
                         *(drop if place == "middle" else []), nn.Linear(hidden, n_classes), *(drop if place == "last" else []),
                         *(make() for make in tail))


def _head_of_functions(in_features, hidden, n_classes, dropout=0.0, *, in_a_list=False):
    """A class of its own: its dropout ignores the mode, or its layers are in a list."""
    import torch.nn.functional as F
    from torch import nn

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            layers = [nn.Linear(in_features, hidden), nn.Linear(hidden, n_classes)]
            self.layers = layers if in_a_list else nn.ModuleList(layers)

        def forward(self, x):
            return self.layers[1](F.dropout(self.layers[0](x).relu(), dropout))

    return Head()


def _head_with_log_softmax(in_features, hidden, n_classes, dropout=0.0):
    from torch import nn

    return _head(in_features, hidden, n_classes, dropout, tail=[functools.partial(nn.LogSoftmax, dim=1)])


def _head_with_relu_at_the_end(in_features, hidden, n_classes, dropout=0.0):
    from torch import nn

    return _head(in_features, hidden, n_classes, dropout, tail=[nn.ReLU])


def _single_layer(in_features, hidden, n_classes, dropout=0.0):
    from torch import nn

    return nn.Sequential(nn.Dropout(dropout), nn.Linear(in_features, n_classes))


_FIRST_HEAD = "make_head(11, 6, 4, dropout=0.4)"


def _first_scores(facts) -> np.ndarray:
    return _cpu(facts[f"{_FIRST_HEAD}: scores in eval mode, with given weights"])


make_head = Exercise(
    "11.3", "make_head",
    observe=_observe_head,
    expected=_reference_head,
    mistakes=[
        Mistake("The contract is raw scores: no softmax at the end, the loss brings its own.", _head_with_log_softmax,
                when=lambda facts: np.allclose(np.exp(_first_scores(facts)).sum(1), 1, atol=1e-4)
                or np.allclose(_first_scores(facts).sum(1), 1, atol=1e-4)),
        Mistake("Two linear layers without activation are one.", functools.partial(_head, activation="")),
        Mistake("Scores are never negative: there is an activation after the output.", _head_with_relu_at_the_end,
                when=lambda facts: _first_scores(facts).min() >= 0),
        Mistake("A single layer: the parameter count does not match. Asked are two linear layers.", _single_layer,
                when=lambda facts: facts[f"{_FIRST_HEAD}: linear layers"] == "11-4"),
        Mistake("More than two linear layers: there is one hidden layer.", functools.partial(_head, more=True),
                when=lambda facts: facts[f"{_FIRST_HEAD}: linear layers"].count("-") > 2),
        Mistake("The sizes are exchanged: in_features to hidden, then hidden to n_classes.",
                lambda in_features, hidden, n_classes, dropout=0.0: _head(in_features, n_classes, hidden, dropout)),
        Mistake("A linear layer has no bias.", functools.partial(_head, bias=False),
                when=lambda facts: facts[f"{_FIRST_HEAD}: linear layers"] == "11-6, 6-4" and facts[f"{_FIRST_HEAD}: parameters"] < 100),
        Mistake("Something besides the two linear layers has parameters, such as BatchNorm: leave it out.", functools.partial(_head, norm=True),
                when=lambda facts: facts[f"{_FIRST_HEAD}: linear layers"] == "11-6, 6-4" and facts[f"{_FIRST_HEAD}: parameters"] > 100),
        Mistake("The module does not know its layers: a plain list hides them. Use nn.Sequential, or nn.ModuleList.",
                functools.partial(_head_of_functions, in_a_list=True), when=lambda facts: facts[f"{_FIRST_HEAD}: parameters"] == 0),
        *(Mistake(f"The activation is {name}; the contract asks for ReLU.", functools.partial(_head, activation=name))
          for name in ("LeakyReLU", "GELU", "ELU", "Sigmoid", "Tanh")),
        Mistake("Dropout acts in eval mode, too: `F.dropout` must be told the mode, `training=self.training`.", _head_of_functions),
        Mistake("Dropout is missing: in training mode no hidden unit is dropped.", functools.partial(_head, place="nowhere"),
                when=lambda facts: facts[f"{_FIRST_HEAD}, training mode: a hidden unit arrives multiplied by"] == "1"),
        Mistake("All hidden units of a picture drop out together: is the dropout on the input? It belongs behind the ReLU.",
                functools.partial(_head, place="first"),
                when=lambda facts: facts[f"{_FIRST_HEAD}, training mode: the hidden units of a picture drop out"] == "all together"
                and facts[f"{_FIRST_HEAD}, training mode: a hidden unit arrives multiplied by"] == "0 or 1.667"),
        Mistake("Dropout behind the last layer sets whole scores to 0: it belongs behind the ReLU.", functools.partial(_head, place="last"),
                when=lambda facts: facts[f"{_FIRST_HEAD}, training mode: scores that are set to 0"] == "some"),
        Mistake("nn.Dropout takes the share that is dropped, not the share that stays.", functools.partial(_head, share=lambda p: 1 - p)),
        Mistake("This is the default of nn.Dropout, 0.5: hand on the argument `dropout`.", functools.partial(_head, share=lambda p: 0.5)),
    ],
    hints=[
        "Build it as in lesson 05, in the order of the contract.",
        "Four modules: linear, ReLU, dropout, linear. Nothing after the last one.",
        "`nn.Sequential(nn.Linear(in_features, ___), ___, nn.Dropout(___), nn.Linear(___, n_classes))`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 11.4 FrozenFeatures

def _small_backbone(seed: int, channels: int = 5):
    """Convolution, BatchNorm, ReLU, dropout, with given weights and statistics; in training mode.

    Half of the dropout is a layer, half of it asks the module itself for its mode, as in torchvision's DenseNet.
    """
    import torch.nn.functional as F
    from torch import nn

    class Backbone(nn.Sequential):
        def forward(self, x):
            return F.dropout(super().forward(x), 0.3, self.training)

    layers = Backbone(nn.Conv2d(3, channels, 3), nn.BatchNorm2d(channels), nn.ReLU(), nn.Dropout(0.4))
    return _randomized(layers, seed).to(devices.device())


def _small_head(seed: int, channels: int = 5, classes: int = 4):
    from torch import nn

    return _randomized(nn.Sequential(nn.Dropout(0.5), nn.Linear(channels, classes)), seed).to(devices.device())


def _pictures(n: int, height: int, width: int, seed: int):
    import torch

    return torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(seed)).to(devices.device())


def _state(module) -> dict:
    return {key: value.clone() for key, value in module.state_dict().items()}


def _same_state(before: dict, module) -> bool:
    import torch

    after = module.state_dict()
    return list(before) == list(after) and all(torch.equal(before[key], after[key]) for key in before)


def _note_mode(notes: list, module, inputs, output) -> None:
    notes.append((module.training, output.detach().clone()))


def _observe_frozen(FrozenFeatures, see):
    import torch

    backbone, head = _small_backbone(1), _small_head(2)
    model = see.call(FrozenFeatures, backbone, head, label="FrozenFeatures(backbone, head)", record=False, asks=_A_MODULE,
                     changes_inputs=True)
    if not _is_module(model, "FrozenFeatures(backbone, head)", see):
        return
    see.fact("backbone and head among model.modules()", _registered(model, backbone, head), implied="both")
    before, weights = _state(backbone), _state(head)
    x, y = _pictures(6, 7, 10, 3), torch.tensor([2, 0, 3, 1, 1, 2], device=devices.device())
    inside, top = [], []
    hooks = [backbone.register_forward_hook(functools.partial(_note_mode, inside)),
             head.register_forward_hook(functools.partial(_note_mode, top))]
    scores = see.call(model, x, label="a forward pass of the new model", record=False, asks="scores")
    see.fact("scores of 6 pictures for 4 classes", tuple(scores.shape) if is_tensor(scores) else describe(scores))
    see.fact("the new model: the backbone after a forward pass", _moved(before, backbone))
    _note_return(model, model.train(), "model.train()", see)
    if model.training:
        inside.clear()
        top.clear()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with torch.enable_grad():
            loss = torch.nn.functional.cross_entropy(model(x), y)
            see.fact("after train(): backbone parameters that require a gradient", sum(p.requires_grad for p in backbone.parameters()))
            see.fact("after train(): the scores", "require a gradient" if loss.requires_grad else "have no graph", implied="require a gradient")
            if not loss.requires_grad:
                return
            loss.backward()
        optimizer.step()
        model(x)
        see.fact("after train() and one step: the backbone", _moved(before, backbone))
        see.fact("after train() and one step: the head", "the same" if _same_state(weights, head) else "changed")
        see.fact("after train(): dropout of the head", "on" if top and top[0][0] else "off")
        twice = len(inside) == 2 and torch.equal(inside[0][1], inside[1][1])
        see.fact("after train(): dropout of the backbone", "off" if twice else "on")
    else:
        see.fact("after train(): model.training", False, implied=True)
    _note_return(model, model.train(False), "model.train(False)", see)
    see.fact("after train(False): model.training", model.training, implied=False)
    top.clear()
    _randomized(head, 4)
    with torch.no_grad():
        for n, height, width, seed in ((6, 7, 10, 3), (1, 9, 5, 6)):
            see.call(model, _pictures(n, height, width, seed), label=f"scores of {n} picture{'s' * (n > 1)} in eval mode", rtol=1e-4)
    see.fact("after train(False): dropout of the head", "off" if top and not top[0][0] else "on")
    for hook in hooks:
        hook.remove()


def _registered(model, backbone, head) -> str:
    parts = list(model.modules())
    if any(m is backbone for m in parts) and any(m is head for m in parts):
        return "both"
    wanted = sum(1 for part in (backbone, head) for _ in part.parameters())
    return "copies of them" if sum(1 for _ in model.parameters()) == wanted else "not both"


def _note_return(model, got, asked: str, see) -> None:
    see.fact(f"{asked} returns", "the model" if got is model else _named(got), implied="the model")


def _moved(before: dict, module) -> str:
    import torch

    after = module.state_dict()
    weights = any(not torch.equal(before[key], after[key]) for key in before if "running" not in key and "num" not in key)
    statistics = any(not torch.equal(before[key], after[key]) for key in before if "running" in key or "num" in key)
    return {(False, False): "is identical", (True, False): "has other weights", (False, True): "has other running statistics",
            (True, True): "has other weights and other running statistics"}[weights, statistics]


class _ReferenceFrozen:
    """Looks like a class to ``observe``; calling it makes a model that switches the backbone off in each forward pass."""

    def __new__(cls, backbone, head):
        from torch import nn

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.top = backbone, head
                for parameter in backbone.parameters():
                    parameter.requires_grad = False

            def forward(self, x):
                for part in self.body.modules():
                    part.training = False
                maps = self.body(x)
                return self.top(maps.flatten(2).sum(2) / (maps.shape[2] * maps.shape[3]))

        return Model()


def _frozen_with(*, override="right", gradients=False, late=False, parts="registered", pool="mean", after="head"):
    """A class like the right one, with one part changed, for the mistakes below."""

    class Maker:
        def __new__(cls, backbone, head):
            import copy

            from torch import nn

            class Model(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.parts = [backbone, head]
                    if parts != "list":
                        self.backbone, self.head = copy.deepcopy(self.parts) if parts == "copies" else self.parts
                        self.parts = [self.backbone, self.head]
                    self.parts[0].requires_grad_(gradients)
                    if parts == "frozen":
                        self.requires_grad_(False)
                    if not late:
                        self.parts[0].eval()

                def train(self, mode=True):
                    super().train({"head": False, "all": False, "mode": True}.get(override, mode))
                    if override == "head":
                        self.training = mode
                    if override == "only head":
                        self.training = True
                    if override != "none":
                        self.parts[0].eval()
                    return {"returns none": None, "returns backbone": self.parts[0]}.get(override, self)

                def forward(self, x):
                    maps = self.parts[0](x)
                    averages = {"mean": maps.mean, "sum": maps.sum, "max": maps.amax}[pool](dim=(2, 3))
                    if after == "nothing":
                        return averages
                    scores = self.parts[1](averages)
                    return scores.softmax(dim=1) if after == "softmax" else scores

            return Model()

    return Maker


FrozenFeatures = Exercise(
    "11.4", "FrozenFeatures",
    kind="class",
    observe=_observe_frozen,
    expected=_ReferenceFrozen,
    seconds=30.0,  # the first use of an optimizer in a process takes seconds on a slow disk
    mistakes=[
        Mistake("These are copies: keep the backbone and the head that you were given.", _frozen_with(parts="copies"),
                when=lambda facts: facts["backbone and head among model.modules()"] == "copies of them"),
        Mistake("Assign both, backbone and head, to attributes of their own. A plain list hides a module: `to` and `parameters` miss it.",
                _frozen_with(parts="list"), when=lambda facts: facts["backbone and head among model.modules()"] == "not both"),
        Mistake("The head is never called: these are the averages.", _frozen_with(after="nothing"),
                when=lambda facts: facts["scores of 6 pictures for 4 classes"] == (6, 5)),
        Mistake("No gradient reaches the head: only the backbone is frozen, and only it may be called under `no_grad`.",
                _frozen_with(parts="frozen"), when=lambda facts: facts["after train(): the scores"] == "have no graph"),
        Mistake("A new model already moves the statistics: put the backbone into eval mode in `__init__`, too.", _frozen_with(late=True),
                when=lambda facts: "statistics" in facts["the new model: the backbone after a forward pass"]
                and facts["after train() and one step: the backbone"] == "is identical"),
        Mistake("After `train()` the backbone's running statistics moved. Put it back last, when all else is done.",
                _frozen_with(override="none"),
                when=lambda facts: "statistics" in facts["after train() and one step: the backbone"]
                and facts["after train(): backbone parameters that require a gradient"] == 0),
        Mistake("`model.train()` must return the model.", _frozen_with(override="returns none"),
                when=lambda facts: facts["model.train() returns"] == "None"),
        Mistake("`train` must return the whole model, `self`, not a part of it.", _frozen_with(override="returns backbone"),
                when=lambda facts: "a module" in facts["model.train() returns"]),
        Mistake("The whole model stays in eval mode: hand `mode` on to the method that you override.", _frozen_with(override="all"),
                when=lambda facts: facts["after train(): model.training"] is False),
        Mistake("Dropout of the head is off during training: only the backbone stays in eval mode.", _frozen_with(override="head"),
                when=lambda facts: facts["after train(): dropout of the head"] == "off"),
        Mistake("The model never leaves training mode: hand `mode` on to the method that you override.", _frozen_with(override="mode"),
                when=lambda facts: facts["after train(False): dropout of the head"] == "on"),
        Mistake("After `eval()` the model still says that it is training: let the method that you override do its work first.",
                _frozen_with(override="only head"), when=lambda facts: facts["after train(False): model.training"] is True),
        Mistake("Backbone parameters receive gradients.", _frozen_with(gradients=True),
                when=lambda facts: facts["after train(): backbone parameters that require a gradient"] > 0),
        Mistake("These are sums over space: the contract asks for averages.", _frozen_with(pool="sum")),
        Mistake("This is the largest value over space: the contract asks for averages.", _frozen_with(pool="max")),
        Mistake("The contract is raw scores: no softmax.", _frozen_with(after="softmax")),
    ],
    hints=[
        "Which method switches modes? It is called at the start of each epoch, and it reaches every submodule.",
        "Override `train`: let the module do as always, then put the backbone back.",
        "`super().train(...)` first, then `self.backbone.___()`, then `return ___`. And in `forward`: `self.head(maps.mean(dim=(___, ___)))`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 11.5 extract_features

class _Loader:
    """Batches of (images, labels); as from a DataLoader that shuffles, another order in each pass."""

    def __init__(self, sizes, seed: int):
        self.sizes, self.seed, self.passes = list(sizes), seed, 0

    def __len__(self):
        return len(self.sizes)

    def __iter__(self):
        import torch

        n = sum(self.sizes)
        x = _pictures(n, 8, 6, self.seed).roll(self.passes, 0)
        y = torch.randint(0, 7, (n,), generator=torch.Generator().manual_seed(self.seed)).to(devices.device()).roll(self.passes, 0)
        self.passes += 1
        return iter(list(zip(x.split(self.sizes), y.split(self.sizes), strict=True)))


def _observe_extract(extract_features, see):
    with _float32():
        _observe_extracts(extract_features, see)


def _observe_extracts(extract_features, see):
    import torch

    for sizes, training, channels in (((4, 4, 3), True, 5), ((5, 1), False, 6)):
        asked = f"extract_features(backbone in {'training' if training else 'eval'} mode, batches of {', '.join(map(str, sizes))})"
        backbone = _small_backbone(sum(sizes), channels).train(training)
        before = _state(backbone)
        with torch.enable_grad():
            got = see.call(extract_features, backbone, _Loader(sizes, channels), label=asked, rtol=1e-4, atol=1e-5,
                           parts=("the features", "the labels"), changes_inputs=True)
        pair = got if isinstance(got, tuple | list) else ()
        graph = any(is_tensor(part) and part.requires_grad for part in pair)
        see.fact(f"{asked}: the result", "requires grad" if graph else "has no graph", implied="has no graph")
        see.fact(f"{asked}: the mode afterwards", "training" if backbone.training else "eval",
                 implied="training" if training else "eval")
        see.fact(f"{asked}: the backbone", "is identical" if _same_state(before, backbone) else "has other statistics",
                 implied="is identical")
        see.fact(f"{asked}: backbone parameters that require a gradient afterwards", sum(p.requires_grad for p in backbone.parameters()))


def _reference_extract(backbone, loader):
    """One image at a time, by formula, in float64."""
    import torch

    conv, norm = backbone[0], backbone[1]
    rows, labels = [], []
    for images, targets in loader:
        for image, target in zip(images.detach().cpu().double(), targets.tolist(), strict=True):
            maps = torch.nn.functional.conv2d(image[None], conv.weight.detach().cpu().double(), conv.bias.detach().cpu().double())[0]
            mean, var, gamma, beta = (v.detach().cpu().double()[:, None, None] for v in
                                      (norm.running_mean, norm.running_var, norm.weight, norm.bias))
            maps = ((maps - mean) / (var + norm.eps).sqrt() * gamma + beta).clamp(min=0)
            rows.append(maps.flatten(1).mean(dim=1))
            labels.append(target)
    return torch.stack(rows).float().to(conv.weight.device), torch.tensor(labels, device=conv.weight.device)


def _extract_with(backbone, loader, *, mode=False, graph=False, restore="as it was", pool="mean", keep=None, again=False, freeze=False):
    """The right answer with one part changed, for the mistakes below. Args: keep, a slice of the batches."""
    import torch

    was = backbone.training
    backbone.train(mode)
    if freeze:
        backbone.requires_grad_(False)
    features, labels = [], []
    with torch.enable_grad() if graph else torch.no_grad():
        for x, y in list(loader)[keep or slice(None)]:
            maps = backbone(x)
            features.append(maps.flatten(1) if pool == "flat" else
                            {"mean": maps.mean, "sum": maps.sum, "max": maps.amax}[pool](dim=(2, 3)))
            labels.append(y)
    if again:
        labels = [y for _, y in loader]
    if restore:
        backbone.train(was or restore == "training")
    return torch.cat(features), torch.cat(labels)


def _extract_mistake(**changed):
    return lambda backbone, loader: _extract_with(backbone, loader, **changed)


_FIRST_EXTRACT = "extract_features(backbone in training mode, batches of 4, 4, 3)"

extract_features = Exercise(
    "11.5", "extract_features",
    observe=_observe_extract,
    expected=_reference_extract,
    mistakes=[
        Mistake("Features depend on the batch and the statistics changed: this was train mode.", _extract_mistake(mode=True),
                when=lambda facts: facts[f"{_FIRST_EXTRACT}: the backbone"] != "is identical"),
        Mistake("The result requires grad: memory grows with the data set.", _extract_mistake(graph=True),
                when=lambda facts: facts[f"{_FIRST_EXTRACT}: the result"] == "requires grad"),
        Mistake("The caller's model came back in another mode.", _extract_mistake(restore=""),
                when=lambda facts: facts[f"{_FIRST_EXTRACT}: the mode afterwards"] == "eval"
                and facts[f"{_FIRST_EXTRACT}: the result"] == "has no graph"),
        Mistake("A model that came in eval mode goes back in training mode: remember the mode first.", _extract_mistake(restore="training"),
                when=lambda facts: facts["extract_features(backbone in eval mode, batches of 5, 1): the mode afterwards"] == "training"),
        Mistake("Expected C numbers per image: average over space.", _extract_mistake(pool="flat"),
                when=lambda facts: facts[_FIRST_EXTRACT][0].flatten(1).shape[1] > 5),
        Mistake("These are sums over space: the contract asks for averages.", _extract_mistake(pool="sum")),
        Mistake("This is the largest value over space: the contract asks for averages.", _extract_mistake(pool="max")),
        Mistake("The row count differs from the data set: the last, shorter batch is lost.", _extract_mistake(keep=slice(-1)),
                when=lambda facts: len(facts[_FIRST_EXTRACT][0]) == 8),
        Mistake("Only the first batch: does the `return` stand inside the loop?", _extract_mistake(keep=slice(1)),
                when=lambda facts: len(facts[_FIRST_EXTRACT][0]) == 4),
        Mistake("Two passes over the loader: a loader that shuffles gives another order each time, so take images and labels in one loop.",
                _extract_mistake(again=True)),
        Mistake("Features first, then labels.", lambda backbone, loader: _extract_with(backbone, loader)[::-1]),
        Mistake("The caller's backbone came back frozen: `no_grad` is enough.", _extract_mistake(freeze=True),
                when=lambda facts: facts[f"{_FIRST_EXTRACT}: backbone parameters that require a gradient afterwards"] == 0),
    ],
    hints=[
        "Collect the parts in two lists; `torch.cat` joins them at the end. Remember the mode before you change it.",
        "`backbone.eval()` for the numbers, no recording (`torch.no_grad`) for the memory, and the old mode again for the caller.",
        "In the loop: `features.append(backbone(x).mean(dim=(___, ___)))` and `labels.append(___)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 11.6 parameter_groups

def _grouped_model(frozen: str):
    """(model, head, names): two convolutions and a head; the parts named in ``frozen`` require no gradient.

    In the model the head has another name, lies inside another module and not at the end; and some numbers of it and of the
    body are the same. Only identity tells whose a parameter is.
    """
    from torch import nn

    parts = nn.ModuleDict({"one": nn.Conv2d(3, 4, 3), "two": nn.Conv2d(4, 4, 3),
                           "head": nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))})
    for bias in (parts["one"].bias, parts["two"].bias, parts["head"][0].bias):
        nn.init.constant_(bias, 0.25)
    for name in frozen.split():
        parts.get_submodule(name).requires_grad_(False)
    model = nn.Module()
    model.start, model.rest = parts["one"], nn.Sequential(parts["head"], parts["two"])
    return model, parts["head"], {id(p): name for name, p in parts.named_parameters()}


_GROUPS = "a list of dicts, each with a list params and a number lr"


def _groups_text(groups) -> str:
    """What was returned, down to the first thing that is not as asked."""
    if not isinstance(groups, list):
        return describe(groups)
    for group in groups:
        if not isinstance(group, dict):
            return f"a list with {describe(group)}"
        if not {"params", "lr"} <= set(group):
            return describe(group)
        if not isinstance(group["params"], list | tuple):
            return f"params is {describe(group['params'])}, which is empty after one pass"
    return _GROUPS


_GROUP_CASES = (("one", "the first convolution is frozen"), ("", "nothing is frozen"), ("one two", "the whole body is frozen"),
                ("head two", "the head is frozen, and the second convolution"), ("head.0", "half of the head is frozen"),
                ("one two head", "everything is frozen"))


def _observe_groups(parameter_groups, see):
    for place, (frozen, name) in enumerate(_GROUP_CASES):
        (model, head, names), rates = _grouped_model(frozen), (2e-3 + place * 1e-3, 3e-4)
        groups = see.call(parameter_groups, model, head, *rates, label=f"parameter_groups, {name}", record=False,
                          asks="a list of dicts", changes_inputs=True)
        see.fact(f"{name}: you return", _groups_text(groups), implied=_GROUPS)
        if _groups_text(groups) != _GROUPS:
            return
        see.fact(f"{name}: the groups", [_group_text(g, names) for g in groups])
        if groups and place < 3:
            see.fact(f"{name}: torch.optim.Adam(groups)", _optimizer_takes(groups), implied="takes them")


def _group_text(group: dict, names: dict) -> str:
    inside = sorted(names.get(id(p), describe(p)) for p in group["params"])
    return f"lr {group['lr']:g}: {', '.join(inside)}"


def _optimizer_takes(groups) -> str:
    import torch

    try:
        torch.optim.Adam([dict(g) for g in groups])
    except Exception as problem:  # whatever it says
        return f"raises {type(problem).__name__}: {problem}"
    return "takes them"


def _reference_groups(model, head, lr_head, lr_body):
    """By name: the head's parameters are those whose tensors the head holds."""
    mine = {id(p) for p in head.parameters()}
    groups: list[dict] = [{"params": [], "lr": lr_head}, {"params": [], "lr": lr_body}]
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups[id(parameter) not in mine]["params"].append(parameter)
    return [group for group in groups if group["params"]]


def _groups_with(model, head, lr_head, lr_body, *, frozen=False, twice=False, one=False, order=1, empty=False, equal=False, each=False):
    import torch

    mine = [p for p in head.parameters() if p.requires_grad or frozen]
    known = set() if twice else {id(p) for p in head.parameters()}
    rest = [p for p in model.parameters() if (p.requires_grad or frozen) and id(p) not in known]
    if equal:
        rest = [p for p in rest if not any(torch.equal(p, q) for q in head.parameters())]
    groups = [{"params": mine + rest, "lr": lr_head}] if one else [{"params": mine, "lr": lr_head}, {"params": rest, "lr": lr_body}]
    if each:
        groups = [{"params": [p], "lr": g["lr"]} for g in groups for p in g["params"]]
    return [g for g in groups[::order] if g["params"] or empty]


def _groups_mistake(**changed):
    return lambda model, head, lr_head, lr_body: _groups_with(model, head, lr_head, lr_body, **changed)


_FIRST_GROUPS = "the first convolution is frozen: the groups"

parameter_groups = Exercise(
    "11.6", "parameter_groups",
    observe=_observe_groups,
    expected=_reference_groups,
    mistakes=[
        Mistake("The optimizer would keep state for parameters that never change: leave the frozen ones out.",
                _groups_mistake(frozen=True)),
        Mistake("PyTorch refuses a parameter in two groups: the head is in the body's group, too.", _groups_mistake(twice=True),
                when=lambda facts: any("more than one parameter group" in str(value) for value in facts.values())),
        Mistake("The head needs the larger rate: yours are swapped.",
                lambda model, head, lr_head, lr_body: _groups_with(model, head, lr_body, lr_head)),
        Mistake("One group only: the body would be trained at full speed.", _groups_mistake(one=True),
                when=lambda facts: len(facts[_FIRST_GROUPS]) == 1),
        Mistake("The head's group comes first.", _groups_mistake(order=-1)),
        Mistake("A group without parameters: leave it out.", _groups_mistake(empty=True),
                when=lambda facts: any(str(text).endswith(": ") for name, value in facts.items() if name.endswith("the groups") for text in value)),
        Mistake("Equal numbers are not the same tensor: ask for identity, with `is` or `id`.", _groups_mistake(equal=True)),
        Mistake("One group for the head and one for the rest, not one for each tensor.", _groups_mistake(each=True),
                when=lambda facts: len(facts[_FIRST_GROUPS]) > 2),
    ],
    hints=[
        "Which tensors are the head's? `==` compares their numbers; you want to know whether it is the same object.",
        "`id(p)` names an object. Two filters: does it learn, and is it one of the head's?",
        "`rest = [p for p in model.parameters() if p.requires_grad and id(p) not in ___]`; return only groups that are not ___.",
    ],
)


# ---------------------------------------------------------------------------------------------- 11.7 fold_batchnorm

def _conv_and_norm(bias: bool):
    import torch
    from torch import nn

    if bias:
        conv, shape = nn.Conv2d(4, 6, 3, stride=2, padding=1), (3, 4, 9, 7)
    else:
        conv, shape = nn.Conv2d(3, 5, (3, 2), stride=(1, 2), padding=(0, 1), dilation=2, bias=False), (2, 3, 8, 9)
    norm = nn.BatchNorm2d(conv.out_channels, eps=1e-2)
    conv, norm = (_randomized(part.double(), seed).eval() for part, seed in ((conv, 5 + bias), (norm, 7 + bias)))
    return conv, norm, torch.randn(shape, generator=torch.Generator().manual_seed(8), dtype=torch.float64)


@contextlib.contextmanager
def _float64():
    """A layer that somebody makes with nn.Conv2d(...) has float64 weights, as those of the check have."""
    import torch

    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(default)


def _observe_fold(fold_batchnorm, see):
    with _float64():
        _observe_folds(fold_batchnorm, see)


def _observe_folds(fold_batchnorm, see):
    import torch
    from torch import nn

    for bias in (True, False):
        asked = f"fold_batchnorm(conv {'with' if bias else 'without'} bias, bn)"
        conv, norm, x = _conv_and_norm(bias)
        before = _state(conv), _state(norm), conv.bias is None
        with torch.no_grad():
            together = norm(conv(x))
        got = see.call(fold_batchnorm, conv, norm, label=asked, record=False, asks="an nn.Conv2d", changes_inputs=True)
        kind = "an nn.Conv2d" if isinstance(got, nn.Conv2d) else _named(got)
        see.fact(f"{asked} returns", kind, implied="an nn.Conv2d")
        if kind != "an nn.Conv2d":
            return
        see.fact(f"{asked}: weight", got.weight.detach(), rtol=1e-7)
        see.fact(f"{asked}: bias", "no bias at all" if got.bias is None else got.bias.detach(), rtol=1e-7)
        with torch.no_grad():
            out = see.call(got, x, label=f"{asked}: output for an input {tuple(x.shape)}", rtol=1e-7, atol=1e-9)
        same = is_tensor(out) and out.shape == together.shape and torch.allclose(out, together)
        see.fact(f"{asked}: bn(conv(x)) before, and the new layer", "agree" if same else "differ")
        kept = _same_state(before[0], conv) and _same_state(before[1], norm) and (conv.bias is None) == before[2]
        see.fact(f"{asked}: the originals", "stay" if kept else "were changed", implied="stay")
        see.fact(f"{asked}: what you return", "the original object" if got is conv else "a new layer", implied="a new layer")


def _reference_fold(conv, bn):
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    return fuse_conv_bn_eval(conv, bn)


def _fold_with(conv, bn, *, eps="inside", root=True, new=True, sign=-1, gamma=True, beta=True, old_bias=True, scaled="both", has_bias=True,
               keeps=("stride", "padding", "dilation")):
    """The right answer with one part changed, for the mistakes below."""
    import torch
    from torch import nn

    with torch.no_grad():
        variance = bn.running_var + {"inside": bn.eps, "default": 1e-5}.get(eps, 0)
        deviation = (variance.sqrt() if root else variance) + (bn.eps if eps == "outside" else 0)
        scale = (bn.weight if gamma else 1) / deviation
        old = torch.zeros_like(bn.running_mean) if conv.bias is None or not old_bias else conv.bias
        mean = sign * bn.running_mean
        bias = {"both": (old + mean) * scale, "mean": old + mean * scale, "none": old + mean}[scaled]
        layer = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, bias=has_bias, dtype=conv.weight.dtype,
                          device=conv.weight.device, **{name: getattr(conv, name) for name in keeps}) if new else conv
        layer.weight = nn.Parameter(conv.weight * scale.view(-1, 1, 1, 1))
        if has_bias:
            layer.bias = nn.Parameter(bias + bn.bias if beta else bias)
    return layer


def _fold_mistake(**changed):
    return lambda conv, bn: _fold_with(conv, bn, **changed)


_FOLD = "fold_batchnorm(conv with bias, bn)"

fold_batchnorm = Exercise(
    "11.7", "fold_batchnorm",
    observe=_observe_fold,
    expected=_reference_fold,
    mistakes=[
        Mistake("The old bias goes through BatchNorm, too: it must be scaled.", _fold_mistake(scaled="mean")),
        Mistake("The offset is scaled like the weights: (b − μ) times the factor.", _fold_mistake(scaled="none")),
        Mistake("The bias of the convolution is lost: it may have one.", _fold_mistake(old_bias=False)),
        Mistake("The new layer has no bias: b' needs one, even where the convolution had none.", _fold_mistake(has_bias=False),
                when=lambda facts: any(isinstance(value, str) and value.startswith("no bias") for value in facts.values())),
        Mistake("Differs when variances are small: add epsilon to the variance.", _fold_mistake(eps="none")),
        Mistake("Epsilon is added to the variance, before the root is taken.", _fold_mistake(eps="outside")),
        Mistake("Each layer brings its own epsilon: use `bn.eps`.", _fold_mistake(eps="default")),
        Mistake("γ is missing: BatchNorm multiplies by `bn.weight`.", _fold_mistake(gamma=False)),
        Mistake("β is missing: BatchNorm adds `bn.bias` at the end.", _fold_mistake(beta=False)),
        Mistake("The mean is missing: subtract `bn.running_mean` from the old bias.", _fold_mistake(sign=0)),
        *(Mistake(f"The new layer has lost the {name} of the old one.", _fold_mistake(keeps=tuple(kept)))
          for name, *kept in (("stride", "padding", "dilation"), ("padding", "stride", "dilation"), ("dilation", "stride", "padding"))),
        Mistake("The new layer has lost stride, padding and dilation of the old one.", _fold_mistake(keeps=()),
                when=lambda facts: facts[f"{_FOLD}: output for an input (3, 4, 9, 7)"].shape != (3, 6, 5, 4)),
        Mistake("Divide by the standard deviation: the root is missing.", _fold_mistake(root=False)),
        Mistake("Return a new layer: the original was changed.", _fold_mistake(new=False),
                when=lambda facts: facts[f"{_FOLD}: the originals"] != "stay"),
        Mistake("BatchNorm subtracts the mean.", _fold_mistake(sign=1)),
    ],
    hints=[
        "In eval mode BatchNorm is a line, slope times input plus offset, one line for each channel.",
        "Compute one factor per output channel. Let `copy.deepcopy(conv)` keep stride and padding; a missing bias counts as 0.",
        "`scale = ... / (... + bn.eps).sqrt()`, the weight times `scale.view(-1, ___, ___, ___)`, and the bias through the same line.",
    ],
)


# ---------------------------------------------------------------------------------------------- 11.8 wilson_interval

_WILSON_CASES = ((43, 49), (228, 245), (900, 1000), (960, 1000), (49, 49), (0, 10), (7, 13, 2.576), (5, 9, 1.0), (1, 1))


def _observe_wilson(wilson_interval, see):
    for case in _WILSON_CASES:
        # five digits, so that an answer in float32 passes and one that is rounded for show does not
        see.call(wilson_interval, *case, label=f"wilson_interval({', '.join(map(str, case))})", rtol=1e-5, atol=1e-6,
                 parts=("the lower end", "the upper end"))


def _reference_wilson(correct, n, z=1.96):
    """The roots of (p - correct / n)^2 = z^2 p (1 - p) / n."""
    share = correct / n
    a, b, c = 1 + z**2 / n, -(2 * share + z**2 / n), share**2
    root = max(b * b - 4 * a * c, 0) ** 0.5
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def _wilson_with(correct, n, z=1.96, *, shift="z²/2n", normal=False, times=1, square=True, root=0.5, before=True, stretch="both", ends=None):
    """The right answer with one part changed, for the mistakes below. Args: ends, (center, half) -> what is returned."""
    p = correct / n
    if normal:
        half = z * (p * (1 - p) / n) ** 0.5
        return p - half, p + half
    half = (z if before else 1) * (p * (1 - p) / n + z * z / (4 * n * (n if square else 1))) ** root
    center = p + {"z²/2n": z * z / (2 * n), "z²/2·n": z * z / 2 * n, "none": 0}[shift]
    center, half = (value / (1 + z * z / n) if stretch in ("both", part) else value for part, value in (("center", center), ("half", half)))
    return ends(center, half) if ends else (times * (center - half), times * (center + half))


def _wilson_mistake(**changed):
    return lambda correct, n, z=1.96: _wilson_with(correct, n, z, **changed)


wilson_interval = Exercise(
    "11.8", "wilson_interval",
    observe=_observe_wilson,
    expected=_reference_wilson,
    mistakes=[
        Mistake("Zero width at 100 %: this is the normal interval. Use the Wilson form.",
                _wilson_mistake(normal=True),
                when=lambda facts: abs(facts["wilson_interval(49, 49)"][0] - facts["wilson_interval(49, 49)"][1]) < 1e-9),
        Mistake("The center moves toward 1/2: z²/2n is missing in it.", _wilson_mistake(shift="none")),
        Mistake("`z**2 / 2 * n` multiplies by n: z²/2n is `z**2 / (2 * n)`.", _wilson_mistake(shift="z²/2·n"),
                when=lambda facts: facts["wilson_interval(0, 10)"][1] > 10),
        Mistake("Return fractions, not percent.", _wilson_mistake(times=100),
                when=lambda facts: 90 < facts["wilson_interval(43, 49)"][1] < 96),
        Mistake("Under the root n is squared, too: z²/4n².", _wilson_mistake(square=False)),
        Mistake("The root is missing.", _wilson_mistake(root=1)),
        Mistake("The z before the root is missing.", _wilson_mistake(before=False)),
        Mistake("The denominator 1 + z²/n is missing.", _wilson_mistake(stretch="none")),
        Mistake("The denominator is for all of the numerator, the center too: set parentheses.", _wilson_mistake(stretch="half")),
        Mistake("The denominator is for all of the numerator, the half width too.", _wilson_mistake(stretch="center")),
        Mistake("The lower end comes first.", _wilson_mistake(ends=lambda center, half: (center + half, center - half)),
                when=lambda facts: facts["wilson_interval(43, 49)"][0] > facts["wilson_interval(43, 49)"][1]),
        Mistake("Return the two ends: center minus half width, center plus half width.",
                _wilson_mistake(ends=lambda center, half: (center, half))),
        Mistake("Rounded: return the numbers as they are, and round when you print.",
                _wilson_mistake(ends=lambda center, half: (round(center - half, 3), round(center + half, 3))),
                when=lambda facts: all(abs(end - 0.757553) < 0.006 and round(end, 4) == end
                                       for end in facts["wilson_interval(43, 49)"][:1])),
        Mistake("99 % intervals must be wider than 95 %: use the argument z.",
                lambda correct, n, z=1.96: _wilson_with(correct, n)),
    ],
    hints=[
        "Which p are compatible with the count? Those with |p̂ − p| at most z standard errors, √(p(1 − p)/n) each, *of p*.",
        "Compute the center and the half width first; both are divided by 1 + z²/n.",
        "`half = z * math.sqrt(p * (1 - p) / n + ___)`, and the middle is `p + ___`; then divide both.",
    ],
)


# ---------------------------------------------------------------------------------------------- 11.9 seconds_per_call

class FakeDevice:
    """A device that works while the program goes on, with a clock of its own: the first job takes 5 s, each later one 0.2 s."""

    def __init__(self, first: float = 5.0, later: float = 0.2):
        self.now = self.busy_until = 0.0
        self.jobs, self.reads, self.first, self.later = 0, 0, first, later

    def launch(self):
        """Queue a job; returns at once."""
        self.now += 2**-20  # a microsecond, but a number that floats add without error
        self.busy_until = max(self.busy_until, self.now) + (self.later if self.jobs else self.first)
        self.jobs += 1

    def synchronize(self):
        """Wait until all jobs are done."""
        self.now = max(self.now, self.busy_until)

    def clock(self) -> float:
        self.reads += 1
        return self.now


def _observe_seconds(seconds_per_call, see):
    for options in ({}, {"repeats": 3, "warmup": 1}, {"repeats": 4, "warmup": 0}):
        device = FakeDevice()
        asked = f"seconds_per_call on the device with a queue{''.join(f', {k}={v}' for k, v in options.items())}"
        see.call(seconds_per_call, device.launch, label=asked, rtol=1e-3, synchronize=device.synchronize, clock=device.clock, **options)
        see.fact(f"{asked}: calls of fn", device.jobs)
        see.fact(f"{asked}: the device's own clock", "was read" if device.reads else "was never read", implied="was read")
    device = FakeDevice()

    def waits():
        device.launch()
        device.synchronize()

    see.call(seconds_per_call, waits, 6, 2, label="a function that waits for itself, repeats=6, warmup=2", rtol=1e-3, clock=device.clock)
    real = see.call(seconds_per_call, _short_sleep, 2, 1, label="time.sleep(0.003) with the real clock", record=False, asks="seconds")
    text = describe(real) if not isinstance(real, float) or real != real else \
        "less than 0.003" if real < 0.0029 else "0.003 or a little more" if real < 2 else "more than 2"
    see.fact("time.sleep(0.003) with the real clock: seconds", text)


def _short_sleep():
    time.sleep(0.003)


def _reference_seconds(fn, repeats=5, warmup=2, synchronize=None, clock=None):
    """Each call for itself."""
    wait = synchronize or (lambda: None)
    read = clock or time.perf_counter
    spent = []
    for number in range(warmup + repeats):
        wait()
        start = read()
        fn()
        wait()
        if number >= warmup:
            spent.append(read() - start)
    return sum(spent) / len(spent)


def _seconds_with(fn, repeats=5, warmup=2, synchronize=None, clock=None, *, warm=True, before=True, after=True, divide="repeats", less=0,
                  own_clock=False, shortest=False):
    wait, read = synchronize or (lambda: None), (None if own_clock else clock) or time.perf_counter
    for _ in range(warmup if warm else 0):
        fn()
    if before:
        wait()
    if shortest:
        return min(_seconds_with(fn, 1, 0, wait, read) for _ in range(repeats))
    start = read()
    for _ in range(repeats - less):
        fn()
    if after:
        wait()
    spent = read() - start
    return {"repeats": spent / repeats, "nothing": spent, "all calls": spent / (repeats + warmup), "ms": 1000 * spent / repeats,
            "upside down": repeats / spent}[divide]


def _seconds_mistake(**changed):
    def measure(fn, repeats=5, warmup=2, synchronize=None, clock=None):
        return _seconds_with(fn, repeats, warmup, synchronize, clock, **changed)
    return measure


_QUEUE = "seconds_per_call on the device with a queue"

seconds_per_call = Exercise(
    "11.9", "seconds_per_call",
    observe=_observe_seconds,
    expected=_reference_seconds,
    mistakes=[
        Mistake("The first call sets up caches and memory: exclude it by warm-up calls.", _seconds_mistake(warm=False),
                when=lambda facts: facts[f"{_QUEUE}: calls of fn"] == 5),
        Mistake("The argument `clock` is not used: where there is one, it gives the seconds.", _seconds_mistake(own_clock=True),
                when=lambda facts: facts[f"{_QUEUE}: the device's own clock"] != "was read" and facts[_QUEUE] < 0.1
                and facts[f"{_QUEUE}: calls of fn"] == 7),
        Mistake("You timed the launch, not the work: wait for the device before the clock stops.", _seconds_mistake(after=False),
                when=lambda facts: facts[_QUEUE] < 1e-3),
        Mistake("Queued warm-up work is billed to the measurement: wait before the clock starts.", _seconds_mistake(before=False),
                when=lambda facts: abs(facts[_QUEUE] - 1.24) < 0.01),
        Mistake("Divide by `repeats`: this is the total.", _seconds_mistake(divide="nothing"),
                when=lambda facts: abs(facts[_QUEUE] - 1.0) < 0.001),
        Mistake("Divide by `repeats` alone: the warm-up calls do not count.", _seconds_mistake(divide="all calls"),
                when=lambda facts: abs(facts[_QUEUE] - 1 / 7) < 0.001),
        Mistake("Milliseconds: seconds are asked for.", _seconds_mistake(divide="ms"), when=lambda facts: abs(facts[_QUEUE] - 200) < 1),
        Mistake("Calls per second: seconds per call are asked for.", _seconds_mistake(divide="upside down"),
                when=lambda facts: abs(facts[_QUEUE] - 5) < 0.01),
        Mistake("The mean of all calls is asked for, not the shortest, the last or the median.", _seconds_mistake(shortest=True),
                when=lambda facts: abs(facts[_QUEUE] - 0.2) < 0.001 and abs(facts[f"{_QUEUE}, repeats=4, warmup=0"] - 0.2) < 0.001),
        Mistake("`fn` was called once too few: `warmup` calls, then `repeats` calls.", _seconds_mistake(less=1),
                when=lambda facts: facts[f"{_QUEUE}: calls of fn"] == 6),
    ],
    hints=[
        "A call for a GPU returns early: the work is queued. Who asks the clock must wait for the work.",
        "The order: warm-up calls, wait, start, repeated calls, wait, stop. Without `synchronize` there is nothing to wait for.",
        "`start = clock()`, a loop over `range(___)`, `if synchronize: ___()`, and `(clock() - ___) / ___`.",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("11", [
    Question("Which layers of a pretrained network do you train again for a new, small set of photos?",
             ("The head, perhaps the last block", "The head is new anyway; the last block is the most specific to the old task."),
             [("All, from scratch", "A few hundred photos are not enough for that: lesson 10 showed what comes of it."),
              ("The first", "They are the most general: edges and colors occur in every photo."),
              ("None at all", "Then its scores would still be about the old classes, not yours.")]),
    Question("All weights of a ResNet are frozen, yet its test accuracy is another one after each epoch. Why?",
             ("BatchNorm statistics move in train mode", "They are buffers, not parameters: no switch of gradients stops them."),
             [("Dropout in the head", "Dropout is off when you test in eval mode."),
              ("Adam's momentum", "No frozen parameter has a gradient, so Adam does not touch it.")]),
    Question("Does `eval()` save memory?",
             ("No, `no_grad` does", "`eval()` changes what BatchNorm and dropout compute. The graph is recorded as before."),
             [("Yes, it stops recording", "It does not: a forward pass in eval mode can be followed by `backward()`."),
              ("Yes, BatchNorm needs no batch then", "That saves a few numbers per channel; the graph takes the memory."),
              ("Yes, it sets `requires_grad` to False", "It touches no parameter: that is another switch.")]),
    Question("Why is the head trained first, alone?",
             ("Its random gradients would disturb good features", "Through a random head flow large gradients that mean nothing yet."),
             [("To save time", "It saves some, but that is a side effect."),
              ("The optimizer allows only one group at first", "An optimizer takes as many groups as you like.")]),
    Question("The VGG16 base is frozen; on it come two dense layers. How many parameter tensors are trained?",
             ("4", "Two layers with a weight and a bias each."),
             [("2", "Each layer has a bias, too."),
              ("30", "Then nothing would be frozen: 26 of the base and 4 of the head.")]),
    Question("The model lies on the GPU, the batch on the CPU. What happens?",
             ("RuntimeError", "PyTorch never moves tensors for you. Send both to one `device`."),
             [("A silent copy", "PyTorch never copies between devices by itself; that would hide what is slow."),
              ("It runs on the CPU", "Weights and inputs must lie on the same device.")]),
    Question("One network gets 96 %, another 90 % on the same 49 pictures. Is the first one better?",
             ("Nobody can say: the intervals overlap widely", "47 against 44 of 49: three pictures. Each interval is about 15 points wide."),
             [("Yes, 6 points are much", "On 49 pictures 6 points are three pictures."),
              ("Yes, it was the same test set", "That helps a little, yet three pictures can still be luck.")]),
    Question("Old code calls `torch.exp` on the model's output before `topk`. Why?",
             ("The model returned log-probabilities; the class is the same without it",
              "exp turns log-probabilities into probabilities. It is increasing, so the order stays."),
             [("`topk` needs positive numbers", "It sorts any numbers."),
              ("To undo the normalization of the input", "Input and output have nothing to do with each other here.")]),
])


# ---------------------------------------------------------------------------------------------- data and small helpers

def squares(folder, side: int = 96):
    """A tree of photos as squares: (images (n, side, side, 3) uint8, labels (n,)), read as in lesson 08."""
    import torch
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    photos = ImageFolder(folder, v2.Compose([v2.Resize(side), v2.CenterCrop(side), v2.PILToTensor()]))
    return torch.stack([picture.permute(1, 2, 0) for picture, _ in photos]), torch.tensor(photos.targets)


def linear_probe(X, y, X_test, y_test, epochs: int = 40, seed: int = 0, batch_size: int = 32) -> float:
    """Train a linear head on cached features, standardized; returns its accuracy in 0..1 on the test features.

    Args: X (n, C) float32, y (n,) int64, and the same for the test; AdamW, learning rate 3e-3, weight decay 0.05.
    The global random state stays as it is.
    """
    import torch
    import torch.nn.functional as F

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, std = X.mean(0), X.std(0) + 1e-6
        X, X_test = (X - mean) / std, (X_test - mean) / std
        head = torch.nn.Linear(X.shape[1], int(y.max()) + 1).to(X.device)
        optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.05)
        for _ in range(epochs):
            for rows in torch.randperm(len(X)).split(batch_size):
                loss = F.cross_entropy(head(X[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return (head(X_test).argmax(1) == y_test).double().mean().item()


def nearest(X, X_test, k: int = 4):
    """For each row of X_test the k rows of X that are nearest, (n_test, k) int64. Args: (n, C) and (n_test, C) tensors of numbers.

    Distance is Euclidean; each column is standardized first, or those with large numbers would decide alone.
    """
    import torch

    X, X_test = X.float(), X_test.float()
    mean, std = X.mean(0), X.std(0) + 1e-6
    return torch.cdist((X_test - mean) / std, (X - mean) / std).topk(k, largest=False).indices


def weights_here() -> dict[str, str]:
    """Name of each large network -> the file of its weights on this machine, or "" where there is none; downloads nothing."""
    from helpers import models

    found = {name: models._found(name) for name in models.LARGE}
    return {name: path.name if path else "" for name, path in found.items()}


def all_stages(features):
    """A module: pictures (N, 3, H, W) -> averages over space at the end of each stage, one behind the other, (N, C, 1, 1).

    Args: features, a network whose stages end at pooling layers; for the course's own, C = 16 + 32 + 64 + 128 + 128.
    """
    import torch
    from torch import nn

    class AllStages(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = features

        def forward(self, x):
            found = []
            for layer in self.features:
                if isinstance(layer, nn.MaxPool2d):
                    found.append(x.mean(dim=(2, 3), keepdim=True))
                x = layer(x)
            return torch.cat([*found, x.mean(dim=(2, 3), keepdim=True)], dim=1)

    return AllStages().train(features.training)


def layer_index(backbone, name: str) -> int:
    """The index in ``backbone.features`` of the convolution with this name, such as "conv5_1".

    Raises ValueError where there is no such layer; the message says which there are.
    """
    names = {known: index for index, known in backbone.layer_names.items()}
    if name in names:
        return names[name]
    if not names:
        raise ValueError(f"the layers of {backbone.source} have no names: take a part by its place, such as features[:-1]")
    near = difflib.get_close_matches(str(name), names, n=1)
    raise ValueError(f"there is no layer {name!r}{f' (did you mean {near[0]!r}?)' if near else ''}; there are {', '.join(names)}")


def five_splits(features, y, share: float = 0.8) -> list[float]:
    """Accuracies of `linear_probe` on five random splits. Args: features (n, C); y (n,); share for training.

    The five heads are trained side by side, as one product of batches of matrices: the same numbers in a third of the time.
    """
    import torch
    import torch.nn.functional as F

    n = int(share * len(y))
    rows = torch.stack([torch.randperm(len(y), generator=torch.Generator().manual_seed(seed)) for seed in range(5)]).to(y.device)
    X, y, X_test, y_test = features[rows[:, :n]], y[rows[:, :n]], features[rows[:, n:]], y[rows[:, n:]]    # (5, n, C), (5, n), ...
    mean, std = X.mean(1, keepdim=True), X.std(1, keepdim=True) + 1e-6
    X, X_test = (X - mean) / std, (X_test - mean) / std
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = torch.nn.Linear(X.shape[2], int(y.max()) + 1)
        weight, bias = (torch.nn.Parameter(p.detach().to(X.device).repeat(5, 1, 1)) for p in (head.weight.T, head.bias))
        optimizer = torch.optim.AdamW([weight, bias], lr=3e-3, weight_decay=0.05, fused=X.device.type != "mps")
        for _ in range(40):
            for batch in torch.randperm(n).split(32):
                scores = X[:, batch] @ weight + bias
                loss = 5 * F.cross_entropy(scores.flatten(0, 1), y[:, batch].flatten())     # the sum of five means
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return ((X_test @ weight + bias).argmax(2) == y_test).double().mean(1).tolist()


def five_folds(features, y) -> tuple[int, int]:
    """(right, all) in 5-fold cross-validation with `linear_probe`: each picture is tested once. Args as in `five_splits`."""
    import torch

    fold = torch.randperm(len(y), generator=torch.Generator().manual_seed(0)).to(y.device) % 5
    right = 0.0
    for k in range(5):
        test = fold == k
        right += linear_probe(features[~test], y[~test], features[test], y[test]) * int(test.sum())
    return round(right), len(y)


def own_photos(folder) -> dict[str, object]:
    """Write seven picture files into the folder, good ones and bad ones, as people have them; returns name -> path.

    A sunflower that the course draws: in color, gray, with transparency; one pixel; cut off; no picture at all; missing.
    """
    from pathlib import Path

    from PIL import Image

    from helpers import flowers

    folder = Path(folder)
    drawn = flowers.draw_flower("sunflowers", 160, np.random.default_rng(5))
    picture = Image.fromarray(np.asarray(drawn[0] if isinstance(drawn, tuple) else drawn, dtype=np.uint8)).resize((200, 160))
    files = {name: folder / file for name, file in (
        ("color", "sunflower.jpg"), ("gray", "gray.png"), ("transparent", "transparent.png"), ("one pixel", "dot.png"),
        ("cut off", "half.jpg"), ("no picture", "notes.jpg"), ("missing", "sunflwer.jpg"))}
    picture.save(files["color"], quality=90)
    picture.convert("L").save(files["gray"])
    rgba = picture.convert("RGBA")
    rgba.putalpha(Image.fromarray(np.tile(np.linspace(60, 255, 200).astype(np.uint8), (160, 1))))
    rgba.save(files["transparent"])
    Image.new("RGB", (1, 1), (200, 30, 30)).save(files["one pixel"])
    raw = files["color"].read_bytes()
    files["cut off"].write_bytes(raw[: len(raw) // 2])
    files["no picture"].write_text("a shopping list\n", encoding="utf-8")
    return files


# ---------------------------------------------------------------------------------------------- figures: boxes and tables

def _bare(ax) -> None:
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for side in ax.spines.values():
        side.set_visible(False)


def _box(ax, x, y, width, height, text, color, *, filled=True, size=11, ls="-"):
    from matplotlib.patches import FancyBboxPatch

    face = color if filled else "white"
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.02,rounding_size=0.08", facecolor=face, edgecolor=color,
                                linewidth=2, linestyle=ls))
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=size, color="white" if filled else plots.BLACK)


def _arrow(ax, start, end) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": plots.BLACK, "linewidth": 1.6})


def show_two_halves() -> None:
    """A pretrained network: frozen features at the left, a new head at the right."""
    fig, ax = plots.figure(size=(8.6, 2.5))
    ax.set(xlim=(0, 10.2), ylim=(0, 2.6))
    _bare(ax)
    for x, width, text, color, filled in ((0.1, 1.3, "photo", plots.GREY, False), (2.0, 3.6, "features\nlearned from other pictures", plots.BLUE, True),
                                          (6.2, 1.3, "one number\na map", plots.GREY, False), (8.1, 1.9, "new head", plots.RED, True)):
        _box(ax, x, 0.7, width, 1.2, text, color, filled=filled)
    for left, right in ((1.45, 1.95), (5.65, 6.15), (7.55, 8.05)):
        _arrow(ax, (left, 1.3), (right, 1.3))
    ax.text(3.8, 0.3, "frozen: computed once a photo", ha="center", color=plots.BLUE, fontsize=11)
    ax.text(9.05, 0.3, "trained", ha="center", color=plots.RED, fontsize=11)
    plots.show(fig, "A photo goes through a frozen stack of features, learned from other pictures. Each of its maps is averaged to one number; only the small "
                    "new head behind them is trained.")


def show_architectures() -> None:
    """Error on ImageNet against size, from the data that torchvision keeps beside its weights; nothing is downloaded."""
    from torchvision.models import get_model_weights

    names = ("squeezenet1_0", "resnet18", "densenet121", "resnet50", "vgg16", "vgg19")
    fig, ax = plots.figure(size=(7.2, 3.7))
    for name in names:
        meta = get_model_weights(name)["IMAGENET1K_V1"].meta
        size, error = meta["num_params"] / 1e6, 100 - meta["_metrics"]["ImageNet-1K"]["acc@1"]
        ax.plot(size, error, "o", color=plots.BLUE, markersize=9)
        offset = {"vgg19": (0, -17), "vgg16": (-4, 9)}.get(name, (9, 4))
        ax.annotate(f"{name}  {error:.1f} %", (size, error), xytext=offset, textcoords="offset points", fontsize=10,
                    ha="right" if name.startswith("vgg") else "left")
    ax.set(xscale="log", xlabel="million parameters (logarithmic)", ylabel="top-1 error in %", xlim=(0.9, 330), ylim=(20, 45))
    ax.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    plots.show(fig, "Six networks trained on ImageNet: top-1 error on its validation photos against size. SqueezeNet is a hundred times smaller "
                    "than VGG16 and errs more often; ResNet-50 and DenseNet-121 are smaller than VGG and better. Source: torchvision.")


def show_vgg16(sizes) -> None:
    """Parameters of the 16 layers of VGG16. Args: sizes, 16 whole numbers in the order of the signal."""
    fig, ax = plots.figure(size=(7.6, 3.3))
    colors = [plots.BLUE] * 13 + [plots.RED] * 3
    ax.bar(range(1, 17), np.array(sizes) / 1e6, color=colors)
    ax.text(7, 22, f"13 convolutions: {sum(sizes[:13]) / 1e6:.1f} M", color=plots.BLUE, ha="center", fontsize=12)
    ax.text(12.6, 88, f"3 dense layers: {sum(sizes[13:]) / 1e6:.1f} M", color=plots.RED, ha="right", fontsize=12)
    ax.set(xlabel="layer", ylabel="million parameters", xticks=range(1, 17))
    plots.show(fig, f"Parameters of the sixteen layers of VGG16. The thirteen convolutions are low bars, {sum(sizes[:13]) / 1e6:.1f} million "
                    f"together; the first dense layer alone has {sizes[13] / 1e6:.1f} million.")


def show_switches() -> None:
    """Five switches and what each of them stops."""
    rows = (("requires_grad = False", "✓", "✗", "✗", "✓"), ("eval()", "✗", "✓", "✓", "✗"),
            ("torch.no_grad()", "✓ (inside)", "✗", "✗", "✓"), ("not in the optimizer", "✓", "✗", "✗", "✗"),
            (".detach() of the features", "✓", "✗", "✗", "✓"))
    heads = ("stops weight\nupdates", "stops BatchNorm\nstatistics", "stops\ndropout", "saves memory\nand time")
    fig, ax = plots.figure(size=(8.6, 3.4))
    ax.set(xlim=(0, 10), ylim=(-5.4, 1))
    _bare(ax)
    for column, text in enumerate(heads):
        ax.text(4.1 + 1.75 * column, 0.35, text, ha="center", va="center", fontsize=11)
    for number, (name, *marks) in enumerate(rows):
        y = -0.75 - number
        if number % 2 == 0:
            ax.axhspan(y - 0.5, y + 0.5, color="#F2F2F2", zorder=0)
        ax.text(0.1, y, name, va="center", fontsize=11.5, family="monospace")
        for column, mark in enumerate(marks):
            good = mark.startswith("✓")
            ax.text(4.1 + 1.75 * column, y, ("yes" if good else "no") + mark[1:], ha="center", va="center", fontsize=12,
                    weight="bold" if good else "normal", color=plots.BLUE if good else plots.RED)
    plots.show(fig, "Five switches. requires_grad=False, no_grad and detach stop updates and save memory, but not BatchNorm statistics or dropout. "
                    "eval() stops those two and nothing else. Leaving parameters out of the optimizer stops updates only.")


def show_recipe() -> None:
    """Fine-tuning in five steps: what is trained in which."""
    steps = (("1 add a head", "frozen?", "frozen?", "new"), ("2 freeze the base", "frozen", "frozen", "new"),
             ("3 train the head", "frozen", "frozen", "trained"), ("4 open the last block", "frozen", "open", "trained"),
             ("5 train both, small rate", "frozen", "trained", "trained"))
    fig, ax = plots.figure(size=(8.4, 3.3))
    ax.set(xlim=(0, 10), ylim=(-4.6, 1.1))
    _bare(ax)
    for x, width, text in ((3.6, 3.0, "lower blocks"), (6.8, 1.5, "last block"), (8.5, 1.3, "head")):
        ax.text(x + width / 2, 0.85, text, ha="center", va="center", fontsize=11)
    colors = {"frozen": plots.BLUE, "trained": plots.RED, "open": plots.ORANGE, "new": plots.GREY, "frozen?": plots.SKY}
    words = {"frozen?": "pretrained"}
    for number, (name, *states) in enumerate(steps):
        y = 0.05 - number
        ax.text(0.05, y, name, va="center", fontsize=11.5)
        for x, width, state in zip((3.6, 6.8, 8.5), (3.0, 1.5, 1.3), states, strict=True):
            _box(ax, x, y - 0.3, width, 0.6, words.get(state, state), colors[state], filled=state in ("frozen", "trained"), size=10.5)
    plots.show(fig, "Five steps of fine-tuning, one a row: add a head; freeze the base; train the head alone; open the last block; train last block "
                    "and head together with a small rate. The lower blocks stay frozen.")


def show_queue(device_seconds: float = 0.2, calls: int = 4) -> None:
    """The program launches jobs, the device works them off. Args: seconds a job takes; number of jobs."""
    fig, ax = plots.figure(size=(8.2, 2.7))
    total = device_seconds * calls
    for k in range(calls):
        ax.barh(1, 0.014, left=0.02 * k, height=0.5, color=plots.RED, edgecolor="white")
        ax.barh(0, device_seconds, left=0.02 + device_seconds * k, height=0.5, color=plots.BLUE, edgecolor="white", linewidth=2)
    end = 0.02 * calls
    ax.annotate("clock stopped here:\nthe launch", (end, 1.0), (end + 0.1, 1.15), fontsize=10.5, va="center", arrowprops={"arrowstyle": "->"})
    ax.annotate("synchronize(), then stop:\nthe work", (total + 0.02, 0.25), (total - 0.11, 1.15), fontsize=10.5, ha="center", va="center",
                arrowprops={"arrowstyle": "->"})
    ax.set(yticks=(0, 1), yticklabels=("device works", "program calls"), xlabel="seconds", xlim=(-0.02, total + 0.15), ylim=(-0.5, 1.6))
    ax.grid(False)
    plots.show(fig, f"Two rows over time. Above, {calls} short calls follow each other at once; below, the device works on the jobs for "
                    f"{device_seconds:g} s each, long after the calls have returned.")


# ---------------------------------------------------------------------------------------------- figures: pictures

def _shown(image) -> np.ndarray:
    return _cpu(image).astype(np.uint8)


def show_kinds(images, labels, classes, each: int = 4) -> None:
    """Some pictures of each class. Args: images (n, h, w, 3) uint8; labels (n,); names of the classes; how many of each."""
    images, labels = _cpu(images), _cpu(labels)
    fig, axes = plots.figure(each, len(classes), size=(1.45 * len(classes), 1.45 * each + 0.25), squeeze=False)
    for column, name in enumerate(classes):
        for row, place in enumerate(np.flatnonzero(labels == column)[:each]):
            axes[row][column].imshow(_shown(images[place]))
        axes[0][column].set_title(name, fontsize=11)
    for ax in axes.flat:
        ax.set_axis_off()
    plots.show(fig, f"Pictures of {len(classes)} kinds, one kind a column: {', '.join(classes)}.", dpi=70, colors=64)


def show_neighbors(places, tests, trains, ways: dict) -> None:
    """Test pictures, and beside each the nearest training pictures; a frame marks those of the same kind.

    Args: places of the test pictures to show; (images, labels) for testing; the same for training; name -> (n_test, k) indices, from `nearest`.
    """
    k = next(iter(ways.values())).shape[1]
    images, labels = (_cpu(part) for part in trains)
    tested, kinds = (_cpu(part) for part in tests)
    ratios = [1.0, *([0.12, *[1.0] * k] * len(ways))]
    fig, axes = plots.figure(len(places), len(ratios), size=(0.84 * sum(ratios), 0.88 * len(places) + 0.3), width_ratios=ratios, squeeze=False)
    for ax in axes.flat:
        _bare(ax)
    axes[0][0].set_title("test", fontsize=10.5)
    found = {name: 0 for name in ways}
    for row, place in zip(axes, places, strict=True):
        row[0].imshow(_shown(tested[place]))
        for number, (name, indices) in enumerate(ways.items()):
            start = 2 + number * (k + 1)
            axes[0][start].set_title(f"nearest in {name}", fontsize=10.5, loc="left")
            for ax, index in zip(row[start:start + k], _cpu(indices)[place], strict=True):
                ax.imshow(_shown(images[index]))
                same = bool(labels[index] == kinds[place])
                found[name] += same
                for side in ax.spines.values():
                    side.set(visible=same, color=plots.RED, linewidth=3.5)
    said = ", ".join(f"{count} of {k * len(places)} nearest in {name}" for name, count in found.items())
    plots.show(fig, f"{len(places)} test pictures and the training pictures nearest to each. Of the same kind, framed in orange: {said}.",
               dpi=90, colors=96)


def show_stages(image, features, mean, std, maps: int = 2) -> None:
    """What comes out of each stage for one picture. Args: image (h, w, 3) uint8; features with pooling layers; mean, std."""
    import torch
    from torch import nn

    x = (torch.as_tensor(_cpu(image)).permute(2, 0, 1)[None] / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    device = next(features.parameters()).device
    x, found = x.to(device), []
    with torch.no_grad():
        for layer in features:
            if isinstance(layer, nn.MaxPool2d):
                found.append(x[0])
            x = layer(x)
    found.append(x[0])
    fig, axes = plots.figure(maps, 1 + len(found), size=(1.5 * (1 + len(found)), 1.5 * maps + 0.35))
    axes[0][0].imshow(_shown(image))
    axes[0][0].set_title("picture", fontsize=11)
    for column, stage in enumerate(found, start=1):
        strongest = stage.flatten(1).std(dim=1).argsort(descending=True)[:maps]
        for row, channel in enumerate(strongest.tolist()):
            axes[row][column].imshow(_cpu(stage[channel]), cmap="gray")
        axes[0][column].set_title(f"stage {column}\n{stage.shape[0]} maps {stage.shape[1]}×{stage.shape[2]}", fontsize=9.5)
    for ax in axes.flat:
        ax.set_axis_off()
    plots.show(fig, f"One picture and, for each of {len(found)} stages, {maps} of its maps. Early maps still look like the picture: edges, colors, fine "
                    "texture. Late ones are coarse and answer to few places.", dpi=80, colors=64)


def show_contract(picture, side: int = 256, crop: int = 224) -> None:
    """Resize, then the middle square. Args: picture (h, w, 3) uint8, not square; shorter side; side of the crop."""
    from matplotlib.patches import Rectangle
    from PIL import Image

    picture = _shown(picture)
    height, width = picture.shape[:2]
    factor = side / min(height, width)
    new = (round(width * factor), round(height * factor))
    resized = np.asarray(Image.fromarray(picture).resize(new))
    left, top = (new[0] - crop) // 2, (new[1] - crop) // 2
    fig, axes = plots.figure(1, 3, size=(8.6, 3.0))
    for ax, shown, title in zip(axes, (picture, resized, resized[top:top + crop, left:left + crop]),
                                (f"file: {width} × {height}", f"Resize({side}): {new[0]} × {new[1]}", f"CenterCrop({crop}): {crop} × {crop}"),
                                strict=True):
        ax.imshow(shown)
        ax.set_title(title, fontsize=11)
        ax.grid(False)
    axes[1].add_patch(Rectangle((left, top), crop, crop, fill=False, edgecolor=plots.RED, linewidth=2.5))
    plots.show(fig, f"A picture of {width} by {height} pixels; scaled so that its shorter side has {side}; the middle square of {crop} by {crop}, "
                    "framed in orange, is what the network gets.", dpi=70, colors=64)


def show_inputs(inputs: dict, accuracies: dict) -> None:
    """The same picture as the network gets it, and the accuracy. Args: name -> (3, h, w) tensor; name -> accuracy in 0..1."""
    fig, axes = plots.figure(2, len(inputs), size=(2.1 * len(inputs), 3.7), height_ratios=(1.5, 1))
    for (top, bottom), (name, x) in zip(axes.T, inputs.items(), strict=True):
        values = _cpu(x)
        top.imshow(np.clip((values.transpose(1, 2, 0) + 2) / 4.6, 0, 1))
        top.set_axis_off()
        top.set_title(f"{name}\n{100 * accuracies[name]:.1f} %", fontsize=11)
        bottom.hist(values.ravel(), bins=40, color=plots.BLUE)
        bottom.set(yticks=[], xlabel="values")
    said = ", ".join(f"{name} {100 * value:.1f} %" for name, value in accuracies.items())
    plots.show(fig, f"One test picture as the network gets it, with a histogram of its values, for inputs prepared in four ways. Test accuracy: {said}.",
               dpi=80, colors=64)


def show_own_photo(picture, seen, classes, probabilities) -> None:
    """A photo, the square that the network gets, and its answer. Args: (h, w, 3) and (side, side, 3) uint8; names; (n,) in 0..1."""
    p = _cpu(probabilities)
    fig, axes = plots.figure(1, 3, size=(8.6, 2.7), width_ratios=(1.3, 1, 1.6))
    for ax, shown, title in ((axes[0], picture, "your photo"), (axes[1], seen, "the network gets")):
        ax.imshow(_shown(shown))
        ax.set_title(title, fontsize=11)
        ax.set_axis_off()
    axes[2].barh(range(len(p)), p, color=[plots.BLUE if k == p.argmax() else plots.GREY for k in range(len(p))])
    axes[2].set(yticks=range(len(p)), yticklabels=classes, xlim=(0, 1), xlabel="probability")
    axes[2].invert_yaxis()
    plots.show(fig, f"A photo, the square cut from it, and five probabilities. The network says {classes[int(p.argmax())]}, with {p.max():.2f}.",
               dpi=80, colors=64)


# ---------------------------------------------------------------------------------------------- figures: results

def show_accuracies(rows: dict, chance: float, title: str = "", n: int = 0) -> None:
    """One bar a row. Args: name -> accuracy in 0..1; accuracy of guessing; title; n, number of test pictures."""
    values = 100 * np.array(list(rows.values()))
    fig, ax = plots.figure(size=(7.4, 0.55 * len(rows) + 1.2))
    ax.barh(range(len(values)), values, color=[plots.BLUE if v == values.max() else plots.SKY for v in values])
    for place, value in enumerate(values):
        ax.text(value + 1, place, f"{value:.1f} %", va="center", fontsize=11)
    ax.axvline(100 * chance, color=plots.BLACK, linestyle="--", linewidth=1.2)
    ax.text(100 * chance, -0.62, "guessing", ha="center", fontsize=9.5)
    ax.set(yticks=range(len(values)), yticklabels=list(rows), xlim=(0, 109), ylim=(len(values) - 0.5, -0.8), title=title,
           xlabel=f"test accuracy in %{f' ({n} pictures)' if n else ''}")
    said = ", ".join(f"{name} {value:.1f} %" for name, value in zip(rows, values, strict=True))
    plots.show(fig, f"Test accuracy, one bar each: {said}. Guessing gives {100 * chance:.0f} %.")


def show_trap(batches, accuracies, size: int = 16) -> None:
    """Accuracy of frozen weights after forward passes in train mode. Args: numbers of batches; accuracies in 0..1; pictures in a batch."""
    values = 100 * np.array(accuracies)
    fig, ax = plots.figure(size=(6.8, 3.3))
    ax.plot(batches, values, "o-", color=plots.RED, linewidth=2.2, markersize=8)
    for x, value in zip(batches, values, strict=True):
        ax.annotate(f"{value:.1f}", (x, value), xytext=(7, 6), textcoords="offset points", fontsize=11)
    ax.set(xlabel=f"batches of {size} seen in train mode (no optimizer)", ylabel="test accuracy in %", ylim=(0, 100), xlim=(-1, max(batches) + 4))
    plots.show(fig, f"Test accuracy of a network whose weights never change: {values[0]:.1f} % at first, {values[-1]:.1f} % after "
                    f"{batches[-1]} batches in train mode.")


def show_line(conv, bn, image, channels: int = 3) -> None:
    """BatchNorm's output against its input, in eval mode. Args: conv, bn; image (1, C, h, w); how many channels to draw."""
    import torch

    with torch.no_grad():
        z = conv(image)
        out = bn(z)
    fig, ax = plots.figure(size=(6.2, 3.5))
    for channel, marker in zip(range(channels), "os^Dv", strict=False):
        x, y = _cpu(z[0, channel]).ravel(), _cpu(out[0, channel]).ravel()
        some = np.linspace(0, len(x) - 1, 60).astype(int)
        ax.plot(x[some], y[some], marker, markersize=4.5, alpha=0.8, label=f"channel {channel}")
    ax.set(xlabel="output of the convolution", ylabel="output of BatchNorm")
    plots.legend(ax)
    plots.show(fig, f"Output of BatchNorm in eval mode against its input, for {channels} channels: in each, all points lie on one straight line.")


def show_transfer() -> None:
    """What transfers: figures of the model card, on photographs."""
    groups = ("flowers,\nlast stage", "flowers,\nall stages", "cats and dogs,\nlast stage", "cats and dogs,\nall stages")
    trained, untrained = (54.9, 70.8, 77.1, 80.4), (51.3, 57.7, 56.1, 57.4)
    fig, ax = plots.figure(size=(7.8, 3.5))
    for shift, values, color, name in ((-0.2, trained, plots.BLUE, "trained on CIFAR-10"), (0.2, untrained, plots.ORANGE, "random weights")):
        ax.bar(np.arange(4) + shift, values, 0.38, color=color, label=name)
        for place, value in enumerate(values):
            ax.text(place + shift, value + 1, f"{value:.1f}", ha="center", fontsize=10)
    ax.plot([-0.45, 1.45], [20, 20], "--", color=plots.BLACK, linewidth=1.2)
    ax.plot([1.55, 3.45], [50, 50], "--", color=plots.BLACK, linewidth=1.2)
    ax.set(xticks=range(4), xticklabels=groups, ylabel="test accuracy in %", ylim=(0, 100))
    plots.legend(ax, loc="upper left", ncols=2)
    plots.show(fig, "Linear probes on photographs, from the model card: features of the trained network against those of random weights, last stage and "
                    "all stages. For flowers the trained last stage is hardly better than random; all stages are. Dashed: guessing.")


def show_ladder(values=(90, 96, 97)) -> None:
    """A published ladder, in % of validation photos; which step is doubtful, the reader shall say."""
    names = ("cached features\nof VGG16", "frozen base,\naugmentation", "block 5\nfine-tuned")
    fig, ax = plots.figure(size=(6.6, 3.2))
    ax.bar(range(3), values, 0.55, color=plots.BLUE)
    for place, value in enumerate(values):
        ax.text(place, value + 0.3, f"{value} %", ha="center", fontsize=13)
    ax.set(xticks=range(3), xticklabels=names, ylim=(80, 101), ylabel="validation accuracy in %")
    plots.show(fig, "Three published results on cats and dogs: 90 % with cached features, 96 % with a frozen base and augmentation, 97 % with the last "
                    "block fine-tuned. The axis starts at 80.")


def show_intervals(rows) -> None:
    """Accuracies with their intervals. Args: rows of (label, accuracy, (low, high)), all in 0..1."""
    fig, ax = plots.figure(size=(7.4, 0.6 * len(rows) + 1.0))
    for place, (_, p, (low, high)) in enumerate(rows):
        ax.plot([100 * low, 100 * high], [place, place], color=plots.BLUE, linewidth=6, alpha=0.45, solid_capstyle="butt")
        ax.plot(100 * p, place, "o", color=plots.BLUE, markersize=9)
        ax.text(101, place, f"{100 * low:.1f} to {100 * high:.1f} %", va="center", fontsize=10.5)
    ax.set(yticks=range(len(rows)), yticklabels=[row[0] for row in rows], xlim=(min(60, *(100 * r[2][0] - 2 for r in rows)), 100),
           xlabel="accuracy in %, with its 95 % interval", ylim=(len(rows) - 0.5, -0.5))
    said = "; ".join(f"{label}: {100 * low:.1f} to {100 * high:.1f} %" for label, _, (low, high) in rows)
    plots.show(fig, f"Accuracies as points with their 95 % Wilson intervals as bars. {said}. Few pictures, wide bars.")


def show_finetuning(curves: dict) -> None:
    """Test accuracy over the epochs. Args: name -> accuracies in 0..1, the first before training."""
    fig, ax = plots.figure(size=(6.8, 3.5))
    for (name, values), marker in zip(curves.items(), "os^D", strict=False):
        ax.plot(range(len(values)), 100 * np.array(values), f"{marker}-", label=name, linewidth=2)
    ax.set(xlabel="epoch", ylabel="test accuracy in %", xticks=range(max(map(len, curves.values()))), ylim=(0, 100))
    plots.legend(ax, loc="lower right")
    said = "; ".join(f"{name}: from {100 * v[0]:.1f} to {100 * v[-1]:.1f} %" for name, v in curves.items())
    plots.show(fig, f"Test accuracy over the epochs. {said}.")
