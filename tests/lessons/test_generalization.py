"""The checks of lesson 07: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import copy
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.lessons import exercises
from helpers.lessons import generalization as lesson
from tests.lessons import common

EXERCISES = exercises(lesson)
FUNCTIONS = [e for e in EXERCISES if e.kind == "function"]
ARITY = {"07.1": 3, "07.2": 4, "07.4": 6, "07.5": 2, "07.6": 4, "07.7": 3, "07.8": 2, "07.9": 2}


# ---------------------------------------------------------------------------------------------- right answers

def _penalty_of_one_row(model, l1=0.0, l2=0.0):
    row = torch.cat([p.flatten() for p in model.parameters() if p.dim() > 1])
    return l1 * row.abs().sum() + l2 * row.square().sum()


def _penalty_by_name(model: nn.Module, l1: float = 0.0, l2: float = 0.0):
    total = torch.zeros((), device=next(model.parameters()).device)
    for name, p in model.named_parameters():
        if name.endswith("weight") and p.dim() > 1:
            total = total + l1 * p.norm(1) + l2 * torch.sum(p * p)
    return total


def _dropout_bernoulli(x, p, training, generator=None):
    if not training or p == 0:
        return x
    keep = torch.empty_like(x).bernoulli_(1 - p, generator=generator)
    return x * keep / (1 - p)


def _dropout_masked_fill(x, p, training, generator=None):
    drop = torch.rand(x.shape, generator=generator) < (p if training else 0)
    return x.masked_fill(drop, 0.0) / (1 - p if training else 1)


class _CountingStopping:
    def __init__(self, patience: int, min_delta: float = 0.0):
        self.patience, self.min_delta = patience, min_delta
        self.best_loss, self.best_epoch = float("inf"), 0
        self.epoch = self.without = 0

    def step(self, loss: float) -> bool:
        if self.best_loss - loss > self.min_delta:
            self.best_loss, self.best_epoch, self.without = loss, self.epoch, 0
        else:
            self.without += 1
        self.epoch += 1
        return not self.without < self.patience


class _DifferenceStopping:
    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta, self.epoch = patience, min_delta, -1
        self.best_loss, self.best_epoch = math.inf, -1

    def step(self, loss):
        self.epoch += 1
        if loss + self.min_delta < self.best_loss:
            self.best_loss, self.best_epoch = loss, self.epoch
        return self.epoch - self.best_epoch >= self.patience


def _lr_if_chain(epoch, initial, kind, *, every=1, factor=0.5, total=1):
    rate = initial
    if kind == "step":
        for _ in range(epoch // every):
            rate *= factor
    elif kind == "exponential":
        rate = initial * math.pow(factor, epoch)
    elif kind == "cosine":
        rate = initial * (0.5 + 0.5 * math.cos(epoch / total * math.pi))
    else:
        raise ValueError(f"unknown kind {kind!r}")
    return rate


def _lr_table(epoch, initial, kind, *, every=1, factor=0.5, total=1):
    table = {"step": lambda: factor ** int(epoch / every), "exponential": lambda: factor**epoch,
             "cosine": lambda: math.cos(math.pi * epoch / total / 2) ** 2}
    if kind not in table:
        raise ValueError(kind)
    return initial * table[kind]()


def _norms_by_autograd(model, loss):
    weights = [p for p in model.parameters() if p.dim() > 1]
    return [g.norm().item() for g in torch.autograd.grad(loss, weights)]


def _norms_by_hand(model, loss):
    for p in model.parameters():
        p.grad = None
    loss.backward()
    return [math.sqrt((p.grad**2).sum()) for name, p in model.named_parameters() if "weight" in name]


def _restart_one_by_one(objective, starts, lr, steps):
    found = []
    for start in starts:
        x = torch.tensor(float(start), requires_grad=True)
        for _ in range(steps):
            x.grad = None
            objective(x).backward()
            with torch.no_grad():
                x -= lr * x.grad
        found.append((objective(x).item(), x.item()))
    value, x = min(found)
    return x, value


def _restart_all_at_once(objective, starts, lr, steps):
    x = torch.tensor(list(starts), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([x], lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        objective(x).sum().backward()
        optimizer.step()
    values = objective(x)
    i = int(values.argmin())
    return float(x[i]), float(values[i])


def _save_on_the_cpu(path, model, sizes):
    state = {name: value.cpu() for name, value in model.state_dict().items()}
    torch.save(dict(state_dict=state, sizes=tuple(sizes)), path)


def _save_with_extras(path, model, sizes):
    checkpoint = {"sizes": [*sizes], "state_dict": model.state_dict(), "epoch": 12, "best": 0.25}
    with open(path, "wb") as file:
        torch.save(checkpoint, file)


def _load_to_the_cpu(path, build):
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    model = build(checkpoint["sizes"])
    model.load_state_dict(checkpoint["state_dict"])
    model.eval()
    return model


def _load_by_default(path, build):
    with open(path, "rb") as file:
        checkpoint = torch.load(file)
    model = build(tuple(checkpoint["sizes"])).train(False)
    model.load_state_dict(checkpoint["state_dict"], strict=True)
    return model


def _predict_with_a_copy(model, x):
    with torch.inference_mode():
        return F.softmax(copy.deepcopy(model).eval()(x), dim=-1)


@torch.no_grad()
def _predict_with_recorded_modes(model, x):
    modes = {m: m.training for m in model.modules()}
    try:
        model.train(False)
        return torch.exp(F.log_softmax(model(x), dim=1))
    finally:
        for m, training in modes.items():
            m.training = training


RIGHT = {
    "07.1": [_penalty_of_one_row, _penalty_by_name],
    "07.2": [_dropout_bernoulli, _dropout_masked_fill],
    "07.3": [_CountingStopping, _DifferenceStopping],
    "07.4": [_lr_if_chain, _lr_table],
    "07.5": [_norms_by_autograd, _norms_by_hand],
    "07.6": [_restart_one_by_one, _restart_all_at_once],
    "07.7": [_save_on_the_cpu, _save_with_extras],
    "07.8": [_load_to_the_cpu, _load_by_default],
    "07.9": [_predict_with_a_copy, _predict_with_recorded_modes],
}

EQUIVALENT = {  # mutants of the solutions that are right answers
    "07.2": {"mask = torch.rand(x.shape, generator=generator) >= p | torch.rand(x.shape, generator=generator) >= p -> "
             "torch.rand(x.shape, generator=generator) > p": "a random number equals p once in millions"},
    "07.6": {"if value < best_value: | value < best_value -> value <= best_value": "two ends of the same height are equally good"},
    "07.8": {"checkpoint = torch.load(path, weights_only=True) | torch.load: weights_only=True dropped": "it is torch's default"},
}
ACCEPTED_IMPOSTORS: dict[str, dict[str, str]] = {}
LEAKS_ALLOWED = {"with torch.no_grad():": "known from lesson 05, and needed wherever a model only answers"}


# ---------------------------------------------------------------------------------------------- all exercises

@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_right_answers_in_other_styles_pass(exercise):
    common.right_answers_pass(exercise, RIGHT[exercise.id])


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_each_mistake_is_refused_with_its_own_message(exercise):
    common.mistakes_are_named(exercise)
    common.mistakes_differ(exercise)


@pytest.mark.parametrize("exercise", [e for e in FUNCTIONS if e.id != "07.7"], ids=lambda e: e.title)
def test_odd_objects_get_one_clear_message(exercise):
    common.hostile_objects_get_a_message(exercise, ARITY[exercise.id])


def test_odd_ways_to_save_get_one_clear_message(tmp_path):
    check = lesson.save_checkpoint  # returns nothing, so a function that does nothing is not asked for a return
    common.refused(check, ..., outcome="not attempted")
    common.refused(check, common._stub, outcome="not attempted")
    common.refused(check, int, saying="the class int")
    common.refused(check, lambda path, model, sizes: None, saying="there is none")
    common.refused(check, lambda path: None, saying="called")
    common.refused(check, common._raises, saying="ZeroDivisionError", outcome="error")
    common.refused(check, lambda path, model, sizes: torch.save([1, 2], path), saying="2")
    common.refused(check, lambda path, model, sizes: torch.save({"sizes": np.array(sizes), "state_dict": model.state_dict()}, path),
                   saying="weights_only refuses it")


def test_odd_classes_get_one_clear_message():
    check = lesson.EarlyStopping
    common.refused(check, ..., outcome="not attempted")
    common.refused(check, None, saying="None")
    common.refused(check, lambda patience, min_delta=0.0: None, saying="a class")

    class Silent(_DifferenceStopping):
        def step(self, loss):
            super().step(loss)

    class Stub(_DifferenceStopping):
        def step(self, loss):
            raise NotImplementedError

    common.refused(check, Silent, saying="return")
    common.refused(check, Stub, outcome="not attempted")


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda e: e.title)
def test_an_endless_loop_is_stopped(exercise, monkeypatch):
    common.endless_loop_is_stopped(exercise, monkeypatch)


def test_the_lesson_is_complete():
    assert [e.id for e in EXERCISES] == [f"07.{n}" for n in range(1, 10)]
    assert [len(e.mistakes) for e in EXERCISES] == [10, 7, 9, 12, 6, 9, 4, 6, 10]
    assert all(len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 8


def test_the_quiz_has_right_letters_in_several_places():
    letters = [lesson.quiz[n].right_letter for n in range(1, 9)]
    assert len(set(letters)) >= 3, letters


def test_the_lesson_module_starts_without_torch():
    program = "import sys; import helpers.lessons.generalization as lesson; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_right_answers_leave_the_random_state_alone():
    for exercise in EXERCISES:
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        exercise.examine(RIGHT[exercise.id][0])
        assert torch.equal(torch.random.get_rng_state(), before), exercise.title


# ---------------------------------------------------------------------------------------------- single exercises

@pytest.mark.parametrize(("square", "saying"), [
    (lambda w: w.norm(), "signed sum or the norm"),
    (lambda w: w, "signed sum or the norm"),
])
def test_ways_to_miss_the_square_are_named(square, saying):
    common.refused(lesson.penalty, lambda model, l1=0.0, l2=0.0: sum(
        l1 * p.abs().sum() + l2 * square(p).sum() for p in model.parameters() if p.dim() > 1), saying=saying)


def test_a_penalty_of_detached_weights_is_named():
    common.refused(lesson.penalty, lambda model, l1=0.0, l2=0.0: _penalty_of_one_row(model, l1, l2).detach(), saying="no gradient")
    common.refused(lesson.penalty, lambda model, l1=0.0, l2=0.0: float(_penalty_of_one_row(model, l1, l2)), saying="no gradient")


def test_the_gradient_of_the_reference_penalty_is_the_formula():
    model = lesson._two_layers()
    lesson.penalty.expected(model, 0.3, 0.2).backward()
    for p in model.parameters():
        if p.dim() > 1:
            assert torch.allclose(p.grad, 0.3 * p.sign() + 2 * 0.2 * p, rtol=1e-4)
        else:
            assert p.grad is None


def test_dropout_with_a_mask_for_whole_units_or_one_that_never_changes_is_refused():
    def columns(x, p, training, generator=None):
        mask = torch.rand(x.shape[1], generator=generator) >= p
        return x * mask / (1 - p) if training else x

    def always_alike(x, p, training, generator=None):
        return _dropout_bernoulli(x, p, training, torch.Generator().manual_seed(0))

    common.refused(lesson.dropout, columns, saying="Whole rows or columns go together")
    common.refused(lesson.dropout, always_alike, saying="the same mask")
    common.refused(lesson.dropout, lambda x, p, training, generator=None: _dropout_bernoulli(x, p, training), saying="another mask")


def test_early_stopping_that_takes_equal_losses_for_progress_is_refused():
    class Equal(_DifferenceStopping):
        def step(self, loss):
            self.epoch += 1
            if loss + self.min_delta <= self.best_loss:
                self.best_loss, self.best_epoch = loss, self.epoch
            return self.epoch - self.best_epoch >= self.patience

    class Shared(_DifferenceStopping):
        seen: list = []

        def step(self, loss):
            self.seen.append(loss)
            return super().step(min(self.seen))

    common.refused(lesson.EarlyStopping, Equal)
    common.refused(lesson.EarlyStopping, Shared)


def test_loading_with_trust_is_refused_and_leaves_no_trace():
    lesson._Trap.sprung = 0
    common.passes(lesson.load_checkpoint, _load_by_default)
    assert lesson._Trap.sprung == 0
    common.refused(lesson.load_checkpoint, lambda path, build: lesson._load_with(path, build, safe=False), saying="was run")


def test_a_prediction_that_only_detaches_is_refused():
    def detaches(model, x):
        modes = [(m, m.training) for m in model.modules()]
        model.eval()
        out = model(x).softmax(1).detach()
        for m, training in modes:
            m.training = training
        return out

    common.refused(lesson.predict, detaches, saying="was built on the way")


# ---------------------------------------------------------------------------------------------- what the figures stand on

def test_the_line_wins_on_new_points():
    assert lesson.line_and_curve() == {"line": {"training": 2, "test": 1}, "curve": {"training": 0, "test": 2}}


@pytest.mark.parametrize(("start", "momentum", "end"), [
    (2, 0, 1.1309), (1.5, 0, 1.1309), (0.5, 0, 1.1309), (0.1, 0, -1.3008), (-0.5, 0, -1.3008), (-2, 0, -1.3008),
    (2, 0.5, 1.1309), (2, 0.8, 1.1309), (2, 0.9, -1.3008)])
def test_where_the_ball_ends(start, momentum, end):
    assert abs(lesson.walk(start, momentum=momentum)[-1] - end) < 1e-4


def test_the_corner_of_the_diamond_is_best(capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(lesson, "_show", lambda fig, alt: shown.append((fig, alt)))
    lesson.show_diamond_and_circle()
    titles = [ax.get_title() for ax in shown[0][0].axes]
    assert "(1.00, 0.00)" in titles[0] and "0.00)" not in titles[1]


def test_menus_say_where_they_need_a_notebook(capsys):
    lesson.norms_menu({"tanh": [0.1] * 11})
    assert "needs a notebook" in capsys.readouterr().out
