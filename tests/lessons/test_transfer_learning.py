"""The checks of lesson 11: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import collections
import copy
import math
import statistics
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms.v2 import functional as tv

from helpers import data, models
from helpers.lessons import exercises
from helpers.lessons import transfer_learning as lesson
from helpers.photos import UnusablePhoto, read_photo
from tests.lessons import common

EXERCISES = exercises(lesson)
ARITY = {"11.1": 1, "11.2": 1, "11.3": 4, "11.5": 2, "11.6": 4, "11.7": 2, "11.8": 3, "11.9": 5}
FUNCTIONS = [e for e in EXERCISES if e.id in ARITY]


# ---------------------------------------------------------------------------------------------- right answers

def _input_with_torchvision(images):
    x = images.movedim(-1, 1).to(torch.float32).div(255)
    return tv.normalize(x, list(lesson.MEAN), list(lesson.STD))


def _input_with_constants_times_255(images):
    mean, std = (255 * torch.tensor(v, device=images.device)[None, :, None, None] for v in (lesson.MEAN, lesson.STD))
    return (images.permute(0, 3, 1, 2).float() - mean) / std


def _freeze_at_once(module):
    numbers = sum(p.numel() for p in module.parameters() if p.requires_grad)
    module.eval().requires_grad_(False)
    return numbers


def _freeze_by_parts(module):
    module.train(False)
    numbers = 0
    for part in module.modules():
        for p in part.parameters(recurse=False):
            numbers += p.nelement() if p.requires_grad else 0
            p.requires_grad = False
    return numbers


def _named_head(in_features, hidden, n_classes, dropout=0.0):
    return nn.Sequential(collections.OrderedDict([
        ("hidden", nn.Linear(in_features, hidden)), ("relu", nn.ReLU(inplace=True)), ("drop", nn.Dropout(p=dropout)),
        ("scores", nn.Linear(hidden, n_classes))]))


class _Head(nn.Module):
    def __init__(self, sizes, dropout):
        super().__init__()
        self.p = dropout
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in zip(sizes, sizes[1:], strict=False))

    def forward(self, x):
        x = nn.functional.relu(self.layers[0](x))
        return self.layers[1](nn.functional.dropout(x, self.p, self.training))


def _own_class(in_features, hidden, n_classes, dropout=0.0):
    return _Head((in_features, hidden, n_classes), dropout)


class EvalInForward(nn.Module):
    def __init__(self, backbone, head):
        super().__init__()
        self.backbone, self.head = backbone, head
        for p in backbone.parameters():
            p.requires_grad = False

    def forward(self, x):
        self.backbone.eval()
        with torch.no_grad():
            x = self.backbone(x)
        return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


class OverridesTrain(nn.Module):
    def __init__(self, backbone, head):
        super().__init__()
        self.body = nn.Sequential(backbone, nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten())
        self.head = head
        self.body.requires_grad_(False)
        self.train(self.training)

    def train(self, mode=True):
        model = super().train(mode)
        self.body.train(False)
        return model

    def forward(self, x):
        return self.head(self.body(x))


def _extract_in_inference_mode(backbone, loader):
    training = backbone.training
    backbone.eval()
    with torch.inference_mode():
        pairs = [(backbone(x).flatten(2).mean(2), y) for x, y in loader]
    backbone.train(training)
    features, labels = zip(*pairs, strict=True)
    return torch.cat(features), torch.cat(labels)


def _extract_with_a_copy(backbone, loader):
    other = copy.deepcopy(backbone).eval()
    features, labels = [], []
    for x, y in loader:
        features.extend(other(x).detach().mean(-1).mean(-1))
        labels.extend(y)
    return torch.stack(features), torch.stack(labels)


def _groups_with_sets(model, head, lr_head, lr_body):
    heads = set(head.parameters())
    both = [([p for p in head.parameters() if p.requires_grad], lr_head),
            ([p for p in model.parameters() if p.requires_grad and p not in heads], lr_body)]
    return [dict(params=params, lr=lr) for params, lr in both if params]


def _groups_in_a_loop(model, head, lr_head, lr_body):
    first, second = [], []
    for p in model.parameters():
        if p.requires_grad:
            (first if any(p is q for q in head.parameters()) else second).append(p)
    found = []
    if first:
        found.append({"lr": lr_head, "params": first})
    if second:
        found.append({"lr": lr_body, "params": second})
    return found


def _fold_with_fusion(conv, bn):
    return nn.utils.fusion.fuse_conv_bn_eval(conv, bn)


def _fold_by_hand(conv, bn):
    new = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation, bias=True,
                    dtype=conv.weight.dtype, device=conv.weight.device)
    slope = bn.weight.detach() * torch.rsqrt(bn.running_var + bn.eps)
    offset = bn.bias.detach() - slope * bn.running_mean
    with torch.no_grad():
        new.weight.copy_(torch.einsum("oihw,o->oihw", conv.weight, slope))
        new.bias.copy_(offset if conv.bias is None else offset + slope * conv.bias)
    return new


def _wilson_roots(correct, n, z=1.96):
    a, b, c = n + z * z, -(2 * correct + z * z), correct * correct / n
    root = math.sqrt(max(b * b - 4 * a * c, 0.0))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def _wilson_pseudo_counts(correct, n, z=1.96):
    total = n + z**2
    center = (correct + z**2 / 2) / total
    half = z / total * (correct * (n - correct) / n + z**2 / 4) ** 0.5
    return center - half, center + half


def _seconds_each(fn, repeats=5, warmup=2, synchronize=None, clock=None):
    clock = time.perf_counter if clock is None else clock
    for _ in range(warmup):
        fn()
    times = []
    for _ in range(repeats):
        if synchronize is not None:
            synchronize()
        start = clock()
        fn()
        if synchronize is not None:
            synchronize()
        times.append(clock() - start)
    return statistics.fmean(times)


def _seconds_in_one_go(fn, repeats=5, warmup=2, synchronize=None, clock=None):
    read = clock or time.monotonic
    start = read()
    for turn in range(warmup + repeats):
        if turn == warmup:
            if synchronize:
                synchronize()
            start = read()
        fn()
    if synchronize:
        synchronize()
    return (read() - start) / repeats


RIGHT = {
    "11.1": [_input_with_torchvision, _input_with_constants_times_255],
    "11.2": [_freeze_at_once, _freeze_by_parts],
    "11.3": [_named_head, _own_class],
    "11.4": [EvalInForward, OverridesTrain],
    "11.5": [_extract_in_inference_mode, _extract_with_a_copy],
    "11.6": [_groups_with_sets, _groups_in_a_loop],
    "11.7": [_fold_with_fusion, _fold_by_hand],
    "11.8": [_wilson_roots, _wilson_pseudo_counts],
    "11.9": [_seconds_each, _seconds_in_one_go],
}
EQUIVALENT = {
    "11.1": {
        "mean = torch.tensor(MEAN, device=images.device) | torch.tensor: device=images.device dropped": "the same on a CPU",
        "std = torch.tensor(STD, device=images.device) | torch.tensor: device=images.device dropped": "the same on a CPU",
    },
    "11.3": {"return nn.Sequential(first, nn.ReLU(), nn.Dropout(dropout), last) | nn.Sequential(first, nn.ReLU(), nn.Dropout(dropout), last)"
             " -> nn.Sequential(first, nn.Dropout(dropout), nn.ReLU(), last)": "zeros stay zeros under ReLU, in either order"},
    "11.7": {"with torch.no_grad(): | unwrapped: with torch.no_grad()": "the new tensors are put into a layer as parameters anyway"},
}
ACCEPTED_IMPOSTORS = {}
LEAKS_ALLOWED = {"with torch.no_grad():": "known from lesson 05, and needed for every prediction"}


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
    assert [e.id for e in EXERCISES] == [f"11.{n}" for n in range(1, 10)]
    assert all(len(e.mistakes) >= 4 and len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 8


def test_the_quiz_has_right_letters_in_several_places():
    assert len({lesson.quiz[n].right_letter for n in range(1, 9)}) >= 3


def test_the_lesson_module_starts_without_torch():
    program = "import sys; import helpers.lessons.transfer_learning; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_right_answers_leave_the_random_state_alone():
    for exercise in EXERCISES:
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        exercise.examine(RIGHT[exercise.id][0])
        assert torch.equal(torch.random.get_rng_state(), before), exercise.title


# ---------------------------------------------------------------------------------------------- single exercises

def test_only_values_in_0_to_255_in_another_style_is_recognized():
    common.refused(lesson.to_model_input, lambda im: im.permute(0, 3, 1, 2).float() - 0.45, saying="scale to 0..1")


def test_freezing_without_eval_in_another_style_is_recognized():
    def loop(module):
        n = 0
        for p in module.parameters():
            n += p.numel() * int(p.requires_grad)
            p.requires_grad = False
        return n

    common.refused(lesson.freeze, loop, saying="BatchNorm statistics and dropout are not")


def test_a_head_with_a_softmax_in_another_style_is_recognized():
    class Soft(_Head):
        def forward(self, x):
            return super().forward(x).softmax(1)

    common.refused(lesson.make_head, lambda i, h, n, dropout=0.0: Soft((i, h, n), dropout), saying="no softmax")
    common.refused(lesson.make_head, lambda i, h, n, dropout=0.0: (i, h, n), saying="an nn.Module")
    common.refused(lesson.make_head, lambda i, h, n, dropout=0.0: _Head((i, h, n), dropout / 2))


def test_heads_that_drop_something_else_are_refused():
    def wrong_place(i, h, n, dropout=0.0):
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(i, h), nn.ReLU(), nn.Linear(h, n))

    def whole_rows(i, h, n, dropout=0.0):
        return nn.Sequential(nn.Linear(i, h), nn.ReLU(), nn.Dropout1d(dropout), nn.Linear(h, n))

    class Squeezed(_Head):
        def forward(self, x):
            return super().forward(x).squeeze()

    common.refused(lesson.make_head, wrong_place, saying="on the input")
    common.refused(lesson.make_head, whole_rows, saying="drop out together")
    common.refused(lesson.make_head, lambda i, h, n, dropout=0.0: Squeezed((i, h, n), dropout), saying="a dimension of size 1")


def test_odd_classes_get_a_message():
    check = lesson.FrozenFeatures
    common.refused(check, ..., outcome="not attempted")
    common.refused(check, None, saying="None")
    common.refused(check, lambda backbone, head: None, saying="a class")

    class NoModule:
        def __init__(self, backbone, head):
            pass

    class Unregistered(EvalInForward):
        def __init__(self, backbone, head):
            nn.Module.__init__(self)
            self.parts = [backbone.requires_grad_(False)]
            self.head = head

        backbone = property(lambda self: self.parts[0])

    class Fails(EvalInForward):
        def forward(self, x):
            return self.head(self.backbone(x))

    common.refused(check, NoModule, saying="an nn.Module")
    common.refused(check, Unregistered, saying="not both")
    common.refused(check, Fails, outcome="error")


def test_a_model_that_trains_its_base_is_recognized():
    class Open(OverridesTrain):
        def __init__(self, backbone, head):
            super().__init__(backbone, head)
            self.body.requires_grad_(True)

    common.refused(lesson.FrozenFeatures, Open, saying="Backbone parameters receive gradients")


def test_models_that_only_look_frozen_are_refused():
    class Squeezed(OverridesTrain):
        def forward(self, x):
            return self.head(self.body[:2](x).squeeze())

    class OnlyTheHead(EvalInForward):
        def train(self, mode=True):
            self.head.train(mode)
            return self

    class OnlyTheChildren(OverridesTrain):
        def train(self, mode=True):
            nn.Module.train(self, mode)
            for part in self.body[0]:
                part.eval()
            return self

    class Copies(OverridesTrain):
        def __init__(self, backbone, head):
            super().__init__(copy.deepcopy(backbone), copy.deepcopy(head))

    common.refused(lesson.FrozenFeatures, Squeezed, saying="a dimension of size 1")
    common.refused(lesson.FrozenFeatures, OnlyTheHead, saying="still says that it is training")
    common.refused(lesson.FrozenFeatures, OnlyTheChildren, saying="dropout of the backbone")
    common.refused(lesson.FrozenFeatures, Copies, saying="These are copies")


def test_extraction_in_two_passes_or_squeezed_is_refused():
    def two_passes(backbone, loader):
        backbone = copy.deepcopy(backbone).eval()
        with torch.no_grad():
            features = torch.cat([backbone(x).mean((2, 3)) for x, _ in loader])
        return features, torch.cat([y for _, y in loader])

    def squeezed(backbone, loader):
        backbone = copy.deepcopy(backbone).eval()
        with torch.no_grad():
            pairs = [(nn.functional.adaptive_avg_pool2d(backbone(x), 1).squeeze(), y) for x, y in loader]
        return torch.cat([f for f, _ in pairs]), torch.cat([y for _, y in pairs])

    common.refused(lesson.extract_features, two_passes, saying="another order each time")
    common.refused(lesson.extract_features, squeezed, saying="5, 1", outcome="error")


def test_a_head_is_not_found_by_its_name_its_place_or_its_numbers():
    def groups(is_body):
        def answer(model, head, a, b):
            both = ([p for p in head.parameters() if p.requires_grad], a), ([p for p in is_body(model, head) if p.requires_grad], b)
            return [{"params": params, "lr": lr} for params, lr in both if params]
        return answer

    for is_body in (lambda model, head: [p for n, p in model.named_parameters() if not n.startswith("head")],
                    lambda model, head: list(model.parameters())[:-4],
                    lambda model, head: [p for part in model.children() if part is not head for p in part.parameters()],
                    lambda model, head: [p for p in model.parameters() if not any(torch.equal(p, q) for q in head.parameters())]):
        common.refused(lesson.parameter_groups, groups(is_body))


def test_a_new_layer_of_the_default_dtype_is_a_right_answer():
    def fold(conv, bn):
        new = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation)
        slope = bn.weight / (bn.running_var + bn.eps).sqrt()
        old = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias
        with torch.no_grad():
            new.weight.copy_(conv.weight * slope[:, None, None, None])
            new.bias.copy_((old - bn.running_mean) * slope + bn.bias)
        return new

    common.passes(lesson.fold_batchnorm, fold)
    assert torch.get_default_dtype() == torch.float32


def test_an_interval_in_float32_is_a_right_answer_and_a_slip_is_named():
    def in_float32(correct, n, z=1.96):
        return tuple(torch.tensor(_wilson_roots(correct, n, z), dtype=torch.float32).tolist())

    def slip(correct, n, z=1.96):
        center = correct / n + z**2 / 2 * n
        return center / (1 + z**2 / n) - 0.1, center / (1 + z**2 / n) + 0.1

    common.passes(lesson.wilson_interval, in_float32)
    assert "percent" not in common.refused(lesson.wilson_interval, slip, saying="multiplies by n")


def test_a_clock_that_is_not_asked_is_named():
    common.refused(lesson.seconds_per_call, lambda fn, repeats=5, warmup=2, synchronize=None, clock=None:
                   _seconds_in_one_go(fn, repeats, warmup, synchronize), saying="`clock` is not used")


def test_extraction_in_train_mode_in_another_style_is_recognized():
    def as_it_comes(backbone, loader):
        with torch.inference_mode():
            pairs = [(backbone(x).mean((2, 3)), y) for x, y in loader]
        return torch.cat([f for f, _ in pairs]), torch.cat([y for _, y in pairs])

    common.refused(lesson.extract_features, as_it_comes, saying="train mode")


def test_groups_that_no_optimizer_takes():
    common.refused(lesson.parameter_groups, lambda model, head, a, b: [{"params": model.parameters(), "lr": a}])
    common.refused(lesson.parameter_groups, lambda model, head, a, b: [{"params": list(head.parameters())}], saying="lr")


def test_intervals_that_are_no_pair_of_numbers():
    common.refused(lesson.wilson_interval, lambda correct, n, z=1.96: _wilson_roots(correct, n, z)[::-1])
    common.refused(lesson.wilson_interval, lambda correct, n, z=1.96: list(map(str, _wilson_roots(correct, n, z))))


def test_the_simulated_device():
    device = lesson.FakeDevice(first=3.0, later=0.5)
    device.launch()
    assert device.clock() < 0.1
    device.launch()
    device.synchronize()
    device.synchronize()
    assert device.clock() == pytest.approx(3.5, abs=1e-3) and device.jobs == 2


# ---------------------------------------------------------------------------------------------- the lesson's helpers

@pytest.mark.parametrize("fold", [True, False])
def test_all_stages_are_the_averages_before_each_pool(fold):
    features = models.load_backbone("tiny", fold_bn=fold).features
    x = torch.randn(3, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        got = lesson.all_stages(features)(x)
        expected, pools = [], [i for i, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
        for end in [*pools, len(features)]:
            expected.append(features[:end](x).flatten(2).mean(2))
    assert got.shape == (3, 368, 1, 1)
    assert torch.allclose(got.flatten(1), torch.cat(expected, 1), atol=1e-6)
    assert not lesson.all_stages(features).training


def test_layers_are_found_by_name():
    b = models.load_backbone("tiny")
    assert lesson.layer_index(b, "conv5_1") == 20 and isinstance(b.features[20], nn.Conv2d)
    assert lesson.layer_index(models.load_backbone("tiny", fold_bn=False), "conv5_1") == 28


@pytest.mark.parametrize("name", ["conv5-1", "conv6_1", "", None, 20])
def test_an_unknown_layer_is_named(name):
    with pytest.raises(ValueError, match=r"there is no layer .*there are conv1_1, conv1_2"):
        lesson.layer_index(models.load_backbone("tiny"), name)


def test_a_network_without_layer_names_says_so():
    b = models.load_backbone("tiny")
    b.layer_names = {}
    with pytest.raises(ValueError, match="have no names"):
        lesson.layer_index(b, "conv5_1")


def test_nearest_rows_after_standardizing():
    X = torch.tensor([[0.0, 0], [1000, 1], [0, 1], [1000, 0]])
    assert lesson.nearest(X, torch.tensor([[900.0, 0.1], [100, 0.9]]), k=2).tolist() == [[3, 1], [2, 0]]
    pictures = torch.tensor([[0, 9], [255, 3], [7, 80]], dtype=torch.uint8)
    assert lesson.nearest(pictures, pictures, k=1).flatten().tolist() == [0, 1, 2]


def test_weights_here_downloads_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "_found", lambda name: tmp_path / "x.pth" if name == "vgg19" else None)
    found = lesson.weights_here()
    assert found["vgg19"] == "x.pth" and not found["vgg16"] and set(found) == set(models.LARGE)


def test_a_probe_learns_what_can_be_learned_and_leaves_the_random_state_alone():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(200) % 4
    X = torch.nn.functional.one_hot(y, 4) + 0.1 * torch.randn(200, 4, generator=generator)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    assert lesson.linear_probe(X[:150], y[:150], X[150:], y[150:]) > 0.95
    assert lesson.linear_probe(X[:150], y[:150], X[150:].flip(0) * 0, y[150:]) < 0.5
    splits = lesson.five_splits(X, y)
    assert len(splits) == 5 and min(splits) > 0.9
    noisy = X + 0.6 * torch.randn(200, 4, generator=generator)
    one_by_one = []
    for seed in range(5):
        rows = torch.randperm(200, generator=torch.Generator().manual_seed(seed))
        one_by_one.append(lesson.linear_probe(noisy[rows[:160]], y[rows[:160]], noisy[rows[160:]], y[rows[160:]]))
    assert lesson.five_splits(noisy, y) == pytest.approx(one_by_one, abs=0.03)  # at most one picture of 40
    right, n = lesson.five_folds(X, y)
    assert n == 200 and 190 < right <= 200
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_features_of_the_course_beat_random_ones_by_twelve_points():
    """On the drawn flowers, mean of five splits, against the mean of two random networks."""
    pictures = data.flower_pictures.flowers(60, 15, 64, seed=3)
    X, y = (torch.from_numpy(np.concatenate([pictures[i], pictures[i + 2]])) for i in (0, 1))
    x = tv.normalize(X.permute(0, 3, 1, 2) / 255, list(lesson.MEAN), list(lesson.STD))

    def mean_of_splits(b):
        with torch.no_grad():
            features = torch.cat([lesson.all_stages(b.features)(part) for part in x.split(25)]).flatten(1)
        return sum(lesson.five_splits(features, y)) / 5

    random = [mean_of_splits(models.backbone("random", seed=seed)) for seed in (0, 1)]
    assert mean_of_splits(models.load_backbone("tiny")) >= sum(random) / 2 + 0.12


def test_squares_of_the_drawn_animals():
    photos = data.cats_and_dogs()
    images, labels = lesson.squares(photos.test, 40)
    assert images.shape == (photos.n_test, 40, 40, 3) and images.dtype == torch.uint8
    assert labels.unique().tolist() == [0, 1]


def test_own_photos_good_and_bad(tmp_path):
    files = lesson.own_photos(tmp_path)
    for name in ("color", "gray", "transparent"):
        assert read_photo(files[name]).shape == (160, 200, 3), name
    gray = read_photo(files["gray"])
    assert (gray[..., 0] == gray[..., 1]).all()
    for name, saying in (("one pixel", "1 x 1"), ("cut off", "cut off"), ("no picture", "no picture"), ("missing", "did you mean")):
        with pytest.raises(UnusablePhoto, match=saying):
            read_photo(files[name])


@pytest.fixture
def shown(monkeypatch):
    found = []
    monkeypatch.setattr(lesson.plots, "show", lambda fig, alt, **options: found.append(alt))
    return found


def test_captions_say_the_numbers_that_are_drawn(shown):
    lesson.show_trap([0, 10], [0.787, 0.253])
    lesson.show_accuracies({"a": 0.5, "b": 0.253}, 0.2)
    lesson.show_intervals([("43 of 49", 43 / 49, (0.758, 0.943))])
    lesson.show_finetuning({"recipe": [0.8, 0.95]})
    lesson.show_vgg16([1_000_000] * 13 + [102_764_544, 16_781_312, 4_097_000])
    for alt, number in zip(shown, ("25.3 %", "a 50.0 %", "75.8 to 94.3 %", "80.0 to 95.0 %", "102.8 million"), strict=True):
        assert number in alt


def test_figures_without_data(shown):
    for draw in (lesson.show_two_halves, lesson.show_architectures, lesson.show_switches, lesson.show_recipe, lesson.show_queue,
                 lesson.show_transfer, lesson.show_ladder):
        draw()
    assert len(shown) == 7 and all(len(alt) > 60 for alt in shown)


def test_figures_of_pictures(shown):
    images = np.random.default_rng(0).integers(0, 256, (10, 40, 40, 3), dtype=np.uint8)
    lesson.show_kinds(images, np.arange(10) % 5, data.FLOWER_CLASSES, each=2)
    lesson.show_stages(images[0], models.load_backbone("tiny").features, lesson.MEAN, lesson.STD)
    ways = {"pixels": torch.tensor([[5, 6], [1, 2]]), "features": torch.tensor([[0, 5], [6, 2]])}
    lesson.show_neighbors((0, 1), (images, np.arange(10) % 5), (images, np.arange(10) % 5), ways)
    lesson.show_contract(np.zeros((300, 400, 3), np.uint8))
    lesson.show_inputs({"right": torch.randn(3, 8, 8), "wrong": torch.rand(3, 8, 8)}, {"right": 0.9, "wrong": 0.4})
    lesson.show_own_photo(images[0], images[1], ("a", "b"), torch.tensor([0.2, 0.8]))
    conv, norm = models.load_backbone("tiny", fold_bn=False).features[:2]
    lesson.show_line(conv, norm, torch.randn(1, 3, 20, 20))
    assert "2 of 4 nearest in pixels, 3 of 4 nearest in features" in shown[2]
    assert "says b, with 0.80" in shown[5] and "256" in shown[3]
