"""The checks of lesson 06: right answers in other styles pass, wrong and odd ones get a message of their own."""

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
from torch.utils.data import random_split

from helpers.lessons import exercises
from helpers.lessons import mnist_mlp as lesson
from tests.lessons import common

EXERCISES = exercises(lesson)
ARITY = {"06.1": 3, "06.2": 2, "06.3": 3, "06.4": 2, "06.5": 6, "06.6": 3, "06.7": 2, "06.8": 1}


# ---------------------------------------------------------------------------------------------- right answers

def _preprocess_image_by_image(images, mean=0.1307, std=0.3081):
    return torch.stack([image[None].to(torch.float32).div(255).sub(mean).div(std) for image in images])


def _preprocess_as_one_affine_map(images, mean=0.1307, std=0.3081):
    return images[:, None].float() * (1 / (255 * std)) - mean / std


def _preprocess_with_reshape(images, mean=0.1307, std=0.3081):
    n, h, w = images.shape
    x = images.to(dtype=torch.float32).reshape(n, 1, h, w)
    x /= 255
    x -= mean
    x /= std
    return x


def _net_as_class(hidden=512, p=0.2):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(hidden, 10)  # not in the order of the signal
            self.fc1, self.fc2 = nn.Linear(784, hidden), nn.Linear(hidden, hidden)

        def forward(self, x):
            x = F.dropout(F.relu(self.fc1(x.view(x.shape[0], -1))), p, training=self.training)
            x = F.dropout(F.relu(self.fc2(x)), p, training=self.training)
            return self.out(x)

    return Net()


def _net_with_one_dropout(hidden=512, p=0.2):
    drop = nn.Dropout(p)
    return nn.Sequential(nn.Flatten(start_dim=1), nn.Linear(784, hidden), nn.ReLU(), drop,
                         nn.Linear(hidden, hidden), nn.ReLU(), drop, nn.Linear(hidden, 10))


def _net_from_a_list(hidden=512, p=0.2):
    layers = [nn.Flatten()]
    for size in (784, hidden):
        layers += [nn.Linear(size, hidden), nn.ReLU(inplace=True), nn.Dropout(p=p)]
    return nn.Sequential(*layers, nn.Linear(hidden, 10))


def _split_with_numpy(n, valid_fraction, seed):
    order = np.random.default_rng(seed).permutation(n)
    k = int(n * valid_fraction)
    return order[k:], order[:k]


def _split_with_random_split(n, valid_fraction, seed):
    k = int(n * valid_fraction)
    train, valid = random_split(range(n), [n - k, k], generator=torch.Generator().manual_seed(seed))
    return list(train), list(valid)


def _split_at_the_end(n, valid_fraction, seed):
    g = torch.Generator()
    g.manual_seed(seed)
    order, cut = torch.randperm(n, generator=g).tolist(), n - int(n * valid_fraction)
    return order[:cut], order[cut:]


def _evaluate_all_at_once(model, loader):
    was = model.training
    model.eval()
    with torch.inference_mode():
        logits = torch.cat([model(x) for x, _ in loader])
        y = torch.cat([labels for _, labels in loader])
        loss, accuracy = F.cross_entropy(logits, y), (logits.argmax(dim=-1) == y).double().mean()
    model.train(was)
    return loss.item(), accuracy.item()


@torch.no_grad()
def _evaluate_decorated(model, loader):
    training = model.training
    model.train(False)
    pairs = [(F.cross_entropy(model(x), y, reduction="sum"), (model(x).max(1).indices == y).sum(), len(x)) for x, y in loader]
    if training:
        model.train()
    n = sum(p[2] for p in pairs)
    return float(sum(p[0] for p in pairs)) / n, float(sum(p[1] for p in pairs)) / n


def _evaluate_running_mean(model, loader):
    mode, loss, accuracy, n = model.training, 0.0, 0.0, 0
    try:
        model.eval()
        with torch.no_grad():
            for x, y in loader:
                out = model(x)
                n += x.size(0)
                share = x.size(0) / n
                loss += share * (nn.CrossEntropyLoss()(out, y).item() - loss)
                accuracy += share * ((out.argmax(1) == y).float().mean().item() - accuracy)
    finally:
        model.train(mode)
    return loss, accuracy


def _fit_that_saves_at_the_end(model, train_loader, valid_loader, optimizer, epochs, path):
    train_loss, valid_loss, best = [], [], None
    for epoch in range(epochs):
        model.train()
        losses = []
        for x, y in train_loader:
            loss = nn.functional.cross_entropy(model(x), y)
            model.zero_grad()
            loss.backward()
            optimizer.step()
            losses += [loss.item()] * len(x)
        train_loss.append(sum(losses) / len(losses))
        valid_loss.append(_evaluate_all_at_once(model, valid_loader)[0])
        if valid_loss.index(min(valid_loss)) == epoch:
            best = copy.deepcopy(model.state_dict())
    torch.save(best, path)
    return {"valid_loss": valid_loss, "train_loss": train_loss}


def _fit_with_zero_grad_last(model, train_loader, valid_loader, optimizer, epochs, path):
    history = {"train_loss": [], "valid_loss": []}
    criterion = nn.CrossEntropyLoss(reduction="sum")
    for _ in range(epochs):
        model.train()
        n = sum(len(y) for _, y in train_loader)
        total = 0.0
        for x, y in train_loader:
            loss = criterion(model(x), y)
            (loss / len(y)).backward()
            optimizer.step()
            optimizer.zero_grad()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            pairs = [(criterion(model(x), y).item(), len(y)) for x, y in valid_loader]
        new = sum(p for p, _ in pairs) / sum(q for _, q in pairs)
        if not history["valid_loss"] or new < min(history["valid_loss"]):
            torch.save(model.state_dict(), str(path))
        history["train_loss"].append(total / n)
        history["valid_loss"].append(new)
    return history


def _per_class_with_bincount(predictions, targets, n_classes):
    right = torch.bincount(targets[predictions == targets], minlength=n_classes)
    return right / torch.bincount(targets, minlength=n_classes)


def _per_class_from_confusion(predictions, targets, n_classes):
    pairs = torch.bincount(targets * n_classes + predictions, minlength=n_classes**2).view(n_classes, n_classes)
    return pairs.diag().float() / pairs.sum(1).float()


def _permute_with_gather(images, permutation):
    flat = images.reshape(len(images), 784)
    return torch.gather(flat, 1, permutation.expand(len(images), -1)).reshape(images.shape)


def _permute_with_index_select(images, permutation):
    return torch.index_select(images.view(images.size(0), -1), 1, permutation).unflatten(1, (1, 28, 28))


def _mnist_style_with_numpy(canvas):
    ink = 1 - canvas.numpy().astype(np.float64) / 255
    if ink.sum():
        r = np.arange(28)
        cy, cx = (ink @ np.ones(28) @ r) / ink.sum(), (np.ones(28) @ ink @ r) / ink.sum()
        ink = np.roll(ink, (int(round(14 - cy)), int(round(14 - cx))), axis=(0, 1))
    return torch.from_numpy(((ink - 0.1307) / 0.3081).astype(np.float32)).reshape(1, 1, 28, 28)


def _mnist_style_axis_by_axis(canvas):
    ink = 255 - canvas.to(torch.float32)
    for axis in (0, 1):
        profile = ink.sum(dim=1 - axis)
        center = torch.dot(profile, torch.arange(28, dtype=torch.float32)) / profile.sum().clamp(min=1e-9)
        if profile.sum() > 0:
            ink = ink.roll(math.floor(14 - center.item() + 0.5), dims=axis)
    return ((ink / 255 - 0.1307) / 0.3081).view(1, 1, 28, 28)


RIGHT = {
    "06.1": [_preprocess_image_by_image, _preprocess_as_one_affine_map, _preprocess_with_reshape],
    "06.2": [_net_as_class, _net_with_one_dropout, _net_from_a_list],
    "06.3": [_split_with_numpy, _split_with_random_split, _split_at_the_end],
    "06.4": [_evaluate_all_at_once, _evaluate_decorated, _evaluate_running_mean],
    "06.5": [_fit_that_saves_at_the_end, _fit_with_zero_grad_last],
    "06.6": [_per_class_with_bincount, _per_class_from_confusion],
    "06.7": [_permute_with_gather, _permute_with_index_select],
    "06.8": [_mnist_style_with_numpy, _mnist_style_axis_by_axis],
}

_NET = ("return nn.Sequential( | nn.Sequential(nn.Flatten(), nn.Linear(78 ... ar(hidden, 10)) -> "
        "nn.Sequential(nn.Flatten(), nn.Linear(78 ... ar(hidden, 10))")
_ROLL = "ink = torch.roll(ink, (round(14 - cy.item()), round(14 - cx.item())), (0, 1))"
EQUIVALENT = {  # mutants of the solutions that are right answers
    "06.2": {_NET: "dropout before its ReLU: the two commute", f"{_NET} (4)": "dropout before its ReLU: the two commute"},
    "06.8": {
        f"{_ROLL} | 14 -> -14": "a roll by 28 rows changes nothing",
        f"{_ROLL} | 14 -> -14 (2)": "a roll by 28 columns changes nothing",
        f"{_ROLL} | 1 -> -1": "the last axis of two is axis 1",
    },
}
ACCEPTED_IMPOSTORS = {
    "06.3": {"list": "indices may be a tensor, an array or a list"},
    "06.6": {"dtype": "any floating-point precision will do"},
}
LEAKS_ALLOWED = {
    "torch.save(model.state_dict(), path)": "the second hint of 06.5",
    "optimizer.zero_grad()": "the loop of lesson 05, shown again as the classic recipe",
    "optimizer.step()": "the loop of lesson 05, shown again as the classic recipe",
    "with torch.no_grad():": "known from lesson 05, and needed for every prediction",
    "loss.backward()": "the loop of lesson 05, shown again as the classic recipe",
}


# ---------------------------------------------------------------------------------------------- all exercises

@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_right_answers_in_other_styles_pass(exercise):
    common.right_answers_pass(exercise, RIGHT[exercise.id])


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_each_mistake_is_refused_with_its_own_message(exercise):
    common.mistakes_are_named(exercise)
    common.mistakes_differ(exercise)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_odd_objects_get_one_clear_message(exercise):
    common.hostile_objects_get_a_message(exercise, ARITY[exercise.id])


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_an_endless_loop_is_stopped(exercise, monkeypatch):
    common.endless_loop_is_stopped(exercise, monkeypatch)


def test_the_lesson_is_complete():
    assert [e.id for e in EXERCISES] == [f"06.{n}" for n in range(1, 9)]
    assert [len(e.mistakes) for e in EXERCISES] == [11, 12, 5, 10, 12, 4, 5, 10]
    assert all(len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 7


def test_the_quiz_has_right_letters_in_several_places():
    letters = [lesson.quiz[n].right_letter for n in range(1, 8)]
    assert len(set(letters)) >= 3, letters


def test_the_lesson_module_starts_without_torch():
    program = "import sys; import helpers.lessons.mnist_mlp as lesson; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


# ---------------------------------------------------------------------------------------------- single exercises

def _sequential(*order, p=0.2, hidden=512):
    parts = {"1": nn.Linear(784, hidden), "2": nn.Linear(hidden, hidden), "3": nn.Linear(hidden, 10), "r": nn.ReLU(), "d": nn.Dropout(p)}
    return nn.Sequential(nn.Flatten(), *(parts[name] for name in order))


@pytest.mark.parametrize(("order", "what"), [
    ("1rd2r3", "one dropout is missing"),
    ("1r2rd3", "the other dropout is missing"),
    ("d1rd2rd3", "dropout on the pixels"),
    ("1r2drd3", "both dropouts on the second layer"),
    ("1rd2d3", "one ReLU is missing"),
    ("1rd2rd3r", "ReLU on the scores"),
])
def test_networks_with_layers_out_of_place_are_refused(order, what):
    common.refused(lesson.build_net, lambda hidden=512, p=0.2: _sequential(*order, p=p, hidden=hidden))


def test_networks_that_ignore_their_arguments_are_refused():
    common.refused(lesson.build_net, lambda hidden=512, p=0.2: _sequential(*"1rd2rd3", p=p), saying="linear layers")
    common.refused(lesson.build_net, lambda hidden=512, p=0.2: _sequential(*"1rd2rd3", hidden=hidden), saying="hidden=64, p=0.5")
    common.refused(lesson.build_net, lambda hidden=512, p=0.2: nn.Linear(784, 10), outcome="error", saying="RuntimeError")
    common.refused(lesson.build_net, lambda hidden=512, p=0.2: nn.Linear, saying="an nn.Module")


@pytest.mark.parametrize(("change", "saying"), [
    (lambda train, valid: (train.float(), valid.float()), "two rows of whole numbers"),
    (lambda train, valid: (train[:-1], valid), "how many"),
    (lambda train, valid: (torch.cat([train[1:], train[-1:]]), valid), "in neither set"),
    (lambda train, valid: (train + 1, valid), ""),
    (lambda train, valid: (train, valid, valid), "a tuple of 3"),
])
def test_splits_of_another_form_are_refused(change, saying):
    def split(n, valid_fraction, seed):
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        k = int(n * valid_fraction)
        return change(order[k:], order[:k])

    common.refused(lesson.split_indices, split, saying=saying)


def test_a_split_without_a_seed_is_refused():
    rng = np.random.default_rng(0)

    def split(n, valid_fraction, seed):
        order, k = rng.permutation(n), int(n * valid_fraction)
        return order[k:], order[:k]

    common.refused(lesson.split_indices, split, saying="another split")


def test_an_evaluation_that_leaves_its_mode_behind_is_refused():
    def forgets(model, loader):
        found = _evaluate_all_at_once(model, loader)
        model.eval()
        return found

    def switches_gradients_off(model, loader):
        found = _evaluate_all_at_once(model, loader)
        torch.set_grad_enabled(False)
        return found

    common.refused(lesson.evaluate, forgets, saying="the mode afterwards")
    common.refused(lesson.evaluate, switches_gradients_off, saying="recording of gradients")
    assert torch.is_grad_enabled()


def test_an_evaluation_that_returns_tensors_is_refused():
    common.refused(lesson.evaluate, lambda model, loader: tuple(map(torch.tensor, _evaluate_all_at_once(model, loader))),
                   saying="tensor")


def test_a_fit_that_saves_a_later_equal_epoch_is_refused():
    def fit(model, train_loader, valid_loader, optimizer, epochs, path):
        history, best = {"train_loss": [], "valid_loss": []}, None
        for _ in range(epochs):
            one = _fit_with_zero_grad_last(model, train_loader, valid_loader, optimizer, 1, path)  # saves each time
            if history["valid_loss"] and one["valid_loss"][0] > min(history["valid_loss"]):
                torch.save(best, path)
            best = torch.load(path, weights_only=True)
            for key in history:
                history[key] += one[key]
        return history

    common.refused(lesson.fit, fit, saying="blank validation images")


def test_right_answers_leave_the_random_state_alone():
    for exercise in EXERCISES:
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        exercise.examine(RIGHT[exercise.id][0])
        assert torch.equal(torch.random.get_rng_state(), before), exercise.title


# ---------------------------------------------------------------------------------------------- what the figures stand on

def test_the_scores_of_the_story_give_the_numbers_of_the_story():
    z = np.array(lesson.SCORES)
    p = np.exp(z) / np.exp(z).sum()
    assert (round(np.exp(z).sum(), 1), round(p[8], 3), round(p[2], 3), round(-np.log(p[2]), 4)) == (123.8, 0.441, 0.162, 1.8202)


def test_the_prepared_drawings_are_dark_on_white_and_off_center():
    for canvas in lesson.drawings():
        assert canvas.dtype == torch.uint8 and canvas.shape == (28, 28) and canvas.max() == 255 and canvas.min() < 20
        ink = 255 - canvas.double()
        center = [float((ink.sum(1 - axis) * torch.arange(28)).sum() / ink.sum()) for axis in (0, 1)]
        assert max(abs(c - 14) for c in center) > 1.5


def test_a_reading_is_compared_with_the_labels(capsys):
    images, labels = np.zeros((40, 28, 28), np.uint8), np.arange(40) % 10
    _, right = lesson.quiz_images(images, labels)
    text = "".join(map(str, right))
    lesson.compare_reading("12", images, labels)
    assert "2 of 12 digits so far" in capsys.readouterr().out
    lesson.compare_reading(f"{text[:6]} {text[6:]}", images, labels)
    assert capsys.readouterr().out == "You read 12 of 12 as labeled.\n"
    wrong = str((right[3] + 1) % 10)
    lesson.compare_reading(text[:3] + wrong + text[4:], images, labels)
    assert capsys.readouterr().out == f"You read 11 of 12 as labeled.\n(4) is labeled {right[3]}, you read {wrong}\n"
