"""Lesson 05, networks as modules: its exercises, its quiz and its figures. Imports torch only when somebody needs it."""

from __future__ import annotations

import functools
import math

import numpy as np

from helpers import devices, plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import Raised, describe, is_tensor

FLOOR_10 = math.log(math.e + 9) - 1   # cross-entropy of a perfect one-hot row that is taken for ten logits: 1.4612
FLOOR_2 = math.log(1 + math.exp(-1))  # two sigmoid outputs, 1 and 0, taken for logits: 0.3133


# ---------------------------------------------------------------------------------------------- for checks

def _device(dtype: str = "float32"):
    """The device of the lesson; the CPU for float64 where the device knows none (Apple's MPS)."""
    import torch

    device = devices.device()
    return torch.device("cpu") if dtype == "float64" and device.type == "mps" else device


def _normal(*shape: int, seed: int, scale: float = 1.0, dtype: str | None = None):
    """Fixed normal numbers as a tensor on the device of the lesson; in the default dtype, as the student's layers are."""
    import torch

    numbers = np.random.default_rng(seed).normal(size=shape) * scale
    if dtype is None:
        return torch.tensor(numbers.astype("float32"), dtype=torch.get_default_dtype(), device=_device())
    return torch.tensor(numbers.astype(dtype), device=_device(dtype))


def _tensor(values, dtype: str | None = None):
    """A list as a tensor on the device of the lesson."""
    import torch

    return torch.tensor(values, dtype=getattr(torch, dtype) if dtype else None, device=_device(dtype or "float32"))


def _close(a, b, rtol: float = 1e-4) -> bool:
    """Whether two results are the same but for rounding; False for anything that is no number."""
    try:
        return bool(np.allclose(_cpu(a), _cpu(b), rtol=rtol, atol=1e-6))
    except (TypeError, ValueError):
        return False


def _cpu(values) -> np.ndarray:
    return values.detach().cpu().numpy() if is_tensor(values) else np.asarray(values, dtype=float)


def _raised(facts: dict, text: str) -> bool:
    """Whether the answer ended with an exception that says ``text``."""
    return any(isinstance(value, Raised) and text in value.text for value in facts.values())


def _kind(value, wanted: type, name: str) -> str:
    return name if isinstance(value, wanted) else describe(value)


# ---------------------------------------------------------------------------------------------- 05.1 Network

_SIZES = (784, 128, 64, 10)
_A_MODULE = "an nn.Module"


def _fill(layers, seed: int) -> None:
    """Fixed weights and biases, other than 0, so that two networks compare. Args: layers, linear ones in order."""
    import torch

    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for layer in layers:
            for p, scale in ((layer.weight, layer.in_features**-0.5), (layer.bias, 0.5)):
                p.copy_(torch.tensor((rng.normal(size=tuple(p.shape)) * scale).astype(np.float32)))


def _linear_text(layer) -> str:
    from torch import nn

    if layer is None:
        return "missing"
    return f"{layer.in_features}-{layer.out_features}" if isinstance(layer, nn.Linear) else describe(layer)


def _observe_network(Network, see):
    import torch

    net = see.call(Network, label="Network()", record=False, asks=_A_MODULE)
    see.fact("Network() is", _kind(net, torch.nn.Module, _A_MODULE), implied=_A_MODULE)
    if not isinstance(net, torch.nn.Module):
        return
    tensors = list(net.parameters())
    see.fact("registered parameters", f"{sum(p.numel() for p in tensors):,} in {len(tensors)} tensors")
    layers = [getattr(net, name, None) for name in ("fc1", "fc2", "fc3")]
    text = ", ".join(f"{name} {_linear_text(layer)}" for name, layer in zip(("fc1", "fc2", "fc3"), layers, strict=True))
    see.fact("its layers", text)
    if text != "fc1 784-128, fc2 128-64, fc3 64-10" or len(tensors) != 6:
        return
    net = net.to(_device())
    _fill(layers, seed=51)
    for n, shape in ((3, (1, 28, 28)), (1, (1, 28, 28)), (5, (1, 28, 28)), (2, (784,))):
        x = _normal(n, *shape, seed=n)
        scores = see.call(net, x, label=f"scores of x {tuple(x.shape)}, with given weights", rtol=1e-4)
        if not is_tensor(scores) or tuple(scores.shape) != (n, 10):
            return
        if n == 3:
            _observe_scores(net, x, scores, see)


def _observe_scores(net, x, scores, see) -> None:
    import torch

    sums, exp_sums = scores.sum(1), scores.exp().sum(1)
    one = torch.ones(len(x), device=scores.device, dtype=scores.dtype)
    see.fact("a row of scores", "sums to 1" if torch.allclose(sums, one, atol=1e-4) else
             "sums to 1 after exp" if torch.allclose(exp_sums, one, atol=1e-4) else "sums to anything")
    with torch.no_grad():
        zero = net(x * 0)
        straight = torch.allclose(net(2 * x) - zero, 2 * (net(x) - zero), atol=1e-3)
    see.fact("f(2x) − f(0) is", "2 (f(x) − f(0))" if straight else "not 2 (f(x) − f(0))")
    if scores.requires_grad:
        (scores * _normal(*scores.shape, seed=8)).sum().backward()
    for name, p in net.named_parameters():
        see.fact(f"gradient of {name}", "none" if p.grad is None else p.grad, rtol=1e-3)


def _network(*, last=None, bend="relu", bends_after=(1, 2), in_list=False, rows=-1, flat=(1,), opened=True):
    """784-128-64-10 from the functions of PyTorch, with one part changed for the mistakes below."""
    import torch
    from torch import nn

    bends = {"relu": lambda a: a.clamp(min=0), "sigmoid": lambda a: 1 / (1 + (-a).exp()), "none": lambda a: a}

    class Products(nn.Module):
        def __init__(self):
            if opened:
                super().__init__()
            layers = [nn.Linear(i, o) for i, o in zip(_SIZES, _SIZES[1:], strict=False)]
            if in_list:
                self.layers = layers
            else:
                self.fc1, self.fc2, self.fc3 = layers

        def forward(self, x):
            x = x.view(rows, -1) if rows != -1 else x.flatten(*flat) if flat is not None else x
            for k, layer in enumerate((self.fc1, self.fc2, self.fc3), 1):
                x = torch.nn.functional.linear(x, layer.weight, layer.bias)
                x = bends[bend](x) if k in bends_after else x
            return last(x, dim=1) if last else x

    return Products()


def _class_that_makes(make, *args, **options):
    """A class for a mistake: calling it makes the module, so that torch is imported only then."""
    class Network:
        def __new__(cls):
            return make(*args, **options)

    return Network


def _network_with(name: str):
    import torch

    return _network(last=getattr(torch, name))


Network = Exercise(
    "05.1", "Network",
    observe=_observe_network,
    expected=_network,
    kind="class",
    mistakes=[
        Mistake("Each row sums to 1: these are probabilities, or their logarithms. Return the raw scores, without softmax.",
                _class_that_makes(_network_with, "softmax"),
                when=lambda facts: facts["a row of scores"] in ("sums to 1", "sums to 1 after exp")),
        Mistake("0 parameters registered: layers in a Python list are invisible to the module. Assign each to an attribute.",
                _class_that_makes(_network, in_list=True),
                when=lambda facts: facts["registered parameters"].startswith("0 ")),
        Mistake("It works only for a batch of 64: keep the first dimension whatever it is, and flatten the others.",
                _class_that_makes(_network, rows=64), when=lambda facts: _raised(facts, "[64, ")),
        Mistake("The network is linear: f(2x) − f(0) = 2 (f(x) − f(0)). A ReLU belongs after fc1 and after fc2.",
                _class_that_makes(_network, bend="none"),
                when=lambda facts: facts["f(2x) − f(0) is"] == "2 (f(x) − f(0))"),
        Mistake("The hidden values all lie in 0..1: ReLU was asked, and this is the sigmoid.",
                _class_that_makes(_network, bend="sigmoid")),
        Mistake("A ReLU follows the last layer: no score is negative. fc3 returns raw scores.",
                _class_that_makes(_network, bends_after=(1, 2, 3))),
        Mistake("There is no ReLU after fc2: without a bend, fc2 and fc3 are one matrix product.",
                _class_that_makes(_network, bends_after=(1,))),
        Mistake("There is no ReLU after fc1: without a bend, fc1 and fc2 are one matrix product.",
                _class_that_makes(_network, bends_after=(2,))),
        Mistake("84 × 28: the images are still (3, 1, 28, 28). Flatten them to (3, 784) before fc1; dimension 0, the batch, stays.",
                _class_that_makes(_network, flat=None), when=lambda facts: _raised(facts, "(84x28")),
        Mistake("1 × 2352: all three images were flattened into one row. Start at dimension 1, so that the batch stays.",
                _class_that_makes(_network, flat=()), when=lambda facts: _raised(facts, "(1x2352")),
        Mistake("Nobody has opened the module's books: a constructor begins with super().__init__(), as in section 3.",
                _class_that_makes(_network, opened=False), when=lambda facts: _raised(facts, "before Module.__init__")),
    ],
    hints=[
        "Layers with weights belong to the constructor, their order belongs to forward.",
        "Three `nn.Linear`, `flatten(1)`, `F.relu`.",
        "`x = x.flatten(_); x = F.relu(self.fc1(_)); ...; return self.fc3(_)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 05.2 make_mlp

_A_SEQUENTIAL = "an nn.Sequential"


def _parts(module) -> list:
    """The modules of nested Sequentials in the order of the signal."""
    from torch import nn

    if isinstance(module, nn.Sequential):
        return [part for child in module for part in _parts(child)]
    return [module]


def _part_text(part) -> str:
    from torch import nn

    if isinstance(part, nn.Linear):
        return f"Linear {part.in_features}-{part.out_features}"
    return f"Dropout {part.p:g}" if isinstance(part, nn.Dropout) else type(part).__name__


def _makes_no_difference(part) -> bool:
    from torch import nn

    return isinstance(part, nn.Identity) or (isinstance(part, nn.Dropout) and part.p == 0)


def _observe_mlp(make_mlp, see):
    import torch
    from torch import nn

    # (sizes, further arguments, shape of a sample)
    cases = (((12, 7, 5, 3), {"activation": nn.Tanh}, (3, 4)), ([6, 4], {}, (6,)), ((20, 9, 8, 11), {"p": 0.3}, (4, 5)),
             ((784, 512, 512, 10), {}, None))
    for sizes, options, shape in cases:
        asked = ", ".join([f"make_mlp({sizes}", *(f"{k}={getattr(v, '__name__', v)}" for k, v in options.items())]) + ")"
        net = see.call(make_mlp, sizes, label=asked, record=False, asks=_A_SEQUENTIAL, **options)
        see.fact(f"{asked} is", _kind(net, nn.Sequential, _A_SEQUENTIAL), implied=_A_SEQUENTIAL)
        if not isinstance(net, nn.Sequential):
            return
        parts = [part for part in _parts(net) if not _makes_no_difference(part)]
        see.fact(f"{asked}: its parts in order", ", ".join(map(_part_text, parts)))
        see.fact(f"{asked}: number of parameters", sum(p.numel() for p in net.parameters()))
        linear = [part for part in parts if isinstance(part, nn.Linear)]
        if shape is None or [m.out_features for m in linear] != list(sizes[1:]):
            continue
        net = net.to(_device())
        _fill(linear, seed=len(sizes))
        for n in (4, 1):
            with torch.no_grad():
                see.call(net.eval(), _normal(n, *shape, seed=n), label=f"{asked}: scores of {n}, eval mode, given weights", rtol=1e-4)
        with torch.no_grad():
            x = _normal(9, *shape, seed=3)
            alike = torch.equal(net.train()(x), net(x))
        see.fact(f"{asked}: two passes in training mode", "are the same" if alike else "differ")


def _mlp(sizes, activation=None, p=0.0, *, at_the_end=False, cut=0, on_input=False, called=True, starred=True, flat=True,
         drops=True, drops_first=False):
    """The parts one by one, with one of them changed for the mistakes below."""
    from torch import nn

    activation = activation or nn.ReLU
    pairs = list(zip(sizes, sizes[1:], strict=False))
    pairs = pairs[:len(pairs) - cut]
    layers = [nn.Flatten()] * flat + [nn.Dropout(p)] * on_input
    for place, (i, o) in enumerate(pairs, 1):
        layers.append(nn.Linear(i, o))
        if place < len(sizes) - 1 or at_the_end:
            pair = [activation() if called else activation, *[nn.Dropout(p)] * drops]
            layers += pair[::-1] if drops_first else pair
    return nn.Sequential(*layers) if starred else nn.Sequential(layers)


def _reference_mlp(sizes, activation=None, p=0.0):
    return _mlp(sizes, activation, p)


def _mlp_mistake(**change):
    def make_mlp(sizes, activation=None, p=0.0):
        return _mlp(sizes, activation, p, **change)
    return make_mlp


_FIRST_MLP = "make_mlp((12, 7, 5, 3), activation=Tanh)"
_DROPPING_MLP = "make_mlp((20, 9, 8, 11), p=0.3)"

make_mlp = Exercise(
    "05.2", "make_mlp",
    observe=_observe_mlp,
    expected=_reference_mlp,
    mistakes=[
        Mistake("An activation follows the last layer: with ReLU negative scores are impossible. End with the linear layer.",
                _mlp_mistake(at_the_end=True),
                when=lambda facts: facts[f"{_FIRST_MLP}: its parts in order"].endswith("Linear 5-3, Tanh")),
        Mistake("The last layer is missing: the output has sizes[-2] columns, expected sizes[-1].", _mlp_mistake(cut=1),
                when=lambda facts: "Linear 12-7" in facts[f"{_FIRST_MLP}: its parts in order"]
                and "Linear 5-3" not in facts[f"{_FIRST_MLP}: its parts in order"]),
        Mistake("Input pixels are dropped: dropout follows hidden activations only.", _mlp_mistake(on_input=True),
                when=lambda facts: facts[f"{_DROPPING_MLP}: its parts in order"].startswith(("Flatten, Dropout", "Dropout"))),
        Mistake("nn.Sequential takes the layers one by one: unpack the list with a star.", _mlp_mistake(starred=False),
                when=lambda facts: _raised(facts, "list is not a Module") or _raised(facts, "tuple is not a Module")),
        Mistake("A class is no layer: pass an instance, activation().", _mlp_mistake(called=False),
                when=lambda facts: _raised(facts, "is not a Module subclass")),
        Mistake("Flatten is missing: images must become rows before the first linear layer.", _mlp_mistake(flat=False),
                when=lambda facts: facts[f"{_FIRST_MLP}: its parts in order"].startswith("Linear")),
        Mistake("Dropout is missing: p asks for it after each activation.", _mlp_mistake(drops=False),
                when=lambda facts: facts[f"{_DROPPING_MLP}: its parts in order"]
                == "Flatten, Linear 20-9, ReLU, Linear 9-8, ReLU, Linear 8-11"),
        Mistake("Dropout comes before the activation: the order is linear, activation, dropout.", _mlp_mistake(drops_first=True),
                when=lambda facts: "Dropout 0.3, ReLU" in facts[f"{_DROPPING_MLP}: its parts in order"]),
    ],
    hints=[
        "The pairs (in, out) are neighbors in the list.",
        "`zip(sizes[:-1], sizes[1:])`; unpack a list into `nn.Sequential(*layers)`.",
        "`for k, (i, o) in enumerate(pairs): layers.append(nn.Linear(_, _)); if k < _: layers += [activation(), nn.Dropout(_)]`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 05.3 functional_forward

def _state(sizes, seed: int) -> dict:
    """Weights (out, in) and biases of three layers, with gradients wanted."""
    state = {}
    for k, (i, o) in enumerate(zip(sizes, sizes[1:], strict=False), 1):
        state[f"fc{k}.weight"] = _normal(o, i, seed=10 * seed + k, scale=i**-0.5)
        state[f"fc{k}.bias"] = _normal(o, seed=20 * seed + k, scale=0.5)
    return {name: value.requires_grad_() for name, value in state.items()}


def _observe_functional(functional_forward, see):
    for sizes, n, shape in (((5, 5, 5, 5), 3, (5,)), ((12, 7, 5, 3), 4, (1, 3, 4)), ((6, 9, 4, 2), 1, (2, 3))):
        state, x = _state(sizes, seed=sum(sizes)), _normal(n, *shape, seed=n)
        asked = f"state of sizes {'-'.join(map(str, sizes))}, x {tuple(x.shape)}"
        scores = see.call(functional_forward, state, x, label=f"{asked}", changes_inputs=True, rtol=1e-5)
        if not is_tensor(scores) or tuple(scores.shape) != (n, sizes[-1]):
            return
        if scores.requires_grad:
            (scores * _normal(*scores.shape, seed=4)).sum().backward()
        for name, value in state.items():
            see.fact(f"{asked}: gradient of {name}", "none" if value.grad is None else value.grad, rtol=1e-4)
    see.call(functional_forward, {name: value.detach() for name, value in _state((4, 6, 3, 2), 1).items()},
             _normal(5, 4, seed=9), label="state of sizes 4-6-3-2, without gradients", rtol=1e-5)


def _reference_functional(state, x):
    """Einstein sums and clamps."""
    import torch

    a = x.reshape(len(x), -1)
    for k in (1, 2, 3):
        a = torch.einsum("ni,oi->no", a, state[f"fc{k}.weight"]) + state[f"fc{k}.bias"][None]
        a = a.clamp(min=0) if k < 3 else a
    return a


def _functional_mistake(change: str):
    def functional_forward(state, x):
        if change == "module":
            net = _network()
            net.load_state_dict(state)
            return net(x)
        x = x.reshape(-1, 784) if change == "hard-coded" else x.flatten(1)
        for k in (1, 2, 3):
            W, b = state[f"fc{k}.weight"], state[f"fc{k}.bias"]
            W, b = (W.detach(), b.detach()) if change == "cut off" else (W, b)
            x = x @ W + b if change == "not transposed" else (x + b) @ W.T if change == "bias first" else x @ W.T + b
            x = x if change == "no relu" or (k == 3 and change != "relu last") else x.relu()
        return x
    return functional_forward


def _without_bias(state, x):
    for k in (1, 2, 3):
        x = x.flatten(1) @ state[f"fc{k}.weight"].T
        x = x.relu() if k < 3 else x
    return x


@functools.cache
def _first_scores():
    """What the first case asks for."""
    state = _state((5, 5, 5, 5), seed=20)
    return _cpu(_reference_functional(state, _normal(3, 5, seed=3)))


_FIRST_STATE = "state of sizes 5-5-5-5, x (3, 5)"


def _cut_off(facts: dict) -> bool:
    """Right scores, but no gradient reaches some entry."""
    return _close(facts[_FIRST_STATE], _first_scores()) and any(
        isinstance(value, str) and value == "none" for label, value in facts.items() if label.startswith(_FIRST_STATE))


functional_forward = Exercise(
    "05.3", "functional_forward",
    observe=_observe_functional,
    expected=_reference_functional,
    mistakes=[
        Mistake("x @ W where x @ W.T is meant: weight is stored as (out, in), which square layers hide.",
                _functional_mistake("not transposed")),
        Mistake("No score is negative: the last layer returns raw scores, without ReLU.", _functional_mistake("relu last")),
        Mistake("The bias belongs after the product: it has the size of the output.", _functional_mistake("bias first")),
        Mistake("Here no module is built or filled: use the tensors in `state` themselves, with F.linear.", _functional_mistake("module"),
                when=lambda facts: _raised(facts, "loading state_dict")),
        Mistake("The biases are missing: each layer is x Wᵀ + b.", _without_bias),
        Mistake("No layer bends: ReLU follows the first two.", _functional_mistake("no relu")),
        Mistake("The scores are right, but cut off from the graph (`.data`, `detach`, `no_grad`?): use the entries of `state` themselves.",
                _functional_mistake("cut off"), when=_cut_off),
        Mistake("It fails for other numbers of inputs, because 784 is written in: flatten(1) needs no number.",
                _functional_mistake("hard-coded"),
                when=lambda facts: _raised(facts, "784")),
    ],
    hints=[
        "Weights have shape (out, in).",
        "`F.linear(input, weight, bias)`.",
        '`h = F.relu(F.linear(h, state["fc1._"], state["fc1._"]))`.',
    ],
)


# ---------------------------------------------------------------------------------------------- 05.4 nll_from_logits

def _calls_a_loss(value) -> str:
    """Whether one of PyTorch's loss functions stands in the graph of ``value``."""
    waiting, seen = [value.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if "NllLoss" in node.name() or "CrossEntropy" in node.name():
            return "a loss function of PyTorch"
        waiting += [parent for parent, _ in node.next_functions]
    return "your own formula"


WORKED_LOGITS, WORKED_TARGETS = [[2.0, -1.0, 0.5], [0.3, 1.2, -0.7]], [2, 1]


def _observe_nll(nll_from_logits, see):
    cases = (("the logits of the table, targets 2 and 1", _tensor(WORKED_LOGITS), WORKED_TARGETS),
             ("logits (6, 4)", _normal(6, 4, seed=1, scale=2.5), [3, 0, 2, 2, 1, 0]),
             ("logits (1, 5)", _normal(1, 5, seed=2, scale=1.5), [3]),
             ("logits (3, 4), float64", _normal(3, 4, seed=3, scale=3, dtype="float64"), [1, 3, 0]),
             (_FAR_ROWS,
              _tensor([[1000.0, 0.0, -1000.0], [-1000.0, -1001.0, -999.0]]), [2, 0]))
    for asked, logits, targets in cases:
        target = _tensor(targets).to(logits.device)
        leaf = logits.requires_grad_()
        loss = see.call(nll_from_logits, leaf, target, label=asked, changes_inputs=True, rtol=1e-5)
        if not is_tensor(loss) or loss.ndim:
            return
        if loss.requires_grad:
            if getattr(loss.grad_fn, "_saved_self_sym_sizes", None) == (6, 6):
                see.remark("But look at the shapes: (N,) less (N, 1) became (N, N) on the way, the trap of question 8. Only its mean is the "
                           "same.")
            loss.backward()
            see.fact(f"{asked}: computed by", _calls_a_loss(loss), implied="your own formula")
        see.fact(f"{asked}: gradient", "none" if leaf.grad is None else leaf.grad, atol=1e-3 if "1000" in asked else 1e-6)
    see.call(nll_from_logits, _normal(4, 3, seed=5), _tensor([2, 2, 0, 1]), label="logits (4, 3)", rtol=1e-5)


def _reference_nll(logits, target):
    import torch.nn.functional as F

    return F.cross_entropy(logits, target)


_FAR_ROWS = "rows [1000, 0, −1000] and [−1000, −1001, −999], targets 2 and 0"


def _far_loss(facts: dict) -> float:
    """The loss of the large logits where the other cases are right, else 0."""
    import torch.nn.functional as F

    worked = F.cross_entropy(_tensor(WORKED_LOGITS), _tensor(WORKED_TARGETS)).item()
    return float(facts[_FAR_ROWS]) if _close(facts["the logits of the table, targets 2 and 1"], worked) else 0.0


def _nll_with(logits, target, *, dim=1, reduce="mean", sign=-1.0):
    p = logits.log_softmax(dim=dim)
    return sign * getattr(p[range(len(target)), target], reduce)()


nll_from_logits = Exercise(
    "05.4", "nll_from_logits",
    observe=_observe_nll,
    expected=_reference_nll,
    mistakes=[
        Mistake("inf at large logits: the softmax underflows to 0 before the logarithm. Use logsumexp.",
                lambda logits, target: -logits.softmax(dim=1)[range(len(target)), target].log().mean()),
        Mistake("Columns are normalized: the rows are the samples.", lambda logits, target: _nll_with(logits, target, dim=0)),
        Mistake("N times too large: average over the batch.", lambda logits, target: _nll_with(logits, target, reduce="sum")),
        Mistake("A negative loss: minus the log-probability.", lambda logits, target: _nll_with(logits, target, sign=1.0)),
        Mistake("Softmax twice: the loss is too flat, about 1.064 where 1.092 is due. Pass logits once.",
                lambda logits, target: _nll_with(logits.softmax(dim=1), target)),
        Mistake("Every row takes the entries of all targets, logits[:, target]: give each row its own, with an index for the row too.",
                lambda logits, target: logits.logsumexp(dim=1).mean() - logits[:, target].mean(),
                when=lambda facts: _close(facts["the logits of the table, targets 2 and 1"], 1.9418, rtol=1e-4)),
        Mistake("−inf: the largest of all logits is subtracted, so a whole row can underflow. Each row needs its own maximum.",
                lambda logits, target: (logits - logits.max()).exp().sum(dim=1).log().mean()
                - (logits - logits.max())[range(len(target)), target].mean(), when=lambda facts: _far_loss(facts) == -math.inf),
        Mistake("e to the power 1000 overflows to inf, e to the power −1000 is 0: let logsumexp do both steps.",
                lambda logits, target: logits.exp().sum(dim=1).log().mean() - logits[range(len(target)), target].mean(),
                when=lambda facts: math.isnan(_far_loss(facts))),
        Mistake("One loss for each sample: average them into one number.",
                lambda logits, target: logits.logsumexp(dim=1) - logits[range(len(target)), target],
                when=lambda facts: tuple(facts["the logits of the table, targets 2 and 1"].shape) == (2,)),
        Mistake("This calls PyTorch's own loss. Right numbers, but here you are to write the formula yourself.", _reference_nll,
                when=lambda facts: "a loss function of PyTorch" in facts.values()),
    ],
    hints=[
        "Write the logarithm of the softmax as a difference.",
        "`torch.logsumexp(..., dim=1)`, and pick one entry per row.",
        "`z_true = logits[torch.arange(_), _]; return (_ - z_true).mean()`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 05.5 binary_pairings

_THREE_LOSSES = ("with logits", "on the sigmoid", "two classes")
_FAR = "scores [−200, 3], targets [1, 0]"
_WORKED_BINARY = "scores [1.5, −0.4, −2], targets [1, 0, 1]"


def _observe_binary(binary_pairings, see):
    scores = (np.array([1.5, -0.4, -2.0]), np.random.default_rng(5).uniform(-4, 4, 7), np.array([0.8]))
    labels = ([1, 0, 1], [0, 1, 1, 0, 1, 0, 0], [0])
    for values, targets in zip(scores, labels, strict=True):
        n = len(values)
        asked = _WORKED_BINARY if n == 3 else f"{n} score{'s' * (n > 1)}"
        score = _tensor(values.tolist()).requires_grad_()
        losses = see.call(binary_pairings, score, _tensor([float(t) for t in targets]), label=asked, rtol=1e-4, atol=1e-4,
                          changes_inputs=True, parts=_THREE_LOSSES)
        if not isinstance(losses, tuple | list) or len(losses) != 3:
            return
        see.fact(f"{asked}: the losses are", _computations(losses), implied="three computations")
        for name, loss in zip(_THREE_LOSSES, losses, strict=True):
            score.grad = None
            if is_tensor(loss) and loss.requires_grad and loss.ndim == 0:
                loss.backward(retain_graph=True)
            see.fact(f"{asked}: gradient of the loss {name}", "none" if score.grad is None else score.grad, rtol=1e-3, atol=1e-4)
    see.call(binary_pairings, _normal(4, seed=6), _tensor([1.0, 0.0, 0.0, 1.0]), label="4 scores without gradients", rtol=1e-4,
             atol=1e-4, parts=_THREE_LOSSES)
    far = see.call(binary_pairings, _tensor([-200.0, 3.0]), _tensor([1.0, 0.0]), label=_FAR, record=False, asks="three losses")
    for name, loss in zip(_THREE_LOSSES, far, strict=False):
        if name != _THREE_LOSSES[1]:  # the loss on the sigmoid has lost its precision here
            see.fact(f"{_FAR}: the loss {name}", loss, rtol=1e-4)


def _computations(losses) -> str:
    """Whether three losses come from three graphs; the kinds of their operations, in order, tell."""
    graphs = []
    for loss in losses:
        found, node = [], getattr(loss, "grad_fn", None)
        waiting = [node] if node is not None else []
        while waiting and len(found) < 100:
            node = waiting.pop()
            found.append(node.name())
            waiting += [parent for parent, _ in node.next_functions if parent is not None]
        graphs.append(tuple(found))
    return "three computations" if len(set(graphs)) == 3 or () in graphs else "one of them more than once"


def _reference_binary(score, target):
    """max(s, 0) − s t + log(1 + exp(−|s|)), written in three ways."""
    import torch
    import torch.nn.functional as F

    zero = torch.zeros_like(score)
    return ((torch.maximum(score, zero) - score * target + (-score.abs()).exp().log1p()).mean(),
            (F.softplus(score) - score * target).mean(), (torch.logaddexp(score, zero) - score * target).mean())


def _binary_with(score, target, change: str):
    import torch
    import torch.nn.functional as F

    zero = torch.zeros_like(score)
    two = {"mirrored": torch.stack([-score, score], 1), "swapped": torch.stack([score, zero], 1),
           "probabilities": torch.stack([1 - score.sigmoid(), score.sigmoid()], 1)}.get(change, torch.stack([zero, score], 1))
    third = (F.cross_entropy(score, target) if change == "no columns" else
             F.cross_entropy(score[:, None], target[:, None]) if change == "one column" else
             F.cross_entropy(two, target if change == "float" else target.long()))
    first = F.binary_cross_entropy_with_logits(score.sigmoid() if change == "twice" else score, target)
    second = F.binary_cross_entropy(score.sigmoid(), target)
    if change == "with logits twice":
        second = F.binary_cross_entropy_with_logits(score.sigmoid(), target)
    return {"reordered": (second, first, third), "one": (first,) * 3}.get(change, (first, second, third))


def _binary_mistake(change: str):
    def binary_pairings(score, target):
        return _binary_with(score, target, change)
    return binary_pairings


binary_pairings = Exercise(
    "05.5", "binary_pairings",
    observe=_observe_binary,
    expected=_reference_binary,
    mistakes=[
        Mistake("Softmax over a single column is always 1, so the loss is 0: two classes need two columns.", _binary_mistake("one column"),
                when=lambda facts: _close(facts[_WORKED_BINARY][2], 0.0)),
        Mistake("Class indices must be int64: convert target for the third loss.", _binary_mistake("float"),
                when=lambda facts: _raised(facts, "Long")),
        Mistake("The scores are stacked as [−s, s], whose difference is 2s: the logit of class 0 must be 0.", _binary_mistake("mirrored"),
                when=lambda facts: _close(facts[_WORKED_BINARY][2], _mirrored())),
        Mistake("The sigmoid is applied twice: the with-logits form takes the raw score.", _binary_mistake("twice"),
                when=lambda facts: _close(facts[_WORKED_BINARY][0], 0.6383, rtol=1e-3)),
        Mistake("The second loss applies the sigmoid twice: F.binary_cross_entropy is the one that takes probabilities.",
                _binary_mistake("with logits twice"), when=lambda facts: _close(facts[_WORKED_BINARY][1], 0.6383, rtol=1e-3)),
        Mistake("The third loss gets the probabilities [1 − p, p] for logits, the most common bug of all. It wants the logits [0, s].",
                _binary_mistake("probabilities"), when=lambda facts: _close(facts[_WORKED_BINARY][2], 0.7231, rtol=1e-3)),
        Mistake("Without columns, cross_entropy takes the N samples for N classes of one sample: give it a row of two logits for each.",
                _binary_mistake("no columns"), when=lambda facts: _close(facts[_WORKED_BINARY][2], 3.8306, rtol=1e-3)),
        Mistake("The numbers are right, but one computation is returned more than once: three ways are asked for.", _binary_mistake("one"),
                when=lambda facts: facts[f"{_WORKED_BINARY}: the losses are"] == "one of them more than once"
                and all(_close(loss, 0.9471, rtol=1e-4) for loss in facts[_WORKED_BINARY])),
        Mistake("The two columns are swapped: class 1 is the second one, so the score goes there.", _binary_mistake("swapped")),
        Mistake("The losses come in another order: with logits, then on the sigmoid, then two classes. Far from 0 they differ.",
                _binary_mistake("reordered"),
                when=lambda facts: any(_close(facts[f"{_FAR}: the loss {name}"], _clamped()) for name in (_THREE_LOSSES[0], _THREE_LOSSES[2]))),
    ],
    hints=[
        "A sigmoid is a softmax over [0, s].",
        "The second loss, `F.binary_cross_entropy`, takes probabilities. For the third, `torch.stack([_, _], dim=1)`.",
        "`two = torch.stack([torch.zeros_like(score), _], 1)`.",
    ],
)


def _clamped() -> float:
    """The loss on the sigmoid of the far scores: PyTorch clamps the logarithm at −100."""
    return (100 + math.log1p(math.exp(3))) / 2


def _mirrored() -> float:
    return float(np.mean([np.logaddexp(0, -2 * s if t else 2 * s) for s, t in ((1.5, 1), (-0.4, 0), (-2.0, 1))]))


# ---------------------------------------------------------------------------------------------- 05.6 to 05.8 optimizers

def _observe_steps(step, see, settings, states: int, names, positive: int = 0, counts: bool = False) -> None:
    """Four steps for each setting, each from where the last one ended.

    Args: settings, pairs (text, arguments); states, how many tensors besides w; names of the results; positive, how many of
    the states are averages of squares; counts, whether the step number is an argument.
    """
    for place, (text, options, first) in enumerate(settings):
        shape = ((3, 2), (5,))[place]
        now = [_normal(*shape, seed=60 + place, dtype="float64")]
        for k in range(states):  # nothing starts at 0 in the second setting
            start = _normal(*shape, seed=70 + 10 * place + k, scale=0.3, dtype="float64")
            now.append(start.square() if k >= states - positive else start)
            if counts and first == 1:
                now[-1] = now[-1] * 0
        for t in range(first, first + 4):
            grad = _normal(*shape, seed=80 + 10 * place + t, scale=1.7, dtype="float64")
            arguments = [now[0], grad, *now[1:], *([t] if counts else [])]
            got = see.call(step, *arguments, label=f"{text}: step {t}", parts=names, **options)
            fits = isinstance(got, tuple) and len(got) == 1 + states and all(is_tensor(v) and v.shape == shape for v in got)
            if not fits:
                return
            now = [v.detach().double() for v in got]


def _observe_momentum(momentum_step, see):
    settings = (("lr=0.1, beta=0.9", {"lr": 0.1, "beta": 0.9}, 1), ("lr=0.03, beta=0.6", {"lr": 0.03, "beta": 0.6}, 1))
    _observe_steps(momentum_step, see, settings, 1, ("the new w", "the new velocity"))


def _optimizer_step(kind: str, w, grad, state: dict, **options):
    """One step of an optimizer of torch.optim that is in the given state; returns the new w, and the state."""
    import torch

    p = w.clone().requires_grad_()
    p.grad = grad.clone()
    optimizer = getattr(torch.optim, kind)([p], **options)
    optimizer.state[p].update({name: value.clone() for name, value in state.items()})
    optimizer.step()
    return p.detach(), optimizer.state[p]


def _alone(facts: dict) -> bool:
    """Whether one tensor came where several were asked for."""
    return is_tensor(next(iter(facts.values())))


def _reference_momentum(w, grad, velocity, lr, beta):
    w, state = _optimizer_step("SGD", w, grad, {"momentum_buffer": velocity}, lr=lr, momentum=beta)
    return w, state["momentum_buffer"]


momentum_step = Exercise(
    "05.6", "momentum_step",
    observe=_observe_momentum,
    expected=_reference_momentum,
    mistakes=[
        Mistake("The step contains the gradient twice: the velocity already has it.",
                lambda w, grad, velocity, lr, beta: (w - lr * grad - lr * (beta * velocity + grad), beta * velocity + grad)),
        Mistake("Same as plain SGD: the old velocity is lost.", lambda w, grad, velocity, lr, beta: (w - lr * grad, grad.clone())),
        Mistake("It climbs: the step goes against the velocity, so subtract it.",
                lambda w, grad, velocity, lr, beta: (w + lr * (beta * velocity + grad), beta * velocity + grad)),
        Mistake("beta must scale the old velocity, not the gradient.",
                lambda w, grad, velocity, lr, beta: (w - lr * (velocity + beta * grad), velocity + beta * grad)),
        Mistake("The weights follow the old velocity: compute the new one first.",
                lambda w, grad, velocity, lr, beta: (w - lr * velocity, beta * velocity + grad)),
        Mistake("The new gradient counts in full here: v ← βv + g, without 1 − β.",
                lambda w, grad, velocity, lr, beta: (w - lr * (beta * velocity + (1 - beta) * grad), beta * velocity + (1 - beta) * grad)),
        Mistake("lr stands in the velocity: it belongs to the step of w only.",
                lambda w, grad, velocity, lr, beta: (w - beta * velocity - lr * grad, beta * velocity + lr * grad)),
        Mistake("The results are swapped: first the new w, then the new velocity.",
                lambda w, grad, velocity, lr, beta: (beta * velocity + grad, w - lr * (beta * velocity + grad))),
        Mistake("Return both, the new w and the new velocity, or the next step has nothing to go on with.",
                lambda w, grad, velocity, lr, beta: w - lr * (beta * velocity + grad), when=_alone),
    ],
    hints=[
        "The velocity is the running sum; the weights follow the velocity.",
        "First the new velocity, then the weights.",
        "`v = _ * velocity + _ ; return w - _ * v, v`.",
    ],
)


def _observe_rmsprop(rmsprop_step, see):
    settings = (("lr=0.03, alpha=0.6, eps=0.01", {"lr": 0.03, "alpha": 0.6, "eps": 1e-2}, 1),  # the place of eps shows at once
                ("lr=0.1, alpha=0.9", {"lr": 0.1, "alpha": 0.9}, 1))
    _observe_steps(rmsprop_step, see, settings, 1, ("the new w", "the new average"), positive=1)
    # where the gradient has been tiny for long, only eps limits the step
    tiny = _normal(4, seed=90, scale=1e-8, dtype="float64")
    see.call(rmsprop_step, _normal(4, seed=91, dtype="float64"), tiny, tiny.square(), 0.2, 0.7, label="gradients near 1e-8, default eps",
             parts=("the new w", "the new average"), rtol=1e-6)


def _reference_rmsprop(w, grad, square_avg, lr, alpha, eps=1e-8):
    import torch

    w, state = _optimizer_step("RMSprop", w, grad, {"step": torch.tensor(3.0), "square_avg": square_avg}, lr=lr, alpha=alpha, eps=eps)
    return w, state["square_avg"]


def _rmsprop_mistake(change: str):
    def rmsprop_step(w, grad, square_avg, lr, alpha, eps=1e-8):
        old, new = (1 - alpha, alpha) if change == "swapped" else (alpha, 1 - alpha)
        s = old * square_avg + new * (grad if change == "not squared" else grad**2)
        steps = {"inside": lambda: grad / (s + eps).sqrt(), "sign": lambda: grad / (grad.abs() + eps), "no root": lambda: grad / (s + eps),
                 "old root": lambda: grad / (square_avg.sqrt() + eps), "no eps": lambda: grad / s.sqrt()}
        if change == "eps outside":
            return w - lr * grad / s.sqrt() + eps, s
        if change == "alone":
            return w - lr * grad / (s.sqrt() + eps)
        if change in steps:
            return w - lr * steps[change](), s
        return w - lr * grad / (s.sqrt() + eps), square_avg.clone() if change == "old" else s
    return rmsprop_step


rmsprop_step = Exercise(
    "05.7", "rmsprop_step",
    observe=_observe_rmsprop,
    expected=_reference_rmsprop,
    mistakes=[
        Mistake("Add eps after the square root (visible with eps 0.01).", _rmsprop_mistake("inside")),
        Mistake("Average of squares, not of gradients: a negative average has the root NaN.", _rmsprop_mistake("not squared")),
        Mistake("The second call starts from the old average: return the new one.", _rmsprop_mistake("old")),
        Mistake("Every step has length lr: divide by the root of the average, not by |g|.", _rmsprop_mistake("sign")),
        Mistake("eps stands outside the denominator: divide by (root + eps), with parentheses.", _rmsprop_mistake("eps outside")),
        Mistake("alpha is what is kept of the old average; the new square gets 1 − alpha.", _rmsprop_mistake("swapped")),
        Mistake("The step divides by the root of the old average: compute the new one first.", _rmsprop_mistake("old root")),
        Mistake("The root is missing: the average of squares has the unit of g², its root that of g.", _rmsprop_mistake("no root")),
        Mistake("eps is missing: it belongs to the root, in the denominator.", _rmsprop_mistake("no eps")),
        Mistake("Return both, the new w and the new average, or the next step has nothing to go on with.", _rmsprop_mistake("alone"), when=_alone),
    ],
    hints=[
        "Divide by the typical size of recent gradients.",
        "Average of squares, `sqrt`, then eps.",
        "`s = alpha * _ + (1 - alpha) * _`, then `w - lr * grad / (_ + _)`.",
    ],
)


def _observe_adam(adam_step, see):
    settings = (("lr=0.1", {"lr": 0.1}, 1),
                ("lr=0.03, betas=(0.8, 0.95), eps=0.01", {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-2}, 3))
    _observe_steps(adam_step, see, settings, 2, ("the new w", "the new m", "the new v"), positive=1, counts=True)
    tiny = _normal(4, seed=93, scale=1e-8, dtype="float64")
    see.call(adam_step, _normal(4, seed=94, dtype="float64"), tiny, tiny * 0, tiny * 0, 1, 0.2, label="gradients near 1e-8, default eps",
             parts=("the new w", "the new m", "the new v"), rtol=1e-6)


def _reference_adam(w, grad, m, v, t, lr, betas=(0.9, 0.999), eps=1e-8):
    import torch

    state = {"step": torch.tensor(float(t - 1)), "exp_avg": m, "exp_avg_sq": v}
    w, state = _optimizer_step("Adam", w, grad, state, lr=lr, betas=betas, eps=eps)
    return w, state["exp_avg"], state["exp_avg_sq"]


def _adam_mistake(change: str):
    def adam_step(w, grad, m, v, t, lr, betas=(0.9, 0.999), eps=1e-8):
        first, second = betas[0], betas[0] if change in ("beta1", "beta1 twice") else betas[1]
        m = first * m + (1 - first) * grad
        v = second * v + (1 - second) * (grad if change == "not squared" else grad**2)
        a, b = {"product": (1 - first * t, 1 - betas[1] * t), "uncorrected": (1.0, 1.0), "no power": (1 - first, 1 - second),
                "only m": (1 - first**t, 1.0), "only v": (1.0, 1 - second**t), "beta1 twice": (1 - first**t, 1 - second**t),
                }.get(change, (1 - first**t, 1 - betas[1]**t))
        m_hat = grad if change == "gradient" else m / 1 - first**t if change in ("open m", "open") else m / a
        v_hat = v / 1 - second**t if change in ("open v", "open") else v / b
        if change == "eps on v":
            return w - lr * b**0.5 / a * m / (v.sqrt() + eps), m, v
        if change == "eps outside":
            return w - lr * m_hat / v_hat.sqrt() + eps, m, v
        new = w - lr * m_hat / {"inside": (v_hat + eps).sqrt(), "no eps": v_hat.sqrt(), "no root": v_hat + eps}.get(change, v_hat.sqrt() + eps)
        return new if change == "alone" else (new, m_hat, v_hat) if change == "corrected state" else (new, m, v)
    return adam_step


_OPEN = "Parentheses are missing: m / 1 − β is (m / 1) − β. Write (1 − β ** t) in parentheses."


def _is_nan(value) -> bool:
    return bool(np.isnan(_cpu(value)).any())


def _open_v(facts: dict) -> bool:
    """w is NaN after the first step, although m and v are right."""
    new = facts["lr=0.1: step 1"]
    asked = adam_step.expected_facts()["lr=0.1: step 1"].value
    return _is_nan(new[0]) and _close(new[1], asked[1]) and _close(new[2], asked[2])


adam_step = Exercise(
    "05.8", "adam_step",
    observe=_observe_adam,
    expected=_reference_adam,
    mistakes=[
        Mistake("No bias correction: the first step is 3.16 times too long, 0.1 / √0.001. Divide m by 1 − β₁ᵗ and v by 1 − β₂ᵗ.",
                _adam_mistake("uncorrected")),
        Mistake("beta to the power t, beta ** t, not beta * t.", _adam_mistake("product")),
        Mistake("Add eps after the square root.", _adam_mistake("inside")),
        Mistake("v decays with beta2, not with beta1.", _adam_mistake("beta1")),
        Mistake("The corrected averages are returned: keep the uncorrected m and v, or the next step corrects twice.",
                _adam_mistake("corrected state")),
        Mistake("v averages the squares of the gradients: a negative v has the root NaN.", _adam_mistake("not squared")),
        Mistake(_OPEN, _adam_mistake("open v"), when=_open_v),
        Mistake(_OPEN, _adam_mistake("open m")),
        Mistake("The power is missing: 1 − β ** t, with t the number of the step.", _adam_mistake("no power")),
        Mistake("Only m is corrected: v needs it too, with β₂.", _adam_mistake("only m")),
        Mistake("Only v is corrected: m needs it too, with β₁.", _adam_mistake("only v")),
        Mistake("The step uses the gradient itself: its corrected average belongs there.", _adam_mistake("gradient")),
        Mistake("v uses betas[1], in its decay and in its correction, not betas[0].", _adam_mistake("beta1 twice")),
        Mistake("eps is added to the root of the corrected v. Where the correction is folded into lr, eps must be scaled along.",
                _adam_mistake("eps on v")),
        Mistake("eps stands outside the denominator: divide by (root + eps), with parentheses.", _adam_mistake("eps outside")),
        Mistake("The root is missing: v averages squares, and its root has the size of a gradient.", _adam_mistake("no root")),
        Mistake("eps is missing: it belongs to the root, in the denominator.", _adam_mistake("no eps")),
        Mistake("Return all three, the new w, m and v, or the next step has nothing to go on with.", _adam_mistake("alone"), when=_alone),
    ],
    hints=[
        "Averages that start at 0 are too small at first.",
        "Divide by 1 − beta^t.",
        "`m_hat = m / (1 - betas[0] ** _)`, `v_hat` alike, then `w - lr * _ / (_ + eps)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 05.9 train_one_epoch

def _training_case(classify: bool):
    """A linear model with stale gradients of 1, a loader with a short last batch, and the optimizer."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    n, inputs, outputs, batch, lr = (11, 6, 5, 4, 0.3) if classify else (7, 3, 2, 5, 0.1)
    model = nn.Linear(inputs, outputs).to(_device())
    _fill([model], seed=inputs)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    rng = np.random.default_rng(n)
    y = _tensor(rng.integers(0, outputs, n).tolist()) if classify else _normal(n, outputs, seed=n + 1, scale=3)
    loader = DataLoader(TensorDataset(_normal(n, inputs, seed=n, scale=2), y), batch_size=batch)
    return model.eval(), loader, torch.optim.SGD(model.parameters(), lr=lr)


def _loss_that_notes_the_order(notes: list, prediction, target):
    """The loss of either order, so that the order itself is all that is wrong; notes which one came."""
    import torch.nn.functional as F

    if is_tensor(target) and target.requires_grad and not prediction.requires_grad:
        notes.append("(target, prediction)")
        prediction, target = target, prediction
    return F.mse_loss(prediction, target) if target.is_floating_point() else F.cross_entropy(prediction, target)


def _note_mode(notes: list, module, inputs) -> None:
    notes.append("training mode" if module.training else "eval mode")


def _is_clear(p) -> bool:
    return p.grad is None or not p.grad.any()


def _note_backward(events: list, p, gradient) -> None:  # it comes before the gradient is added
    events.append("backward" if _is_clear(p) else "backward, old gradients there")


def _note_step(events: list, p, optimizer, args, options) -> None:
    events.append("step without gradients" if _is_clear(p) else "step")


def _story(events: list, forward: int, batches: int) -> str:
    """What a loop did, from its backward passes and steps, and from how often it called the model."""
    backward = [e for e in events if e.startswith("backward")]
    steps = [e for e in events if e.startswith("step")]
    old = [e.endswith("old gradients there") for e in backward]
    if not forward:
        return "the model is not called"
    if forward == 1 and batches > 1:
        return "one batch only"
    if not backward:
        return "no backward"
    if not steps:
        return "no step"
    if len(steps) < len(backward):
        return f"{len(steps)} step{'s' * (len(steps) > 1)} for {len(backward)} backward passes"
    if events[0].startswith("step"):
        return "step before backward"
    if "step without gradients" in steps:
        return "cleared before step"
    return "old gradients at first" if old[0] and not any(old[1:]) else "old gradients" if any(old) else "in order"


def _observe_epoch(train_one_epoch, see):
    for asked, classify in (("11 samples in batches of 4, 4, 3, cross-entropy", True), ("7 samples in batches of 5, 2, squared error", False)):
        model, loader, optimizer = _training_case(classify)
        modes: list = []
        orders: list = []
        model.register_forward_pre_hook(functools.partial(_note_mode, modes))
        events: list = []
        model.weight.register_hook(functools.partial(_note_backward, events, model.weight))
        optimizer.register_step_pre_hook(functools.partial(_note_step, events, model.weight))
        loss_fn = functools.partial(_loss_that_notes_the_order, orders)
        for which in ("first", "second"):
            see.call(train_one_epoch, model, loader, loss_fn, optimizer, label=f"{asked}: mean loss of the {which} epoch",
                     changes_inputs=True, rtol=1e-4)
            if which == "first":  # for the diagnosis only: what a loop does shows in the weights
                story = _story(events, len(modes), len(loader))
                see.fact(f"{asked}: the loop", story, implied=story)
            see.fact(f"{asked}: weight after the {which} epoch", model.weight, rtol=1e-4)
            see.fact(f"{asked}: bias after the {which} epoch", model.bias, rtol=1e-4)
        see.fact(f"{asked}: the model is in", "eval mode" if "eval mode" in modes else "training mode", implied="training mode")
        see.fact(f"{asked}: arguments of loss_fn", orders[0] if orders else "(prediction, target)", implied="(prediction, target)")


def _reference_epoch(model, loader, loss_fn, optimizer) -> float:
    """The gradients by formula, in NumPy; then the new weights go where they belong."""
    import torch

    W, b = (_cpu(p).astype(float) for p in (model.weight, model.bias))
    losses, lr = [], optimizer.param_groups[0]["lr"]
    for X, y in loader:
        X, y = _cpu(X).astype(float), _cpu(y)
        scores = X @ W.T + b
        if y.ndim == 1:
            p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            losses += (-np.log(p[np.arange(len(y)), y])).tolist()
            slope = (p - np.eye(len(b))[y]) / len(y)
        else:
            losses += np.square(scores - y).mean(axis=1).tolist()
            slope = 2 * (scores - y) / y.size
        W, b = W - lr * slope.T @ X, b - lr * slope.sum(axis=0)
    with torch.no_grad():
        for p, new in ((model.weight, W), (model.bias, b)):
            p.copy_(torch.tensor(new, dtype=p.dtype))
    return float(np.mean(losses))


def _epoch_with(model, loader, loss_fn, optimizer, *, zero="first", per_batch=False, swapped=False, mode=True, tensor=False, backward=True,
                step="each", gives="mean"):
    """The right answer with one part changed, for the mistakes below."""
    if mode:
        model.train()
    if zero == "once":
        optimizer.zero_grad()
    total = seen = 0
    for x, y in loader:
        if zero == "first":
            optimizer.zero_grad()
        if step == "early":
            optimizer.step()
        loss = loss_fn(y, model(x)) if swapped else loss_fn(model(x), y)
        if backward:
            loss.backward()
        if zero == "between":
            optimizer.zero_grad()
        if step == "each":
            optimizer.step()
        if zero == "last":
            optimizer.zero_grad()
        weight = 1 if per_batch else len(y)
        total, seen = total + (loss if tensor else loss.item()) * weight, seen + weight
        if gives == "first":
            break
    if step == "after":
        optimizer.step()
    return loss.item() if gives == "last" else total if gives == "sum" else total / len(loader) if gives == "by batches" else total / seen


def _epoch_mistake(**options):
    def train_one_epoch(model, loader, loss_fn, optimizer):
        return _epoch_with(model, loader, loss_fn, optimizer, **options)
    return train_one_epoch


_FIRST_EPOCH = "11 samples in batches of 4, 4, 3, cross-entropy"


def _loop(*stories: str):
    """Whether the loop did one of these, for ``when``."""
    return lambda facts: facts[f"{_FIRST_EPOCH}: the loop"].endswith(stories)


train_one_epoch = Exercise(
    "05.9", "train_one_epoch",
    observe=_observe_epoch,
    expected=_reference_epoch,
    seconds=30.0,  # the first use of an optimizer in a process takes seconds on a slow disk
    mistakes=[
        Mistake("Your loop ends with the first batch: the `return` stands inside it.", _epoch_mistake(gives="first"), when=_loop("one batch only")),
        Mistake("No weight moved: without `backward` there is no gradient to follow.", _epoch_mistake(backward=False), when=_loop("no backward")),
        Mistake("No weight moved: `step` is never called.", _epoch_mistake(step="never"), when=_loop("no step")),
        Mistake("`step` is called less often than `backward`: one step for each batch, inside the loop.", _epoch_mistake(step="after"),
                when=_loop("backward passes")),
        Mistake("`step` comes before `backward`: there is no gradient of this batch to follow yet.", _epoch_mistake(step="early"),
                when=_loop("step before backward")),
        Mistake("No weight moved: the gradients are cleared between `backward` and `step`, so there is nothing left to follow.",
                _epoch_mistake(zero="between"), when=_loop("cleared before step")),
        Mistake("Gradients were already there when your loop began: clear them before the first `backward`, not only after `step`.",
                _epoch_mistake(zero="last"), when=_loop("old gradients at first")),
        Mistake("Gradients of old batches add up: clear them for each batch.", _epoch_mistake(zero="never"), when=_loop("old gradients")),
        Mistake("This is the loss of the last batch alone: sum over all of them, each times its size.", _epoch_mistake(gives="last")),
        Mistake("This is the sum over the samples: divide it by their number.", _epoch_mistake(gives="sum")),
        Mistake("This is divided by the number of batches: divide by the number of samples.", _epoch_mistake(gives="by batches")),
        Mistake("This is the mean of the batch means, and the last batch has 3 samples, not 4: weight each by its size.",
                _epoch_mistake(per_batch=True)),
        Mistake("The order is (prediction, target).", _epoch_mistake(swapped=True),
                when=lambda facts: facts[f"{_FIRST_EPOCH}: arguments of loss_fn"] == "(target, prediction)"),
        Mistake("The model was in eval mode: dropout would never be active in training. Switch to training mode first.",
                _epoch_mistake(mode=False), when=lambda facts: facts[f"{_FIRST_EPOCH}: the model is in"] == "eval mode"),
        Mistake("You return a tensor, and memory grows with each graph that it holds: take .item().", _epoch_mistake(tensor=True),
                when=lambda facts: is_tensor(facts[f"{_FIRST_EPOCH}: mean loss of the first epoch"])),
    ],
    hints=[
        "Five actions per batch, in a fixed order.",
        "Multiply the batch mean by `len(y)`.",
        "`for x, y in loader: optimizer._(); loss = _; loss._(); optimizer._(); total += loss.item() * _`.",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("05", [
    Question(
        "A hidden layer 784 → 256: what is the shape of its `weight`?",
        ("(256, 784)", "(out, in): one row for each hidden unit."),
        [("(784, 256)", "That is the transposed matrix of the raw version, x @ W.")],
    ),
    Question(
        "Which activation belongs on the output of a 10-class model that is trained with `CrossEntropyLoss`?",
        ("None", "The loss wants logits and brings its own log-softmax."),
        [("Softmax", "Then it is applied twice, and the loss cannot fall below 1.4612."),
         ("Log-softmax", "Harmless, since applied twice it changes nothing; but redundant."),
         ("ReLU", "Negative scores are lost, and with them most of what the network can say.")],
    ),
    Question(
        "The loss of an **untrained** 10-class network is 0.02. What do you think?",
        ("Suspicious: about 2.30 is expected, so labels or loss are wrong",
         "Ten classes, no knowledge: ln 10 = 2.3026. A loss of 0.02 means that the answer is given away somewhere."),
        [("A lucky start", "0.02 means 98 % on the right class in every image. The probability of such luck is nil."),
         ("A good initialization", "It cannot know the labels.")],
    ),
    Question(
        "Two `backward` calls (on two forward passes), and no `zero_grad` between them. The gradient is",
        ("the sum of both", "`backward` adds to what is there."),
        [("the second one", "It would be if `backward` overwrote; it adds."),
         ("their average", "Nothing divides by two."),
         ("an error", "Only if the *same* graph is used again after it was freed.")],
    ),
    Question(
        "`x.grad` is `None` after `loss.backward()`. Why?",
        ("x is not a leaf with requires_grad, or was not used in the loss", "Only such leaves get a gradient."),
        [("The gradient is zero", "That would be a tensor of zeros, not `None`."),
         ("`step` was not called", "`step` reads gradients, it does not make them.")],
    ),
    Question(
        "Adam's **first** step with learning rate 0.001 and a gradient of 500 moves the weight by about",
        ("0.001", "The corrected averages are g and g²: the step is lr · g / |g|."),
        [("0.5", "That is SGD: lr times gradient."),
         ("500", "There the learning rate is missing."),
         ("0", "m starts at 0, but the bias correction prevents that.")],
    ),
    Question(
        "Where may `zero_grad` stand in the loop?",
        ("Anywhere after the last `step` and before `backward`", "All that counts is that `backward` finds zeros (or `None`)."),
        [("Between `backward` and `step`", "That erases the gradient which `step` is about to use: nothing moves."),
         ("Once before the loop", "Then the gradients of all batches accumulate.")],
    ),
    Question(
        "`top_class` has shape (64, 1), `labels` has (64,). What is `(top_class == labels).shape`?",
        ("(64, 64)", "Broadcasting compares each with each. Reshape one of them first."),
        [("(64,)", "(64, 1) is no row: broadcasting stretches both."),
         ("It raises an error", "Broadcasting accepts it, and silently: that is the danger.")],
    ),
])


# ---------------------------------------------------------------------------------------------- figures: layers

def _box(ax, x: float, y: float, width: float, height: float, text: str, color, size: float = 11) -> None:
    """A box with rounded corners around (x, y) and a text in it."""
    from matplotlib.patches import FancyBboxPatch

    ax.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0.03", facecolor=color,
                                edgecolor=plots.BLACK, linewidth=1.2))
    ax.text(x, y, text, ha="center", va="center", fontsize=size)


def _blank(ax) -> None:
    ax.set_axis_off()
    ax.grid(False)


def show_recipe() -> None:
    """Five boxes: the steps of every problem, each with a line of code."""
    steps = (("1 encode", "x = images / 255"), ("2 graph", "model = Network()"), ("3 data", "for x, y in loader"),
             ("4 loss", "loss_fn(model(x), y)"), ("5 optimize", "step, step, step ..."))
    fig, ax = plots.figure(size=(10.2, 2.1))
    for place, (name, code) in enumerate(steps):
        _box(ax, 2.1 * place, 0, 1.6, 0.8, name, ("#D6EAF6", "#D6EAF6", "#FBE9D0", "#F9DCCB", "#D3EFE5")[place], size=13)
        ax.text(2.1 * place, -0.85, code, ha="center", va="center", family="monospace", fontsize=10)
        if place:
            ax.annotate("", (2.1 * place - 0.87, 0), (2.1 * place - 1.23, 0), arrowprops={"arrowstyle": "-|>", "color": plots.BLACK})
    ax.set(xlim=(-1.05, 9.5), ylim=(-1.15, 0.6))
    _blank(ax)
    plots.show(fig, "Five boxes from left to right, with a line of code under each: encode as tensors, write the graph, collect data, write the "
                    "loss, optimize.")


def show_product() -> None:
    """A batch times a transposed weight matrix plus bias, as rectangles with their shapes."""
    fig, ax = plots.figure(size=(9.4, 2.9))
    #        x, width, height, name, shape, color
    parts = ((1.5, 2.8, 0.8, "x", "(64, 784)", "#D6EAF6"), (4.6, 1.2, 2.2, "Wᵀ", "(784, 256)", "#FBE9D0"),
             (6.9, 1.2, 0.22, "b", "(256,)", "#F9DCCB"), (9.2, 1.2, 0.8, "output", "(64, 256)", "#D3EFE5"))
    for x, width, height, name, shape, color in parts:
        _box(ax, x, 0, width, height, name if height > 0.5 else "", color, size=13)
        if height < 0.5:
            ax.text(x, 0.25, name, ha="center", fontsize=13)
        ax.text(x, -1.5, shape, ha="center", fontsize=11)
    for x, sign in ((3.45, "@"), (5.75, "+"), (8.05, "=")):
        ax.text(x, 0, sign, ha="center", va="center", fontsize=16)
    ax.set(xlim=(-0.1, 10.1), ylim=(-1.75, 1.3))
    _blank(ax)
    plots.show(fig, "A layer as a product: the batch x of shape (64, 784), times the transposed weight of shape (784, 256), plus the bias (256,), "
                    "gives (64, 256). The 784 in the middle cancels; each row of the batch stays a row.")


def show_shares(names) -> None:
    """How the parameters are shared among the layers, without their totals. Args: names of networks, such as "784-20-10"."""
    sizes = [[int(n) for n in name.split("-")] for name in names]
    depth = max(map(len, sizes)) - 1
    fig, ax = plots.figure(size=(9.0, 0.62 * len(sizes) + 1.1))
    for row, units in enumerate(sizes):
        counts = [(i + 1) * o for i, o in zip(units, units[1:], strict=False)]
        left = 0.0
        for layer, count in enumerate(counts):
            share = 100 * count / sum(counts)
            ax.barh(row, share, left=left, color=("#56B4E9", "#E69F00", "#009E73", "#CC79A7")[layer], edgecolor="white", height=0.6,
                    hatch=("", "//", "..", "xx")[layer], label=f"layer {layer + 1}" if len(counts) == depth else None)
            if share > 6:
                ax.text(left + share / 2, row, f"{share:.1f} %", ha="center", va="center", fontsize=10,
                        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85})
            left += share
    ax.set(yticks=range(len(sizes)), yticklabels=list(names), xlabel="share of the parameters in %", xlim=(0, 101), xticks=range(0, 101, 20))
    ax.invert_yaxis()
    ax.grid(False)
    plots.legend(ax, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    plots.show(fig, "A bar for each network, cut into its layers. In all of them the first layer, "
                    "which meets the 784 pixels, has by far the largest share.")


COUNTS = {"784-20-10": 15_910, "784-256-10": 203_530, "784-128-64-10": 109_386, "784-256-128-64-10": 242_762}


def compare_counts(mine: dict) -> None:
    """Print a row for each architecture, with your number beside the right one. Args: mine, name -> a number, or ... if it is open."""
    for name, count in COUNTS.items():
        yours = mine.get(name, ...)
        verdict = "○ open" if yours is ... else "✓ right" if yours == count else "✗ not yet: (n_in + 1) · n_out for each layer, then add"
        print(f"{name:<18} {'...' if yours is ... else yours:>9} {verdict}")


def show_confidence(default, normal) -> None:
    """The ten probabilities of one image, for two ways to draw the first weights. Args: default, normal (10,)."""
    fig, axes = plots.figure(1, 2, size=(8.4, 2.7), sharey=True)
    for ax, p, title in zip(axes, (_cpu(default), _cpu(normal)), ("PyTorch's default", "standard normal weights"), strict=True):
        ax.bar(range(10), p, color=plots.BLUE)
        ax.set(title=title, xlabel="class", xticks=range(10), ylim=(0, 1.05))
    axes[0].set_ylabel("probability")
    plots.show(fig, f"Ten probabilities that an untrained network gives to one image. With the default weights all are near 0.1. With standard "
                    f"normal weights one class has {_cpu(normal).max():.2f}: sure of itself, and knowing nothing.")


def show_activations() -> None:
    """Sigmoid, tanh and ReLU with their derivatives, as PyTorch computes them."""
    import torch

    fig, axes = plots.figure(1, 3, size=(10.2, 3.3))
    for ax, (name, function) in zip(axes, (("sigmoid", torch.sigmoid), ("tanh", torch.tanh), ("ReLU", torch.relu)), strict=True):
        x = torch.linspace(-4, 4, 401, dtype=torch.float64, requires_grad=True)
        y = function(x)
        y.sum().backward()
        slope = x.grad[200].item()
        ax.plot(_cpu(x), _cpu(y), linewidth=2.4, label="function")
        ax.plot(_cpu(x), _cpu(x.grad), "--", color=plots.RED, linewidth=2, label="derivative")
        ax.plot(0, slope, "o", color=plots.BLACK, zorder=4)
        ax.annotate(f"{slope:g}", (0, slope), xytext=(9, 7 if name != "tanh" else 5), textcoords="offset points", fontsize=11)
        ax.set(title=name, xlabel="x", ylim=(-1.2, 2.1))
    plots.legend(axes[0], loc="upper left")
    plots.show(fig, "Sigmoid, tanh and ReLU (solid), and their derivatives (dashed). A dot marks the derivative at 0: 0.25, 1, and 0 for ReLU, "
                    "by PyTorch's convention. Far from 0 the first two are flat: hardly any gradient passes.")


# ---------------------------------------------------------------------------------------------- figures: losses

def _floor_curves(s):
    """Loss against the true logit s (the others are 0): right, and two ways to get it wrong."""
    s = np.asarray(s, float)
    right = np.log(np.exp(s) + 9) - s
    p = np.exp(s) / (np.exp(s) + 9)
    others = (1 - p) / 9
    squeezed = np.log(np.exp(p) + 9 * np.exp(others)) - p
    twice = np.logaddexp(0, -1 / (1 + np.exp(-s)))
    return {"10 logits, right": right, "10 probabilities taken for logits": squeezed, "one logit, sigmoid twice": twice}


def draw_floor(true_logit: float | None = None):
    """Three losses against the logit of the true class, with points at ``true_logit``; returns (figure, text)."""
    s = np.linspace(-2, 14, 300)
    fig, ax = plots.figure(size=(8.2, 3.9))
    styles = (("-", plots.BLUE), ("--", plots.RED), (":", plots.PURPLE))
    for (name, curve), (style, color) in zip(_floor_curves(s).items(), styles, strict=True):
        ax.plot(s, curve, style, color=color, linewidth=2.6, label=name)
    for floor, color in ((FLOOR_10, plots.RED), (FLOOR_2, plots.PURPLE)):
        ax.axhline(floor, color=color, linewidth=0.9)
        ax.text(14, floor + 0.06, f"never below {floor:.4f}", color=color, ha="right", fontsize=10.5)
    ax.set(xlabel="logit of the true class (all others 0)", ylabel="loss", xlim=(-2, 14), ylim=(0, 4.4))
    plots.legend(ax, loc="upper right")
    if true_logit is None:
        return fig, (f"Loss against the logit of the true class. With logits (solid) it falls to 0. Probabilities taken for ten logits (dashed) "
                     f"end at {FLOOR_10:.4f}, and a sigmoid that is applied twice (dotted) at {FLOOR_2:.4f}, however sure the network is.")
    values = _floor_curves([true_logit])
    for (value,), (_, color) in zip(values.values(), styles, strict=True):
        ax.plot(true_logit, value, "o", color=color, markersize=9, zorder=4)
    said = "; ".join(f"{name}: {value[0]:.4f}" for name, value in values.items())
    return fig, f"True logit {plots.number(true_logit)}: the loss is {said}."


def show_floor() -> None:
    """The figure of ``draw_floor``."""
    plots.show(*draw_floor())


def floor_slider() -> None:
    """A slider for the true logit, where the notebook runs in a browser."""
    widgets.sliders(draw_floor, true_logit=(-2, 14, 3, 0.5))


def show_stability() -> None:
    """Two ways to compute the loss of two logits [gap, 0] with target 1 in float32, for growing gaps."""
    import torch

    z = torch.stack([torch.arange(0.0, 161.0), torch.zeros(161)], dim=1)
    gap, naive, stable = map(_cpu, (z[:, 0], -z.softmax(dim=1)[:, 1].log(), torch.logsumexp(z, dim=1) - z[:, 1]))
    fine = np.isfinite(naive)
    last = gap[fine].max()
    fig, ax = plots.figure(size=(7.6, 3.3))
    ax.plot(gap, stable, color=plots.BLUE, linewidth=5, alpha=0.45, label="logsumexp(z) − z_true")
    ax.plot(gap[fine], naive[fine], "--", color=plots.RED, linewidth=2, label="−log(softmax(z))")
    ax.plot(last, naive[fine].max(), "X", color=plots.RED, markersize=11)
    ax.annotate(f"from {gap[~fine].min():.0f} on: inf", (last, naive[fine].max()), xytext=(12, -12), textcoords="offset points", color=plots.RED)
    ax.set(xlabel="the true logit lies behind by", ylabel="loss")
    plots.legend(ax, loc="upper left")
    plots.show(fig, f"The loss against the distance by which the true logit lies behind. The formula with logsumexp goes on; the logarithm of the "
                    f"softmax ends with a cross near {last:.0f}: there the probability has become 0 in float32, and its logarithm infinite.")


# ---------------------------------------------------------------------------------------------- figures: autograd

def show_graph(values: dict, gradients: dict) -> None:
    """The graph x -> L1 -> sigmoid -> L2 -> loss with values and gradients, drawn as in lesson 03.

    Args: values and gradients of "x", "h", "a", "s", "E", "W1", "b1", "W2", "b2", as arrays or tensors, for one point.
    """
    from helpers.lessons import backprop

    backprop.show_graph({name: _cpu(v) for name, v in values.items()}, {name: _cpu(v) for name, v in gradients.items()})


def show_roles() -> None:
    """Who does what in a training step: zero_grad, loss, backward, step, and on to the next batch."""
    fig, ax = plots.figure(size=(9.4, 2.7))
    names = (("zero_grad", "clears .grad"), ("the loss", "measures"), ("backward", "assigns the blame:\nfills .grad"),
             ("step", "moves the weights,\nreads .grad"))
    arrow = {"arrowstyle": "-|>", "color": plots.BLACK}
    for place, (name, role) in enumerate(names):
        _box(ax, 2.5 * place, 0.3, 1.7, 0.6, name, ("#D6EAF6", "#F9DCCB", "#FBE9D0", "#D3EFE5")[place], size=13)
        ax.text(2.5 * place, -0.3, role, ha="center", va="top", fontsize=10.5)
        if place:
            ax.annotate("", (2.5 * place - 0.93, 0.3), (2.5 * place - 1.57, 0.3), arrowprops=arrow)
    ax.plot((7.5, 7.5), (0.66, 1.05), color=plots.BLACK, linewidth=1.2)
    ax.plot((0, 7.5), (1.05, 1.05), color=plots.BLACK, linewidth=1.2)
    ax.annotate("", (0, 0.64), (0, 1.08), arrowprops=arrow)
    ax.text(3.75, 1.1, "the next batch", ha="center", va="bottom", fontsize=10.5)
    ax.set(xlim=(-1.2, 8.7), ylim=(-1.05, 1.45))
    _blank(ax)
    plots.show(fig, "Four boxes in a ring: zero_grad clears .grad; the loss measures; backward assigns the blame and fills .grad; step reads .grad and "
                    "moves the weights. From there an arrow leads back to zero_grad, for the next batch.")


# ---------------------------------------------------------------------------------------------- figures: optimizers

def _valley(ax, size: float = 2.3) -> None:
    """Contours of E(w) = (4 w1² + w2²) / 2."""
    w1, w2 = np.meshgrid(np.linspace(-size, size, 90), np.linspace(-size, size, 90))
    ax.contour(w1, w2, (4 * w1**2 + w2**2) / 2, levels=(0.1, 0.5, 1.25, 2.5, 4.5, 7.5, 11), colors=plots.GREY, linewidths=0.8)
    ax.plot(0, 0, "*", color=plots.ORANGE, markersize=13, zorder=3)
    ax.set(xlim=(-size, size), ylim=(-size, size))
    ax.grid(False)


def _draw_path(ax, path, color=plots.BLUE) -> None:
    path = np.asarray(path)
    ax.plot(*path.T, ".-", color=color, markersize=7, linewidth=1.3, zorder=4, clip_on=True)
    ax.plot(*path[0], "s", color=plots.BLACK, markersize=7, zorder=5)


def _energy(w) -> float:
    return float((4 * w[0] ** 2 + w[1] ** 2) / 2)


def show_paths(paths: dict) -> None:
    """Paths of optimizers in the valley, each from (1, −2). Args: paths, name -> positions (n, 2)."""
    fig, axes = plots.figure(2, 3, size=(9.6, 5.9), sharex=True, sharey=True)
    for ax, (name, path) in zip(axes.flat, paths.items(), strict=True):
        _valley(ax)
        _draw_path(ax, path)
        ax.set_title(name, fontsize=11)
    for ax in axes[1]:
        ax.set_xlabel("w1")
    for ax in axes[:, 0]:
        ax.set_ylabel("w2")
    steps = len(next(iter(paths.values()))) - 1
    said = "; ".join(f"{name}: E = {_energy(path[-1]):.4f}" for name, path in paths.items())
    plots.show(fig, f"{steps} steps from the square at (1, −2) in a long valley with its bottom at the star. After the last step, {said}.", dpi=85)


def show_rates(paths: dict) -> None:
    """Paths of SGD with several learning rates. Args: paths, learning rate -> positions (n, 2)."""
    fig, axes = plots.figure(1, len(paths), size=(2.65 * len(paths), 3.1), sharey=True)
    words = {0.1: "creeps", 0.4: "bounces, arrives", 0.5: "bounces for ever", 0.6: "leaves"}
    for ax, (lr, path) in zip(axes, paths.items(), strict=True):
        _valley(ax)
        _draw_path(ax, path, plots.BLUE if lr < 0.5 else plots.RED)
        ax.set_title(f"lr {lr:g}: {words.get(lr, '')}", fontsize=11)
        ax.set_xlabel("w1")
    axes[0].set_ylabel("w2")
    plots.show(fig, "Gradient descent with four learning rates. At 0.1 it creeps towards the star, at 0.4 it bounces across the valley and arrives, at "
                    "0.5 it bounces for ever between two walls, at 0.6 each bounce is larger, and it leaves the picture.")


def path_sliders(descend) -> None:
    """Sliders for the optimizer, its learning rate and its momentum, where the notebook runs in a browser.

    Args: descend(optimizer class, steps, **options) that returns positions (steps + 1, 2).
    """
    def draw(optimizer, lr, momentum):
        import torch

        kind = ("SGD", "RMSprop", "Adam", "AdamW")[int(optimizer) - 1]
        options = {"lr": lr} | ({"momentum": momentum} if kind in ("SGD", "RMSprop") else {"betas": (momentum, 0.999)})
        path = descend(getattr(torch.optim, kind), 20, **options)
        fig, ax = plots.figure(size=(4.8, 4.3))
        _valley(ax)
        _draw_path(ax, path)
        ax.set(xlabel="w1", ylabel="w2", title=kind)
        word = "momentum" if "momentum" in options else "beta1"
        return fig, f"{kind}, lr {lr:g}, {word} {momentum:g}: after 20 steps E = {_energy(path[-1]):.3g}. (1 SGD, 2 RMSprop, 3 Adam, 4 AdamW)"

    widgets.sliders(draw, optimizer=(1, 4, 1, 1), lr=(0.02, 0.6, 0.1, 0.02), momentum=(0.0, 0.98, 0.9, 0.02))


def show_momentum() -> None:
    """The weights of past gradients in the velocity, for two values of beta."""
    fig, axes = plots.figure(1, 2, size=(8.8, 2.9), sharey=True)
    ages = np.arange(41)
    for ax, beta in zip(axes, (0.5, 0.9), strict=True):
        ax.bar(ages, beta**ages, width=0.7, color=plots.BLUE)
        ax.set(title=f"β = {beta}: together {1 / (1 - beta):g} in the end", xlabel="age of the gradient, in steps", ylim=(0, 1.1), xticks=range(0, 41, 10))
    axes[0].set_ylabel("its weight")
    plots.show(fig, "How much a gradient of each age still counts in the velocity: 1, β, β², and so on. With β = 0.5 only the last few count, with "
                    "0.9 about the last twenty; all weights together come to 2 and to 10.")


# ---------------------------------------------------------------------------------------------- figures: batches and training

def _line_points():
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 24)
    return x, 0.9 * x + 0.4 + rng.normal(scale=0.25, size=24)


def _line_descent(batch: int, epochs: int, lr: float = 0.5) -> np.ndarray:
    """Positions (slope, intercept) of a line that is fitted to the 24 points in batches."""
    x, y = _line_points()
    w = np.array([-0.9, -0.7])
    path = [w]
    for _ in range(epochs):
        for first in range(0, 24, batch):
            a = np.column_stack([x[first:first + batch], np.ones(batch)])
            w = w - lr * a.T @ (a @ w - y[first:first + batch]) / batch
            path.append(w)
    return np.array(path)


def show_batches() -> None:
    """24 points in four batches of six, and where five epochs lead with one step an epoch and with four."""
    x, y = _line_points()
    fig, (left, right) = plots.figure(1, 2, size=(9.4, 3.8))
    for k, (marker, color) in enumerate(zip("oXs^", (plots.BLUE, plots.RED, plots.GREEN, plots.PURPLE), strict=True)):
        left.scatter(x[6 * k:6 * k + 6], y[6 * k:6 * k + 6], marker=marker, color=color, s=55, label=f"batch {k + 1}")
    left.set(xlabel="x", ylabel="y", title="24 points = 4 batches of 6", xticks=(-1, -0.5, 0, 0.5, 1))
    plots.legend(left, loc="upper left", fontsize=9)
    slope, shift = np.meshgrid(np.linspace(-1.2, 1.6, 80), np.linspace(-1, 1, 80))
    loss = np.mean([(slope * a + shift - b) ** 2 for a, b in zip(x, y, strict=True)], axis=0)
    right.contour(slope, shift, loss, levels=(0.07, 0.15, 0.35, 0.7, 1.2, 2), colors=plots.GREY, linewidths=0.8)
    for batch, color, style, name in ((24, plots.BLUE, "o-", "all 24: 5 steps"), (6, plots.RED, "x--", "batches of 6: 20 steps")):
        right.plot(*_line_descent(batch, 5).T, style, color=color, markersize=6, linewidth=1.4, label=name)
    right.set(xlabel="slope", ylabel="intercept", title="five epochs", xlim=(-1.2, 1.6), ylim=(-1, 1))
    right.grid(False)
    plots.legend(right, loc="lower right", fontsize=9)
    plots.show(fig, "Left: 24 points, whose shapes tell four batches of six. Right: the slope and intercept of a fitted line over five epochs. All "
                    "points at once make five smooth steps; batches of six make twenty that wobble and come much farther for the same work.")


def show_digits(images, labels) -> None:
    """A row of digits with their labels. Args: images (n, 28, 28) uint8; labels (n,)."""
    fig = plots.images(_cpu(images), [str(int(label)) for label in labels], columns=len(labels), size=0.95)
    plots.show(fig, f"{len(labels)} handwritten digits, white on black, each with its label above.")


def show_first_step(before, gradient, after) -> None:
    """The weights of one hidden unit as pictures: before, their gradient, after one step. Args: (784,) each."""
    pictures = [_cpu(v).reshape(28, 28) for v in (before, gradient, after)]
    fig, axes = plots.figure(1, 3, size=(7.6, 2.8))
    for ax, picture, title in zip(axes, pictures, ("weights before", "their gradient", "weights after"), strict=True):
        limit = np.abs(picture).max()
        ax.imshow(picture, cmap=plots.DIVERGING, vmin=-limit, vmax=limit)
        ax.set_title(title, fontsize=11)
        ax.set_axis_off()
    plots.show(fig, "The 784 weights of one hidden unit as a picture, blue positive and red negative. Before: noise. The gradient has the shape of "
                    "digits in the middle, and is zero at the borders, where no ink ever is. After one step the weights look much the same: a "
                    "step is small.")


def show_prediction(images, probabilities, labels) -> None:
    """Pictures with their ten probabilities. Args: images (n, 28, 28); probabilities (n, 10); labels (n,)."""
    images, p, labels = _cpu(images), _cpu(probabilities), _cpu(labels).astype(int)
    fig, axes = plots.figure(len(images), 2, size=(7.0, 1.9 * len(images)), width_ratios=(1, 2.6), squeeze=False)
    for (left, right), image, row, label in zip(axes, images, p, labels, strict=True):
        left.imshow(image, cmap="gray", vmin=0)
        left.set_axis_off()
        left.set_title(f"label {label}", fontsize=10.5)
        right.bar(range(10), row, color=[plots.BLUE if c == row.argmax() else plots.GREY for c in range(10)])
        right.annotate(f"{row.max():.2f}", (row.argmax(), row.max()), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=9.5)
        right.set(xticks=range(10), ylim=(0, 1.18), yticks=(0, 0.5, 1), ylabel="probability")
    axes[-1][1].set_xlabel("class")
    said = ", ".join(f"a {label} is called {row.argmax()} with {row.max():.2f}" for label, row in zip(labels, p, strict=True))
    plots.show(fig, f"Digits, and the ten probabilities that the network gives to each: {said}.")


def show_losses(curves: dict, floor: float | None = None) -> None:
    """Training losses per epoch. Args: curves, name -> one loss an epoch; floor, a value that one of them cannot fall below."""
    fig, ax = plots.figure(size=(7.4, 3.5))
    for place, (name, losses) in enumerate(curves.items()):
        ax.plot(range(1, len(losses) + 1), losses, ("o-", "X--", "s:", "^-.")[place], color=plots.CYCLE[place], linewidth=2, markersize=7, label=name)
    if floor is not None:
        ax.axhline(floor, color=plots.BLACK, linewidth=1)
        ax.text(1, floor - 0.04, f"floor {floor:.4f}", va="top", fontsize=10.5)
    ax.set(xlabel="epoch", ylabel="training loss", ylim=(0, None), xticks=range(1, max(map(len, curves.values())) + 1))
    plots.legend(ax, outside=True)
    said = "; ".join(f"{name}: {losses[0]:.3f} to {losses[-1]:.3f}" for name, losses in curves.items())
    plots.show(fig, f"Training loss per epoch. {said}." + (f" The line marks {floor:.4f}." if floor is not None else ""))


def show_scale(found: dict) -> None:
    """The losses of the SGD runs on an axis of their own, and the accuracy of all. Args: found, name -> (losses, accuracy)."""
    fig, (left, right) = plots.figure(1, 2, size=(9.6, 3.1), width_ratios=(1, 1.15))
    for place, (name, (losses, accuracy)) in enumerate(found.items()):
        color = plots.CYCLE[place]
        if name.startswith("SGD"):
            left.plot(range(1, len(losses) + 1), losses, ("o-", "X--")[place % 2], color=color, linewidth=2, markersize=7, label=name)
            left.set_xticks(range(1, len(losses) + 1))
        right.barh(place, 100 * accuracy, color=color, hatch=("", "//", "..", "xx")[place % 4], edgecolor="white")
        right.text(100 * accuracy + 1, place, f"{accuracy:.1%}", va="center", fontsize=10.5)
    left.set(xlabel="epoch", ylabel="training loss", title="SGD, looked at closely")
    plots.legend(left, loc="lower left", fontsize=9)
    right.set(yticks=range(len(found)), yticklabels=list(found), xlabel="test accuracy in %", xlim=(0, 118), xticks=range(0, 101, 20))
    right.invert_yaxis()
    right.grid(False)
    said = "; ".join(f"{name}: loss {losses[0]:.3f} to {losses[-1]:.3f}, accuracy {accuracy:.1%}" for name, (losses, accuracy) in found.items())
    plots.show(fig, f"Left the training losses of plain SGD, right the test accuracy of all runs. {said}.")


def show_moved(moved: dict) -> None:
    """How far each parameter moved in one step. Args: moved, a list of (title, {parameter: distance}) pairs as a dict."""
    fig, axes = plots.figure(1, len(moved), size=(4.6 * len(moved), 2.5), sharex=True)
    for ax, (title, distances) in zip(axes, moved.items(), strict=True):
        ax.barh(range(len(distances)), list(distances.values()), color=[plots.BLUE if d > 0 else plots.RED for d in distances.values()])
        for row, d in enumerate(distances.values()):
            ax.text(d, row, f" {d:.3f}" if d > 0 else " 0: it never moves", va="center", fontsize=10, color=plots.BLACK if d > 0 else plots.RED)
        ax.set(yticks=range(len(distances)), yticklabels=list(distances), title=title, xlabel="moved by", xlim=(0, 1.35 * max(distances.values())))
        ax.invert_yaxis()
    said = " ".join(f"{title}: {', '.join(n for n, d in distances.items() if d == 0) or 'nothing'} stands still." for title, distances in
                    moved.items())
    plots.show(fig, f"How far each parameter moves in one step. {said}")
