"""Lesson 14, recurrent networks: its exercises, its quiz and its figures. Imports torch only when somebody needs it."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np

from helpers import devices, plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import Raised, describe, is_tensor

# ---------------------------------------------------------------------------------------------- what the checks share


def _numbers(*shape: int, seed: int, scale: float = 1.0, dtype: str = "float64"):
    """A tensor of numbers around 0.2, on the device of the lesson."""
    import torch

    values = scale * np.random.default_rng(seed).normal(0.2, 1.0, shape)
    return torch.tensor(values, dtype=getattr(torch, dtype), device=devices.device())


def _weights(blocks: int, inputs: int, hidden: int, seed: int, dtype: str = "float64") -> list:
    """w_ih, w_hh, b_ih, b_hh of a layer with ``blocks`` blocks of rows; no bias is 0."""
    shapes = ((blocks * hidden, inputs), (blocks * hidden, hidden), (blocks * hidden,), (blocks * hidden,))
    return [_numbers(*shape, seed=seed + n, scale=0.6, dtype=dtype) for n, shape in enumerate(shapes)]


def _functional(module, weights, *inputs):
    """The module's result as a function of the weights too, so that gradients reach them."""
    import torch

    names = [name for name, _ in module.named_parameters()]
    return torch.func.functional_call(module, dict(zip(names, weights, strict=True)), inputs)


def _tensors(value, shapes) -> bool:
    """Whether the value is tensors of these shapes: one, or a tuple (a list can be unpacked as well)."""
    values = value if isinstance(value, tuple | list) else (value,)
    return len(values) == len(shapes) and all(is_tensor(v) and tuple(v.shape) == s for v, s in zip(values, shapes, strict=True))


def _observe_gradients(see, label: str, function, inputs, names, wanted, parts=()) -> None:
    """Record the gradients of a weighted sum of all results with respect to the inputs named in ``wanted``."""
    import torch

    leaves = [t.clone().requires_grad_(name in wanted) for t, name in zip(inputs, names, strict=True)]
    result = see.call(function, *leaves, label=label, changes_inputs=True, parts=parts)
    results = result if isinstance(result, tuple | list) else (result,)
    if not all(is_tensor(r) for r in results) or not any(r.requires_grad for r in results):
        see.fact(f"{label}: whether a gradient flows back", "no", implied="yes")
        return
    total = sum((r * _numbers(*r.shape, seed=70 + n).to(r)).sum() for n, r in enumerate(results) if r.requires_grad)
    wrt = [leaf for leaf, name in zip(leaves, names, strict=True) if name in wanted]
    found = torch.autograd.grad(total, wrt, allow_unused=True)
    for name, leaf, g in zip([n for n in names if n in wanted], wrt, found, strict=True):
        see.fact(f"{label}: gradient with respect to {name}", torch.zeros_like(leaf) if g is None else g, rtol=1e-7)


def _raised(facts: dict, *words: str) -> bool:
    """Whether the last fact is an exception with all these words in its text."""
    last = list(facts.values())[-1]
    return isinstance(last, Raised) and all(word in last.text for word in words)


# ---------------------------------------------------------------------------------------------- 14.1 rnn_forward

_RNN_NAMES = ("x", "h0", "w_ih", "w_hh", "b_ih", "b_hh")
_RNN_PARTS = ("all states", "the last state")


def _observe_rnn_forward(rnn_forward, see):
    for B, T, I, H, dtype in ((3, 7, 2, 5, "float64"), (2, 4, 3, 6, "float64"), (4, 3, 1, 2, "float32")):
        weights = _weights(1, I, H, 10 * B, dtype)
        inputs = [_numbers(B, T, I, seed=B, dtype=dtype), _numbers(B, H, seed=B + 1, scale=0.5, dtype=dtype), *weights]
        label = f"x ({B}, {T}, {I}), h0 ({B}, {H}), {dtype}"
        if not _tensors(see.call(rnn_forward, *inputs, label=label, parts=_RNN_PARTS), [(B, T, H), (B, H)]):
            return
        if dtype == "float64" and B == 2:
            _observe_gradients(see, f"{label}, with gradients", rnn_forward, inputs, _RNN_NAMES, ("x", "h0", "w_hh"), _RNN_PARTS)


def _reference_rnn_forward(x, h0, w_ih, w_hh, b_ih, b_hh):
    """PyTorch's own layer."""
    import torch
    from torch import nn

    layer = nn.RNN(x.shape[2], len(w_hh), batch_first=True).to(x)
    with torch.backends.cudnn.flags(enabled=False):  # on a GPU its TF32 is too coarse for a comparison
        states, last = _functional(layer, (w_ih, w_hh, b_ih, b_hh), x, h0[None])
    return states, last[0]


def _rnn_with(step, dim: int = 1, start=lambda h0: h0, axis: int = 1):
    """A loop over the steps with another step, another start, another time axis, or stacked along another axis."""
    def rnn_forward(x, h0, w_ih, w_hh, b_ih, b_hh):
        import torch

        h, states = start(h0), []
        for t in range(x.shape[axis]):
            h = step(x.select(axis, t), h, w_ih, w_hh, b_ih, b_hh)
            states.append(h)
        return torch.stack(states, dim), h
    return rnn_forward


def _tanh_step(x, h, w_ih, w_hh, b_ih, b_hh):
    return (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).tanh()


def _forgets_the_state(x, h0, w_ih, w_hh, b_ih, b_hh):
    import torch

    states = torch.stack([_tanh_step(x[:, t], h0, w_ih, w_hh, b_ih, b_hh) for t in range(x.shape[1])], 1)
    return states, states[:, -1]


def _rnn_then(finish):
    """The right states (B, T, H), from which ``finish(states, h0)`` makes another answer."""
    return lambda x, h0, *weights: finish(_rnn_with(_tanh_step)(x, h0, *weights)[0], h0)


def _with_the_start(states, h0):
    import torch

    return torch.cat([h0[:, None], states], 1), states[:, -1]


def _copies_the_weights(x, h0, *weights):
    import torch
    from torch import nn

    layer = nn.RNN(x.shape[2], h0.shape[1], batch_first=True).to(x)
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=False):
        for parameter, value in zip(layer.parameters(), weights, strict=True):
            parameter.copy_(value)
    states, last = layer(x, h0[None])
    return states, last[0]


def _no_gradient(facts: dict) -> bool:
    return any(label.endswith("whether a gradient flows back") and value == "no" for label, value in facts.items())


_NO_GRADIENT = "No gradient flows back: `detach`, `no_grad`, `.item()` or `.data` on the way cuts the graph."
_ONLY_ONE = "One result is missing: end with `return {}`."


rnn_forward = Exercise(
    "14.1", "rnn_forward",
    observe=_observe_rnn_forward,
    expected=_reference_rnn_forward,
    mistakes=[
        Mistake("Your first state does not depend on h0: start the loop with `h = h0`.",
                _rnn_with(_tanh_step, start=lambda h0: h0 * 0)),
        Mistake("The state's matrix is transposed. It is square, so no shape error warns you: use h @ w_hh.T, as for w_ih.",
                _rnn_with(lambda x, h, a, b, c, d: (x @ a.T + c + h @ b + d).tanh())),
        Mistake("No tanh: this is a linear recurrence, with values outside -1..1.",
                _rnn_with(lambda x, h, a, b, c, d: x @ a.T + c + h @ b.T + d)),
        Mistake("You use axis 0 as time. x is batch first: step t is x[:, t], of shape (B, I).",
                _rnn_with(_tanh_step, axis=0), when=lambda facts: _raised(facts, "(7)", "(3)")),
        Mistake("The states are stacked along axis 0, so you return (T, B, H). Time comes second: dim=1.",
                _rnn_with(_tanh_step, dim=0)),
        Mistake("A bias is lost: each step adds b_ih and b_hh.", _rnn_with(lambda x, h, a, b, c, d: (x @ a.T + c + h @ b.T).tanh())),
        Mistake("Every step starts from h0 again: the state of one step is the input of the next.", _forgets_the_state),
        Mistake("Your first state is h0, so each state stands one place too late. Append h after its step.",
                _rnn_then(lambda states, h0: (_with_the_start(states, h0)[0][:, :-1], states[:, -1]))),
        Mistake("h0 is among your states, so there are T + 1 of them. Return the T states after the steps.", _rnn_then(_with_the_start)),
        Mistake("`stack` puts time first, and `reshape` moves nothing: it cuts the same row of numbers anew. Stack with dim=1.",
                _rnn_then(lambda states, h0: (states.transpose(0, 1).reshape(states.shape), states[:, -1]))),
        Mistake("`cat` joins the states side by side to (B, T·H). `torch.stack` makes a new axis for time.",
                _rnn_then(lambda states, h0: (states.flatten(1), states[:, -1]))),
        Mistake("Your last state is that of the last sequence, at all steps. The first axis is the batch: take states[:, -1].",
                _rnn_then(lambda states, h0: (states, states[-1]))),
        Mistake("The two results are in the wrong order: return all states first, then the last one.",
                _rnn_then(lambda states, h0: (states[:, -1], states))),
        Mistake(_ONLY_ONE.format("states, h"), _rnn_then(lambda states, h0: states)),
        Mistake("A sigmoid squashes to 0..1. The plain cell uses tanh, so that a state can be negative.",
                _rnn_with(lambda x, h, a, b, c, d: (x @ a.T + c + h @ b.T + d).sigmoid())),
        Mistake("The tanh ends too early: it goes around the whole sum, the state's part too.",
                _rnn_with(lambda x, h, a, b, c, d: (x @ a.T + c).tanh() + h @ b.T + d)),
        Mistake("You run through time backward: the state of step t comes from step t - 1.",
                lambda x, h0, *weights: _rnn_with(_tanh_step)(x.flip(1), h0, *weights)),
        Mistake("Each step's state is detached: gradients should reach earlier steps too. Cut nothing in here.",
                _rnn_with(lambda x, h, *weights: _tanh_step(x, h.detach(), *weights))),
        Mistake("A layer with copies of the weights gives the right numbers, but no gradient gets from them to w_hh.",
                _copies_the_weights),
        Mistake(_NO_GRADIENT, _rnn_then(lambda states, h0: (states.detach(), states[:, -1].detach())), when=_no_gradient),
    ],
    hints=[
        "One step, repeated; the output of a step is the state of the next.",
        "x[:, t] has shape (B, I); collect the states in a list and `torch.stack(..., dim=1)` them.",
        "`for t in range(...): h = torch.tanh(x[:, t] @ ... + ... + h @ ... + ...); states.append(...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 14.2 SineRNN

def _network_text(net) -> str:
    from torch import nn

    rnn, fc = getattr(net, "rnn", None), getattr(net, "fc", None)
    if not isinstance(rnn, nn.RNN) or not isinstance(fc, nn.Linear):
        def kind(part):
            return "missing" if part is None else f"an nn.{type(part).__name__}" if isinstance(part, nn.Module) else describe(part)
        return f"rnn is {kind(rnn)}, fc is {kind(fc)}"
    return f"rnn {rnn.input_size} to {rnn.hidden_size}, layers: {rnn.num_layers}; fc {fc.in_features} to {fc.out_features}"


def _fill(net, seed: int) -> None:
    """Fixed weights and biases, other than 0, so that two networks compare."""
    import torch

    with torch.no_grad():
        for n, (_, parameter) in enumerate(sorted(net.named_parameters())):
            parameter.copy_(_numbers(*parameter.shape, seed=seed + n, scale=0.4).to(parameter))


def _observe_network(SineRNN, see):
    import torch

    with torch.backends.cudnn.flags(enabled=False):  # on a GPU its TF32 is too coarse for a comparison
        _observe_networks(SineRNN, see)


def _observe_networks(SineRNN, see):
    import torch

    dtype = str(torch.get_default_dtype()).replace("torch.", "")
    for I, O, H, layers, B, T in ((2, 3, 5, 2, 3, 7), (4, 2, 6, 1, 2, 5)):
        asked = f"SineRNN({I}, {O}, {H}, {layers})"
        net = see.call(SineRNN, I, O, H, layers, label=asked, record=False, asks="an nn.Module")
        kind = "an nn.Module" if isinstance(net, torch.nn.Module) else describe(net)
        see.fact(f"{asked} returns", kind, implied="an nn.Module")
        if kind != "an nn.Module":
            return
        net = net.to(devices.device())
        wanted = f"rnn {I} to {H}, layers: {layers}; fc {H} to {O}"
        see.fact(f"{asked}: its layers", _network_text(net), implied=wanted)
        see.fact(f"{asked}: parameters", sum(p.numel() for p in net.parameters()))
        if _network_text(net) != wanted:
            return
        _fill(net, 20)
        if not _observe_passes(net, asked, (I, O, H, layers, B, T), dtype, see):
            return
    net = see.call(SineRNN, 1, 1, 32, 1, label="SineRNN(1, 1, 32, 1)", record=False, asks="an nn.Module").to(devices.device())
    see.fact("SineRNN(1, 1, 32, 1): parameters", sum(p.numel() for p in net.parameters()))
    _fill(net, 25)
    see.call(net, _numbers(1, 20, 1, seed=33, dtype=dtype), label=_ONE_WINDOW, rtol=1e-4, parts=_NET_PARTS)


_ONE_WINDOW = "SineRNN(1, 1, 32, 1), x (1, 20, 1), no state"
_NET_PARTS = ("the output", "the state")


def _observe_passes(net, asked, sizes, dtype, see) -> bool:
    import torch

    I, O, H, layers, B, T = sizes
    x = _numbers(B, T, I, seed=31, dtype=dtype)
    label = f"{asked}, x ({B}, {T}, {I}), no state"
    out = see.call(net, x, label=label, rtol=1e-4, parts=_NET_PARTS)
    if not isinstance(out, tuple | list) or not all(map(is_tensor, out)):
        return False
    if tuple(out[0].shape) == (B, T, O):
        with torch.no_grad():
            other = x.clone()
            other[1] += 1
            moved = (net(other)[0] - out[0]).abs().amax((1, 2)) > 1e-6
        see.fact(f"{asked}: sequences that move when only sequence 1 changes", str(moved.nonzero().flatten().tolist()))
    if not _tensors(out, [(B, T, O), (layers, B, H)]):
        return False
    hidden = _numbers(layers, B, H, seed=32, dtype=dtype)
    see.call(net, x, hidden, label=f"{asked}, x ({B}, {T}, {I}), state ({layers}, {B}, {H})", rtol=1e-4, parts=_NET_PARTS)
    x = x.requires_grad_()
    total = sum(r.square().sum() for r in net(x, hidden))
    grad = torch.autograd.grad(total, x)[0] if total.requires_grad else torch.zeros_like(x)
    see.fact(f"{asked}: gradient with respect to x", grad, rtol=1e-3)
    return True


def _plain_layers(rnn, x, hidden):
    """nn.RNN written with products: the states of the last layer, and the last states of all layers."""
    import torch

    hidden = x.new_zeros(rnn.num_layers, len(x), rnn.hidden_size) if hidden is None else hidden
    last = []
    for n in range(rnn.num_layers):
        w = [getattr(rnn, f"{name}_l{n}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        x, h = _rnn_with(_tanh_step)(x, hidden[n], *w)
        last.append(h)
    return x, torch.stack(last)


def _network(forward, *, batch_first: bool = True, layers: int | None = None) -> type:
    """A class of networks with these two layers and another forward pass ``forward(net, x, hidden)``."""
    class SineRNN:
        def __new__(cls, input_size, output_size, hidden_dim, n_layers):  # nn.Module is known only once torch is here
            from torch import nn

            class Network(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.rnn = nn.RNN(input_size, hidden_dim, layers or n_layers, batch_first=batch_first)
                    self.fc = nn.Linear(hidden_dim, output_size)

                def forward(self, x, hidden=None):
                    return forward(self, x, hidden)

            return Network()
    return SineRNN


def _reference_forward(net, x, hidden):
    states, hidden = _plain_layers(net.rnn, x, hidden)
    return states @ net.fc.weight.T + net.fc.bias, hidden


def _as_usual(net, x, hidden):
    states, hidden = net.rnn(x, hidden)
    return net.fc(states), hidden


def _flat(net, x, hidden, back: bool, flatten="reshape"):
    states, hidden = net.rnn(x, hidden)
    out = net.fc(getattr(states, flatten)(-1, states.shape[2]))
    return (out.reshape(*x.shape[:2], -1) if back else out), hidden


def _keeps_its_state(net, x, hidden):
    net.kept = getattr(net, "kept", None) if hidden is None else hidden
    out, net.kept = _as_usual(net, x, net.kept)
    return out, net.kept


def _through(place, act):
    """An activation where none belongs: on the states before fc, or on the output."""
    def forward(net, x, hidden):
        states, hidden = net.rnn(x, hidden)
        out = net.fc(getattr(states, act)() if place == "states" else states)
        return (out if place == "states" else getattr(out, act)()), hidden
    return _network(forward)


def _squeezed(facts: dict) -> bool:
    return facts[_ONE_WINDOW][0].numel() == 20 and facts[_ONE_WINDOW][0].ndim < 3


def _state_for_one(net, x, hidden):
    import torch

    start = torch.zeros(net.rnn.num_layers, 1, net.rnn.hidden_size, device=x.device)
    return _as_usual(net, x, start if hidden is None else hidden)


_NOT_CONTIGUOUS = "`view(-1, H)` raises from batch 2 on: the output of a batch-first layer is not contiguous. fc needs no " \
    "flattening at all; else use `reshape`."

SineRNN = Exercise(
    "14.2", "SineRNN",
    observe=_observe_network,
    expected=_network(_reference_forward),
    kind="class",
    mistakes=[
        Mistake(_NOT_CONTIGUOUS, _network(lambda net, x, hidden: _flat(net, x, hidden, True, "view")),
                when=lambda facts: _raised(facts, "view size is not compatible")),
        Mistake("batch_first=True is missing: the layer takes axis 0 for time, so sequence 1 leaks into the sequences after it.",
                _network(_as_usual, batch_first=False),
                when=lambda facts: facts["SineRNN(2, 3, 5, 2): sequences that move when only sequence 1 changes"] == "[1, 2]"),
        Mistake("The state that you create has batch size 1, so it works for batch 1 only. nn.RNN makes the zeros itself "
                "when it gets None.", _network(_state_for_one), when=lambda facts: _raised(facts, "Expected hidden size", "1, 5]")),
        Mistake("The output is flattened to (B·T, O). The contract keeps batch and time apart: (B, T, O).",
                _network(lambda net, x, hidden: _flat(net, x, hidden, False))),
        Mistake("The result does not depend on `hidden`: hand it to the recurrent layer, beside x.",
                _network(lambda net, x, hidden: _as_usual(net, x, None))),
        Mistake("Only the last step goes through fc. Asked is an output for every step, (B, T, O).",
                _network(lambda net, x, hidden: (net.fc(net.rnn(x, hidden)[0][:, -1]), net.rnn(x, hidden)[1]))),
        Mistake("The two results are in the wrong order: return the output first, then the state.",
                _network(lambda net, x, hidden: _as_usual(net, x, hidden)[::-1])),
        Mistake("`squeeze` drops every axis of size 1, that of a single window or a single output too. Return (B, T, O) as it is.",
                _network(lambda net, x, hidden: (_as_usual(net, x, hidden)[0].squeeze(), _as_usual(net, x, hidden)[1])), when=_squeezed),
        Mistake(_ONLY_ONE.format("output, hidden"), _network(lambda net, x, hidden: _as_usual(net, x, hidden)[0])),
        Mistake("The linear layer reads the final state. It belongs on the first result of self.rnn, which has all steps.",
                _network(lambda net, x, hidden: (net.fc(net.rnn(x, hidden)[1]), net.rnn(x, hidden)[1]))),
        Mistake("The second result must be the state of all layers: the second thing that self.rnn returns, as it is.",
                _network(lambda net, x, hidden: (_as_usual(net, x, hidden)[0], _as_usual(net, x, hidden)[1][-1])),
                when=lambda facts: tuple(facts["SineRNN(2, 3, 5, 2), x (3, 7, 2), no state"][1].shape) in ((3, 5), (3, 7, 5))),
        Mistake("fc is missing in forward: the output must have output_size numbers a step.",
                _network(lambda net, x, hidden: net.rnn(x, hidden))),
        Mistake("n_layers is not handed on: nn.RNN takes it as num_layers, and the default is 1.", _network(_as_usual, layers=1),
                when=lambda facts: facts["SineRNN(2, 3, 5, 2): its layers"] == "rnn 2 to 5, layers: 1; fc 5 to 3"),
        Mistake("The network keeps a state inside, so what it says depends on what it saw before. The caller carries the state: "
                "None means a fresh start.", _network(_keeps_its_state)),
        Mistake("The state comes back without its history. Whether to cut is the caller's business: return it as self.rnn gives it.",
                _network(lambda net, x, hidden: (_as_usual(net, x, hidden)[0], _as_usual(net, x, hidden)[1].detach()))),
        Mistake("A tanh on the output: fc comes last, so that every number can be said.", _through("output", "tanh")),
        Mistake("A ReLU between the two layers: the states went through a tanh already. fc takes them as they are.",
                _through("states", "relu")),
    ],
    hints=[
        "First the recurrent layer, then a linear one at every step.",
        "`nn.Linear` works on (B, T, H) as it is: it acts on the last axis.",
        "`states, hidden = self.rnn(...)` and then `return self.fc(...), ...`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 14.3 detach_state

def _observe_detach(detach_state, see):
    w = _numbers(2, 3, 5, seed=41).requires_grad_()
    h, c, third = w * 3, w.sin(), w[:1] - 1
    for state, label in ((h, "a tensor h"), ((h, c), "a pair (h, c)"), ((c, h, third), "three tensors"), (None, "None")):
        got = see.call(detach_state, state, label=label, changes_inputs=True)
        if state is None:
            break
        kind = "a tuple" if isinstance(state, tuple) else "a tensor"
        see.fact(f"{label}: the kind of the result", "a tuple" if isinstance(got, tuple) else "a tensor" if is_tensor(got)
                 else describe(got), implied=kind)
        see.fact(f"{label}: the graph of the result", _graphs(got))
        see.fact(f"{label}: the graph of the original, afterwards", _graphs((h, c, third)))
        if _graphs((h, c, third)) != "all have one":
            return


def _graphs(value) -> str:
    values = value if isinstance(value, tuple | list) else (value,)
    if any(is_tensor(v) and v.requires_grad and v.is_leaf for v in values):
        return "none, but requires_grad is True"
    have = [is_tensor(v) and v.requires_grad for v in values]
    if len(have) == 2 and have[0] != have[1]:
        return "only the second has one" if have[1] else "only the first has one"
    return "all have one" if all(have) else "some have one" if any(have) else "none"


def _reference_detach(state):
    """Through NumPy, which knows no graph."""
    import torch

    def cut(s):
        return torch.tensor(s.detach().cpu().numpy(), device=s.device)
    return None if state is None else tuple(map(cut, state)) if isinstance(state, tuple) else cut(state)


def _detach_and_ask(state):
    cut = _reference_detach(state)
    for s in cut if isinstance(cut, tuple) else () if cut is None else (cut,):
        s.requires_grad_()
    return cut


def _detach_in_place(state):
    for s in state if isinstance(state, tuple) else () if state is None else (state,):
        s.detach_()
    return state


def _stacked(state):
    import torch

    return torch.stack(state[:2]).detach()


detach_state = Exercise(
    "14.3", "detach_state",
    observe=_observe_detach,
    expected=_reference_detach,
    mistakes=[
        Mistake("You cut the caller's tensor too: `detach_()` works in place. `detach()` gives a new one.", _detach_in_place),
        Mistake("Only h is cut: the graph survives through the cell state c. Cut every tensor of the tuple.",
                lambda s: (s[0].detach(), *s[1:]) if isinstance(s, tuple) else None if s is None else s.detach(),
                when=lambda facts: facts["a pair (h, c): the graph of the result"] == "only the second has one"),
        Mistake("The values are 0 now: that is a reset, not a cut. Keep the numbers.",
                lambda s: tuple(0 * t.detach() for t in s) if isinstance(s, tuple) else None if s is None else 0 * s.detach()),
        Mistake("A loop over a tensor goes along its first axis, here the layers. Ask first: is the state a tuple or a tensor?",
                lambda s: tuple(t.detach() for t in s), when=lambda facts: isinstance(facts["a tensor h"], tuple | list)),
        Mistake("None crashes: the first window starts with None. Hand it back as it is.",
                lambda s: tuple(t.detach() for t in s) if isinstance(s, tuple) else s.detach(),
                when=lambda facts: isinstance(facts["None"], Raised)),
        Mistake("None stays None: the layer makes its zeros itself.",
                lambda s: _numbers(1, 1, 2, seed=1) * 0 if s is None else _reference_detach(s),
                when=lambda facts: is_tensor(facts["None"])),
        Mistake("You return the state as it came, with its graph. `detach()` changes nothing in place: return what it gives you.",
                lambda s: s, when=lambda facts: facts["a tensor h: the graph of the result"] == "all have one"),
        Mistake("The history is cut, but requires_grad is True again, and backward would store a gradient in the state. Nothing learns "
                "from it: `detach()` is all.", lambda s: _detach_and_ask(s),
                when=lambda facts: facts["a tensor h: the graph of the result"] == "none, but requires_grad is True"),
        Mistake("A tuple stays a tuple: you return a list, which an LSTM does not take.",
                lambda s: [t.detach() for t in s] if isinstance(s, tuple) else None if s is None else s.detach(),
                when=lambda facts: isinstance(facts["a pair (h, c)"], list)),
        Mistake("A tuple has no method detach: an LSTM carries (h, c), so treat each of its tensors.",
                lambda s: None if s is None else s.detach(), when=lambda facts: _raised(facts, "'tuple' object")),
        Mistake("A pair stays a pair: you made one tensor of it.",
                lambda s: _stacked(s) if isinstance(s, tuple) else None if s is None else s.detach(),
                when=lambda facts: is_tensor(facts["a pair (h, c)"])),
    ],
    hints=[
        "Keep the number, drop its history.",
        "An LSTM carries a pair; the first window has None.",
        "`if isinstance(state, tuple): return tuple(... for s in state)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 14.4 gradient_by_lag

def _observe_lags(gradient_by_lag, see):
    import torch
    from torch import nn

    for kind, B, T, I, H in ((nn.RNN, 3, 9, 2, 6), (nn.LSTM, 2, 5, 3, 4)):
        rnn = kind(I, H, batch_first=True).double().to(devices.device())
        _fill(rnn, 50)
        kept = torch.ones_like(rnn.bias_hh_l0)
        rnn.bias_hh_l0.grad = kept.clone()
        x = _numbers(B, T, I, seed=51).requires_grad_(kind is nn.RNN)
        if x.requires_grad:
            x.grad = torch.full_like(x, 2.0)
        label = f"nn.{kind.__name__}({I}, {H}), x ({B}, {T}, {I})"
        got = see.call(gradient_by_lag, rnn, x, label=label, changes_inputs=True, rtol=1e-7, atol=0)
        if not _tensors(got, [(T,)]):
            return
        see.fact(f"{label}: .grad of the parameters", _left_behind(rnn, kept), implied="as before")
        frozen = not all(p.requires_grad for p in rnn.parameters())
        see.fact(f"{label}: requires_grad of the parameters", "False now" if frozen else "as before", implied="as before")
        untouched = torch.equal(x.grad, torch.full_like(x, 2.0)) if kind is nn.RNN else x.grad is None and not x.requires_grad
        see.fact(f"{label}: x and x.grad", "as before" if untouched else "changed", implied="as before")


def _left_behind(rnn, kept) -> str:
    import torch

    grad = rnn.bias_hh_l0.grad
    if grad is None or not grad.any():
        return "what was there before is gone"
    return "as before" if torch.equal(grad, kept) and all(p.grad is None for p in rnn.parameters() if p is not rnn.bias_hh_l0) \
        else "changed"


def _reference_lags(rnn, x):
    """One lag at a time: the sequence is cut in three, and only the middle piece is a variable."""
    import torch

    result, T = [], x.shape[1]
    for lag in range(T):
        t = T - 1 - lag
        middle = x[:, t:t + 1].detach().clone().requires_grad_()
        out, _ = rnn(torch.cat([x[:, :t].detach(), middle, x[:, t + 1:].detach()], 1))
        found, = torch.autograd.grad(out[:, -1].sum(), middle)
        result.append(found.square().sum((1, 2)).sqrt().mean())
    return torch.stack(result)


def _lags_with(finish, of=lambda out: out[:, -1].sum(), leaves: bool = False):
    def gradient_by_lag(rnn, x):
        import torch

        x = x.detach().clone().requires_grad_()
        total = of(rnn(x)[0])
        if leaves:
            total.backward()
        return finish(x.grad if leaves else torch.autograd.grad(total, x)[0])
    return gradient_by_lag


def _norms(g):
    return g.norm(dim=2).mean(0).flip(0)


def _wipes_the_gradients(rnn, x):
    result = _lags_with(_norms, leaves=True)(rnn, x)
    rnn.zero_grad()
    return result


def _freezes_the_layer(rnn, x):
    for parameter in rnn.parameters():
        parameter.requires_grad_(False)
    return _lags_with(_norms)(rnn, x)


def _adds_to_the_callers_x(rnn, x):
    x.requires_grad_()
    rnn(x)[0][:, -1].sum().backward()
    return _norms(x.grad)


def _changes_the_callers_x(rnn, x):
    x.requires_grad_()
    x.grad = None
    rnn(x)[0][:, -1].sum().backward()
    return _norms(x.grad)


gradient_by_lag = Exercise(
    "14.4", "gradient_by_lag",
    observe=_observe_lags,
    expected=_reference_lags,
    mistakes=[
        Mistake("Your index is the time step, not the lag. Entry 0 must belong to the last step: flip the axis of time.",
                _lags_with(lambda g: g.norm(dim=2).mean(0))),
        Mistake("You summed the outputs of all steps: every step then has a lag-0 part. Take out[:, -1] only.",
                _lags_with(_norms, lambda out: out.sum())),
        Mistake("Plus and minus cancel in a signed mean: take the norm over the input axis before you average.",
                _lags_with(lambda g: g.mean((0, 2)).flip(0))),
        Mistake("Gradients of the parameters are left behind, and the next optimizer step would use them. "
                "`torch.autograd.grad` returns a gradient and stores none.", _lags_with(_norms, leaves=True),
                when=lambda facts: any(label.endswith(".grad of the parameters") and value == "changed" for label, value in facts.items())),
        Mistake("The caller's x was changed: work on a copy without history.", _changes_the_callers_x,
                when=lambda facts: any(label.endswith("x and x.grad") and value == "changed" for label, value in facts.items())),
        Mistake("One norm over batch and inputs together. Asked is a norm for each sequence, then their mean.",
                _lags_with(lambda g: g.norm(dim=(0, 2)).flip(0))),
        Mistake("Summed over the batch instead of averaged: a larger batch would then look like a longer memory.",
                _lags_with(lambda g: g.norm(dim=2).sum(0).flip(0))),
        Mistake("Averaged over the batch before the norm, so that plus and minus cancel: first the norms, then their mean.",
                _lags_with(lambda g: g.mean(0).norm(dim=1).flip(0))),
        Mistake("A mean of absolute values is not the Euclidean norm: square, sum over the inputs, take the root.",
                _lags_with(lambda g: g.abs().mean((0, 2)).flip(0))),
        Mistake("A sum of absolute values is not the Euclidean norm: square, sum over the inputs, take the root.",
                _lags_with(lambda g: g.abs().sum(2).mean(0).flip(0))),
        Mistake("out[-1] is the last sequence of the batch. The last step is out[:, -1].", _lags_with(_norms, lambda out: out[-1].sum())),
        Mistake("The norms of the single sequences come back. Average them over the batch, to (T,).",
                _lags_with(lambda g: g.norm(dim=2).flip(1)), when=lambda facts: list(facts.values())[0].shape == (3, 9)),
        Mistake("A mean of the last output instead of its sum.", _lags_with(_norms, lambda out: out[:, -1].mean())),
        Mistake("Divided by the first entry. Return the norms themselves.", _lags_with(lambda g: _norms(g) / _norms(g)[0])),
        Mistake("`backward` adds to the x.grad that is there already, and to that of the parameters. Work on a copy of x, with "
                "`torch.autograd.grad`.", _adds_to_the_callers_x),
        Mistake("`zero_grad` throws away gradients that were there before. `torch.autograd.grad` touches none.", _wipes_the_gradients,
                when=lambda facts: any(value == "what was there before is gone" for value in facts.values())),
        Mistake("The layer is left frozen: requires_grad of its parameters is False now, and it can no longer be trained.",
                _freezes_the_layer, when=lambda facts: any(value == "False now" for value in facts.values())),
    ],
    hints=[
        "How strongly does the end depend on each input?",
        "Make a leaf with `detach().clone().requires_grad_()`; then `torch.autograd.grad`.",
        "`g.norm(dim=...).mean(...).flip(...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 14.5 lstm_step

_CELL_SIZES = ((3, 2, 5, "float64"), (4, 3, 2, "float64"), (2, 4, 3, "float32"))


def _cell_inputs(blocks: int, states: int, B: int, I: int, H: int, dtype: str) -> list:
    carried = [_numbers(B, H, seed=B + n, scale=0.7, dtype=dtype) for n in range(states)]
    return [_numbers(B, I, seed=B + 9, dtype=dtype), *carried, *_weights(blocks, I, H, 20 * B, dtype)]


def _another_order(with_order, names: str, states: int):
    """Whether the first result is that of a step whose blocks are in some order other than ``names``."""
    def when(facts):
        import torch

        first = list(facts.values())[0]
        inputs = _cell_inputs(len(names), states, *_CELL_SIZES[0])
        found = first[0] if states > 1 else first
        steps = (with_order("".join(order)) for order in itertools.permutations(names) if "".join(order) != names)
        answers = (step(*inputs)[0] if states > 1 else step(*inputs) for step in steps)
        return any(torch.allclose(found, answer, rtol=1e-8, atol=1e-8) for answer in answers)
    return when


def _observe_cell(step, see, blocks: int, states: int, names, parts) -> None:
    for B, I, H, dtype in _CELL_SIZES:
        inputs = _cell_inputs(blocks, states, B, I, H, dtype)
        label = f"x ({B}, {I}), {' and '.join(names[1:1 + states])} ({B}, {H}), {dtype}"
        got = see.call(step, *inputs, label=label, parts=parts)
        if not _tensors(got, [(B, H)] * states):
            return
        if B == 4:
            _observe_gradients(see, f"{label}, with gradients", step, inputs, names, names[:3] + names[-3:-2], parts)


_LSTM_NAMES = ("x", "h", "c", "w_ih", "w_hh", "b_ih", "b_hh")
_LSTM_PARTS = ("h_new", "c_new")


def _observe_lstm_step(lstm_step, see):
    _observe_cell(lstm_step, see, 4, 2, _LSTM_NAMES, _LSTM_PARTS)


def _reference_lstm_step(x, h, c, w_ih, w_hh, b_ih, b_hh):
    """PyTorch's own cell."""
    from torch import nn

    return _functional(nn.LSTMCell(x.shape[1], h.shape[1]).to(x), (w_ih, w_hh, b_ih, b_hh), x, (h, c))


def _lstm_with(read=lambda o, c_new, c, f: o * c_new.tanh(), order="ifgo", candidate="tanh", gate="sigmoid",
               products=lambda x, h, w_ih, w_hh, b_ih, b_hh: x @ w_ih.T + b_ih + h @ w_hh.T + b_hh,
               split=lambda z: z.chunk(4, 1), write=lambda i, f, g, c, h: f * c + i * g, finish=lambda h_new, c_new: (h_new, c_new)):
    """An LSTM step that differs in one place."""
    def lstm_step(x, h, c, w_ih, w_hh, b_ih, b_hh):
        block = dict(zip(order, split(products(x, h, w_ih, w_hh, b_ih, b_hh)), strict=True))
        i, f, o = (getattr(block[name], gate)() for name in "ifo")
        c_new = write(i, f, getattr(block["g"], candidate)(), c, h)
        return finish(read(o, c_new, c, f), c_new)
    return lstm_step


lstm_step = Exercise(
    "14.5", "lstm_step",
    observe=_observe_lstm_step,
    expected=_reference_lstm_step,
    atol=1e-8,
    mistakes=[
        Mistake("You read the memory before it was updated: h_new comes from c_new, not from f * c.",
                _lstm_with(lambda o, c_new, c, f: o * (f * c).tanh())),
        Mistake("PyTorch stores i, f, g, o: your third block is the candidate, the fourth the output gate.", _lstm_with(order="ifog")),
        Mistake("The output reads the old memory c. It must read the new one.", _lstm_with(lambda o, c_new, c, f: o * c.tanh())),
        Mistake("A sigmoid for the candidate: content must be able to be negative. Use tanh there.", _lstm_with(candidate="sigmoid")),
        Mistake("A bias is lost: the blocks are off by the same amounts whatever x is. Add b_hh too.",
                _lstm_with(products=lambda x, h, a, b, c, d: x @ a.T + c + h @ b.T)),
        Mistake("A bias is lost: the blocks are off by the same amounts whatever x is. Add b_ih too.",
                _lstm_with(products=lambda x, h, a, b, c, d: x @ a.T + h @ b.T + d)),
        Mistake("The four blocks read x only. They read h as well: add h @ w_hh.T + b_hh before you split.",
                _lstm_with(products=lambda x, h, a, b, c, d: x @ a.T + c)),
        Mistake("h @ w_hh.T is missing, only its bias is added: the gates read h as well.",
                _lstm_with(products=lambda x, h, a, b, c, d: x @ a.T + c + d)),
        Mistake("x @ w_ih.T is missing: the gates read the input as well.", _lstm_with(products=lambda x, h, a, b, c, d: c + h @ b.T + d)),
        Mistake("The tanh around c_new is missing: h must stay within -1..1.", _lstm_with(lambda o, c_new, c, f: o * c_new)),
        Mistake("The first block is the input gate and the second the forget gate; you have them the other way round.",
                _lstm_with(order="figo")),
        Mistake("The two results are in the wrong order: return h_new first, then c_new.",
                _lstm_with(finish=lambda h_new, c_new: (c_new, h_new))),
        Mistake(_ONLY_ONE.format("h_new, c_new"), _lstm_with(finish=lambda h_new, c_new: h_new)),
        Mistake("c_new comes back after its tanh. The tanh is for h_new only: on the way of c nothing is squashed.",
                _lstm_with(finish=lambda h_new, c_new: (h_new, c_new.tanh()))),
        Mistake("The forget gate multiplies h. What it keeps or wipes is the long-term memory c.",
                _lstm_with(write=lambda i, f, g, c, h: f * h + i * g)),
        Mistake("Nothing is forgotten: multiply c by the forget gate.", _lstm_with(write=lambda i, f, g, c, h: c + i * g)),
        Mistake("The candidate enters at full strength: multiply it by the input gate.", _lstm_with(write=lambda i, f, g, c, h: f * c + g)),
        Mistake("1 - f in place of the input gate: an LSTM has a gate of its own for what is new.",
                _lstm_with(write=lambda i, f, g, c, h: f * c + (1 - f) * g)),
        Mistake("The forget gate works the wrong way round: f near 1 keeps. Multiply c by f, not by 1 - f.",
                _lstm_with(write=lambda i, f, g, c, h: (1 - f) * c + i * g)),
        Mistake("A tanh for the gates: a gate is a fraction from 0 to 1. Only the candidate has a tanh.", _lstm_with(gate="tanh")),
        Mistake("The gates have no sigmoid and the candidate no tanh: these are the raw sums.",
                _lstm_with(gate="clone", candidate="clone")),
        Mistake("The blocks are not interleaved: the first H columns are i, the next H are f. `chunk(4, dim=1)` cuts them so.",
                _lstm_with(split=lambda z: [z[:, k::4] for k in range(4)])),
        Mistake("The blocks are in another order. From the top, PyTorch stores i, f, g, o.", _lstm_with(order="iofg"),
                when=_another_order(lambda order: _lstm_with(order=order), "ifgo", 2)),
        Mistake("c_new comes back without its history, so no gradient can take the long way. Cut nothing in here.",
                _lstm_with(finish=lambda h_new, c_new: (h_new, c_new.detach()))),
        Mistake(_NO_GRADIENT, _lstm_with(finish=lambda h_new, c_new: (h_new.detach(), c_new.detach())), when=_no_gradient),
    ],
    hints=[
        "Four numbers per unit come out of one matrix product.",
        "`chunk(4, dim=1)`; three sigmoids, one tanh.",
        "`c_new = ... * c + ... * ...` and `h_new = ... * torch.tanh(...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 14.6 gru_step

_GRU_NAMES = ("x", "h", "w_ih", "w_hh", "b_ih", "b_hh")


def _observe_gru_step(gru_step, see):
    _observe_cell(gru_step, see, 3, 1, _GRU_NAMES, ())


def _reference_gru_step(x, h, w_ih, w_hh, b_ih, b_hh):
    """PyTorch's own cell."""
    from torch import nn

    return _functional(nn.GRUCell(x.shape[1], h.shape[1]).to(x), (w_ih, w_hh, b_ih, b_hh), x, h)


def _gru_with(new=lambda a, b, r: (a + r * b).tanh(), mix=lambda n, z, h: (1 - z) * n + z * h, order="rzn", input_bias=1, state_bias=1):
    """A GRU step that differs in one place; ``new(a_n, b_n, r)``."""
    def gru_step(x, h, w_ih, w_hh, b_ih, b_hh):
        a = dict(zip(order, (x @ w_ih.T + input_bias * b_ih).chunk(3, 1), strict=True))
        b = dict(zip(order, (h @ w_hh.T + state_bias * b_hh).chunk(3, 1), strict=True))
        r, z = ((a[name] + b[name]).sigmoid() for name in "rz")
        return mix(new(a["n"], b["n"], r), z, h)
    return gru_step


def _resets_before(x, h, w_ih, w_hh, b_ih, b_hh):
    H = h.shape[1]
    a, b = x @ w_ih.T + b_ih, h @ w_hh.T + b_hh
    r, z = (a + b)[:, :H].sigmoid(), (a + b)[:, H:2 * H].sigmoid()
    n = (a[:, 2 * H:] + (r * h) @ w_hh[2 * H:].T + b_hh[2 * H:]).tanh()
    return (1 - z) * n + z * h


def _bias_outside(x, h, w_ih, w_hh, b_ih, b_hh):
    bias = b_hh.chunk(3)[2]
    return _gru_with(lambda a, b, r: (a + r * (b - bias) + bias).tanh())(x, h, w_ih, w_hh, b_ih, b_hh)


gru_step = Exercise(
    "14.6", "gru_step",
    observe=_observe_gru_step,
    expected=_reference_gru_step,
    atol=1e-8,
    mistakes=[
        Mistake("z and 1 - z are exchanged: in PyTorch z keeps the old state.", _gru_with(mix=lambda n, z, h: z * n + (1 - z) * h)),
        Mistake("Reset applied to h before the product: r must scale the product W_hn h + b_hn, not h itself. A matrix mixes "
                "the units, so the two differ.", _resets_before),
        Mistake("A sigmoid for n: the candidate must be able to be negative. Use tanh there.",
                _gru_with(lambda a, b, r: (a + r * b).sigmoid())),
        Mistake("r and z are exchanged: PyTorch stores r first.", _gru_with(order="zrn")),
        Mistake("r scales W_hn h but not its bias: in PyTorch the bias stands inside, r * (W_hn h + b_hn).", _bias_outside),
        Mistake("The reset gate is not used: both products were added before n took its part.", _gru_with(lambda a, b, r: (a + b).tanh())),
        Mistake("r scales both parts of n: only the part that comes from h is reset, a_n stays whole.",
                _gru_with(lambda a, b, r: (r * (a + b)).tanh())),
        Mistake("r scales the part that comes from x. It is the other one that is reset: b_n, which comes from h.",
                _gru_with(lambda a, b, r: (r * a + b).tanh())),
        Mistake("The candidate has no tanh.", _gru_with(lambda a, b, r: a + r * b)),
        Mistake("A bias is lost: add b_ih to the product with x.", _gru_with(input_bias=0)),
        Mistake("A bias is lost: add b_hh to the product with h.", _gru_with(state_bias=0)),
        Mistake("The old state is lost: z * h is missing in the sum.", _gru_with(mix=lambda n, z, h: (1 - z) * n)),
        Mistake("The candidate enters at full strength: its part is 1 - z.", _gru_with(mix=lambda n, z, h: n + z * h)),
        Mistake("A GRU has one state: return the new h alone, not a pair.",
                _gru_with(mix=lambda n, z, h: ((1 - z) * n + z * h,) * 2), when=lambda facts: isinstance(list(facts.values())[0], tuple | list)),
        Mistake("The blocks are in another order. From the top, PyTorch stores r, z, n.", _gru_with(order="nrz"),
                when=_another_order(lambda order: _gru_with(order=order), "rzn", 1)),
        Mistake("The h in z * h is detached: gradients should take that way too. Cut nothing in here.",
                _gru_with(mix=lambda n, z, h: (1 - z) * n + z * h.detach())),
        Mistake(_NO_GRADIENT, _gru_with(mix=lambda n, z, h: ((1 - z) * n + z * h).detach()), when=_no_gradient),
    ],
    hints=[
        "Two gates, one candidate, one state.",
        "Do not add the two products before splitting: n needs them apart.",
        "`n = torch.tanh(a_n + ... * b_n)` and `return (1 - ...) * n + ... * h`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 14.7 recurrent_parameters

_SIZES = (("rnn", 1, 32, 1), ("gru", 7, 4, 3), ("lstm", 3, 5, 3), ("rnn", 3, 5, 2), ("gru", 3, 5, 1), ("lstm", 83, 512, 2))


def _observe_parameters(recurrent_parameters, see):
    for sizes in _SIZES:
        label = f"recurrent_parameters{sizes}"
        found = see.call(recurrent_parameters, *sizes, label=label)
        see.fact(f"{label}: its type", type(found).__name__, implied="int")
    see.call(recurrent_parameters, "lstm", 6, 7, label="recurrent_parameters('lstm', 6, 7), one layer by default")
    for cell in ("LSTM", "transformer"):
        try:
            found = f"returns {describe(recurrent_parameters(cell, 3, 5))}"
        except (KeyError, ValueError):
            found = "raises KeyError or ValueError"
        except Exception as problem:
            found = f"raises {type(problem).__name__}: {problem}"
        see.fact(f"recurrent_parameters({cell!r}, 3, 5)", found, implied="raises KeyError or ValueError")


def _reference_parameters(cell, input_size, hidden_size, num_layers=1):
    """Counted in PyTorch's own layers, made without memory."""
    from torch import nn

    kind = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell]
    return sum(p.numel() for p in kind(input_size, hidden_size, num_layers, device="meta").parameters())


def _count_with(biases: int = 2, first=lambda layer, I, H: I if layer == 0 else H, blocks=(1, 3, 4), rows=lambda I, H: H):
    def recurrent_parameters(cell, input_size, hidden_size, num_layers=1):
        k = dict(zip(("rnn", "gru", "lstm"), blocks, strict=True))[cell]
        H = hidden_size
        return sum(k * rows(input_size, H) * (first(layer, input_size, H) + H + biases) for layer in range(num_layers))
    return recurrent_parameters


recurrent_parameters = Exercise(
    "14.7", "recurrent_parameters",
    observe=_observe_parameters,
    expected=_reference_parameters,
    mistakes=[
        Mistake("One bias per block: PyTorch keeps two, b_ih and b_hh.", _count_with(biases=1)),
        Mistake("You use the input size in every layer: layer 2 reads the hidden state of layer 1, so its inputs are H.",
                _count_with(first=lambda layer, I, H: I)),
        Mistake("A GRU has three blocks: two gates and one candidate.", _count_with(blocks=(1, 2, 4))),
        Mistake("An LSTM has four blocks: three gates and one candidate.", _count_with(blocks=(1, 3, 3))),
        Mistake("No bias at all is counted: PyTorch keeps two per block.", _count_with(biases=0)),
        Mistake("Only one layer is counted: add up num_layers of them.",
                lambda cell, input_size, hidden_size, num_layers=1: _count_with()(cell, input_size, hidden_size)),
        Mistake("The candidate is a block too: a GRU has two gates and one candidate, an LSTM three gates and one candidate.",
                _count_with(blocks=(1, 2, 3))),
        Mistake("A bias has H numbers, one for each row of the block: two biases are 2 · H, not 2.",
                lambda cell, input_size, hidden_size, num_layers=1: _count_with(0)(cell, input_size, hidden_size, num_layers)
                + 2 * num_layers * {"rnn": 1, "gru": 3, "lstm": 4}[cell]),
        Mistake("A block has as many rows as there are hidden units: H · (I + H + 2), not I · (I + H + 2).",
                _count_with(rows=lambda I, H: I)),
        Mistake("Any other string must raise, \"LSTM\" too: do not convert it and do not replace it. A look-up "
                "`{\"rnn\": ...}[cell]` raises by itself.",
                lambda cell, input_size, hidden_size, num_layers=1: _count_with()(cell.lower(), input_size, hidden_size, num_layers),
                when=lambda facts: facts["recurrent_parameters('lstm', 83, 512, 2)"] == 3_323_904
                and facts["recurrent_parameters('LSTM', 3, 5)"].startswith("returns")),
    ],
    hints=[
        "Count one block, then blocks, then layers.",
        "A block has weights from the input, weights from the state, and two biases.",
        "`k * H * ((I if layer == 0 else ...) + ... + ...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("14", [
    Question("What shape has the hidden state for batch 4, 2 layers, hidden size 10, `batch_first=True`?",
             ("(2, 4, 10)", "Layers, batch, hidden: batch_first does not touch the state."),
             [("(4, 2, 10)", "The flag moves the batch axis of input and output, never of the state."),
              ("(4, 20, 10)", "That is the output for 20 steps: one state for each step, of the last layer."),
              ("(4, 10)", "Every layer has a state of its own, so there is an axis for the layers.")]),
    Question("Why is the hidden state detached between two windows?",
             ("To stop backpropagation at the edge of the window", "The values go on, their history does not."),
             [("To reset the memory", "The values stay as they are; only the graph behind them is cut."),
              ("To save parameters", "The parameters are the same with and without it."),
              ("To make the next window independent of this one", "It still starts from this window's last state.")]),
    Question("Why does a plain RNN forget?",
             ("Repeated multiplication and squashing shrink the influence", "Each step multiplies by the weights and by a slope "
              "of at most 1, so the influence fades like a power."),
             [("Too little memory is allocated", "The state has the same size at every step."),
              ("The data are shuffled", "The order within a sequence is kept; the fading happens in the network."),
              ("Its weights change from step to step", "They are the same at every step; that is why a power appears.")]),
    Question("Which gate value keeps a memory for 100 steps?",
             ("f near 1", "The memory is multiplied by f a hundred times."),
             [("f at 0.5", "0.5 to the 100th power is about 1e-30: nothing is left."),
              ("i near 1", "That writes something new, it does not keep what is there."),
              ("o near 0", "That hides the memory from the outside; whether it stays is the forget gate's business.")]),
    Question("Why does the candidate g use tanh and not sigmoid?",
             ("It must be able to lower the memory", "Content may be negative; a gate is a fraction between 0 and 1."),
             [("tanh is faster", "Both cost about the same."),
              ("sigmoid has no gradient", "It has one, up to 0.25."),
              ("PyTorch has no sigmoid for cells", "The three gates beside it are sigmoids.")]),
    Question("How many states go into a layer and come out of it?",
             ("RNN 1 and 1, GRU 1 and 1, LSTM 2 and 2", "Only the LSTM carries a pair, h and c."),
             [("RNN 1 and 1, GRU 1 and 1, LSTM 1 and 1", "The LSTM's c is a state as well."),
              ("RNN 1 and 1, GRU 2 and 2, LSTM 2 and 2", "The GRU has two gates, but one state."),
              ("RNN 1 and 1, GRU 3 and 3, LSTM 4 and 4", "Those are the blocks of the weight matrices.")]),
    Question("How many parameters has `nn.GRU(3, 5)`?",
             ("150", "3 blocks · 5 · (3 + 5 + 2)."),
             [("135", "With one bias per block; PyTorch keeps two."),
              ("100", "With two blocks: the candidate is missing."),
              ("200", "With four blocks: that is the LSTM.")]),
    Question("Does the forget gate see the long-term memory c?",
             ("Not in the standard cell; with peepholes it does", "The standard gates read x and h."),
             [("Always, through h", "h is c after a squashing and the output gate: filtered, and possibly shut."),
              ("Always, directly", "W multiplies x and h; c is in neither."),
              ("Never, in no variant", "The peephole variant gives c a place in the gates.")]),
])


# ---------------------------------------------------------------------------------------------- figures: the idea

STEP_COLORS = {"W_ih": plots.BLUE, "W_hh": plots.RED}


def _card(ax, x, y, text, color=plots.BLACK, width=1.5, height=0.8, size=12, fill="white", style="-"):
    from matplotlib.patches import FancyBboxPatch

    ax.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0.02,rounding_size=0.1",
                                facecolor=fill, edgecolor=color, linewidth=1.8, linestyle=style, zorder=3))
    ax.text(x, y, text, ha="center", va="center", fontsize=size, zorder=4, color=plots.BLACK)


def _arrow(ax, start, end, color=plots.BLACK, text="", offset=(0, 0.14), style="-", size=11, curve=0.0):
    ax.annotate("", end, start, zorder=2, arrowprops={"arrowstyle": "-|>", "color": color, "lw": 2, "linestyle": style,
                                                     "shrinkA": 0, "shrinkB": 0, "connectionstyle": f"arc3,rad={curve}"})
    if text:
        ax.text((start[0] + end[0]) / 2 + offset[0], (start[1] + end[1]) / 2 + offset[1], text, ha="center", va="center",
                fontsize=size, color=color, zorder=5)


def _blank(size, x, y):
    fig, ax = plots.figure(size=size)
    ax.set(xlim=x, ylim=y)
    ax.set_axis_off()
    return fig, ax


def show_frames() -> None:
    """Three frames of a film: what came before decides how the last one is read."""
    fig, ax = _blank((8.2, 2.5), (-1.1, 8.3), (-0.9, 1.0))
    for x, text in ((0, "bear"), (2.4, "fox")):
        _card(ax, x, 0, text, fill="#EAF3FA")
        _arrow(ax, (x + 0.8, 0), (x + 1.55, 0))
    _card(ax, 4.8, 0, "dog or wolf?", color=plots.RED, width=1.7, fill="#FBEEE6")
    _arrow(ax, (5.7, 0), (6.5, 0))
    _card(ax, 7.3, 0, "wolf", color=plots.GREEN, fill="#E6F5F0")
    for x, text in ((0, "frame 1"), (2.4, "frame 2"), (4.8, "frame 3"), (7.3, "read with memory")):
        ax.text(x, -0.7, text, ha="center", fontsize=10.5)
    plots.show(fig, alt="Three frames of a film: a bear, a fox, and an animal that could be a dog or a wolf. Who remembers the first "
                        "two says wolf.", dpi=90)


def show_unrolled() -> None:
    """The network with its loop, and unrolled: the same two matrices at each step, in the same colors."""
    fig, ax = _blank((9.2, 3.3), (-4.3, 6.9), (-1.75, 1.75))
    _card(ax, -3.5, 0, "tanh", width=0.95, fill="#FFF8E1")
    ax.plot([-3.02, -2.4, -2.4, -4.25, -4.25], [0, 0, 0.85, 0.85, 0], color=STEP_COLORS["W_hh"], lw=2, zorder=2)
    _arrow(ax, (-4.25, 0), (-4.0, 0), STEP_COLORS["W_hh"])
    ax.text(-2.35, 1.07, "$W_{hh}$", ha="center", va="center", fontsize=11, color=STEP_COLORS["W_hh"])
    _arrow(ax, (-3.5, -1.15), (-3.5, -0.43), STEP_COLORS["W_ih"], "$W_{ih}$", (0.4, -0.02))
    ax.text(-3.5, -1.4, "$x_t$", ha="center", va="center", fontsize=13)
    _arrow(ax, (-3.5, 0.43), (-3.5, 1.2))
    ax.text(-3.5, 1.45, "$h_t$", ha="center", va="center", fontsize=13)
    ax.text(-1.65, 0, "=", ha="center", va="center", fontsize=22)
    _card(ax, -0.6, 0, r"$h_0$", width=0.8, fill="#F3F3F3")
    for t in range(1, 4):
        x = 2.3 * t - 0.7
        _card(ax, x, 0, "tanh", width=0.95, fill="#FFF8E1")
        _arrow(ax, (x - (1.3 if t > 1 else 1.75), 0), (x - 0.5, 0), STEP_COLORS["W_hh"], "$W_{hh}$", (0.02, 0.22))
        _arrow(ax, (x, -1.15), (x, -0.43), STEP_COLORS["W_ih"], "$W_{ih}$", (0.4, -0.02))
        ax.text(x, -1.4, f"$x_{t}$", ha="center", va="center", fontsize=13)
        _arrow(ax, (x, 0.43), (x, 1.05))
        ax.text(x, 1.3, f"$h_{t}$", ha="center", va="center", fontsize=13)
        if t < 3:
            ax.plot([x + 0.5, x + 1.0], [0, 0], color=STEP_COLORS["W_hh"], lw=2, zorder=2)
    plots.show(fig, alt="Left, the network as one box with a loop: its state comes back as an input. Right, the same unrolled over three "
                        "steps. Each takes the input x below through the same blue matrix and the state from the left through the same "
                        "orange one, and hands its state on.", dpi=90)


def pulse(w_x: float, w_h: float, steps: int = 20) -> list[float]:
    """The states of a scalar recurrent cell whose input is 1 at step 0 and 0 afterwards; no bias, start at 0."""
    h, states = 0.0, []
    for t in range(steps):
        h = math.tanh(w_x * (t == 0) + w_h * h)
        states.append(h)
    return states


def show_pulse() -> None:
    """One pulse, four recurrent weights."""
    fig, ax = plots.figure(size=(7.4, 3.2))
    for w_h, color, marker in ((0.3, plots.GREEN, "s"), (0.8, plots.BLUE, "o"), (1.2, plots.RED, "^"), (-0.8, plots.PURPLE, "D")):
        ax.plot(pulse(1.0, w_h), color=color, marker=marker, markersize=4, label=f"$w_h$ = {w_h:g}")
    ax.set(xlabel="step t", ylabel="$h_t$", xticks=range(0, 20, 2))
    plots.legend(ax, outside=True)
    plots.show(fig, alt="The state after a single pulse at step 0, for four recurrent weights: with 0.3 and 0.8 it fades, with -0.8 "
                        "it fades with changing sign, with 1.2 it settles at about 0.66 and never fades.", dpi=90)


def pulse_sliders() -> None:
    """The same with sliders for both weights."""
    def draw(w_x, w_h):
        states = pulse(w_x, w_h)
        fig, ax = plots.figure(size=(6.4, 3.0))
        ax.plot(states, "o-", color=plots.BLUE)
        ax.set(xlabel="step t", ylabel="h", ylim=(-1.05, 1.05), xticks=range(0, 20, 2))
        return fig, f"With w_x = {w_x:.2f} and w_h = {w_h:.2f} the state starts at {states[0]:.3f} and is {states[-1]:.3g} after 19 more steps."

    widgets.sliders(draw, w_x=(-2.0, 2.0, 1.0, 0.1), w_h=(-1.5, 1.5, 0.8, 0.05))


# ---------------------------------------------------------------------------------------------- figures: the sine

def _cpu(values) -> np.ndarray:
    """A tensor of any device, or an array, as an array."""
    return values.detach().cpu().numpy() if is_tensor(values) else np.asarray(values)


def show_windows(pairs) -> None:
    """Windows of the sine. Args: pairs, (x, target) of windows 0, 1, ..., each (1, 20, 1)."""
    fig, ax = plots.figure(size=(8.4, 2.9))
    step = math.pi / 20
    for k, (x, target) in enumerate(pairs):
        at = k * math.pi + step * np.arange(21)
        ax.plot(at[:-1], _cpu(x).ravel(), "o", mfc="none", color=plots.BLUE, mew=1.6, markersize=10, label="input" if k == 0 else None)
        ax.plot(at[1:], _cpu(target).ravel(), "x", color=plots.RED, markersize=6, mew=1.8, label="target" if k == 0 else None)
        ax.axvspan(at[0], at[-1], color=plots.GREY if k % 2 else plots.SKY, alpha=0.12, lw=0)
        ax.text(at[10], 0.0, f"window {k}", ha="center", va="center", fontsize=11)
    ax.set(xlabel="time", ylabel="value")
    plots.legend(ax, outside=True)
    plots.show(fig, alt="Two windows of a sine wave with 21 points each. Inputs, blue circles, are the first 20; targets, orange crosses, "
                        "are the last 20: at each input the task is to say the next value.", dpi=90)


def show_baselines(x, target, straight) -> None:
    """The copy baseline and the straight line. Args: x, target (1, 20, 1); straight (1, 19, 1), for targets 1 to 19."""
    x, target, straight = (_cpu(v).ravel() for v in (x, target, straight))
    fig, (left, right) = plots.figure(1, 2, size=(8.8, 3.0))
    left.plot(target, "x", color=plots.RED, mew=1.8, label="target")
    left.plot(x, ".", color=plots.BLACK, label="copy")
    left.plot(range(1, 20), straight, "o", mfc="none", color=plots.GREEN, label="straight line")
    left.set(xlabel="step", ylabel="value", xticks=range(0, 20, 5))
    plots.legend(left)
    right.plot(np.abs(x - target), ".-", color=plots.BLACK, label="copy")
    right.plot(range(1, 20), np.abs(straight - target[1:]), "o-", mfc="none", color=plots.GREEN, label="straight line")
    right.set(xlabel="step", ylabel="absolute error", xticks=range(0, 20, 5))
    plots.show(fig, alt="Left, targets of window 0 with two predictions without a network: a copy of the input, always a step late, and the "
                        "straight line through the last two points, nearly right. Right, their errors.", dpi=90)


def show_learning(snapshots) -> None:
    """Prediction over target at several steps. Args: snapshots, {step: (prediction, target, loss)}."""
    fig, axes = plots.figure(2, -(-len(snapshots) // 2), size=(8.8, 4.2), sharex=True, sharey=True)
    for ax, (step, (out, target, loss)) in zip(axes.flat, snapshots.items(), strict=True):
        ax.plot(_cpu(target).ravel(), "x", color=plots.RED, markersize=5, label="target")
        ax.plot(_cpu(out).ravel(), ".-", color=plots.BLUE, markersize=5, label="prediction")
        ax.set_title(f"step {step}: MSE {loss:.5f}", fontsize=11)
        ax.set(xticks=(0, 5, 10, 15, 19), ylim=(-1.15, 1.15))
    for ax in axes[:, 0]:
        ax.set_ylabel("value")
    for ax in axes[-1]:
        ax.set_xlabel("point")
    plots.legend(axes[0, 0], fontsize=9, loc="lower right")
    plots.show(fig, alt=f"Predictions, blue, over targets, orange, at steps {', '.join(map(str, snapshots))} of the training: at the start "
                        "they have nothing in common, at the end they lie upon each other.", dpi=90)


def show_carrying(with_state, without) -> None:
    """Mean squared error by the place in the window. Args: two arrays (20,)."""
    fig, ax = plots.figure(size=(6.8, 3.0))
    ax.semilogy(_cpu(without), "s--", color=plots.RED, label="starts from zeros each time")
    ax.semilogy(_cpu(with_state), "o-", color=plots.BLUE, label="state carried on")
    ax.set(xlabel="place in the window", ylabel="mean squared error", xticks=range(0, 20, 3))
    plots.legend(ax)
    plots.show(fig, alt="Error by place in the window, on windows after the training. Without the state of the window before, the first "
                        "points are guesswork, with errors far above all others.", dpi=90)


def graph_size(tensor) -> int:
    """How many operations ``backward`` would visit from this tensor."""
    seen, waiting = set(), [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    return len(seen)


# ---------------------------------------------------------------------------------------------- figures: forgetting

def show_powers() -> None:
    """0.9 and 1.1 to the power t."""
    t = np.arange(101)
    fig, ax = plots.figure(size=(6.4, 3.2))
    for base, color, style in ((1.1, plots.RED, "--"), (1.0, plots.GREY, ":"), (0.9, plots.BLUE, "-"), (0.5, plots.PURPLE, "-.")):
        ax.semilogy(t, base**t, style, color=color, linewidth=2.2, label=f"${base:g}^t$")
    ax.set(xlabel="steps t", ylabel="factor", ylim=(1e-10, 1e6))
    plots.legend(ax, outside=True)
    plots.show(fig, alt="A factor to the power of the number of steps, on a logarithmic axis: 1.1 explodes, 0.9 fades, 0.5 is gone after "
                        "30 steps; only exactly 1 stays.", dpi=90)


def show_lags(curves) -> None:
    """Gradient by lag. Args: curves, {name: (T,) tensor}."""
    fig, ax = plots.figure(size=(7.8, 3.6))
    styles = ((plots.BLUE, "-"), (plots.GREEN, "-."), (plots.RED, "--"), (plots.BLACK, "-"))
    for (name, values), (color, style) in zip(curves.items(), styles, strict=True):
        ax.semilogy(_cpu(values), style, color=color, linewidth=2.2, label=name)
    ax.set(xlabel="lag: how many steps ago", ylabel="gradient norm", ylim=(1e-22, 10))
    plots.legend(ax, outside=True)
    plots.show(fig, alt="How strongly the last output depends on the input some steps ago, on a logarithmic axis. RNN, GRU and a fresh LSTM "
                        "fall on nearly one straight line to about 1e-20; the LSTM with a forget bias of 3 stays near 1e-2, and rises again at "
                        "the far end, where its memory was still empty.", dpi=90)


# ---------------------------------------------------------------------------------------------- figures: cells

def show_memories() -> None:
    """Long-term memory, short-term memory, event: what goes into an LSTM step and what comes out."""
    fig, ax = _blank((8.6, 3.3), (-1.2, 9.4), (-1.7, 1.8))
    _card(ax, 0, 1.0, "elephant", fill="#FFF3D6", color=plots.ORANGE)
    _card(ax, 0, -0.1, "fish", fill="#EAF3FA", color=plots.BLUE)
    _card(ax, 0, -1.2, "wolf", fill="#FBEEE6", color=plots.RED)
    for y, name in ((1.0, "long-term memory c"), (-0.1, "short-term memory h"), (-1.2, "event x")):
        _arrow(ax, (0.8, y), (3.6, y), text=name, offset=(0, 0.22), size=10.5)
    _card(ax, 4.4, -0.1, "LSTM\nstep", width=1.4, height=3.0, size=13, fill="#F3F3F3")
    for y, text in ((1.0, "new long-term memory"), (-0.1, "new short-term memory\n= the prediction")):
        _arrow(ax, (5.2, y), (6.2, y))
        ax.text(6.35, y, text, va="center", fontsize=11)
    plots.show(fig, alt="An LSTM step takes the long-term memory, say an elephant, the short-term memory, a fish, and the event, a wolf; it "
                        "returns a new long-term and a new short-term memory.", dpi=90)


def show_lstm(peephole: bool = False) -> None:
    """The cell as a road with three gates; with ``peephole``, the memory's own way to the gates."""
    fig, ax = _blank((8.8, 3.7), (-0.9, 9.6), (-2.4, 1.7))
    ax.plot([0.2, 8.3], [1.0, 1.0], color=plots.ORANGE, lw=5, zorder=1, solid_capstyle="butt")
    _arrow(ax, (8.2, 1.0), (8.8, 1.0), plots.ORANGE)
    ax.text(-0.05, 1.0, "$c_{t-1}$", ha="right", va="center", fontsize=13)
    ax.text(8.9, 1.0, "$c_t$", va="center", fontsize=13)
    for x, sign in ((1.5, "×"), (4.3, "+")):
        ax.plot(x, 1.0, "o", ms=22, color="white", mec=plots.BLACK, mew=1.6, zorder=3)
        ax.text(x, 0.98, sign, ha="center", va="center", fontsize=16, zorder=4)
    for x, text, color in ((1.5, "forget f\nsigmoid", plots.RED), (3.5, "input i\nsigmoid", plots.BLUE),
                           (5.1, "candidate g\ntanh", plots.GREEN), (7.2, "output o\nsigmoid", plots.PURPLE)):
        _card(ax, x, -1.3, text, color, width=1.45, height=0.8, size=10.5)
    for x, y in ((4.3, 0.05), (7.2, 0.05)):
        ax.plot(x, y, "o", ms=22, color="white", mec=plots.BLACK, mew=1.6, zorder=3)
        ax.text(x, y - 0.02, "×", ha="center", va="center", fontsize=16, zorder=4)
    _arrow(ax, (1.5, -0.85), (1.5, 0.7), plots.RED)
    _arrow(ax, (3.5, -0.85), (4.1, -0.15), plots.BLUE)
    _arrow(ax, (5.1, -0.85), (4.5, -0.15), plots.GREEN)
    _arrow(ax, (4.3, 0.35), (4.3, 0.7))
    _arrow(ax, (7.2, -0.85), (7.2, -0.25), plots.PURPLE)
    _arrow(ax, (7.2, 0.95), (7.2, 0.35), text="tanh", offset=(0.42, 0.02))
    _arrow(ax, (7.5, 0.05), (8.8, 0.05))
    ax.text(8.9, 0.05, "$h_t$", va="center", fontsize=13)
    ax.text(4.4, -2.2, "all four read $x_t$ and $h_{t-1}$" + (", and the gates read $c$ too (dashed)" if peephole else ""),
            ha="center", fontsize=11.5)
    if peephole:
        for start, end in (((0.5, 0.95), (0.95, -0.85)), ((2.4, 0.95), (3.2, -0.85)), ((8.05, 0.95), (7.75, -0.85))):
            _arrow(ax, start, end, plots.ORANGE, style="--")
    extra = " Dashed lines lead from the memory to the three gates: the peepholes." if peephole else ""
    plots.show(fig, alt="The long-term memory is a road from left to right. The forget gate multiplies it, the input gate times the candidate "
                        "is added to it, and what the output gate lets through becomes the new short-term memory." + extra, dpi=90)


def show_gru_mix(h: float, n: float, z: float) -> None:
    """The new state of a GRU lies between the candidate and the old state."""
    new = (1 - z) * n + z * h
    fig, ax = plots.figure(size=(7.2, 1.9))
    ax.plot([h, n], [0, 0], color=plots.GREY, lw=4, zorder=1)
    for value, name, color, marker in ((h, f"old state h\n{h:.4f}", plots.BLUE, "s"), (n, f"candidate n\n{n:.4f}", plots.GREEN, "D"),
                                       (new, f"new state\n{new:.4f}", plots.RED, "o")):
        ax.plot(value, 0, marker, ms=11, color=color, zorder=3)
        ax.text(value, 0.35, name, ha="center", fontsize=10.5)
    ax.text((h + new) / 2, -0.45, f"1 − z = {1 - z:.4f} of the way", ha="center", fontsize=10.5)
    ax.set(xlim=(min(h, n) - 0.08, max(h, n) + 0.08), ylim=(-0.7, 1.0), yticks=[], xlabel="value")
    ax.spines["left"].set_visible(False)
    plots.show(fig, alt=f"On a line: the old state {h:.4f}, the candidate {n:.4f}, and between them the new state {new:.4f}, after "
                        f"{1 - z:.4f} of the way from old to candidate.", dpi=90)


def show_parameters(counts) -> None:
    """Parameters of the three layers. Args: counts, {"(I, H)": (rnn, gru, lstm)}."""
    fig, axes = plots.figure(1, len(counts), size=(8.6, 2.7))
    for ax, (name, numbers) in zip(axes, counts.items(), strict=True):
        bars = ax.bar(("RNN", "GRU", "LSTM"), numbers, color=(plots.BLUE, plots.GREEN, plots.RED), width=0.6)
        ax.bar_label(bars, [f"{v:,}" for v in numbers], fontsize=9.5)
        ax.set(title=f"(I, H) = ({name})", yticks=[], ylim=(0, 1.15 * max(numbers)))
        ax.grid(False)
    axes[0].set_ylabel("parameters")
    plots.show(fig, alt="Parameters of one layer for three pairs of input and hidden size: the GRU has three times and the LSTM four times as "
                        "many as the plain RNN, whatever the sizes.", dpi=90)


# ---------------------------------------------------------------------------------------------- the gates on a line of text

ALPHABET = "abcdefghijklmnopqrstuvwxyz .,()"
_WORDS = ("the", "old", "bear", "saw", "a", "fox", "near", "river", "said", "yes", "come", "with", "me", "and", "we", "will", "find",
          "warm", "den", "now", "where", "is", "it", "asked", "small", "wolf")
LINE = "the bear (a very old one, by the river) saw a fox (and a wolf)."


def lines_with_parentheses(n: int, length: int, seed: int) -> list[str]:
    """Lines of words, some in parentheses that are never nested. Args: n lines of ``length`` characters."""
    rng, lines = random.Random(f"lines {seed}"), []
    for _ in range(n):
        text, inside = "", False
        while len(text) <= length:
            text += " "
            if not inside and rng.random() < 0.3:
                text, inside = text + "(", True
            text += rng.choice(_WORDS)
            if inside and rng.random() < 0.3:
                text, inside = text + ")", False
            if rng.random() < 0.15:
                text += rng.choice(",.")
        lines.append(text[1:length + 1])
    return lines


def encode(lines):
    """Lines of one length as numbers.

    Returns one-hot inputs (lines, length, 31) and targets (lines, length): 1 from "(" on, 0 from ")" on.
    """
    import torch

    indices = torch.tensor([[ALPHABET.index(c) for c in line] for line in lines], device=devices.device())
    opened, closed = (indices == ALPHABET.index(c) for c in "()")
    inside = (opened.int() - closed.int()).cumsum(1)
    return torch.nn.functional.one_hot(indices, len(ALPHABET)).to(torch.get_default_dtype()), inside.to(torch.get_default_dtype())


def show_gates(line: str, rows) -> None:
    """What happens in a unit at each character. Args: rows, {"f": (T,), ...}; gates first, then "c", the memory."""
    rows = {name: _cpu(values).ravel() for name, values in rows.items()}
    gates = {"f": "forget f", "i": "input i", "o": "output o"}
    fig, (top, bottom) = plots.figure(2, 1, size=(10.2, 3.4), sharex=True, height_ratios=(3, 2.4))
    picture = top.imshow(np.stack([rows[g] for g in gates]), cmap="cividis", vmin=0, vmax=1, aspect="auto")
    top.set_yticks(range(3), gates.values())
    top.grid(False)
    fig.colorbar(picture, ax=top, pad=0.01).set_ticks((0, 0.5, 1), labels=("0 shut", "0.5", "1 open"))
    inside = np.cumsum([(c == "(") - (c == ")") for c in line])
    bottom.fill_between(range(len(line)), rows["c"].min(), rows["c"].max(), where=inside > 0, step="mid", color=plots.YELLOW, alpha=0.35,
                        lw=0, label="inside parentheses")
    bottom.plot(rows["c"], ".-", color=plots.BLACK, label="memory c")
    bottom.axhline(0, color=plots.GREY, lw=1)
    bottom.set(ylabel="memory c", xlim=(-0.5, len(line) - 0.5))
    bottom.set_xticks(range(len(line)), [c if c != " " else "·" for c in line], fontsize=10, family="monospace")
    for ax in (top, bottom):
        ax.tick_params(axis="x", length=0)
    bottom.grid(axis="x", visible=False)
    plots.show(fig, alt="The three gates of a trained one-unit LSTM at each character of a line, dark for shut and yellow for open, and its "
                        "memory below. The forget gate is dark at each parenthesis: the old memory is wiped there, and its sign changes.")


def show_memory_task(curves) -> None:
    """Losses of the memory task. Args: curves, {name: losses}; each is drawn as a mean over 20 steps."""
    fig, ax = plots.figure(size=(7.4, 3.0))
    for (name, losses), (color, style) in zip(curves.items(), ((plots.BLUE, "-."), (plots.RED, "--"), (plots.BLACK, "-")), strict=True):
        smooth = np.convolve(losses, np.ones(20) / 20, "valid")
        ax.plot(np.arange(len(smooth)) + 20, smooth, style, color=color, lw=2, label=name)
    ax.axhline(1, color=plots.GREY, lw=1.5, ls=":", label="constant answer")
    ax.set(xlabel="training step", ylabel="MSE (mean of 20 steps)", ylim=(0, 1.4))
    plots.legend(ax, outside=True)
    plots.show(fig, alt="Loss of three recurrent networks that must remember the first of 30 numbers. The dotted line at 1 is the best constant "
                        "answer; the LSTM with a forget bias falls far below it.", dpi=90)


def show_broadcast(out, target, prediction) -> None:
    """What a broadcast target does. Args: out (20, 1), target (20,); prediction (20,) after training this way."""
    out, target, prediction = _cpu(out).reshape(-1, 1), _cpu(target).reshape(-1), _cpu(prediction).reshape(-1)
    fig, (left, right) = plots.figure(1, 2, size=(8.4, 3.2), width_ratios=(1, 1.5))
    picture = left.imshow((out - target) ** 2, cmap="cividis")
    left.plot([-0.5, 19.5], [-0.5, 19.5], color="white", lw=2)
    left.set(xlabel="target", ylabel="output", xticks=(0, 10, 19), yticks=(0, 10, 19))
    left.grid(False)
    fig.colorbar(picture, ax=left, label="squared difference")
    right.plot(target, "x", color=plots.RED, mew=1.8, label="target")
    right.plot(prediction, ".-", color=plots.BLUE, label="trained on the whole table")
    right.axhline(target.mean(), color=plots.GREY, ls="--", label="mean of the targets")
    right.set(xlabel="point", ylabel="value", xticks=(0, 5, 10, 15, 19))
    plots.legend(right, fontsize=9)
    plots.show(fig, alt="Left, the table of 20 by 20 squared differences that a broadcast target makes; only its diagonal, white, was meant. "
                        "Right, a network trained on the whole table is drawn toward the mean of the targets.", dpi=90)
