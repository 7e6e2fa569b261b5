"""The checks of lesson 14: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import copy
import itertools
import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.lessons import exercises
from helpers.lessons import recurrent_networks as lesson
from tests.lessons import common

EXERCISES = exercises(lesson)
FUNCTIONS = [e for e in EXERCISES if e.kind == "function"]
ARITY = {"14.1": 6, "14.3": 1, "14.4": 2, "14.5": 7, "14.6": 6, "14.7": 4}


# ---------------------------------------------------------------------------------------------- right answers

def _rnn_into_one_tensor(x, h0, w_ih, w_hh, b_ih, b_hh):
    B, T, _ = x.shape
    states = x.new_empty(B, T, h0.shape[1])
    h = h0
    for t in range(T):
        h = torch.tanh(F.linear(x[:, t, :], w_ih, b_ih) + F.linear(h, w_hh, b_hh))
        states[:, t] = h
    return states, h


def _rnn_with_the_inputs_first(x, h0, w_ih, w_hh, b_ih, b_hh):
    drive = x @ w_ih.T + (b_ih + b_hh)
    states = [h0]
    for step in drive.unbind(1):
        states.append((step + states[-1] @ w_hh.t()).tanh())
    return torch.stack(states[1:], 1), states[-1]


def _rnn_by_concatenation(x, h0, w_ih, w_hh, b_ih, b_hh):
    joined, h, states = torch.cat([w_hh, w_ih], 1), h0, []
    for t in range(x.size(1)):
        h = torch.tanh(torch.cat([h, x[:, t]], -1) @ joined.T + b_ih + b_hh)
        states += [h.unsqueeze(1)]
    states = torch.cat(states, 1)
    return states, states[:, -1]


def _rnn_with_einsum_and_a_list(x, h0, w_ih, w_hh, b_ih, b_hh):
    h, states = h0, []
    for drive in torch.einsum("bti,hi->tbh", x, w_ih):
        h = (drive + (b_ih + b_hh) + torch.einsum("bj,hj->bh", h, w_hh)).tanh()
        states.append(h)
    return [torch.stack(states).transpose(0, 1), h]


class _FlattensAndRestores(nn.Module):
    def __init__(self, input_size, output_size, hidden_dim, n_layers):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.fc = nn.Linear(hidden_dim, output_size)
        self.rnn = nn.RNN(input_size, hidden_dim, num_layers=n_layers, batch_first=True)

    def forward(self, x, hidden=None):
        out, hidden = self.rnn(x, hidden)
        return self.fc(out.reshape(-1, self.hidden_dim)).reshape(x.size(0), x.size(1), -1), hidden


class _TimeFirst(nn.Module):
    def __init__(self, input_size, output_size, hidden_dim, n_layers):
        super().__init__()
        self.rnn = nn.RNN(input_size, hidden_dim, n_layers)
        self.fc = nn.Linear(hidden_dim, output_size)

    def forward(self, x, hidden=None):
        out, hidden = self.rnn(x.transpose(0, 1), hidden)
        return self.fc(out).transpose(0, 1), hidden


class _StepByStep(_FlattensAndRestores):
    def forward(self, x, hidden=None):
        outputs = []
        for t in range(x.shape[1]):
            state, hidden = self.rnn(x[:, t:t + 1], hidden)
            outputs.append(self.fc(state[:, 0]))
        return [torch.stack(outputs, dim=1), hidden]


class _MakesItsOwnZeros(nn.Module):
    def __init__(self, input_size, output_size, hidden_dim, n_layers):
        super().__init__()
        self.rnn = nn.RNN(input_size, hidden_dim, n_layers, batch_first=True)
        self.fc = nn.Linear(hidden_dim, output_size)

    def forward(self, x, hidden=None):
        if hidden is None:
            hidden = torch.zeros(self.rnn.num_layers, len(x), self.rnn.hidden_size, device=x.device, dtype=x.dtype)
        states, last = self.rnn(x, hidden)
        return torch.stack([self.fc(states[:, t]) for t in range(x.shape[1])], 1), last


def _detach_by_recursion(state):
    if state is None or isinstance(state, torch.Tensor):
        return state if state is None else state.detach()
    return tuple(map(_detach_by_recursion, state))


def _detach_with_clones(state):
    if isinstance(state, tuple):
        cut = []
        for s in state:
            cut.append(s.clone().detach())
        return tuple(cut)
    return None if state is None else state.detach().clone()


def _lags_with_grad(rnn, x):
    leaf = x.detach().clone()
    leaf.requires_grad = True
    states, _ = rnn(leaf)
    g = torch.autograd.grad(states[:, -1].sum(), [leaf])[0]
    return torch.flip(g.pow(2).sum(-1).sqrt().mean(0), dims=(0,))


def _lags_one_sequence_at_a_time(rnn, x):
    total = 0
    for sequence in x:
        leaf = sequence[None].clone().detach().requires_grad_(True)
        g, = torch.autograd.grad(rnn(leaf)[0][0, -1].sum(), leaf)
        total = total + torch.linalg.vector_norm(g[0], dim=-1)
    return (total / len(x)).flip(0)


def _lags_on_a_copy_of_the_layer(rnn, x):
    rnn, leaf = copy.deepcopy(rnn), x.detach().clone().requires_grad_()
    rnn(leaf)[0][:, -1].sum().backward()
    B, T, _ = x.shape
    return torch.stack([sum(leaf.grad[b, T - 1 - lag].square().sum().sqrt() for b in range(B)) / B for lag in range(T)])


def _lstm_on_joined(x, h, c, w_ih, w_hh, b_ih, b_hh):
    z = torch.cat([x, h], 1) @ torch.cat([w_ih, w_hh], 1).T + (b_ih + b_hh)
    i, f, g, o = torch.split(z, h.shape[1], dim=1)
    c_new = torch.sigmoid(i) * torch.tanh(g) + torch.sigmoid(f) * c
    return torch.tanh(c_new) * torch.sigmoid(o), c_new


def _lstm_with_slices(x, h, c, w_ih, w_hh, b_ih, b_hh):
    H = h.size(1)
    z = [x @ w_ih[k * H:(k + 1) * H].T + b_ih[k * H:(k + 1) * H] + h @ w_hh[k * H:(k + 1) * H].T + b_hh[k * H:(k + 1) * H]
         for k in range(4)]
    c = z[1].sigmoid() * c + z[0].sigmoid() * z[2].tanh()
    return z[3].sigmoid() * c.tanh(), c


def _lstm_with_einsum(x, h, c, w_ih, w_hh, b_ih, b_hh):
    H = h.shape[1]
    z = torch.einsum("bi,khi->kbh", x, w_ih.view(4, H, -1)) + torch.einsum("bj,khj->kbh", h, w_hh.view(4, H, H))
    z = z + (b_ih + b_hh).view(4, 1, H)
    c = c * z[1].sigmoid() + z[2].tanh() / (1 + torch.exp(-z[0]))
    return [z[3].sigmoid() * c.tanh(), c]


def _gru_with_slices(x, h, w_ih, w_hh, b_ih, b_hh):
    H = h.shape[1]
    gates = torch.sigmoid(x @ w_ih[:2 * H].T + b_ih[:2 * H] + h @ w_hh[:2 * H].T + b_hh[:2 * H])
    r, z = gates[:, :H], gates[:, H:]
    n = torch.tanh(x @ w_ih[2 * H:].T + b_ih[2 * H:] + r * (h @ w_hh[2 * H:].T + b_hh[2 * H:]))
    return (1 - z) * n + z * h


def _gru_with_lerp(x, h, w_ih, w_hh, b_ih, b_hh):
    ar, az, an = torch.chunk(F.linear(x, w_ih, b_ih), 3, dim=-1)
    br, bz, bn = torch.chunk(F.linear(h, w_hh, b_hh), 3, dim=-1)
    n = torch.tanh(an + torch.sigmoid(ar + br) * bn)
    return torch.lerp(n, h, torch.sigmoid(az + bz))


def _count_in_a_loop(cell, input_size, hidden_size, num_layers=1):
    if cell not in ("rnn", "gru", "lstm"):
        raise ValueError(f"no such cell: {cell}")
    k, total = {"rnn": 1, "gru": 3, "lstm": 4}[cell], 0
    for layer in range(num_layers):
        inputs = input_size if layer == 0 else hidden_size
        total += k * (hidden_size * inputs + hidden_size * hidden_size + 2 * hidden_size)
    return total


def _count_with_the_modules(cell, input_size, hidden_size, num_layers=1):
    kind = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell]
    return sum(p.numel() for p in kind(input_size, hidden_size, num_layers, device="meta").parameters())


RIGHT = {
    "14.1": [_rnn_into_one_tensor, _rnn_with_the_inputs_first, _rnn_by_concatenation, _rnn_with_einsum_and_a_list],
    "14.2": [_FlattensAndRestores, _TimeFirst, _MakesItsOwnZeros, _StepByStep],
    "14.3": [_detach_by_recursion, _detach_with_clones],
    "14.4": [_lags_with_grad, _lags_one_sequence_at_a_time, _lags_on_a_copy_of_the_layer],
    "14.5": [_lstm_on_joined, _lstm_with_slices, _lstm_with_einsum],
    "14.6": [_gru_with_slices, _gru_with_lerp],
    "14.7": [_count_in_a_loop, _count_with_the_modules],
}
EQUIVALENT = {}
ACCEPTED_IMPOSTORS = {}
LEAKS_ALLOWED = {"if isinstance(state, tuple):": "the third hint of 14.3 gives the question away, not the answer"}


# ---------------------------------------------------------------------------------------------- all exercises

@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_right_answers_in_other_styles_pass(exercise):
    common.right_answers_pass(exercise, RIGHT[exercise.id])


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_each_mistake_is_refused_with_its_own_message(exercise):
    common.mistakes_are_named(exercise)
    common.mistakes_differ(exercise)


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda e: e.title)
def test_odd_objects_get_one_clear_message(exercise):
    common.hostile_objects_get_a_message(exercise, ARITY[exercise.id])


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda e: e.title)
def test_an_endless_loop_is_stopped(exercise, monkeypatch):
    common.endless_loop_is_stopped(exercise, monkeypatch)


def test_the_lesson_is_complete():
    assert [e.id for e in EXERCISES] == [f"14.{n}" for n in range(1, 8)]
    assert all(len(e.mistakes) >= 6 and len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 8


def test_the_quiz_has_right_letters_in_several_places():
    letters = [lesson.quiz[n].right_letter for n in range(1, 9)]
    assert len(set(letters)) >= 3, letters


def test_the_lesson_module_starts_without_torch():
    program = "import sys; import helpers.lessons.recurrent_networks; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_right_answers_leave_the_random_state_alone():
    for exercise in EXERCISES:
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        exercise.examine(RIGHT[exercise.id][0])
        assert torch.equal(torch.random.get_rng_state(), before), exercise.title


# ---------------------------------------------------------------------------------------------- single exercises

def test_time_and_batch_exchanged_in_another_style_is_recognized():
    def loop_over_the_batch(x, h0, w_ih, w_hh, b_ih, b_hh):
        h, states = h0, []
        for step in x:
            h = torch.tanh(h @ w_hh.T + b_hh + F.linear(step, w_ih, b_ih))
            states.append(h)
        return torch.stack(states, 1), h

    common.refused(lesson.rnn_forward, loop_over_the_batch, saying="batch first")


def test_odd_networks_get_a_message():
    common.refused(lesson.SineRNN, ..., outcome="not attempted")
    common.refused(lesson.SineRNN, nn.Linear(3, 4), saying="a class")
    common.refused(lesson.SineRNN, type("Empty", (nn.Module,), {"__init__": lambda self, a, b, c, d: nn.Module.__init__(self)}),
                   saying="its layers")

    class WithAnLstm(_TimeFirst):
        def __init__(self, input_size, output_size, hidden_dim, n_layers):
            super().__init__(input_size, output_size, hidden_dim, n_layers)
            self.rnn = nn.LSTM(input_size, hidden_dim, n_layers)

    class WithRelu(_FlattensAndRestores):
        def __init__(self, input_size, output_size, hidden_dim, n_layers):
            super().__init__(input_size, output_size, hidden_dim, n_layers)
            self.rnn = nn.RNN(input_size, hidden_dim, n_layers, batch_first=True, nonlinearity="relu")

    class CutsTheGraph(_FlattensAndRestores):
        def forward(self, x, hidden=None):
            out, hidden = super().forward(x.detach(), hidden)
            return out, hidden

    common.refused(lesson.SineRNN, WithAnLstm, saying="its layers")
    common.refused(lesson.SineRNN, WithRelu)
    common.refused(lesson.SineRNN, CutsTheGraph)


def test_a_reset_of_single_tensors_only_is_refused():
    common.refused(lesson.detach_state, lambda s: tuple(t.detach() for t in s) if s is not None else None)
    common.refused(lesson.detach_state, lambda s: s.detach() if isinstance(s, torch.Tensor) else s, saying="graph")


def test_a_squeezed_window_is_refused():
    for drop in (lambda out: out.squeeze(), lambda out: out.squeeze(-1), lambda out: out.squeeze(0)):
        class Squeezes(_TimeFirst):
            def forward(self, x, hidden=None, drop=drop):
                out, hidden = super().forward(x, hidden)
                return drop(out), hidden

        common.refused(lesson.SineRNN, Squeezes, saying="squeeze")


def test_another_layer_is_called_by_its_name():
    class WithALstm(_TimeFirst):
        def __init__(self, input_size, output_size, hidden_dim, n_layers):
            super().__init__(input_size, output_size, hidden_dim, n_layers)
            self.rnn = nn.LSTM(input_size, hidden_dim, n_layers)
            del self.fc

    common.refused(lesson.SineRNN, WithALstm, saying="rnn is an nn.LSTM, fc is missing")


def test_a_cut_that_is_thrown_away_is_not_taken_for_a_trouble_with_tuples():
    def thrown_away(state):
        state.detach()
        return state

    common.refused(lesson.detach_state, thrown_away, saying="`detach()` changes nothing in place")
    common.refused(lesson.detach_state, lambda s: None if s is None else s.detach(), saying="A tuple has no method")
    common.refused(lesson.detach_state, lambda s: [t.detach() for t in s], saying="a tuple or a tensor?")


def test_what_is_done_to_the_layer_is_seen():
    def wipes(rnn, x):
        result = _lags_with_grad(rnn, x)
        rnn.zero_grad(set_to_none=False)
        return result

    def freezes(rnn, x):
        result = _lags_with_grad(rnn, x)
        for parameter in rnn.parameters():
            parameter.requires_grad = False
        return result

    common.refused(lesson.gradient_by_lag, wipes, saying="zero_grad")
    common.refused(lesson.gradient_by_lag, freezes, saying="frozen")


def test_every_other_order_of_the_blocks_is_named():
    for order in itertools.permutations("ifgo"):
        if order != tuple("ifgo"):
            result = lesson.lstm_step.examine(lesson._lstm_with(order="".join(order)))
            assert result.mistake and "block" in result.mistake.diagnosis, order
    for order in itertools.permutations("rzn"):
        if order != tuple("rzn"):
            result = lesson.gru_step.examine(lesson._gru_with(order="".join(order)))
            assert result.mistake and "PyTorch stores r" in result.mistake.diagnosis, order


def test_a_change_in_place_is_not_taken_for_another_order():
    def in_place(x, h, c, *weights):
        h_new, c_new = lesson._lstm_with()(x, h, c, *weights)
        return h_new, c.detach().copy_(c_new.detach())

    common.refused(lesson.lstm_step, in_place, saying="in place")


def test_the_reference_for_lags_agrees_with_finite_differences():
    torch.manual_seed(1)
    rnn, x, eps = nn.GRU(2, 4, batch_first=True).double(), torch.randn(2, 6, 2).double(), 1e-6
    slopes = torch.zeros_like(x)
    with torch.no_grad():
        for place in range(x.numel()):
            step = torch.zeros(x.numel(), dtype=torch.float64)
            step[place] = eps
            step = step.view_as(x)
            slopes.view(-1)[place] = (rnn(x + step)[0][:, -1].sum() - rnn(x - step)[0][:, -1].sum()) / (2 * eps)
    expected = slopes.norm(dim=2).mean(0).flip(0)
    assert torch.allclose(lesson._reference_lags(rnn, x), expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("cell", ["RNN", "", None, 3])
def test_other_cells_must_raise(cell):
    with pytest.raises((KeyError, ValueError)):
        _count_in_a_loop(cell, 3, 5)

    def silent(cell, input_size, hidden_size, num_layers=1):
        return _count_in_a_loop(str(cell).lower(), input_size, hidden_size, num_layers)

    common.refused(lesson.recurrent_parameters, silent, saying="raises KeyError or ValueError")


# ---------------------------------------------------------------------------------------------- what the figures stand on

def test_the_pulse_is_what_the_caption_says():
    assert lesson.pulse(1.0, 0.3)[-1] < 1e-6 and abs(lesson.pulse(1.0, 1.2)[-1] - 0.66) < 0.01
    assert lesson.pulse(1.0, -0.8)[1] < 0 < lesson.pulse(1.0, -0.8)[2]
    assert lesson.pulse(1.0, 0.8)[0] == math.tanh(1.0)


def test_lines_have_one_length_and_no_nested_parentheses():
    lines = lesson.lines_with_parentheses(30, 60, seed=7)
    assert lines == lesson.lines_with_parentheses(30, 60, seed=7) != lesson.lines_with_parentheses(30, 60, seed=8)
    for line in [*lines, lesson.LINE]:
        assert set(line) <= set(lesson.ALPHABET)
        depth = 0
        for letter in line:
            depth += (letter == "(") - (letter == ")")
            assert depth in (0, 1)
    assert {len(line) for line in lines} == {60} and any(")" in line for line in lines)
    assert lesson.LINE not in lines


def test_encoding_says_what_is_inside():
    x, inside = lesson.encode(["a (b) c"])
    assert x.shape == (1, 7, 31) and x.sum().item() == 7
    assert inside[0].tolist() == [0, 0, 1, 1, 0, 0, 0]


def test_the_size_of_a_graph_grows_with_the_sequence():
    w = torch.ones(1, requires_grad=True)
    assert lesson.graph_size(w * 2) < lesson.graph_size((w * 2).sin().cos())
    assert lesson.graph_size((w * 2).detach()) == 0
