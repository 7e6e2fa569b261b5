"""Lesson 17, out of the notebook: its exercises, its quiz and its figures. Imports torch only when somebody needs it."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np

from helpers import devices, notebooks, plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import describe, is_tensor

# ---------------------------------------------------------------------------------------------- what the checks share


def _numbers(*shape: int, seed: int, scale: float = 1.0, dtype: str = "float32"):
    """A tensor of numbers around 0.2, on the device of the lesson."""
    import torch

    values = scale * np.random.default_rng(seed).normal(0.2, 1.0, shape)
    return torch.tensor(values, dtype=getattr(torch, dtype), device=devices.device())


def _tensor(values, dtype: str = "float32"):
    import torch

    return torch.tensor(values, dtype=getattr(torch, dtype), device=devices.device())


def _fill(module, seed: int) -> None:
    """Fixed parameters and statistics, none of them 0 or 1, so that two networks compare."""
    import torch

    with torch.no_grad():
        for n, (_, value) in enumerate(sorted(module.state_dict().items())):
            if value.is_floating_point():
                noise = np.random.default_rng(seed + n).uniform(0.3, 0.9, tuple(value.shape))
                value.copy_(torch.tensor(noise))


@contextlib.contextmanager
def quiet():
    """No warnings and no log lines of torch's compiler: what it has to say is said by the exception."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# ---------------------------------------------------------------------------------------------- 17.1 save_bundle

_BUNDLE = "a dictionary"
_LETTERS = ["\n", "b", "a", " ", "é", "z"]


def _bundle_models() -> tuple:
    from torch import nn

    def with_statistics():
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))

    def plain():
        return nn.Sequential(nn.Linear(5, 2))

    return ((with_statistics, 3, {"hidden": 4, "name": "small"}, _LETTERS), (plain, 5, {"hidden": 0}, ["no", "yes"]))


def _observe_save(save_bundle, see):
    import torch

    @functools.wraps(save_bundle)
    def saving(path, model, config, chars):
        save_bundle(path, model, config, chars)
        return "a file" if Path(path).is_file() else "no file at this path"

    for make, inputs, config, chars in _bundle_models():
        model = make()
        _fill(model, 40)
        model[-1].eval()  # each part keeps the mode that it has
        before = {name: value.clone() for name, value in model.state_dict().items()}
        asked = f"a model with {len(before)} tensors, {len(chars)} characters"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.pt")
            if see.call(saving, path, model, dict(config), list(chars), label=asked, changes_inputs=True) != "a file":
                return
            bundle, ends = _read_back(path)
        see.fact(f"{asked}: torch.load(path, weights_only=True) gives", ends, implied=_BUNDLE)
        if ends != _BUNDLE:
            return
        see.fact(f"{asked}: the keys", str(sorted(map(str, bundle))))
        if sorted(map(str, bundle)) != ["chars", "config", "state_dict"]:
            return
        see.fact(f"{asked}: the type of config", type(bundle["config"]).__name__)
        see.fact(f"{asked}: config", str(bundle["config"]))
        see.fact(f"{asked}: the type of chars", type(bundle["chars"]).__name__)
        see.fact(f"{asked}: chars in order", str(list(bundle["chars"])) if not isinstance(bundle["chars"], set) else "no order")
        state = bundle["state_dict"]
        see.fact(f"{asked}: names in state_dict", ", ".join(state) if isinstance(state, dict) else describe(state))
        same = all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        modes = [part.training for part in model]
        kept = modes == [True] * (len(modes) - 1) + [False]
        see.fact(f"{asked}: the model afterwards", "in another mode" if not kept else "as before" if same else "with other numbers")
        if isinstance(state, dict) and list(state) == list(before):
            odd = next((value for value in state.values() if not is_tensor(value)), None)
            see.fact(f"{asked}: the values in state_dict", "tensors" if odd is None else describe(odd), implied="tensors")
            if odd is not None:
                return
            fresh = make()
            fresh.load_state_dict(state)
            x = _numbers(6, inputs, seed=7).cpu().to(fresh[0].weight.dtype)
            see.fact(f"{asked}: outputs of a fresh model with this state", fresh.eval()(x), rtol=1e-5)


def _read_back(path: Path):
    import torch

    try:
        bundle = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:
        named = re.search(r"GLOBAL (\S+) was not", str(problem))
        if named:
            return None, f"refused: the file asks for {named[1]}"
        return None, f"refused: {type(problem).__name__}" if zipfile.is_zipfile(path) else "refused: torch.save has not written this file"
    return bundle, _BUNDLE if isinstance(bundle, dict) else describe(bundle)


def _saves(make):
    """An answer that saves what ``make(model, config, chars)`` returns."""
    def save_bundle(path, model, config, chars):
        import torch

        torch.save(make(model, config, chars), path)
    return save_bundle


_save_reference = _saves(lambda m, config, chars: {"state_dict": m.state_dict(), "chars": [*chars], "config": config})


def _saves_with(**other):
    """A right bundle, but for the entries in ``other``: name=function of the model, config and chars."""
    return _saves(lambda m, config, chars: {"config": config, "chars": list(chars), "state_dict": m.state_dict(),
                                            **{name: make(m, config, chars) for name, make in other.items()}})


def _pickles(path, model, config, chars):
    import pickle

    with open(path, "wb") as file:
        pickle.dump({"config": config, "chars": list(chars), "state_dict": model.state_dict()}, file)


def _first_bundle(facts, what: str):
    return facts[f"a model with 9 tensors, 6 characters: {what}"]

save_bundle = Exercise(
    "17.1", "save_bundle",
    observe=_observe_save,
    expected=_save_reference,
    mistakes=[
        Mistake("The whole module is refused by weights_only: it would run code from the file. Save its state_dict().",
                _saves(lambda m, config, chars: {"config": config, "chars": list(chars), "state_dict": m}),
                when=lambda facts: any(str(v).startswith("refused: the file asks for torch.nn.modules") for v in facts.values())),
        Mistake("state_dict stands without its parentheses: what is saved is the method, not what it returns.",
                _saves_with(state_dict=lambda m, config, chars: m.state_dict),
                when=lambda facts: any(v == "refused: the file asks for getattr" for v in facts.values())),
        Mistake("torch.load reads what torch.save writes. This file comes from elsewhere, from pickle or open perhaps.", _pickles,
                when=lambda facts: any(v == "refused: torch.save has not written this file" for v in facts.values())),
        Mistake("An entry is neither a tensor nor a plain value: see what the file asks for. Three entries are enough.",
                _saves_with(path=lambda m, config, chars: Path("model.pt")),
                when=lambda facts: any(str(v).startswith("refused: the file asks for") for v in facts.values())),
        Mistake("Nothing was written to this path. torch.save(what, path) writes; a returned dictionary is no file.",
                lambda path, model, config, chars: {"config": config, "chars": list(chars), "state_dict": model.state_dict()}),
        Mistake("The entries have lost their names. Save a dictionary, not a tuple or a list.",
                _saves(lambda m, config, chars: (config, list(chars), m.state_dict())),
                when=lambda facts: "tuple" in _first_bundle(facts, "torch.load(path, weights_only=True) gives")
                or "list" in _first_bundle(facts, "torch.load(path, weights_only=True) gives")),
        Mistake("The running statistics are missing: named_parameters leaves out what BatchNorm has measured. Use state_dict().",
                _saves(lambda m, config, chars: {"config": config, "chars": list(chars), "state_dict": dict(m.named_parameters())}),
                when=lambda facts: "running_mean" not in facts["a model with 9 tensors, 6 characters: names in state_dict"]),
        Mistake("A set forgets the order, and the order is the code: character k is entry k. Save a list.",
                _saves(lambda m, config, chars: {"config": config, "chars": set(chars), "state_dict": m.state_dict()}),
                when=lambda facts: facts["a model with 9 tensors, 6 characters: the type of chars"] == "set"),
        Mistake("The characters come back in another order, and the order is the code: character k is entry k. Do not sort them.",
                _saves(lambda m, config, chars: {"config": config, "chars": sorted(chars), "state_dict": m.state_dict()})),
        Mistake("The characters come back as one text. Entries may be longer than one character: save a list.",
                _saves(lambda m, config, chars: {"config": config, "chars": "".join(chars), "state_dict": m.state_dict()})),
        Mistake("Only the state_dict is in the file: whoever opens it knows neither the sizes nor the alphabet.",
                _saves(lambda m, config, chars: m.state_dict()),
                when=lambda facts: "0.weight" in facts["a model with 9 tensors, 6 characters: the keys"]),
        Mistake("Whoever opens the file asks for config, chars and state_dict. These three names, and no others.",
                _saves(lambda m, config, chars: {"config": config, "chars": list(chars), "model": m.state_dict()}),
                when=lambda facts: _first_bundle(facts, "the keys") != "['chars', 'config', 'state_dict']"),
        Mistake("The configuration was turned into a text. make_model(**config) needs the dictionary itself.",
                _saves_with(config=lambda m, config, chars: str(config)),
                when=lambda facts: _first_bundle(facts, "the type of config") == "str"),
        Mistake("This is not the configuration of the call. Save the config that comes in, whatever is in it.",
                _saves_with(config=lambda m, config, chars: {"hidden": 128, "classes": 10}),
                when=lambda facts: _first_bundle(facts, "config") != "{'hidden': 4, 'name': 'small'}"),
        Mistake("Position k names output k, so a list is asked for: list(chars).",
                _saves_with(chars=lambda m, config, chars: {c: n for n, c in enumerate(chars)}),
                when=lambda facts: _first_bundle(facts, "the type of chars") in ("dict", "tuple")),
        Mistake("The numbers of the outputs are saved, and their names are lost. Save the characters themselves.",
                _saves_with(chars=lambda m, config, chars: list(range(len(chars))))),
        Mistake("The numbers were rounded on the way into the file. Save the state as it is, without .half().",
                _saves_with(state_dict=lambda m, config, chars: {k: v.half() for k, v in m.state_dict().items()})),
        Mistake("The tensors became plain lists, and load_state_dict wants tensors. Save what state_dict() returns.",
                _saves_with(state_dict=lambda m, config, chars: {k: v.tolist() for k, v in m.state_dict().items()})),
        Mistake("The caller's model was changed, not only saved. Methods such as .half() act on the model itself.",
                _saves(lambda m, config, chars: {"config": config, "chars": list(chars), "state_dict": m.half().state_dict()}),
                when=lambda facts: _first_bundle(facts, "the model afterwards") == "with other numbers"),
        Mistake("The model was switched to another mode. Saving needs none: leave it as it is.",
                _saves(lambda m, config, chars: {"config": config, "chars": list(chars), "state_dict": m.eval().state_dict()})),
    ],
    hints=[
        "What would a stranger need who finds the file?",
        "Three entries of plain types: a dictionary, a list, the model's state.",
        '`torch.save({"config": ..., "chars": list(...), "state_dict": ...}, path)`.',
    ],
)


# ---------------------------------------------------------------------------------------------- 17.2 signed_product

_SUMS = ((10, (1.0, 2.0, 3.0, 4.0)), (-10, (-1.0, -2.0, -3.0, -4.0)), (0, (1.0, -1.0, 2.0, -2.0)), (-0.5, (0.25, 1.5, -3.0, 0.75)), (0.5, (2.0, -1.25, 0.5, -0.75)))
_ACCEPTED = "torch.export takes it"


def _observe_signed(signed_product, see):
    weight = _tensor(np.arange(12).reshape(3, 4) / 10)
    for total, values in _SUMS:
        result = see.call(signed_product, weight, _tensor(values), label=f"x with sum {total:g}")
        if not is_tensor(result) or tuple(result.shape) != (3,):
            return
    other = -_numbers(5, 3, seed=21, dtype="float64")  # so that the product has another sign than x
    for seed in (22, 26, 27):
        x = _numbers(3, seed=seed, scale=2.0, dtype="float64")
        see.call(signed_product, other, x, label=f"weight (5, 3), x with sum {x.sum().item():.2f}, float64")
    see.fact("what leaves the graph", _leaks(signed_product, weight, _tensor(_SUMS[0][1])))
    program, ends = _exported(signed_product, weight, _tensor(_SUMS[0][1]))
    see.fact("torch.export.export, with an example of sum 10", ends, implied=_ACCEPTED)
    if program is not None:
        for total, values in _SUMS:
            with quiet():
                see.fact(f"the exported program, x with sum {total:g}", program.module()(_tensor(values)))


def _leaks(function, *inputs) -> str:
    """How the function asks a tensor for a Python value, if it does."""
    import torch
    from torch.overrides import TorchFunctionMode

    seen = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, called, types, args=(), kwargs=None):
            if getattr(called, "__name__", "") in ("__bool__", "item", "__float__", "__int__", "tolist"):
                seen.append(called.__name__)
            return called(*args, **(kwargs or {}))

    with Watch(), torch.no_grad():
        function(*[t.clone() for t in inputs])
    return ", ".join(sorted(set(seen))) or "nothing"


def _exported(function, weight, x):
    import torch

    class Product(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(weight.clone())

        def forward(self, x):
            return function(self.weight, x)

    try:
        with quiet(), torch.no_grad(), contextlib.redirect_stderr(open(os.devnull, "w", encoding="utf-8")):
            return torch.export.export(Product(), (x,)), _ACCEPTED
    except Exception as problem:
        return None, f"refused: {str(problem).strip().splitlines()[0][:80]}"


def _signed_reference(weight, x):
    """Without a branch: a factor of +1 or -1."""
    factor = (x.sum() > 0).to(x.dtype) * 2 - 1
    return (weight * x).sum(1) * factor


def _signed_with_if(weight, x):
    return weight @ x if x.sum() > 0 else -(weight @ x)


def _signed_with_item(weight, x):
    return weight @ x * (1 if x.sum().item() > 0 else -1)


def _where(condition):
    def signed_product(weight, x):
        import torch

        y = (weight * x).sum(1)
        return torch.where(condition(x, y), y, -y)
    return signed_product


def _with_sign(weight, x):
    return x.sum().sign() * (weight @ x)


signed_product = Exercise(
    "17.2", "signed_product",
    observe=_observe_signed,
    expected=_signed_reference,
    seconds=30.0,  # the first export imports the compiler
    mistakes=[
        Mistake("A Python `if` needs the number now: torch.export refuses, and tracing would be silently wrong.", _signed_with_if,
                when=lambda facts: facts["what leaves the graph"] == "__bool__"),
        Mistake(".item() leaves the graph: its number is a constant in an exported program. Let the choice be a tensor operation.",
                _signed_with_item, when=lambda facts: facts["what leaves the graph"] not in ("nothing", "__bool__")),
        Mistake("torch.sign gives 0 for the sum 0, so everything becomes 0. A sum of 0 belongs to the minus side.", _with_sign),
        Mistake("Asked is the sign of the sum of x, one for all. You take the sign of each entry.",
                lambda weight, x: weight @ x.abs()),
        Mistake("A sum of exactly 0 belongs to the minus side: > 0, not >= 0.", _where(lambda x, y: x.sum() >= 0)),
        Mistake("You look at the sum of the product. Asked is the sum of x.", _where(lambda x, y: y.sum() > 0)),
        Mistake("The two sides are exchanged: plus if the sum is greater than 0.", _where(lambda x, y: x.sum() <= 0)),
        Mistake("The sign is chosen anew for each entry of the product. Asked is one choice for all, by the sum of x.",
                lambda weight, x: (weight @ x).abs()),
        Mistake("The minus has no effect: this is weight @ x on both sides, as a trace would give it.",
                lambda weight, x: weight @ x),
        Mistake("Where the sum is not positive you return 0. Asked is -(weight @ x).",
                lambda weight, x: (weight @ x) * (x.sum() > 0)),
        Mistake("You look at the first entry of x. Asked is the sum of all.", _where(lambda x, y: x[0] > 0)),
        Mistake("You ask whether every entry of x is positive. Asked is the sum.", _where(lambda x, y: (x > 0).all())),
        Mistake("You ask whether some entry of x is positive. Asked is the sum.", _where(lambda x, y: (x > 0).any())),
        Mistake("`*` multiplies entry by entry and adds nothing up: (M, N) stays (M, N). The product is weight @ x.",
                lambda weight, x: weight * x * ((x.sum() > 0) * 2.0 - 1.0),
                when=lambda facts: tuple(facts["x with sum 10"].shape) == (3, 4)),
    ],
    hints=[
        "The choice must be a tensor operation.",
        "`torch.where` or `torch.cond`.",
        "`y = ...; return torch.where(x.sum() > ..., y, ...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 17.3 export_model

_PROGRAM = "an ExportedProgram"


def _observe_export(export_model, see):
    import torch
    from torch import nn

    for mode in ("train", "eval"):
        model = nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.ReLU(), nn.Dropout(0.5), nn.Linear(7, 3)).to(devices.device())
        _fill(model, 60 + len(mode))
        model.train(mode == "train")
        dtype = str(model[1].weight.dtype).replace("torch.", "")
        example = _numbers(2, 1, 3, 4, seed=61, dtype=dtype)
        asked = f"model in {mode} mode, example (2, 1, 3, 4)"
        with quiet(), contextlib.redirect_stderr(open(os.devnull, "w", encoding="utf-8")):
            program = see.call(export_model, model, example, label=asked, record=False, changes_inputs=True, asks=_PROGRAM)
        kind = _PROGRAM if isinstance(program, torch.export.ExportedProgram) else describe(program)
        see.fact(f"{asked}: the result", kind, implied=_PROGRAM)
        if kind != _PROGRAM:
            return
        ends = "train" if model.training and model[3].training else "eval" if not model.training and not model[3].training else "mixed"
        for batch in (2, 5, 9, 1, 3000):
            x = _numbers(batch, 1, 3, 4, seed=batch, dtype=dtype)
            result = _run(program, x)
            see.fact(f"{asked}: output for a batch of {batch}", result, rtol=1e-4)
            if isinstance(result, str):
                return
        see.fact(f"{asked}: the model's mode afterwards", ends)
        see.fact(f"{asked}: two calls with one batch", "agree" if torch.equal(_run(program, x), result) else "differ")


def _run(program, x):
    import torch

    try:
        with quiet(), torch.no_grad():
            return program.module()(x)
    except Exception as problem:
        return f"refused: {str(problem).strip().splitlines()[0][:70]}"


def _exports(*, free: bool = True, evaluate: bool = True, after=lambda was: was, most: int | None = None, result=lambda program: program):
    def export_model(model, example):
        import torch

        was = model.training
        model.train(was and not evaluate)
        axis = torch.export.Dim.DYNAMIC if most is None else torch.export.Dim("few", max=most)
        program = torch.export.export(model, (example,), dynamic_shapes=({0: axis},) if free else None)
        model.train(after(was))
        return result(program)
    return export_model


def _export_with_the_attribute(model, example):
    was = model.training
    program = _exports(after=lambda was: False)(model, example)
    model.training = was
    return program


def _traces(model, example):
    import torch

    return torch.jit.trace(model.eval(), example)


def _compiles(model, example):
    import torch

    return torch.compile(model.eval())


def _first_export(facts, what: str, mode: str = "train") -> str:
    return str(facts[f"model in {mode} mode, example (2, 1, 3, 4): {what}"])


export_model = Exercise(
    "17.3", "export_model",
    observe=_observe_export,
    expected=_exports(),
    seconds=30.0,  # the first export imports the compiler
    mistakes=[
        Mistake("The batch size is frozen at the example's 2. Say in dynamic_shapes that axis 0 of the input is free.",
                _exports(free=False), when=lambda facts: _first_export(facts, "output for a batch of 5").startswith("refused")),
        Mistake("The axis is free only up to a largest size, and a batch of 3,000 is refused. Leave out `max`.", _exports(most=64),
                when=lambda facts: _first_export(facts, "output for a batch of 3000").startswith("refused")),
        Mistake("The model was exported in train mode: dropout stays active in the file, and two calls differ.",
                _exports(evaluate=False), when=lambda facts: "differ" in facts.values()),
        Mistake("The model is left in eval mode: the caller trains on without dropout. Put the mode back.",
                _exports(after=lambda was: False),
                when=lambda facts: facts["model in train mode, example (2, 1, 3, 4): the model's mode afterwards"] == "eval"),
        Mistake("That is the module inside. Return the ExportedProgram itself: only that can be saved.",
                _exports(result=lambda program: program.module()),
                when=lambda facts: "GraphModule" in _first_export(facts, "the result")),
        Mistake("The model is always put into train mode, even one that came in eval mode. Remember the mode before you switch.",
                _exports(after=lambda was: True), when=lambda facts: _first_export(facts, "the model's mode afterwards", "eval") == "train"),
        Mistake("Setting the attribute `training` reaches the outermost module only; the dropout inside stays as it was. "
                "model.train(...) reaches all.", _export_with_the_attribute,
                when=lambda facts: _first_export(facts, "the model's mode afterwards") == "mixed"),
        Mistake("This is a trace: it records one run. Asked is torch.export.export.", _traces,
                when=lambda facts: "TracedModule" in _first_export(facts, "the result")),
        Mistake("This is a program for ONNX. Asked is one step before it: what torch.export.export returns.",
                lambda model, example: type("ONNXProgram", (), {})(), when=lambda facts: "ONNXProgram" in _first_export(facts, "the result")),
        Mistake("torch.compile makes a model faster inside Python; it gives nothing to save. Asked is torch.export.export.", _compiles,
                when=lambda facts: "OptimizedModule" in _first_export(facts, "the result")),
    ],
    hints=[
        "Which axis may change, and which mode does the file need?",
        "`torch.export.Dim`, `dynamic_shapes`; remember `model.training` before you switch.",
        "`torch.export.export(model.eval(), (...,), dynamic_shapes=({...: ...},))`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 17.4 quantize_int8

WEIGHTS = (0.5, -2.54, 0.011, 1.0, 0.0, -0.3)
_WORKED_W = "w = (0.5, −2.54, 0.011, 1, 0, −0.3)"


def _observe_quantize(quantize_int8, see):
    import torch

    cases = ((_WORKED_W, _tensor(WEIGHTS)), ("w (4, 3), float64", _numbers(4, 3, seed=44, scale=0.37, dtype="float64")),
             ("w (2, 5)", _numbers(2, 5, seed=45, scale=30.0)),
             ("w (3, 2), all below 0.001", _numbers(3, 2, seed=46, scale=2e-4)), ("zeros (3, 2)", _tensor(np.zeros((3, 2)))))
    for name, w in cases:
        result = see.call(quantize_int8, w, label=name, record=False, asks="a pair (q, scale)")
        pair = isinstance(result, tuple | list) and len(result) == 2
        see.fact(f"{name}: the result", "a pair" if pair else describe(result), implied="a pair")
        if not pair:
            return
        q, scale = result
        if is_tensor(scale) and scale.numel() == 1 or isinstance(scale, float):
            number = float(scale)
            good = "one finite positive number" if np.isfinite(number) and number > 0 else f"{number:g}"
        else:
            number, good = None, describe(scale)
        see.fact(f"{name}: the scale is", good, implied="one finite positive number")
        if name.startswith("zeros"):
            see.fact(f"{name}: q", q)
            continue
        if number is not None:
            see.fact(f"{name}: scale", number, rtol=1e-5)
        see.fact(f"{name}: q", q)
        if number is not None and is_tensor(q) and q.shape == w.shape:
            error = (q.to(torch.float64) * number - w.to(torch.float64)).abs().max().item()
            see.fact(f"{name}: largest error", "at most half a step" if error <= 0.5001 * number else "more than half a step")


def _quantizes(largest=lambda w: w.abs().amax(), steps: int = 127, whole=lambda v: v.round(), guard: bool = True):
    def quantize_int8(w):
        import torch

        top = largest(w)
        if guard:
            top = torch.where(top == 0, torch.ones_like(top), top)
        return whole(w / (top / steps)).to(torch.int8), top / steps
    return quantize_int8


def _per_row(w):
    return _quantizes(lambda w: w.abs().amax(-1, keepdim=True))(w)


def _with_another_scale(make):
    """q is right; what is handed back as the scale is ``make(scale)``."""
    def quantize_int8(w):
        q, scale = _quantizes()(w)
        return q, make(scale)
    return quantize_int8


def _with_another_q(make):
    """The scale is right; q is ``make(w, scale)`` cut down to int8."""
    def quantize_int8(w):
        import torch

        scale = _quantizes()(w)[1]
        return make(w, scale).to(torch.int8), scale
    return quantize_int8


def _scale_of(facts) -> float:
    return facts[f"{_WORKED_W}: scale"]


def _small_scale() -> float:
    return _numbers(3, 2, seed=46, scale=2e-4).abs().max().item() / 127


quantize_int8 = Exercise(
    "17.4", "quantize_int8",
    observe=_observe_quantize,
    expected=_quantizes(),
    mistakes=[
        Mistake("Cut off instead of rounded: the error is up to a whole step. Use torch.round.", _quantizes(whole=lambda v: v.trunc())),
        Mistake("The largest magnitude belongs to −2.54, and w.max() does not see it: −2.54 falls out of −127..127.",
                _quantizes(lambda w: w.amax()),
                when=lambda facts: abs(facts[f"{_WORKED_W}: scale"] - 1 / 127) < 1e-4),
        Mistake("255 steps is the unsigned, shifted scheme. Symmetric int8 goes from −127 to 127.", _quantizes(steps=255),
                when=lambda facts: abs(facts[f"{_WORKED_W}: scale"] - 2.54 / 255) < 1e-5),
        Mistake("128 does not exist in int8, it ends at 127.", _quantizes(steps=128),
                when=lambda facts: abs(facts[f"{_WORKED_W}: scale"] - 2.54 / 128) < 1e-6),
        Mistake("An all-zero tensor gives the scale 0, and 0 / 0 is not a number. Any positive scale will do there.",
                _quantizes(guard=False), when=lambda facts: facts["zeros (3, 2): the scale is"] in ("0", "nan")
                and abs(_scale_of(facts) - 0.02) < 1e-6),
        Mistake("Asked is one scale for the whole tensor, not one for each row or column.", _per_row,
                when=lambda facts: str(facts["w (4, 3), float64: the scale is"]).startswith("float")),
        Mistake("Rounded down in place of to the nearest: negative numbers move a step away from 0. Use torch.round.",
                _with_another_q(lambda w, s: (w / s).floor())),
        Mistake("Rounded up in place of to the nearest. Use torch.round.", _with_another_q(lambda w, s: (w / s).ceil())),
        Mistake("Adding 0.5 and cutting off rounds positive numbers only. Use torch.round.",
                _with_another_q(lambda w, s: (w / s + 0.5).trunc())),
        Mistake("w is multiplied by the scale. To count steps, divide by the length of a step.", _with_another_q(lambda w, s: (w * s).round())),
        Mistake("w is rounded before it is divided: small weights all become 0. Round w / scale.", _with_another_q(lambda w, s: w.round())),
        Mistake("The two are exchanged: first q, then the scale.", lambda w: _quantizes()(w)[::-1],
                when=lambda facts: "int8" in str(facts[f"{_WORKED_W}: the scale is"])),
        Mistake("The scale is missing, and nobody can get w back from q alone. Return q and the scale.", lambda w: _quantizes()(w)[0],
                when=lambda facts: "int8 tensor" in str(facts[f"{_WORKED_W}: the result"])),
        Mistake("This scale is 127 / max|w|, its inverse. q * scale must be w again.", _with_another_scale(lambda s: 1 / s),
                when=lambda facts: abs(_scale_of(facts) - 50) < 1e-3),
        Mistake("This is the largest magnitude itself. The scale is one step, a 127th of it.", _with_another_scale(lambda s: 127 * s),
                when=lambda facts: abs(_scale_of(facts) - 2.54) < 1e-5),
        Mistake("(max − min) / 255 is the scale of the unsigned, shifted scheme. The symmetric one is max|w| / 127.",
                _quantizes(lambda w: w.amax() - w.amin(), steps=255), when=lambda facts: abs(_scale_of(facts) - 3.54 / 255) < 1e-5),
        Mistake("The small constant is not small beside the scale of small weights. Keep it for the case that all is zero.",
                lambda w: (lambda s: ((w / s).round().char(), s))(w.abs().amax() / 127 + 1e-8),
                when=lambda facts: abs(_scale_of(facts) - 0.02) < 1e-5 and
                2e-9 < facts["w (3, 2), all below 0.001: scale"] - _small_scale() < 2e-8),
        Mistake("The step is too short: 127 of them do not reach −2.54. The largest magnitude, abs().max(), decides.",
                _quantizes(lambda w: w.abs().mean()), when=lambda facts: _scale_of(facts) < 0.0199),
        Mistake("The step is too long, and part of −127..127 is never used. The largest magnitude becomes 127.", _quantizes(steps=100),
                when=lambda facts: _scale_of(facts) > 0.0201),
    ],
    hints=[
        "The largest magnitude becomes 127.",
        "`abs().max()`, `round`, `to(torch.int8)`.",
        "`scale = ... / 127; q = torch.round(...)`, and a way out for zeros.",
    ],
)


# ---------------------------------------------------------------------------------------------- 17.5 benchmark

class Device:
    """A device that works off what it is given only when somebody waits for it, and a clock that it moves.

    Args: seconds, how long each call takes; launch, seconds until a call returns; waits, False for a device that returns only
    when it is done.
    """

    def __init__(self, seconds, launch: float = 0.001, waits: bool = True):
        self.seconds, self.launch, self.waits = list(seconds), launch, waits
        self.now, self.pending, self.calls = 0.0, 0.0, 0

    def run(self) -> None:
        self.now += self.launch
        work = self.seconds[min(self.calls, len(self.seconds) - 1)]
        self.calls += 1
        if self.waits:
            self.pending += work
        else:
            self.now += work

    def clock(self) -> float:
        return self.now

    def synchronize(self) -> None:
        self.now += self.pending
        self.pending = 0.0


RUN = (100.0, 50.0, 3.0, 1.0, 2.0, 9.0, 2.5)  # two to warm up, five to measure


def _observe_benchmark(benchmark, see):
    cases = (("2 to warm up, then 3, 1, 2, 9, 2.5 s", RUN, 2, 5, True), ("1 to warm up, 1 repeat of 4 s", (7.0, 4.0), 1, 1, True),
             ("1 to warm up, then 4, 1, 2, 8 s", (20.0, 4.0, 1.0, 2.0, 8.0), 1, 4, True),
             ("none to warm up, 3 repeats", (6.0, 0.5, 2.0), 0, 3, True), ("no synchronize, 3 repeats", (8.0, 5.0, 1.0, 3.0), 1, 3, False))
    for name, seconds, warmup, repeats, waits in cases:
        device = Device(seconds, waits=waits)
        wait = {"synchronize": device.synchronize} if waits else {}
        see.call(benchmark, device.run, warmup, repeats, device.clock, label=name, rtol=1e-9, **wait)
        see.fact(f"{name}: calls of fn", device.calls)


def _benchmark_reference(fn, warmup, repeats, clock, synchronize=None):
    return _timed()(fn, warmup, repeats, clock, synchronize)


def _timed(before: bool = True, after: bool = True, skip: bool = True, middle=np.median):
    def benchmark(fn, warmup, repeats, clock, synchronize=None):
        wait = synchronize or (lambda: None)
        times = []
        for turn in range(warmup + repeats):
            if before:
                wait()
            started = clock()
            fn()
            if after:
                wait()
            if not skip or turn >= warmup:
                times.append(clock() - started)
        return float(middle(times))
    return benchmark


def _with_warm_up(warm: int | None = None, middle=np.median, call: bool = True, clock_of=lambda clock: clock):
    """An answer that calls fn ``warm`` times first (None: as often as asked), and takes ``middle`` of the times."""
    def benchmark(fn, warmup, repeats, clock, synchronize=None):
        wait, now = synchronize or (lambda: None), clock_of(clock)
        times = []
        for _ in range((warmup if warm is None else warm) + repeats):
            wait()
            started = now()
            if call:
                fn()
            wait()
            times.append(now() - started)
        return middle(times[len(times) - repeats:])
    return benchmark


def _warm_up_cut_from_the_repeats(fn, warmup, repeats, clock, synchronize=None):
    return _with_warm_up(0, middle=lambda times: float(np.median(times[warmup:] or times)))(fn, 0, repeats, clock, synchronize)


_FIRST_RUN = "2 to warm up, then 3, 1, 2, 9, 2.5 s"


def _ran(facts, seconds: float, calls: int | None = None) -> bool:
    return abs(facts[_FIRST_RUN] - seconds) < 1e-6 and calls in (None, facts[f"{_FIRST_RUN}: calls of fn"])


def _timed_at_once(fn, warmup, repeats, clock, synchronize=None):
    """The warm-up is not waited for, and the first repeat pays."""
    for _ in range(warmup):
        fn()
    times = []
    for _ in range(repeats):
        started = clock()
        fn()
        if synchronize:
            synchronize()
        times.append(clock() - started)
    return float(np.median(times))


benchmark = Exercise(
    "17.5", "benchmark",
    observe=_observe_benchmark,
    expected=_benchmark_reference,
    mistakes=[
        Mistake("The first calls are measured too. They pay for set-up: run them before, untimed.", _timed(skip=False)),
        Mistake("0.001 is only the launch: the call returned before the work was done. Synchronize before you stop the clock.",
                _timed(after=False), when=lambda facts: abs(facts["2 to warm up, then 3, 1, 2, 9, 2.5 s"] - 0.001) < 1e-9),
        Mistake("3.501 is the mean, and one slow repeat of 9 s shifts it: take the median.", _timed(middle=np.mean)),
        Mistake("The warm-up is paid by the first repeat: its work is still waiting when the clock starts. Synchronize before.",
                _timed_at_once),
        Mistake("1.001 is the fastest repeat. Asked is the median.", _timed(middle=np.min)),
        Mistake("9.001 is the slowest repeat. Asked is the median.", _timed(middle=np.max)),
        Mistake("17.505 is all five repeats together. Time each by itself, and take the median.", _timed(middle=np.sum)),
        Mistake("fn was never called to warm up: the 100 s and 50 s of the first calls are among the times.", _with_warm_up(0),
                when=lambda facts: _ran(facts, 3.001, 5)),
        Mistake("fn was called once to warm up. Call it `warmup` times.", _with_warm_up(1), when=lambda facts: _ran(facts, 3.001, 6)),
        Mistake("The warm-up is cut off from the repeats. It comes on top: warmup + repeats calls in all.",
                _warm_up_cut_from_the_repeats, when=lambda facts: _ran(facts, 2.001, 5)),
        Mistake("That is the middle of an unsorted list: the third repeat, whatever it took. Sort first.",
                _with_warm_up(middle=lambda times: times[len(times) // 2]), when=lambda facts: _ran(facts, 2.001, 7)),
        Mistake("Of four times two stand in the middle, and you take the upper one. The median is the mean of both.",
                _with_warm_up(middle=lambda times: sorted(times)[len(times) // 2])),
        Mistake("Of four times two stand in the middle, and you take the lower one. The median is the mean of both.",
                _with_warm_up(middle=lambda times: sorted(times)[(len(times) - 1) // 2])),
        Mistake("fn was not called at all, so no time went by. Are its parentheses missing?", _with_warm_up(call=False),
                when=lambda facts: _ran(facts, 0, 0)),
        Mistake("This is time of your own computer. Read `clock()`, the clock that was handed in.",
                _with_warm_up(clock_of=lambda clock: time.perf_counter),
                when=lambda facts: abs(facts[_FIRST_RUN]) < 0.001 - 1e-6 and facts[f"{_FIRST_RUN}: calls of fn"] == 7),
        Mistake("All the times are returned. Asked is one number, their median.", _with_warm_up(middle=list),
                when=lambda facts: isinstance(facts[_FIRST_RUN], list)),
        Mistake("2501 are milliseconds. Asked are seconds.", _timed(middle=lambda times: 1000 * np.median(times))),
    ],
    hints=[
        "Wait, read the clock, run, wait, read the clock.",
        "A list of differences, and `statistics.median`.",
        "`sync(); t0 = clock(); fn(); ...; times.append(...)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 17.6 shard_indices

def _observe_shards(shard_indices, see):
    import torch

    before = torch.random.get_rng_state()
    for n, size, seed, epoch in ((11, 1, 0, 0), (11, 2, 0, 0), (11, 3, 0, 2), (11, 4, 5, 0), (7, 4, 5, 2), (2, 5, 1, 3)):
        shares = []
        for rank in range(size):
            share = see.call(shard_indices, n, size, rank, seed, epoch,
                             label=f"n {n}, world size {size}, rank {rank}, seed {seed}, epoch {epoch}")
            if not isinstance(share, list | tuple) or not all(isinstance(i, int) for i in share):
                return
            shares += share
        see.fact(f"n {n}, world size {size}, seed {seed}, epoch {epoch}: whether every sample is seen",
                 "yes" if set(shares) == set(range(n)) else "no")
    see.call(shard_indices, 9, 2, 1, label="n 9, world size 2, rank 1")
    see.fact("torch's global random state", "as before" if torch.equal(before, torch.random.get_rng_state()) else "changed")
    torch.random.set_rng_state(before)
    share = see.call(shard_indices, 1003, 2, 1, label="n 1003, world size 2, rank 1", record=False, asks="a list")
    see.fact("n 1003, world size 2, rank 1: number of indices", len(share))


def _shards_reference(n, world_size, rank, seed=0, epoch=0):
    """PyTorch's own sampler."""
    from torch.utils.data import DistributedSampler

    sampler = DistributedSampler(range(n), num_replicas=world_size, rank=rank, shuffle=True, seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def _shards_by(share, draw=lambda seed, epoch: seed + epoch):
    """An answer that shuffles alike and hands out ``share(order, world_size, rank)``."""
    def shard_indices(n, world_size, rank, seed=0, epoch=0):
        import torch

        order = torch.randperm(n, generator=torch.Generator().manual_seed(draw(seed, epoch))).tolist()
        return share(order, world_size, rank)
    return shard_indices


def _padded(order: list[int], world_size: int) -> list[int]:
    return (order * world_size)[:-(-len(order) // world_size) * world_size]


def _padded_with(fill):
    """Pad the order with ``fill(order, how many are missing)``."""
    return _shards_by(lambda order, size, rank: (order + fill(order, -len(order) % size))[rank::size])


def _padded_by_rank(order, world_size, rank):
    share = order[rank::world_size]
    return share + share[:1] * (-(-len(order) // world_size) - len(share))


def _shuffled_globally(n, world_size, rank, seed=0, epoch=0):
    import torch

    torch.manual_seed(seed + epoch)
    return _padded(torch.randperm(n).tolist(), world_size)[rank::world_size]


def _shuffled_after_sharding(n, world_size, rank, seed=0, epoch=0):
    import torch

    mine = _padded(list(range(n)), world_size)[rank::world_size]
    return [mine[i] for i in torch.randperm(len(mine), generator=torch.Generator().manual_seed(seed + epoch))]


def _shards_as_tensor(n, world_size, rank, seed=0, epoch=0):
    import torch

    return torch.tensor(_shards_reference(n, world_size, rank, seed, epoch))


_ALONE = "n 11, world size 1, rank 0, seed 0, epoch 0"


def _shards(draw=lambda seed, epoch, rank: seed + epoch, pad: bool = True, shuffle: bool = True, blocks: bool = False):
    def shard_indices(n, world_size, rank, seed=0, epoch=0):
        import torch

        generator = torch.Generator().manual_seed(draw(seed, epoch, rank))
        order = torch.randperm(n, generator=generator).tolist() if shuffle else list(range(n))
        each = -(-n // world_size)
        if pad:
            order = (order * world_size)[:each * world_size]
        return order[each * rank:each * (rank + 1)] if blocks else order[rank::world_size]
    return shard_indices


shard_indices = Exercise(
    "17.6", "shard_indices",
    observe=_observe_shards,
    expected=_shards_reference,
    mistakes=[
        Mistake("Your shuffle depends on the rank: then samples are seen twice, or never. All must shuffle alike.",
                _shards(lambda seed, epoch, rank: seed + epoch + rank)),
        Mistake("Ranks get lists of unequal length, and the last all-reduce waits forever. Repeat samples from the start of the "
                "order.", _shards(pad=False)),
        Mistake("The epoch changes nothing: each epoch has the same order. Seed with seed + epoch.",
                _shards(lambda seed, epoch, rank: seed)),
        Mistake("You cut the order into blocks. That is valid, but not PyTorch's order: every world_size-th, from rank on.",
                _shards(blocks=True)),
        Mistake("Nothing is shuffled: start from torch.randperm with a seeded generator.", _shards(shuffle=False)),
        Mistake("The seed changes nothing: seed the generator with seed + epoch.", _shards(lambda seed, epoch, rank: epoch)),
        Mistake("The shuffle uses torch's global generator, so it depends on other random numbers and changes them. "
                "Make one of your own: torch.Generator().", _shuffled_globally,
                when=lambda facts: facts["torch's global random state"] == "changed"),
        Mistake("seed * epoch is 0 in epoch 0, whatever the seed. Seed with seed + epoch.", _shards_by(
            lambda order, size, rank: _padded(order, size)[rank::size], draw=lambda seed, epoch: seed * epoch)),
        Mistake("The rest is left out, and some samples are not seen in this epoch. Pad the order, do not cut it.",
                _shards_by(lambda order, size, rank: order[:len(order) // size * size][rank::size])),
        Mistake("2 samples for 5 ranks: once through the order is not enough. Repeat it as often as needed.",
                _padded_with(lambda order, missing: order[:missing])),
        Mistake("You pad with the end of the order. PyTorch repeats it from its start.",
                _padded_with(lambda order, missing: order[-missing:] if missing else [])),
        Mistake("You pad with the last sample, again and again. PyTorch repeats the order from its start.",
                _padded_with(lambda order, missing: order[-1:] * missing)),
        Mistake("You pad with sample 0. PyTorch repeats the order from its start, and the order is shuffled.",
                _padded_with(lambda order, missing: [0] * missing)),
        Mistake("Each rank repeats a sample of its own. Pad the common order first, then deal out.", _shards_by(_padded_by_rank),
                when=lambda facts: all(facts[case][-1] == facts[case][0] for case in (
                    "n 11, world size 2, rank 1, seed 0, epoch 0", "n 11, world size 3, rank 2, seed 0, epoch 2"))),
        Mistake("You pad even where the length is divisible already: 11 samples for 1 process stay 11.",
                _shards_by(lambda order, size, rank: (order * (size + 2))[:len(order) + size - len(order) % size][rank::size])),
        Mistake("Every rank gets the whole order. Its share is every world_size-th entry.", _shards_by(
            lambda order, size, rank: _padded(order, size))),
        Mistake("The shares begin one place too late: rank 0 begins at entry 0.", _shards_by(
            lambda order, size, rank: _padded(order, size)[rank + 1::size])),
        Mistake("The samples are dealt out first and shuffled then: a rank sees the same samples in each epoch. Shuffle first.",
                _shuffled_after_sharding,
                when=lambda facts: set(facts["n 11, world size 2, rank 0, seed 0, epoch 0"]) == {0, 2, 4, 6, 8, 10}),
        Mistake("These are tensors. A list of plain ints is asked for: .tolist().", _shards_as_tensor,
                when=lambda facts: is_tensor(facts[_ALONE]) or is_tensor(facts[_ALONE][0])),
    ],
    hints=[
        "Everybody shuffles alike, each takes a share.",
        "Pad with `order[:...]`, as often as needed, then slice with a step.",
        "`order += order[: how many are missing?]; return order[...::...]`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 17.7 average_gradients

_THREE = "gradients 1, 5, 0 of 4, 3, 1 samples"


def _observe_average(average_gradients, see):
    one = [[_tensor([1.0])], [_tensor([5.0])], [_tensor([0.0])]]
    if not _listed(see.call(average_gradients, one, [4, 3, 1], label=_THREE), [(1,)]):
        return
    grads = [[_numbers(2, 3, seed=r, dtype="float64"), _numbers(4, seed=9 + r, dtype="float64")] for r in range(4)]
    # 1e-6: weights in float32, torch.tensor(counts) / sum(counts), are right enough
    if not _listed(see.call(average_gradients, grads, [2, 7, 3, 1], label="4 ranks, parameters (2, 3) and (4,), float64", rtol=1e-6),
                   [(2, 3), (4,)]):
        return
    see.call(average_gradients, [[_tensor([2.5, -1.0])]], [6], label="1 rank")
    see.call(average_gradients, *_whole_batch(), label="shards of a batch of 11", rtol=1e-6)


def _listed(value, shapes) -> bool:
    return isinstance(value, list | tuple) and len(value) == len(shapes) and \
        all(is_tensor(v) and tuple(v.shape) == s for v, s in zip(value, shapes, strict=True))


def _whole_batch():
    """Gradients of a linear layer on shards of 5, 4 and 2 samples, and the counts."""
    import torch

    x, y = _numbers(11, 3, seed=71, dtype="float64"), _numbers(11, seed=72, dtype="float64")
    w = _numbers(3, seed=73, dtype="float64").requires_grad_()
    counts = [5, 4, 2]
    grads = [list(torch.autograd.grad(((a @ w - b) ** 2).mean(), w))
             for a, b in zip(x.split(counts), y.split(counts), strict=True)]
    return grads, counts


def _averages(weights):
    def average_gradients(grads, counts):
        shares = weights(counts)
        return [sum(s * g for s, g in zip(shares, parts, strict=True)) for parts in zip(*grads, strict=True)]
    return average_gradients


def _average_reference(grads, counts):
    """Every sample counts once: repeat each rank's gradient as often as it has samples, then take the mean."""
    import torch

    return [torch.cat([g[None].expand(n, *g.shape) for g, n in zip(parts, counts, strict=True)]).mean(0)
            for parts in zip(*grads, strict=True)]


def _average_in_place(grads, counts):
    total = sum(counts)
    for parts in zip(*grads, strict=True):
        parts[0].mul_(counts[0])
        for g, n in zip(parts[1:], counts[1:], strict=True):
            parts[0].add_(g, alpha=n)
        parts[0].div_(total)
    return grads[0]


average_gradients = Exercise(
    "17.7", "average_gradients",
    observe=_observe_average,
    expected=_average_reference,
    mistakes=[
        Mistake("2.0 is the plain mean of the three. The shards differ in size: a sample of the small shard counts too much.",
                _averages(lambda counts: [1 / len(counts)] * len(counts))),
        Mistake("6 is the sum: the step would grow with the number of processes.", _averages(lambda counts: [1] * len(counts))),
        Mistake("19 is a sum over samples: divide by how many there are in all.", _averages(lambda counts: counts)),
        Mistake("Rank 0's gradients were overwritten. Make new tensors.", _average_in_place),
        Mistake("You divide by the number of ranks. Divide by the number of samples.",
                _averages(lambda counts: [n / len(counts) for n in counts])),
        Mistake("You divide by the samples in all, but no gradient is multiplied by its own count.",
                _averages(lambda counts: [1 / sum(counts)] * len(counts))),
        Mistake("You divide twice: by the samples and by the ranks. The counts alone are the weights.",
                _averages(lambda counts: [n / sum(counts) / len(counts) for n in counts])),
        Mistake("You divide a gradient by its count. It is a mean already: multiply, to get back the sum.",
                _averages(lambda counts: [1 / n for n in counts])),
        Mistake("`//` leaves 0 of every share. Divide with `/`.", _averages(lambda counts: [n // sum(counts) for n in counts])),
        Mistake("These are rank 0's gradients, and the other ranks have no say.", lambda grads, counts: [g.clone() for g in grads[0]]),
        Mistake("One entry for each rank came back. Asked is one for each parameter, over all ranks.",
                lambda grads, counts: [[n * g / sum(counts) for g in mine] for mine, n in zip(grads, counts, strict=True)],
                when=lambda facts: len(facts[_THREE]) == 3),
        Mistake("Only one tensor came back. Asked is a list with one for each parameter.",
                lambda grads, counts: _average_reference(grads, counts)[0], when=lambda facts: is_tensor(facts[_THREE])),
    ],
    hints=[
        "A mean of means needs weights.",
        "The weight of a rank is its count over the total.",
        "`sum(c * g for c, g in zip(...)) / ...` for each parameter.",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("17", [
    Question("When is tracing wrong?",
             ("When the path depends on the values", "The trace holds the operations of the one path that the example took."),
             [("For large models", "Size does not matter: what runs is recorded."),
              ("Without a GPU", "It records operations, on whatever device."),
              ("When the example holds zeros", "The values matter only where the path depends on them.")]),
    Question("What does torch.export do with an `if` on a tensor?",
             ("It refuses", "Could not guard on data-dependent expression: better an error than a wrong file."),
             [("It takes the branch of the example", "That is what tracing does."),
              ("It keeps both branches", "Only if you write them as torch.where or torch.cond."),
              ("It calls Python at run time", "The point of an exported file is that it needs none.")]),
    Question("A model was exported in train mode. What is in the file?",
             ("An active dropout", "Two calls with one input differ."),
             [("A faster model", "It does the same work, and drops units besides."),
              ("Nothing: export raises an error", "It exports what it is given, without a word."),
              ("The same as in eval mode", "The mode is frozen into the graph.")]),
    Question("Which packages does torch.onnx.export need?",
             ("onnx and onnxscript", "onnxruntime only to run the file; torch.export needs none of them."),
             [("onnxruntime", "That runs the file, it does not write it."),
              ("none: it is part of torch", "The function is, what it writes with is not."),
              ("torchao", "That one is for quantization.")]),
    Question("1,003 samples on 2 ranks. How many does each get?",
             ("502 and 502, one sample twice", "Equal lengths, so that everybody takes the same number of steps."),
             [("501 and 502", "Unequal: the last all-reduce could wait forever."),
              ("501 and 501, one is left out", "drop_last=True would do that; the default pads."),
              ("1,003 and 1,003", "Then each would do all the work.")]),
    Question("Batches of 32 on 4 processes. How many samples go into one step?",
             ("128", "Each process brings its own 32."),
             [("32", "That is one process's part."),
              ("8", "The batch is not split: each process has its own."),
              ("4", "That is the number of processes.")]),
    Question("gloo or nccl: what else changes in the script?",
             ("The device, nothing else", "gloo for CPUs, nccl for NVIDIA GPUs; the calls are the same."),
             [("Every collective has another name", "all_reduce is all_reduce."),
              ("The sampler", "It deals out indices, whoever computes."),
              ("nccl needs no torchrun", "Somebody must start the processes and tell them their ranks.")]),
    Question("What does int8 make of a file of float32 weights?",
             ("About a quarter", "One byte a weight in place of four; biases and the rest stay."),
             [("About an eighth", "8 bits are one byte, 32 bits are four bytes."),
              ("About a half", "That would be 16 bits."),
              ("About the same, only faster", "The weights are most of the file.")]),
])


# ---------------------------------------------------------------------------------------------- starting processes

class CannotStart(RuntimeError):
    """The processes did not end as they should; the message says what they printed last."""

    def _render_traceback_(self) -> list[str]:
        return [f"✗ {self}"]


def torchrun(*arguments: str, processes: int = 2, seconds: float = 180) -> list[str]:
    """Run ``helpers.train_parallel`` in so many processes and return what they print, sorted by rank.

    Each gets one thread. Raises CannotStart if a process fails, or if they are not done after so many seconds.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}",
               "-m", "helpers.train_parallel", *arguments]
    path = os.pathsep.join([str(notebooks.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "COURSE_DEVICE": _device_for(processes)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=env, cwd=notebooks.ROOT)
    except subprocess.TimeoutExpired:
        raise CannotStart(f"{processes} processes were not done after {seconds:g} s: is another program using all cores?") from None
    if done.returncode != 0:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        raise CannotStart(f"a process ended with code {done.returncode}: {' '.join(last)}")
    return sorted(line for line in done.stdout.splitlines() if line.startswith("rank "))


def _device_for(processes: int) -> str:
    """A GPU for each process, or the CPU for all."""
    import torch

    enough = devices.device().type == "cuda" and torch.cuda.device_count() >= processes
    return "cuda" if enough else "cpu"


def refusal(function, *words: str) -> str:
    """What a call is refused with, without the advice below it: the name of the exception and the line with these words.

    Raises AssertionError if the call is not refused, or if no line of the message has all the words.
    """
    try:
        with quiet(), contextlib.redirect_stderr(io.StringIO()):
            function()
    except Exception as problem:
        lines = [line.strip() for line in str(problem).splitlines()]
        found = [line for line in lines if all(word in line for word in words)]
        if not found:
            raise AssertionError(f"refused, but not as expected: {problem}") from problem
        plain = re.sub(r"\x1b\[[0-9;]*m", "", found[0])  # no colors
        return textwrap.fill(f"refused, {type(problem).__name__}: {plain}", 84, subsequent_indent="    ", max_lines=3)
    raise AssertionError("the call was expected to be refused, and it was not")


def missing_packages(*names: str) -> list[str]:
    """Those that cannot be imported here."""
    import importlib.util

    return [name for name in names if importlib.util.find_spec(name) is None]


# ---------------------------------------------------------------------------------------------- figures

def _card(ax, x, y, text, color=plots.BLACK, width=1.5, height=0.8, size=11, fill="white", style="-"):
    from matplotlib.patches import FancyBboxPatch

    ax.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0.02,rounding_size=0.1",
                                facecolor=fill, edgecolor=color, linewidth=1.8, linestyle=style, zorder=3))
    ax.text(x, y, text, ha="center", va="center", fontsize=size, zorder=4, color=plots.BLACK)


def _arrow(ax, start, end, color=plots.BLACK, text="", offset=(0, 0.16), style="-", size=10):
    ax.annotate("", end, start, zorder=2, arrowprops={"arrowstyle": "-|>", "color": color, "lw": 2, "linestyle": style,
                                                     "shrinkA": 0, "shrinkB": 0})
    if text:
        ax.text((start[0] + end[0]) / 2 + offset[0], (start[1] + end[1]) / 2 + offset[1], text, ha="center", va="center",
                fontsize=size, color=color, zorder=5)


def _blank(size, x, y):
    fig, ax = plots.figure(size=size)
    ax.set(xlim=x, ylim=y)
    ax.set_axis_off()
    return fig, ax


def show_formats() -> None:
    """The five ways to keep a model, by what it needs to come back."""
    fig, ax = _blank((9.6, 3.0), (-1.0, 9.4), (-1.6, 1.5))
    rows = (("state_dict\n.pt, .safetensors", "weights only", "the Python\nclass", "#EAF3FA", plots.BLUE),
            ("whole module\npickled", "weights + names", "the class,\nand trust", "#FBEEE6", plots.RED),
            ("TorchScript\n(old)", "weights + graph", "libtorch,\nno Python", "#F3F3F3", plots.GREY),
            ("torch.export\n.pt2", "weights + graph", "torch, or a\nC++ package", "#E6F5F0", plots.GREEN),
            ("ONNX\n.onnx", "weights + graph", "any\nruntime", "#FFF3D6", plots.ORANGE))
    for place, (name, holds, needs, fill, color) in enumerate(rows):
        x = 2.1 * place
        _card(ax, x, 0.75, name, color, width=1.75, height=0.95, size=10.5, fill=fill)
        ax.text(x, -0.25, holds, ha="center", fontsize=10)
        ax.text(x, -1.1, needs, ha="center", va="center", fontsize=10, color=color if color != plots.ORANGE else plots.BLACK, weight="bold")
    for y, text in ((-0.25, "holds"), (-1.1, "needs")):
        ax.text(-1.05, y, text, ha="right", va="baseline", fontsize=10, style="italic")
    plots.show(fig, alt="Five ways to keep a model. A state_dict holds weights and needs the Python class; a pickled module needs the class and "
                        "trust in its maker; TorchScript, torch.export and ONNX hold the graph as well and run without your class.", dpi=90)


def show_history() -> None:
    """From Torch to torch.export."""
    events = (("before", "Torch (Lua)"), ("2016", "PyTorch, begun\nby three people"), ("2017", "public"),
              ("2018", "1.0: TorchScript,\nONNX, C++ runtime"), ("2023", "2.0:\ntorch.compile"), ("since", "torch.export"))
    fig, ax = _blank((9.4, 1.9), (-0.7, 5.7), (-1.2, 0.8))
    ax.annotate("", (5.65, 0), (-0.5, 0), arrowprops={"arrowstyle": "-|>", "color": plots.GREY, "lw": 3})
    for place, (year, text) in enumerate(events):
        ax.plot(place, 0, "o", ms=11, color=plots.BLUE, zorder=3)
        ax.text(place, 0.25, year, ha="center", va="bottom", fontsize=11, weight="bold")
        ax.text(place, -0.3, text, ha="center", va="top", fontsize=10.5)
    plots.show(fig, alt="A line of time: Torch for Lua, PyTorch begun in 2016 and public in 2017, version 1.0 in 2018 with TorchScript, ONNX and a "
                        "C++ runtime, torch.compile in 2023, then torch.export.", dpi=90)


def show_trace() -> None:
    """The program with its two ways, and what a trace keeps of it."""
    fig, ax = _blank((8.8, 3.2), (-0.8, 9.4), (-1.7, 1.7))
    for left, title, missing in ((0.0, "the program", False), (5.2, "its trace, for x = (1, 2, 3, 4)", True)):
        ax.text(left + 1.7, 1.5, title, ha="center", fontsize=11.5)
        _card(ax, left, 0, "x", width=0.7)
        _card(ax, left + 1.6, 0, r"$\sum x > 0$?", width=1.3, style=":" if missing else "-",
              color=plots.GREY if missing else plots.BLACK)
        _card(ax, left + 3.4, 0.8, "$Wx$", plots.BLUE, width=1.0, fill="#EAF3FA")
        _card(ax, left + 3.4, -0.8, "$-Wx$", plots.GREY if missing else plots.RED, width=1.0, style=":" if missing else "-",
              fill="white" if missing else "#FBEEE6")
        grey = plots.GREY if missing else plots.BLACK
        _arrow(ax, (left + 0.4, 0), (left + 0.92, 0), grey, style=":" if missing else "-")
        _arrow(ax, (left + 2.28, 0.25), (left + 2.86, 0.7), grey, "" if missing else "yes", (-0.2, 0.14), style=":" if missing else "-")
        _arrow(ax, (left + 2.28, -0.25), (left + 2.86, -0.7), grey, "" if missing else "no", (-0.2, -0.14), style=":" if missing else "-")
        if missing:
            ax.annotate("", (left + 2.86, 0.9), (left + 0.2, 0.45), zorder=2,
                        arrowprops={"arrowstyle": "-|>", "color": plots.BLUE, "lw": 2.5, "connectionstyle": "arc3,rad=-0.25"})
    plots.show(fig, alt="Left, a program that asks for the sign of the sum and takes one of two ways. Right, its trace: the question and the "
                        "second way, dotted, are gone; every x takes the first way.", dpi=90)


def show_program(program) -> None:
    """The operations of an ExportedProgram in a row, with what goes in. Args: program, of a chain of operations."""
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    fig, ax = _blank((9.4, 2.4), (-0.9, 1.75 * len(calls) + 0.9), (-1.2, 1.3))
    _card(ax, -0.1, 0.5, "image", plots.GREEN, width=0.95, fill="#E6F5F0")
    for place, node in enumerate(calls, 1):
        x = 1.75 * place - 0.1
        name = str(node.target).split(".")[1]
        _card(ax, x, 0.5, name, plots.BLUE, width=1.2, fill="#EAF3FA")
        _arrow(ax, (x - (1.2 if place == 1 else 1.1), 0.5), (x - 0.64, 0.5))
        extra = [a.name.removeprefix("p_getattr_l__self___").removeprefix("p_") for a in node.args[1:] if hasattr(a, "name")]
        for k, text in enumerate(extra):
            ax.text(x, -0.45 - 0.42 * k, text, ha="center", fontsize=9.5, color=plots.RED)
        if extra:
            _arrow(ax, (x, -0.25), (x, 0.06), plots.RED)
    _arrow(ax, (1.75 * len(calls) + 0.52, 0.5), (1.75 * len(calls) + 0.85, 0.5))
    names = ", ".join(str(node.target).split(".")[1] for node in calls)
    plots.show(fig, alt=f"The exported graph: the image goes through {names}; weights and biases enter from below as inputs.", dpi=90)


def quantized(w: np.ndarray, bits: int) -> np.ndarray:
    """w rounded to the symmetric grid of so many bits, 2 to 8: 2 ** (bits - 1) - 1 steps on each side of 0."""
    steps = 2 ** (bits - 1) - 1
    scale = np.abs(w).max() / steps
    return np.round(w / scale) * scale


def _quantized_figure(w: np.ndarray, bits: int):
    q = quantized(w, bits)
    fig, (left, right) = plots.figure(1, 2, size=(8.8, 2.9))
    edges = np.linspace(w.min(), w.max(), 60)
    left.hist(w, bins=edges, color=plots.BLUE)
    left.set(title="32 bits", xlabel="weight", ylabel="how many")
    values, counts = np.unique(q, return_counts=True)
    right.bar(values, counts, width=0.7 * (w.max() - w.min()) / max(60, len(values)), color=plots.RED)
    right.set(title=f"{bits} bits: {len(values)} values", xlabel="weight", xlim=left.get_xlim())
    return fig, (f"Left, the histogram of {len(w):,} weights. Right, the same in {bits} bits: {len(values)} values are left, and the largest error "
                 f"is {np.abs(q - w).max():.4f}.")


def show_quantized(w, bits: int = 4) -> None:
    """Histogram of weights before and after. Args: w, a tensor; bits, 2 to 8."""
    fig, text = _quantized_figure(w.detach().cpu().double().numpy().ravel(), bits)
    plots.show(fig, alt=text, dpi=90)


def quantized_sliders(w) -> None:
    """The same with a slider for the number of bits."""
    values = w.detach().cpu().double().numpy().ravel()
    widgets.sliders(lambda bits: _quantized_figure(values, int(bits)), bits=(2, 8, 4, 1))


def show_clock() -> None:
    """What a clock sees of an asynchronous device."""
    fig, ax = _blank((9.0, 2.7), (-1.6, 10.4), (-1.7, 1.7))
    ax.text(-0.3, 0.7, "Python", ha="right", va="center", fontsize=11)
    ax.text(-0.3, -0.5, "device", ha="right", va="center", fontsize=11)
    for start in (0.2, 0.7, 1.2):
        ax.barh(0.7, 0.35, left=start, height=0.5, color=plots.BLUE)
    for start in (0.5, 3.1, 5.7):
        ax.barh(-0.5, 2.5, left=start, height=0.5, color=plots.RED)
    ax.barh(0.7, 6.6, left=1.65, height=0.5, color="white", edgecolor=plots.GREY, hatch="..")
    ax.text(4.9, 0.72, "synchronize: wait", ha="center", va="center", fontsize=10, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    for x, text, color in ((0.1, "start", plots.BLACK), (1.6, "stop here:\nlaunches only", plots.RED), (8.3, "stop here:\nthe work", plots.GREEN)):
        ax.plot([x, x], [-1.0, 1.1], color=color, lw=2, ls="--")
        ax.text(x + 0.05, -1.1, text, ha="left", va="top", fontsize=10, color=color)
    plots.show(fig, alt="Three calls return to Python at once while the device has just begun. A clock that stops then measures the launches; one that "
                        "stops after synchronize measures the work.", dpi=90)


def show_two_ranks() -> None:
    """One step of two processes."""
    fig, ax = _blank((9.2, 2.7), (-1.3, 10.3), (-0.9, 2.1))
    for rank, y, wait in ((0, 1.2, 0.0), (1, 0.0, 0.9)):
        ax.text(-0.2, y, f"rank {rank}", ha="right", va="center", fontsize=11)
        x = 0.0
        for width, name, color in ((1.2, "batch", "#F3F3F3"), (1.9 - wait / 2, "forward", "#EAF3FA"), (2.3 - wait / 2, "backward", "#FFF3D6")):
            _card(ax, x + width / 2, y, name, width=width - 0.1, height=0.6, fill=color, size=10.5)
            x += width
        if wait:
            ax.barh(y, wait - 0.1, left=x + 0.05, height=0.5, color="white", edgecolor=plots.GREY, hatch="..")
            ax.text(x + wait / 2, y - 0.42, "waits", ha="center", va="center", fontsize=10)
        _card(ax, 8.2, y, "step", width=1.1, height=0.6, fill="#E6F5F0", size=10.5)
        ax.text(9.0, y, "same weights", fontsize=10, va="center")
    _card(ax, 6.45, 0.6, "all-reduce:\nmean of the\ngradients", plots.RED, width=1.6, height=1.9, fill="#FBEEE6", size=10.5)
    plots.show(fig, alt="One training step of two processes: each has its own batch, forward and backward pass; the faster one waits, dotted; the "
                        "all-reduce gives both the mean of the gradients; both take the same step and keep the same weights.", dpi=90)


def _shards_figure(shard_indices, n: int, world_size: int, epoch: int):
    shares = [shard_indices(n, world_size, rank, 0, epoch) for rank in range(world_size)]
    fig, ax = plots.figure(size=(8.2, 0.55 * world_size + 0.9))
    colors = (plots.BLUE, plots.RED, plots.GREEN, plots.PURPLE)
    seen: set[int] = set()
    again = 0
    for place in range(len(shares[0])):  # in the order in which the samples are dealt out
        for rank, share in enumerate(shares):
            twice = share[place] in seen
            again += twice
            seen.add(share[place])
            ax.text(place, rank, str(share[place]), ha="center", va="center", fontsize=10.5, color="white" if not twice else plots.BLACK,
                    bbox={"boxstyle": "round,pad=0.3", "facecolor": colors[rank % 4] if not twice else "white",
                          "edgecolor": colors[rank % 4]})
    ax.set(xlim=(-0.7, len(shares[0]) - 0.3), ylim=(world_size - 0.4, -0.6), xticks=range(len(shares[0])), xlabel="turn",
           yticks=range(world_size), yticklabels=[f"rank {r}" for r in range(world_size)])
    ax.grid(False)
    return fig, (f"Which of {n} samples each of {world_size} processes gets in epoch {epoch}, turn by turn. {again} "
                 f"{'sample is' if again == 1 else 'samples are'} dealt out twice, in white.")


def show_shards(shard_indices, n: int = 11, world_size: int = 2, epoch: int = 0) -> None:
    """Who gets which sample. Args: the function of exercise 17.6, and its arguments."""
    fig, text = _shards_figure(shard_indices, n, world_size, epoch)
    plots.show(fig, alt=text, dpi=90)


def shards_sliders(shard_indices) -> None:
    """The same with sliders for the number of samples, of processes, and the epoch."""
    widgets.sliders(lambda n, processes, epoch: _shards_figure(shard_indices, int(n), int(processes), int(epoch)),
                    n=(1, 16, 11, 1), processes=(1, 4, 2, 1), epoch=(0, 5, 0, 1))


def show_sizes(sizes: dict[str, int]) -> None:
    """Bytes of files as bars. Args: sizes, name -> bytes."""
    fig, ax = plots.figure(size=(7.4, 0.5 * len(sizes) + 0.8))
    bars = ax.barh(list(sizes), list(sizes.values()), color=plots.BLUE, height=0.55)
    ax.bar_label(bars, [f"{v:,}" for v in sizes.values()], padding=4, fontsize=10)
    ax.set(xlim=(0, 1.22 * max(sizes.values())), xlabel="bytes")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    plots.show(fig, alt="Size of each file in bytes: " + ", ".join(f"{k} {v:,}" for k, v in sizes.items()) + ".", dpi=90)


