"""The checks of lesson 10: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import contextlib
import copy
import functools
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.comparing import Raised
from helpers.lessons import cnns as lesson
from helpers.lessons import exercises
from tests.lessons import common

EXERCISES = exercises(lesson)
FUNCTIONS = [e for e in EXERCISES if e.kind == "function"]
CLASSES = [e for e in EXERCISES if e.kind == "class"]
ARITY = {"10.2": 2, "10.4": 4, "10.5": 3, "10.8": 3}


# ---------------------------------------------------------------------------------------------- right answers

class _PoolsFirst(nn.Module):
    """Pooling before ReLU: the two commute. The head is defined first."""

    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10))
        self.a, self.b, self.c = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, (3, 3)), nn.Conv2d(64, 64, kernel_size=3)

    def forward(self, x):
        x = torch.relu(F.max_pool2d(self.a(x), 2))
        x = torch.relu(F.max_pool2d(self.b(x), 2))
        return self.head(torch.relu(self.c(x)))


class _InARow(nn.Sequential):
    def __init__(self):
        layers = []
        for i, o in ((1, 32), (32, 64)):
            layers += [nn.Conv2d(i, o, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        super().__init__(*layers, nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(64), nn.ReLU(), nn.Linear(64, 10))


def _summarize_with_partial(model, x):
    rows, done = [], set()

    def note(name, module, inputs, output):
        n = 0 if id(module) in done else sum(p.numel() for p in module.parameters(recurse=False))
        done.add(id(module))
        rows.append((name, tuple(output.shape)[1:], n))

    training = model.training
    with contextlib.ExitStack() as stack, torch.no_grad():
        for name, module in model.named_modules():
            if next(module.children(), None) is None:
                handle = module.register_forward_hook(functools.partial(note, name))
                stack.callback(handle.remove)
        model.eval()(x)
    model.train(training)
    return rows


def _summarize_a_copy(model, x):
    twin, rows, counted = copy.deepcopy(model).eval(), [], []
    for name, module in twin.named_modules():
        if len(list(module.children())) == 0:
            def hook(module, args, out, name=name):
                rows.append([name, out[0].shape, 0 if name in counted else sum(p.numel() for p in module.parameters())])
                counted.append(name)
            module.register_forward_hook(hook)
    with torch.inference_mode():
        twin(x)
    return rows


class _FunctionalCifar(nn.Module):
    def __init__(self, dropout=0.25):
        super().__init__()
        self.p = dropout
        self.c1, self.c2, self.c3 = nn.Conv2d(3, 16, 3, 1, 1), nn.Conv2d(16, 32, 3, 1, 1), nn.Conv2d(32, 64, 3, 1, 1)
        self.d1, self.d2 = nn.Linear(1024, 500), nn.Linear(500, 10)

    def forward(self, x):
        for conv in (self.c1, self.c2, self.c3):
            x = F.relu(F.max_pool2d(conv(x), 2, 2))
        x = F.dropout(x.reshape(len(x), -1), self.p, self.training)
        x = F.dropout(self.d1(x), self.p, training=self.training).relu()  # dropout and ReLU commute
        return self.d2(x)


class _LazyCifar(nn.Module):
    def __init__(self, dropout=0.25):
        super().__init__()
        layers = [part for i, o in ((3, 16), (16, 32), (32, 64))
                  for part in (nn.Conv2d(i, o, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2, 2))]
        self.net = nn.Sequential(*layers, nn.Dropout(dropout), nn.Flatten(), nn.LazyLinear(500), nn.ReLU(), nn.Dropout(dropout),
                                 nn.LazyLinear(10))

    def forward(self, x):
        return self.net(x)


def _augment_one_by_one(x, generator, max_shift=2, flip=True):
    out = torch.zeros_like(x)
    _, _, H, W = x.shape
    for i in range(len(x)):
        image = x[i]
        if flip and torch.randint(2, (), generator=generator) == 1:
            image = torch.flip(image, dims=[2])
        dy, dx = (int(v) for v in torch.randint(-max_shift, max_shift + 1, (2,), generator=generator))
        out[i, :, max(dy, 0):H + min(dy, 0), max(dx, 0):W + min(dx, 0)] = \
            image[:, max(-dy, 0):H - max(dy, 0), max(-dx, 0):W - max(dx, 0)]
    return out


def _augment_with_gather(x, generator, max_shift=2, flip=True):
    n, c, h, w = x.shape
    m = max_shift
    offsets = (torch.rand(2, n, generator=generator) * (2 * m + 1)).long().to(x.device)
    columns = torch.arange(w, device=x.device).expand(n, w)
    if flip:
        mirrored = (torch.rand(n, generator=generator) >= 0.5).to(x.device)
        columns = torch.where(mirrored[:, None], w - 1 - columns, columns)
    y = x.gather(3, columns[:, None, None, :].expand(n, c, h, w))
    y = F.pad(y, [m] * 4)
    rows = torch.arange(h, device=x.device) + offsets[0][:, None]
    y = y.gather(2, rows[:, None, :, None].expand(n, c, h, w + 2 * m))
    columns = torch.arange(w, device=x.device) + offsets[1][:, None]
    return y.gather(3, columns[:, None, None, :].expand(n, c, h, w))


def _per_class_in_a_loop(logits, targets, n_classes):
    hit = (logits.argmax(dim=-1) == targets).float()
    return torch.stack([hit[targets == c].mean() for c in range(n_classes)])


def _per_class_from_confusion(logits, targets, n_classes):
    pairs = torch.bincount(targets * n_classes + logits.max(1).indices, minlength=n_classes**2).view(n_classes, n_classes)
    return pairs.diag().float() / pairs.sum(1)


class _DownOrNone(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.down = None
        if (in_channels, stride) != (out_channels, 1):
            self.down = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels))
        self.bn2, self.bn1 = nn.BatchNorm2d(out_channels), nn.BatchNorm2d(out_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, x):
        identity = x if self.down is None else self.down(x)
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        out += identity
        return F.relu_(out)


class _WithIdentity(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        i, o = in_channels, out_channels
        self.body = nn.Sequential(nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True),
                                  nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o))
        same = i == o and stride == 1
        self.skip = nn.Identity() if same else nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        return torch.clamp(self.skip(x) + self.body(x), min=0)


class _DryRun(nn.Module):
    """Finds the flattened size by passing zeros."""

    def __init__(self, size=150, dropout=0.0):
        super().__init__()
        self.p = dropout
        self.convs = nn.ModuleList([nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3), nn.Conv2d(64, 128, 3), nn.Conv2d(128, 128, 3)])
        with torch.no_grad():
            n = self.maps(torch.zeros(1, 3, size, size)).shape[1]
        self.fc1, self.fc2 = nn.Linear(n, 512), nn.Linear(512, 1)

    def maps(self, x):
        for conv in self.convs:
            x = F.max_pool2d(conv(x), 2).relu()
        return x.flatten(1)

    def forward(self, x):
        x = F.dropout(self.maps(x), self.p, self.training)
        return self.fc2(self.fc1(x).relu())[:, 0]


class _EndsWithFlatten(nn.Sequential):
    def __init__(self, size=150, dropout=0.0):
        side, layers, channels = size, [], 3
        for maps in (32, 64, 128, 128):
            layers += [nn.Conv2d(channels, maps, 3), nn.ReLU(), nn.MaxPool2d(2)]
            side, channels = side // 2 - 1, maps
        super().__init__(*layers, nn.Dropout(dropout), nn.Flatten(), nn.Linear(side * side * 128, 512), nn.ReLU(), nn.Linear(512, 1),
                         nn.Flatten(0))


def _shift_by_roll_and_clear(model, x, dx):
    moved = torch.roll(x, dx, dims=-1)
    if dx > 0:
        moved[..., :dx] = 0
    elif dx < 0:
        moved[..., dx:] = 0
    mode = model.training
    model.train(False)
    with torch.inference_mode():
        same = model(x).argmax(dim=1).eq(model(moved).argmax(dim=1))
    model.train(mode)
    return same.double().mean().item()


@torch.no_grad()
def _shift_by_copy(model, x, dx):
    moved, width = torch.zeros_like(x), x.shape[-1]
    moved[:, :, :, max(dx, 0):width + min(dx, 0)] = x[:, :, :, max(-dx, 0):width - max(dx, 0)]
    was = model.training
    try:
        model.eval()
        pairs = zip(model(x).max(1).indices.tolist(), model(moved).max(1).indices.tolist(), strict=True)
        return sum(a == b for a, b in pairs) / len(x)
    finally:
        model.train(was)


RIGHT = {
    "10.1": [_PoolsFirst, _InARow],
    "10.2": [_summarize_with_partial, _summarize_a_copy],
    "10.3": [_FunctionalCifar, _LazyCifar],
    "10.4": [_augment_one_by_one, _augment_with_gather],
    "10.5": [_per_class_in_a_loop, _per_class_from_confusion],
    "10.6": [_DownOrNone, _WithIdentity],
    "10.7": [_DryRun, _EndsWithFlatten],
    "10.8": [_shift_by_roll_and_clear, _shift_by_copy],
}

EQUIVALENT = {  # mutants of the solutions that are right answers
    "10.2": {
        "with torch.no_grad(): | unwrapped: with torch.no_grad()":
            "gradients that nobody asks for change no result",
    },
    "10.4": {
        "mirror = torch.rand(n, generator=generator).to(where) < 0.5 | torch.rand(n, generator=generator"
        ").to(where) < 0.5 -> torch.rand(n, generator=generator).to(where) <= 0.5":
            "mirrored with probability one half, either way",
        "mirror = torch.rand(n, generator=generator).to(where) < 0.5 | torch.rand(n, generator=generator"
        ").to(where) < 0.5 -> torch.rand(n, generator=generator).to(where) > 0.5":
            "mirrored with probability one half, either way",
        "x = torch.where(mirror[:, None, None, None], x.flip(-1), x) | torch.where(mirror[:, None, None,"
        " None], x.flip(-1), x) -> torch.where(mirror[:, None, None, None], x, x.flip(-1))":
            "mirrored with probability one half, either way",
        "rows = torch.arange(height, device=where) + top[:, None] | torch.arange: device=where dropped":
            "the same on a CPU",
        "columns = torch.arange(width, device=where) + left[:, None] | torch.arange: device=where droppe"
        "d":
            "the same on a CPU",
        "picture = torch.arange(n, device=where)[:, None, None] | torch.arange: device=where dropped":
            "the same on a CPU",
    },
    "10.7": {
        "self.head = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(128 * side**2, 512), nn."
        "ReLU(), nn.Linear(512, 1)) | nn.Sequential(nn.Flatten(), nn.Dropout(d ... Linear(512, 1)) -> nn"
        ".Sequential(nn.Dropout(dropout), nn.Fl ... Linear(512, 1))":
            "dropout works number by number, before or after flatten",
    },
    "10.8": {
        "with torch.no_grad(): | unwrapped: with torch.no_grad()":
            "gradients that nobody asks for change no result",
    },
}
ACCEPTED_IMPOSTORS = {"10.2": {"dtype": "320.0 parameters are 320 parameters"}}
LEAKS_ALLOWED = {
    "with torch.no_grad():": "known from lesson 05, and needed for every prediction",
    "model.eval()": "known from lesson 05, and the repair of bug clinic B",
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


class _Nothing(nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()

    def forward(self, x):
        return None


class _Noise(_Nothing):
    def forward(self, x):
        return torch.rand(len(x), 10)


class _Stub(nn.Module):
    def __init__(self, *args, **kwargs):
        super().__init__()
        raise NotImplementedError


class _StubForward(_Nothing):
    def forward(self, x):
        raise NotImplementedError


@pytest.mark.parametrize("exercise", CLASSES, ids=lambda e: e.title)
def test_odd_classes_get_one_clear_message(exercise):
    common.refused(exercise, ..., outcome="not attempted")
    common.refused(exercise, nn.Linear(3, 4), saying="a class")
    common.refused(exercise, _Nothing, saying="None")
    common.refused(exercise, _Noise)
    common.refused(exercise, type("NoModule", (), {"__init__": lambda self, *a, **k: None}), saying="nn.Module")


@pytest.mark.parametrize("exercise", CLASSES, ids=lambda e: e.title)
def test_stubs_are_not_attempted(exercise):
    for stub in (_Stub, _StubForward):
        twin = type(exercise.name, (stub,), {})
        assert exercise.examine(twin).outcome == "not attempted"


def test_the_lesson_is_complete():
    assert [e.id for e in EXERCISES] == [f"10.{n}" for n in range(1, 9)]
    assert [len(e.mistakes) for e in EXERCISES] == [15, 14, 17, 20, 13, 23, 18, 19]
    assert all(len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 8


def test_the_quiz_has_right_letters_in_several_places():
    letters = [lesson.quiz[n].right_letter for n in range(1, 9)]
    assert len(set(letters)) >= 3, letters


def test_the_lesson_module_starts_without_torch():
    program = "import sys; import helpers.lessons.cnns as lesson; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


# ---------------------------------------------------------------------------------------------- single exercises

def _failing(text: str):
    """A network whose dense layer has the wrong number of inputs raises; the message still names the mistake."""
    class Net(nn.Module):
        def __init__(self, *args, **kwargs):
            super().__init__()
            self.net = eval(text)

        def forward(self, x):
            return self.net(x)
    return Net


@pytest.mark.parametrize(("exercise", "text", "saying"), [
    ("10.1", "nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), "
             "nn.MaxPool2d(2), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10))",
     "padding=1"),
    ("10.1", "nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), "
             "nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10))", "30,976"),
    ("10.3", "nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2), "
             "nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1024, 500), nn.ReLU(), nn.Linear(500, 10))",
     "padding=1"),
])
def test_a_wrong_flattened_size_is_explained(exercise, text, saying):
    common.refused(next(e for e in EXERCISES if e.id == exercise), _failing(text), saying=saying)


def test_augmentations_of_other_kinds_are_refused():
    def brightness(x, generator, max_shift=2, flip=True):
        return _augment_one_by_one(x, generator, max_shift, flip) * (1 + torch.rand(len(x), 1, 1, 1, generator=generator).to(x.device))

    def shuffled(x, generator, max_shift=2, flip=True):
        return _augment_one_by_one(x, generator, max_shift, flip)[torch.randperm(len(x), generator=generator)]

    def linked(x, generator, max_shift=2, flip=True):  # the same draw decides on flip and shift
        out = _augment_one_by_one(x, generator, max_shift, False)
        return out.flip(-1) if flip else out

    for wrong in (brightness, shuffled, linked):
        common.refused(lesson.augment_batch, wrong)


class _MorePhotoMaps(nn.Module):
    def __init__(self, size=150, dropout=0.0):
        super().__init__()
        side = size
        for _ in range(4):
            side = (side - 2) // 2
        layers = [part for i, o in ((3, 32), (32, 64), (64, 128), (128, 256)) for part in (nn.Conv2d(i, o, 3), nn.ReLU(), nn.MaxPool2d(2))]
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(256 * side**2, 512), nn.ReLU(), nn.Linear(512, 1))

    def forward(self, x):
        return self.net(x).squeeze(1)


class _PooledShortcut(_WithIdentity):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(in_channels, out_channels, stride)
        if stride > 1:
            self.skip = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))


def _channels_reversed(x, generator, max_shift=2, flip=True):
    """Channels in reverse order for half of the pictures."""
    out = _augment_one_by_one(x, generator, max_shift, False)
    back = (torch.rand(len(x), generator=generator) < 0.5).to(x.device)
    return torch.where(back[:, None, None, None], out.flip(1), out)


@pytest.mark.parametrize(("exercise", "wrong", "silent"), [
    ("10.7", _MorePhotoMaps, "ReLU on the logit"),
    ("10.6", _PooledShortcut, "Identity where"),
    ("10.6", _PooledShortcut, "The projection keeps"),
    ("10.4", _channels_reversed, "Rounded"),
    ("10.4", _channels_reversed, "No image is mirrored"),
], ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_no_diagnosis_that_is_not_true(exercise, wrong, silent):
    result = next(e for e in EXERCISES if e.id == exercise).examine(wrong)
    assert result.outcome != "passed"
    assert silent not in common.unwrapped(result.text), result.text


def test_known_wrong_answers_observe_what_they_are_meant_to():
    """An example that raises by accident would name nobody's mistake; these raise on purpose."""
    purpose = ("30,976", "third pool", "flatten()", "576 values", "argmax runs", "Identity where", "A projection where", "keeps the size", "Both conv",
               "loses the border", "hard-coded", "gets wider", "dx = 0 nothing", "The largest shift")
    for exercise in EXERCISES:
        for place, mistake in enumerate(exercise.mistakes):
            raised = any(isinstance(fact.value, Raised) for fact in exercise.mistake_facts(place).values())
            assert not raised or any(text in mistake.diagnosis for text in purpose), mistake.diagnosis


def test_a_summary_that_takes_all_hooks_off_is_refused():
    def rude(model, x):
        rows = _summarize_with_partial(model, x)
        for module in model.modules():
            module._forward_hooks.clear()
        return rows

    common.refused(lesson.summarize, rude, saying="hooks")


def test_right_answers_leave_the_random_state_alone():
    for exercise in EXERCISES:
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        exercise.examine(RIGHT[exercise.id][0])
        assert torch.equal(torch.random.get_rng_state(), before), exercise.title


# ---------------------------------------------------------------------------------------------- what the figures stand on

def test_the_interval_is_wilsons():
    low, high = lesson.interval(27, 49)
    assert (round(low, 3), round(high, 3)) == (0.413, 0.681)
    assert lesson.interval(49, 49)[1] <= 1.0 + 1e-9 and lesson.interval(0, 5)[0] >= -1e-9


def test_fields_and_sizes_of_the_story():
    assert [(150 - 2) // 2, ((150 - 2) // 2 - 2) // 2] == [74, 36]
    assert tuple(name for name in __import__("helpers.data").data.CIFAR_CLASSES if name in lesson.VEHICLES) == lesson.VEHICLES


def test_smoothed_losses_keep_their_mean():
    assert np.allclose(lesson._smoothed([2.0] * 30), 2.0) and len(lesson._smoothed(range(30))) == 21
    assert lesson._smoothed([1.0, 2.0]).tolist() == [1.5]


def test_the_knob_says_where_it_cannot_be_shown(capsys):
    lesson.shift_knob(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), torch.rand(28, 28))
    assert capsys.readouterr().out.startswith("○")


def test_filled_networks_compare_whatever_their_layers_are_called():
    torch.manual_seed(1)
    a, b = _PoolsFirst(), _InARow()
    x = torch.rand(2, 1, 28, 28)
    b(x)
    for net in (a, b):
        lesson._fill(net)
    assert torch.allclose(a(x), b(x), rtol=1e-4, atol=1e-5)
