"""The checks of lesson 05: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.checking import ERROR, WRONG
from helpers.lessons import exercises
from helpers.lessons import nn_module as lesson
from tests.lessons import common

EXERCISES = exercises(lesson)
FUNCTIONS = [e for e in EXERCISES if e.kind == "function"]
ARITY = {"05.2": 3, "05.3": 2, "05.4": 2, "05.5": 2, "05.6": 5, "05.7": 6, "05.8": 8, "05.9": 4}


# ---------------------------------------------------------------------------------------------- right answers

class _NetworkOfModules(nn.Module):
    def __init__(self):
        super().__init__()
        self.flat, self.bend = nn.Flatten(), nn.ReLU()
        self.fc3, self.fc2, self.fc1 = nn.Linear(64, 10), nn.Linear(128, 64), nn.Linear(784, 128)  # not in the order of the signal

    def forward(self, x):
        return self.fc3(self.bend(self.fc2(self.bend(self.fc1(self.flat(x))))))


class _NetworkWithReshape(nn.Module):
    def __init__(self):
        nn.Module.__init__(self)
        self.fc1 = nn.Linear(784, 128)
        self.fc2 = nn.Linear(128, 64)
        self.fc3 = nn.Linear(64, 10)

    def forward(self, x):
        x = x.reshape(-1, 784)
        for layer in (self.fc1, self.fc2):
            x = torch.relu(layer(x))
        return self.fc3(x)


class _NetworkWithAlias(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = (nn.Linear(i, o) for i, o in ((784, 128), (128, 64), (64, 10)))
        self.layers = nn.Sequential(nn.Flatten(), self.fc1, nn.ReLU(), self.fc2, nn.ReLU(), self.fc3)

    def forward(self, x):
        return self.layers(x)


def _mlp_of_blocks(sizes, activation=nn.ReLU, p=0.0):
    *hidden, last = [nn.Linear(i, o) for i, o in zip(sizes, sizes[1:], strict=False)]
    return nn.Sequential(nn.Flatten(), *(nn.Sequential(layer, activation(), nn.Dropout(p)) for layer in hidden), last)


def _mlp_by_popping(sizes, activation=nn.ReLU, p=0.0):
    net, bend = nn.Sequential(nn.Flatten()), activation()
    for i in range(len(sizes) - 1):
        net.append(nn.Linear(sizes[i], sizes[i + 1]))
        net.append(bend)
        if p > 0:
            net.append(nn.Dropout(p))
    return net[:-1 - (p > 0)]


def _functional_by_call(state, x):
    return torch.func.functional_call(_NetworkWithAlias() if False else _NetworkOfModules(), state, (x,))


def _functional_by_products(state, x):
    h = x.view(x.shape[0], -1)
    h = torch.relu(h @ state["fc1.weight"].T + state["fc1.bias"])
    h = torch.addmm(state["fc2.bias"], h, state["fc2.weight"].t()).clamp_min(0)
    return h.matmul(state["fc3.weight"].mT) + state["fc3.bias"]


def _nll_with_log_softmax(logits, target):
    return -torch.log_softmax(logits, dim=-1).gather(1, target[:, None]).mean()


def _nll_with_the_maximum(logits, target):
    z = logits - logits.max(dim=1, keepdim=True).values
    rows = torch.arange(len(z), device=z.device)
    return (z.exp().sum(dim=1).log() - z[rows, target]).sum() / len(z)


def _nll_with_one_hot(logits, target):
    hot = F.one_hot(target, logits.shape[1]).to(logits)
    return -(F.log_softmax(logits, 1) * hot).sum(1).mean()


def _binary_with_modules(score, target):
    two = torch.stack((score * 0, score), dim=-1)
    return (nn.BCEWithLogitsLoss()(score, target), nn.BCELoss()(score.sigmoid(), target),
            nn.CrossEntropyLoss()(two, target.to(torch.int64)))


def _binary_with_log_softmax(score, target):
    columns = torch.zeros(len(score), 2, dtype=score.dtype, device=score.device).index_put(
        (torch.arange(len(score)), torch.ones(len(score), dtype=torch.long)), score)
    p = 1 / (1 + torch.exp(-score))
    return (F.binary_cross_entropy_with_logits(score, target), -(target * p.log() + (1 - target) * (1 - p).log()).mean(),
            F.nll_loss(columns.log_softmax(1), target.long()))


def _momentum_with_alpha(w, grad, velocity, lr, beta):
    new = torch.add(grad, velocity, alpha=beta)
    return torch.sub(w, new, alpha=lr), new


def _momentum_in_place_on_copies(w, grad, velocity, lr, beta):
    v = velocity.clone().mul_(beta).add_(grad)
    return w.clone().add_(v, alpha=-lr), v


def _rmsprop_with_addcmul(w, grad, square_avg, lr, alpha, eps=1e-8):
    s = torch.addcmul(square_avg * alpha, grad, grad, value=1 - alpha)
    return torch.addcdiv(w, grad, s.sqrt() + eps, value=-lr), s


def _rmsprop_with_lerp(w, grad, square_avg, lr, alpha, eps=1e-8):
    s = torch.lerp(grad.square(), square_avg, alpha)
    return w - grad * (lr / (s**0.5 + eps)), s


def _adam_folded(w, grad, m, v, t, lr, betas=(0.9, 0.999), eps=1e-8):
    (b1, b2), root = betas, (1 - betas[1]**t) ** 0.5
    m, v = b1 * m + (1 - b1) * grad, b2 * v + (1 - b2) * grad * grad
    return w - lr * root / (1 - b1**t) * m / (v**0.5 + eps * root), m, v


def _adam_with_lerp(w, grad, m, v, t, lr, betas=(0.9, 0.999), eps=1e-8):
    m = m.lerp(grad, 1 - betas[0])
    v = torch.addcmul(betas[1] * v, grad, grad, value=1 - betas[1])
    hats = m.div(1 - pow(betas[0], t)), v.div(1 - pow(betas[1], t))
    return torch.addcdiv(w, hats[0], hats[1].sqrt().add(eps), value=-lr), m, v


def _epoch_with_zero_grad_last(model, loader, loss_fn, optimizer):
    optimizer.zero_grad()
    model.train(True)
    losses = []
    for x, y in loader:
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses += [loss.item()] * len(x)
    return sum(losses) / len(losses)


def _epoch_with_running_mean(model, loader, loss_fn, optimizer):
    mean, n = 0.0, 0
    for x, y in loader:
        model.train()
        prediction = model(x)
        loss = loss_fn(prediction, y)
        model.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()
        n += x.shape[0]
        mean += (loss.item() - mean) * x.size(0) / n
    return mean


def _epoch_over_the_dataset(model, loader, loss_fn, optimizer):
    model.train()
    total = torch.zeros(())
    for x, y in loader:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.detach().cpu() * len(y)
    return total.item() / len(loader.dataset)


RIGHT = {
    "05.1": [_NetworkOfModules, _NetworkWithReshape, _NetworkWithAlias],
    "05.2": [_mlp_of_blocks, _mlp_by_popping],
    "05.3": [_functional_by_call, _functional_by_products],
    "05.4": [_nll_with_log_softmax, _nll_with_the_maximum, _nll_with_one_hot],
    "05.5": [_binary_with_modules, _binary_with_log_softmax],
    "05.6": [_momentum_with_alpha, _momentum_in_place_on_copies],
    "05.7": [_rmsprop_with_addcmul, _rmsprop_with_lerp],
    "05.8": [_adam_folded, _adam_with_lerp],
    "05.9": [_epoch_with_zero_grad_last, _epoch_with_running_mean, _epoch_over_the_dataset],
}
EQUIVALENT = {
    "05.2": {"pairs = list(zip(sizes[:-1], sizes[1:])) | :-1 -> :": "zip ends with the shorter of the two"},
    "05.4": {"z_true = logits.gather(1, target.unsqueeze(1)).squeeze(1) | 1 -> 0 (3)":
             "(N,) less (N, 1) is (N, N), and the mean of all differences is the difference of the means"},
    "05.8": {"v = betas[1] * v + (1 - betas[1]) * grad**2 | 1 -> -1": "of two entries, the last is the second",
             "v = betas[1] * v + (1 - betas[1]) * grad**2 | 1 -> -1 (3)": "of two entries, the last is the second",
             "v_hat = v / (1 - betas[1] ** t) | 1 -> -1 (2)": "of two entries, the last is the second"},
}
ACCEPTED_IMPOSTORS: dict = {}
LEAKS_ALLOWED = {
    "super().__init__()": "what the line does is a topic of the lesson, shown for other networks",
}


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
    assert [e.id for e in EXERCISES] == [f"05.{n}" for n in range(1, 10)]
    assert [len(e.mistakes) for e in EXERCISES] == [11, 8, 8, 10, 10, 9, 10, 18, 15]
    assert all(len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 8


def test_the_quiz_has_right_letters_in_several_places():
    letters = [lesson.quiz[n].right_letter for n in range(1, 9)]
    assert len(set(letters)) >= 3, letters


def test_the_lesson_module_starts_without_torch():
    program = "import sys; import helpers.lessons.nn_module as lesson; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_right_answers_leave_the_random_state_alone():
    for exercise in EXERCISES:
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        exercise.examine(RIGHT[exercise.id][0])
        assert torch.equal(torch.random.get_rng_state(), before), exercise.title


# ---------------------------------------------------------------------------------------------- single exercises

def test_odd_networks_get_one_clear_message():
    class NoModule:
        pass

    class WithoutSuper(nn.Module):
        def __init__(self):
            self.fc1 = nn.Linear(784, 128)

    class NoForward(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2, self.fc3 = nn.Linear(784, 128), nn.Linear(128, 64), nn.Linear(64, 10)

    common.refused(lesson.Network, NoModule, saying="an nn.Module")
    common.refused(lesson.Network, _NetworkOfModules(), saying="a class named Network")
    common.refused(lesson.Network, WithoutSuper, saying="super().__init__(), as in section 3")
    assert lesson.Network.examine(NoForward).outcome in (WRONG, ERROR, "not attempted")


class _Network(nn.Module):
    """A network to be spoiled in one place."""

    sizes = (784, 128, 64, 10)

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = (nn.Linear(i, o) for i, o in zip(self.sizes, self.sizes[1:], strict=False))


def _spoiled(forward, sizes=_Network.sizes):
    return type("Network", (_Network,), {"forward": forward, "sizes": sizes})


@pytest.mark.parametrize(("forward", "saying"), [
    (lambda self, x: self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1)))))).log_softmax(1), "raw scores"),
    (lambda self, x: self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.reshape(64, -1)))))), "batch of 64"),
    (lambda self, x: self.fc3(self.fc2(self.fc1(x.flatten(1)))), "is linear"),
    (lambda self, x: self.fc3(F.relu(self.fc2(self.fc1(x.flatten(1))))), "no ReLU after fc1"),
    (lambda self, x: self.fc3(self.fc2(F.relu(self.fc1(x.flatten(1))))), "no ReLU after fc2"),
    (lambda self, x: F.relu(self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))), "ReLU follows the last layer"),
    (lambda self, x: self.fc3(F.relu(self.fc2(F.relu(self.fc1(x))))), "84 × 28"),
    (lambda self, x: self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten()))))), "1 × 2352"),
    (lambda self, x: self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.view(64, 784)))))), "batch of 64"),
    (lambda self, x: self.fc3(F.dropout(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))), 0.3)), "entries differ"),
    (lambda self, x: self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))).detach()))), "gradient of fc1"),
    (lambda self, x: self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1)))))).double(), "float64"),
])
def test_networks_with_one_fault_are_refused(forward, saying):
    common.refused(lesson.Network, _spoiled(forward), saying=saying)


def test_a_network_of_another_size_is_refused():
    text = common.refused(lesson.Network, _spoiled(_NetworkOfModules.forward, (784, 256, 64, 10)), saying="109,386")
    assert "218,058" in text


def test_variants_of_known_mistakes_are_recognized():
    def never_clears_inside(model, loader, loss_fn, optimizer):
        model.train()
        optimizer.zero_grad()
        total = n = 0
        for x, y in loader:
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            total, n = total + loss.item() * len(y), n + len(y)
        return total / n

    common.refused(lesson.train_one_epoch, never_clears_inside, saying="add up")
    common.refused(lesson.nll_from_logits, lambda logits, target: nn.CrossEntropyLoss()(logits, target), saying="PyTorch's own loss")
    common.refused(lesson.nll_from_logits, lambda logits, target: F.nll_loss(logits.log_softmax(1), target), saying="PyTorch's own loss")
    common.refused(lesson.make_mlp, lambda sizes, activation=nn.ReLU, p=0.0: nn.Sequential(
        nn.Dropout(p), _mlp_by_popping(sizes, activation, p)), saying="Input pixels are dropped")


def _epoch(*, zero="first", returns="mean", swap=False, backward=True, step="each"):
    def train_one_epoch(model, loader, loss_fn, optimizer):
        model.train()
        total, n = 0.0, 0
        for x, y in loader:
            if zero == "first":
                optimizer.zero_grad()
            out = model(x)
            loss = loss_fn(out, y)
            if step == "before":
                optimizer.step()
            if backward:
                loss.backward()
            if zero == "between":
                model.zero_grad()
            if step == "each":
                optimizer.step()
            if zero == "last":
                optimizer.zero_grad()
            total += loss.item() * len(x)
            n += len(x)
            if returns == "inside":
                return loss.item()
        if step == "after":
            optimizer.step()
        return loss.item() if returns == "last" else total / n
    return train_one_epoch


@pytest.mark.parametrize(("change", "saying"), [
    ({"zero": "last"}, "before the first `backward`"), ({"backward": False}, "without `backward`"), ({"step": "never"}, "never called"),
    ({"step": "after"}, "inside the loop"), ({"zero": "between"}, "between `backward` and `step`"), ({"step": "before"}, "comes before `backward`"),
    ({"returns": "inside"}, "the `return` stands inside"), ({"returns": "last"}, "last batch alone"), ({"zero": "never"}, "add up"),
    ({"zero": "last", "returns": "last"}, "before the first `backward`"), ({"backward": False, "zero": "never"}, "without `backward`"),
])
def test_loops_with_a_fault_are_told_which(change, saying):
    common.refused(lesson.train_one_epoch, _epoch(**change), saying=saying)


def _list_not_unpacked(sizes, activation=nn.ReLU, p=0.0):
    return nn.Sequential(list(_mlp_by_popping(sizes, activation, p)))


def _class_not_called(sizes, activation=nn.ReLU, p=0.0):
    return nn.Sequential(nn.Flatten(), nn.Linear(sizes[0], sizes[1]), activation)


def _dropout_first(sizes, activation=nn.ReLU, p=0.0):
    parts = [[nn.Linear(i, o), nn.Dropout(p), activation()] for i, o in zip(sizes, sizes[1:], strict=False)]
    return nn.Sequential(nn.Flatten(), *sum(parts, [])[:-2])


def _adam(new, square=True):
    def adam_step(w, grad, m, v, t, lr, betas=(0.9, 0.999), eps=1e-8):
        m = betas[0] * m + (1 - betas[0]) * grad
        v = betas[1] * v + (1 - betas[1]) * (grad**2 if square else grad)
        return new(w, grad, m, v, t, lr, betas, eps), m, v
    return adam_step


def _by_modules(state, x):
    net = _NetworkOfModules()
    net.load_state_dict(state)
    return net(x)


def _of_data(state, x):
    h = x.flatten(1)
    for k in (1, 2, 3):
        h = F.linear(h, state[f"fc{k}.weight"].data if k == 1 else state[f"fc{k}.weight"], state[f"fc{k}.bias"])
        h = F.relu(h) if k < 3 else h
    return h


def _one_three_times(score, target):
    return (F.binary_cross_entropy_with_logits(score, target),) * 3


@pytest.mark.parametrize(("exercise", "answer", "saying"), [
    (lesson.make_mlp, _list_not_unpacked, "unpack the list"),
    (lesson.make_mlp, _class_not_called, "pass an instance"),
    (lesson.make_mlp, _dropout_first, "before the activation"),
    (lesson.make_mlp, lambda sizes, activation=nn.ReLU, p=0.0: _mlp_by_popping(sizes, activation, p)[1:], "Flatten is missing"),
    (lesson.make_mlp, lambda sizes, activation=nn.ReLU, p=0.0: _mlp_by_popping(sizes, activation), "Dropout is missing"),
    (lesson.functional_forward, _by_modules, "no module is built"),
    (lesson.functional_forward, _of_data, "cut off from the graph"),
    (lesson.nll_from_logits, lambda z, t: -z.log_softmax(1)[:, t].mean(), "entries of all targets"),
    (lesson.nll_from_logits, lambda z, t: ((z - z.max()).exp().sum(1).log() - (z - z.max())[range(len(t)), t]).mean(), "its own maximum"),
    (lesson.nll_from_logits, lambda z, t: (z.exp().sum(1).log() - z.gather(1, t[:, None])[:, 0]).mean(), "let logsumexp"),
    (lesson.nll_from_logits, lambda z, t: -z.log_softmax(1)[range(len(t)), t], "average them"),
    (lesson.binary_pairings, _one_three_times, "more than once"),
    (lesson.binary_pairings, lambda s, t: tuple(F.binary_cross_entropy_with_logits(s, t) for _ in range(3)), "more than once"),
    (lesson.rmsprop_step, lambda w, g, s, lr, alpha, eps=1e-8:
        (w - lr * g / torch.sqrt(alpha * s + (1 - alpha) * g * g) + eps, alpha * s + (1 - alpha) * g * g), "outside the denominator"),
    (lesson.adam_step, _adam(lambda w, g, m, v, t, lr, b, eps: w - lr * (m / 1 - b[0]**t) / ((v / 1 - b[1]**t).sqrt() + eps)), "Parentheses"),
    (lesson.adam_step, _adam(lambda w, g, m, v, t, lr, b, eps: w - lr * m / (1 - b[0]**t) / ((v / 1 - b[1]**t).sqrt() + eps)), "Parentheses"),
    (lesson.adam_step, _adam(lambda w, g, m, v, t, lr, b, eps:
                             w - lr * (1 - b[1]**t)**0.5 / (1 - b[0]**t) * m / (v.sqrt() + eps)), "eps must be scaled along"),
    (lesson.adam_step, _adam(lambda w, g, m, v, t, lr, b, eps:
                             w - lr * m / (1 - b[0]**t) / ((v / (1 - b[1]**t)).sqrt() + eps), square=False), "averages the squares"),
])
def test_natural_slips_get_a_diagnosis_of_their_own(exercise, answer, saying):
    common.refused(exercise, answer, saying=saying)


def test_a_shape_slip_that_leaves_the_value_right_is_remarked():
    slip = lesson.nll_from_logits.examine(lambda z, t: (z.logsumexp(1) - z.gather(1, t[:, None])).mean())
    assert slip.outcome == "passed" and "became (N, N)" in slip.text
    for answer in RIGHT["05.4"]:
        assert "(N, N)" not in lesson.nll_from_logits.examine(answer).text


def test_a_layer_names_both_shapes_where_a_batch_does_not_fit():
    with pytest.raises(RuntimeError, match="2x4 and 3x2"):
        nn.Linear(3, 2)(torch.zeros(2, 4))


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (2, 0, 1)])
def test_the_three_losses_have_an_order(order):
    def reordered(score, target):
        three = _binary_with_modules(score, target)
        return tuple(three[k] for k in order)

    common.refused(lesson.binary_pairings, reordered, saying="in another order")


def test_steps_that_change_their_inputs_are_refused():
    def step(w, grad, velocity, lr, beta):
        velocity *= beta
        velocity += grad
        return w - lr * velocity, velocity

    common.refused(lesson.momentum_step, step, saying="velocity was changed in place")


def test_an_epoch_that_returns_a_tensor_is_refused():
    common.refused(lesson.train_one_epoch, lambda *a: torch.tensor(_epoch_with_running_mean(*a)), saying=".item()")


# ---------------------------------------------------------------------------------------------- what the figures stand on

def test_the_floors_are_those_of_the_lesson():
    assert (round(lesson.FLOOR_10, 4), round(lesson.FLOOR_2, 4)) == (1.4612, 0.3133)
    curves = lesson._floor_curves(np.linspace(-2, 60, 50))
    assert curves["10 logits, right"].min() < 1e-6
    assert abs(curves["10 probabilities taken for logits"].min() - lesson.FLOOR_10) < 1e-6
    assert abs(curves["one logit, sigmoid twice"].min() - lesson.FLOOR_2) < 1e-6


def test_the_floor_slider_draws_what_torch_computes():
    _, text = lesson.draw_floor(3.0)
    z = torch.zeros(1, 10)
    z[0, 4] = 3
    for loss in (F.cross_entropy(z, torch.tensor([4])), F.cross_entropy(z.softmax(1), torch.tensor([4])),
                 F.binary_cross_entropy_with_logits(torch.tensor([3.0]).sigmoid(), torch.ones(1))):
        assert f"{loss.item():.4f}" in text


def test_the_counts_are_those_of_networks(capsys):
    for name, number in lesson.COUNTS.items():
        sizes = [int(n) for n in name.split("-")]
        assert sum((i + 1) * o for i, o in zip(sizes, sizes[1:], strict=False)) == number
    lesson.compare_counts({"784-20-10": 15_910, "784-256-10": 5})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == ["✓", "✗", "○", "○"]
    assert "203,530" not in "".join(lines)  # an open row does not tell


def test_batches_come_farther_in_five_epochs():
    x, y = lesson._line_points()
    best, *_ = np.linalg.lstsq(np.column_stack([x, np.ones(24)]), y, rcond=None)
    far = [np.linalg.norm(lesson._line_descent(batch, 5)[-1] - best) for batch in (24, 6)]
    assert far[1] < 0.6 * far[0] and len(lesson._line_descent(6, 5)) == 21
