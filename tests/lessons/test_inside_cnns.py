"""The checks of lesson 12: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import contextlib
import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.lessons import exercises
from helpers.lessons import inside_cnns as lesson
from tests.lessons import common

EXERCISES = exercises(lesson)
ARITY = {"12.1": 3, "12.2": 1, "12.3": 5, "12.4": 1, "12.5": 7, "12.6": 7, "12.7": 4, "12.8": 4}
FUNCTIONS = [e for e in EXERCISES if e.id in ARITY]


# ---------------------------------------------------------------------------------------------- right answers

def _record_with_a_stack(model, x, names):
    found, places = {}, dict(model.named_modules())
    with contextlib.ExitStack() as stack, torch.no_grad():
        for name, module in [(n, places[n]) for n in names]:
            def hook(_, __, out, name=name):
                found[name] = out.clone()
            stack.callback(module.register_forward_hook(hook).remove)
        model(x)
    return dict(sorted(found.items(), key=lambda item: names.index(item[0])))


def _record_on_a_copy(model, x, names):
    twin, results = copy.deepcopy(model), {}
    modules = {name: module for name, module in twin.named_modules()}
    for name in names:
        modules[name].register_forward_hook(lambda m, i, out, name=name: results.update({name: out.detach().clone()}))
    twin(x.detach())
    return {name: results[name] for name in names}


def _sparsity_with_nonzero(activations):
    result = {}
    for name, a in activations.items():
        active = torch.count_nonzero(a, dim=(0, 2, 3))
        result[name] = (1 - active.sum().item() / a.numel(), int((active == 0).sum()))
    return result


def _sparsity_with_numpy(activations):
    return {k: (float(np.mean(v.cpu().numpy() == 0)), int(np.sum(~np.any(v.cpu().numpy(), axis=(0, 2, 3))))) for k, v in activations.items()}


def _top_with_unravel(model, layer, channel, images, k):
    maps = _record_with_a_stack(model, images, [layer])[layer][:, channel].cpu().numpy()
    hits = []
    for number, one in enumerate(maps):
        row, column = np.unravel_index(one.argmax(), one.shape)
        hits.append((number, int(row), int(column), float(one.max())))
    return sorted(hits, key=lambda hit: hit[3], reverse=True)[:k]


def _top_with_topk(model, layer, channel, images, k):
    maps = lesson._reference_record(model, images, [layer])[layer][:, channel]
    rows, row_at = maps.max(2)
    best, at = rows.max(1)
    order = best.topk(k).indices
    return [(int(i), int(at[i]), int(row_at[i, at[i]]), float(best[i])) for i in order]


def _picture_with_clone(x):
    y = x.detach().clone().double()
    y.sub_(y.mean()).div_(y.std(correction=0) + 1e-5).mul_(0.1).add_(0.5).clamp_(0, 1)
    return torch.movedim(y.mul(255), 0, -1).byte()


def _picture_with_numpy(x):
    y = x.detach().cpu().numpy().transpose(1, 2, 0)
    y = 0.5 + 0.1 * (y - y.mean()) / (y.std() + 1e-5)
    return torch.from_numpy(np.uint8(255 * np.clip(y, 0, 1))).to(x.device)


def _maximize_on_a_frozen_copy(model, layer, channel, size=24, steps=20, step_size=0.5, seed=0):
    net = copy.deepcopy(model).requires_grad_(False)
    seen = {}
    dict(net.named_modules())[layer].register_forward_hook(lambda m, i, out: seen.update(score=out[0, channel].mean()))
    g = torch.Generator()
    g.manual_seed(seed)
    x, history = (torch.randn((1, 3, size, size), generator=g) * 0.1).to(next(model.parameters()).device), []
    for _ in range(steps):
        x = x.detach().requires_grad_(True)
        net(x)
        history.append(float(seen["score"]))
        seen["score"].backward()
        x = x + step_size * x.grad / ((x.grad**2).mean() ** 0.5 + 1e-5)
    return x.detach(), history


def _maximize_with_a_negative_loss(model, layer, channel, size=24, steps=20, step_size=0.5, seed=0):
    x = 0.1 * torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(seed)).to(next(model.parameters()).device)
    values = torch.zeros(steps)
    for step in range(steps):
        picture = x.clone().requires_grad_()
        with lesson.watch(model, [layer]) as seen:
            model(picture)
        loss = -seen[layer][0][channel].mean()
        values[step] = -loss.detach()
        (grad,) = torch.autograd.grad(loss, picture)
        x = x - step_size * grad / (torch.linalg.vector_norm(grad) / grad.numel() ** 0.5 + 1e-5)
    return x, values.tolist()


def _ascend(model, layers, x, step_size):
    x = x.detach().requires_grad_()
    with lesson.watch(model, layers) as seen:
        model(x)
    (grad,) = torch.autograd.grad(sum((seen[name] ** 2).mean() for name in layers), x)
    return (x + step_size * grad / (grad.square().mean().sqrt() + 1e-5)).detach()


def _dream_keeping_the_difference(model, layers, image, octaves=3, scale=1.4, steps=4, step_size=0.05):
    height, width = image.shape[2:]
    difference = image[:, :, :1, :1] * 0
    for k in range(octaves - 1, -1, -1):
        size = (round(height / scale**k), round(width / scale**k))
        base = F.interpolate(image, size, mode="bilinear", align_corners=False)
        dream = base + F.interpolate(difference, size, mode="bilinear", align_corners=False)
        for _ in range(steps):
            dream = _ascend(model, layers, dream, step_size)
        difference = dream - base
    return image + difference


def _dream_with_a_list_of_sizes(model, layers, image, octaves=3, scale=1.4, steps=4, step_size=0.05):
    sizes = sorted([int(round(s / scale**k)) for s in image.shape[-2:]] for k in range(octaves))
    resize = nn.functional.interpolate
    added = None
    for size in sizes:
        photo = resize(image, size=size, mode="bilinear")
        x = photo if added is None else photo + resize(added, size=size, mode="bilinear")
        for _ in range(steps):
            x = _ascend(model, list(layers), x, step_size)
        added = x - photo
    return x


def _heat_from_a_leaf(model, layer, image, class_index=None):
    names = [name for name, _ in model.named_children()]
    cut = names.index(layer) + 1
    with torch.no_grad():
        maps = model[:cut](image)
    maps.requires_grad_()
    scores = model[cut:](maps).flatten()
    k = scores.argmax() if class_index is None else class_index
    (g,) = torch.autograd.grad(scores[k], [maps])
    heat = torch.einsum("c,chw->hw", g[0].flatten(1).mean(1), maps[0].detach()).clamp(min=0)
    return heat / heat.max().clamp(min=1e-20)


def _heat_as_a_mean_over_channels(model, layer, image, class_index=None):
    with lesson.watch(model, [layer]) as seen:
        logits = model(image)
    a = seen[layer]
    chosen = int(logits[0].argmax()) if class_index is None else class_index
    weights = torch.autograd.grad(logits[0, chosen], a)[0].mean(dim=(2, 3))[0]
    heat = F.relu((weights[:, None, None] * a[0]).mean(0)).detach()
    return heat / heat.max() if heat.any() else heat


def _overlay_with_lerp(photo, heat, colormap, alpha=0.4):
    big = F.interpolate(heat.unsqueeze(0).unsqueeze(0), tuple(photo.shape[:2]), mode="bilinear", align_corners=False).squeeze()
    return torch.lerp(photo, colormap(big), alpha).clip(0.0, 1.0)


def _overlay_with_upsample(photo, heat, colormap, alpha=0.4):
    height, width, _ = photo.shape
    color = colormap(nn.Upsample((height, width), mode="bilinear")(heat[None, None])[0, 0])
    return torch.clamp(photo + alpha * (color - photo), min=0, max=1)


RIGHT = {
    "12.1": [_record_with_a_stack, _record_on_a_copy],
    "12.2": [_sparsity_with_nonzero, _sparsity_with_numpy],
    "12.3": [_top_with_unravel, _top_with_topk],
    "12.4": [_picture_with_clone, _picture_with_numpy],
    "12.5": [_maximize_on_a_frozen_copy, _maximize_with_a_negative_loss],
    "12.6": [_dream_keeping_the_difference, _dream_with_a_list_of_sizes],
    "12.7": [_heat_from_a_leaf, _heat_as_a_mean_over_channels],
    "12.8": [_overlay_with_lerp, _overlay_with_upsample],
}
EQUIVALENT = {
    "12.4": {"return (x.clamp(0, 1) * 255).to(torch.uint8).permute(1, 2, 0) | 255 -> 254": "one gray level is tolerated"},
    "12.6": {"size = [round(n / scale**k) for n in image.shape[2:]] | 2 -> -2": "of four axes the last two"},
    "12.7": {
        "heat = (maps * grad.mean((2, 3), keepdim=True)).sum((0, 1)).relu().detach() | sum -> mean": "divided by the maximum anyway",
        "heat = (maps * grad.mean((2, 3), keepdim=True)).sum((0, 1)).relu().detach() | mean -> sum": "divided by the maximum anyway",
    },
}
ACCEPTED_IMPOSTORS = {"12.3": {"dtype": "row 2 and row 2.0 are the same row"}}
LEAKS_ALLOWED = {"with lesson.watch(model, [layer]) as seen:": "the tool that the text introduces, and how it is called"}


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
    assert [e.id for e in EXERCISES] == [f"12.{n}" for n in range(1, 9)]
    assert all(len(e.mistakes) >= 4 and len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 7


def test_the_quiz_has_right_letters_in_several_places():
    assert len({lesson.quiz[n].right_letter for n in range(1, 8)}) >= 3


def test_the_lesson_module_starts_without_torch():
    program = "import sys; import helpers.lessons.inside_cnns; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_right_answers_leave_the_random_state_alone():
    for exercise in EXERCISES:
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        exercise.examine(RIGHT[exercise.id][0])
        assert torch.equal(torch.random.get_rng_state(), before), exercise.title


def test_a_message_names_the_mistake_that_was_made():
    """Answers that look alike at the first fact that differs."""
    common.refused(lesson.record_activations, lesson._record_with(clone=False), saying="Clone it")
    common.refused(lesson.record_activations, lesson._record_with(hands_back=True), saying="A hook that only looks returns None")
    common.refused(lesson.class_heatmap, lesson._heatmap_with(divide=lambda heat: heat / heat.sum()), saying="You divide by the sum")
    common.refused(lesson.class_heatmap, lesson._heatmap_with(index=lambda scores, k: k or int(scores.argmax())), saying="Class 0")
    text = common.refused(lesson.deep_dream, lambda *a, **k: lesson._dream_with()(*a, **k) * 1.0 + 0.003)
    assert "times what it should be" not in text


# ---------------------------------------------------------------------------------------------- the lesson's tools

def test_watching_leaves_no_hook_and_survives_an_in_place_relu():
    model = lesson.looking_net()
    x = lesson._numbers(1, 3, 12, 14, seed=1)
    with lesson.watch(model, ["stem", "block.conv"]) as seen:
        model(x)
    assert (seen["stem"] < 0).any() and (seen["block.conv"] < 0).any()
    assert torch.allclose(seen["stem"], lesson._layers_of(model, x)["stem"], atol=1e-5)
    assert lesson._state_of(model)["hooks left on the model"] == "0"
    with pytest.raises(KeyError), lesson.watch(model, ["nowhere"]):
        pass
    assert lesson._state_of(model)["hooks left on the model"] == "0"


def test_watching_a_frozen_network_still_gives_gradients():
    model = lesson.judging_net().requires_grad_(False)
    with lesson.watch(model, ["out"]) as seen:
        scores = model(lesson._numbers(1, 3, 12, 14, seed=1))
    assert torch.autograd.grad(scores[0, 1], seen["out"])[0].abs().max() > 0


def test_the_judging_net_is_no_degenerate_case():
    """Another class than 0 is predicted, and class 3 has no evidence in its favor."""
    model, image = lesson.judging_net(), lesson._numbers(1, 3, 12, 14, seed=11)
    assert model(image)[0].argmax().item() not in (0, 3)
    heats = [lesson._heatmap_with()(model, "out", image, k) for k in range(4)]
    assert heats[3].max() == 0 and all(h.max() == 1 for h in heats[:3])
    assert not torch.allclose(heats[0], heats[1], atol=0.1)


@pytest.mark.parametrize("index, name", [(0, "conv1_1"), (2, "conv1_2"), (7, "conv2_2"), (12, "conv3_2"), (17, "conv4_2")])
def test_a_value_sees_its_receptive_field_and_nothing_else(index, name):
    from helpers.models import load_backbone

    backbone = load_backbone("random")
    assert backbone.layer_names[index] == name
    part = backbone.features[:index + 1]
    field, stride = lesson.receptive_field(backbone.features, index)
    side = 96
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0), requires_grad=True)
    row, column = (side // stride) // 2, (side // stride) // 2 - 1
    (g,) = torch.autograd.grad(part(x)[0, :, row, column].abs().sum(), x)
    seen = g[0].abs().sum(0) > 0
    top, left, bottom, right = lesson.box(row, column, field, stride, side)
    inside = torch.zeros_like(seen)
    inside[top:bottom, left:right] = True
    assert not (seen & ~inside).any(), "it sees something outside of the box"
    assert seen.any(1).sum() >= field - 4 and seen.any(0).sum() >= field - 4, "the box is too large"


def test_a_box_ends_at_the_edge():
    assert lesson.box(0, 0, 32, 4, 96)[:2] == (0, 0)
    assert lesson.box(23, 23, 32, 4, 96)[2:] == (96, 96)


def test_grids_leave_the_maps_alone_and_draw_dead_ones_gray():
    maps = lesson._numbers(5, 3, 4, seed=2)
    maps[3] = 0.25
    before = maps.clone()
    sheet = lesson.grid(maps, columns=4)
    assert torch.equal(maps, before) and sheet.shape == (2 * 4 - 1, 4 * 5 - 1)
    assert (sheet[:3, 15:19] == 128).all()


def test_a_mosaic_of_64_pictures_has_547_pixels_a_side():
    assert lesson.mosaic([np.zeros((64, 64, 3), np.uint8)] * 64, 8).shape == (547, 547, 3)


def test_heat_inside_a_mask():
    mask = np.zeros((8, 8), bool)
    mask[:, :4] = True
    assert abs(lesson.heat_inside(torch.ones(4, 4), mask) - 1) < 1e-6
    left = torch.tensor([[1.0, 1, 0, 0]] * 4)
    assert lesson.heat_inside(left, mask) > 1.8
    assert lesson.heat_inside(torch.zeros(4, 4), mask) == 0


def test_bilinear_by_hand_is_that_of_torch():
    heat = np.random.default_rng(0).random((3, 5))
    ours = lesson._bilinear(heat, 11, 8)
    torchs = F.interpolate(torch.tensor(heat)[None, None], size=(11, 8), mode="bilinear", align_corners=False)[0, 0].numpy()
    assert np.allclose(ours, torchs, atol=1e-9)


def test_colors_run_from_dark_to_bright():
    shades = lesson.colors(torch.linspace(0, 1, 9)[None])[0]
    assert shades.shape == (9, 3) and (shades.sum(1).diff() > 0).all()


def test_the_network_of_lesson_10_under_any_attribute_names(tmp_path, monkeypatch):
    from helpers.lessons import cnns

    path = tmp_path / "net.pt"
    monkeypatch.setattr(cnns, "photo_net_file", lambda size: path)
    fresh = lesson.photo_net(64, epochs=0)
    assert fresh.weights.startswith("of 0 epochs") and fresh(torch.zeros(2, 3, 64, 64)).shape == (2,)
    renamed = {f"layer{n}": p.detach() + 1 for n, p in enumerate(fresh.parameters())}
    torch.save(renamed, path)
    again = lesson.photo_net(64)
    assert again.weights == "saved by lesson 10"
    assert all(torch.equal(a, b + 1) for a, b in zip(again.parameters(), fresh.parameters(), strict=True))
    path.write_bytes(b"broken")
    assert lesson.photo_net(64, epochs=0).weights.startswith("of 0 epochs")


def test_without_lesson_10_the_network_learns_here(tmp_path, monkeypatch):
    from helpers.lessons import cnns

    monkeypatch.setattr(cnns, "photo_net_file", lambda size: tmp_path / "none.pt")
    monkeypatch.setenv("COURSE_DATA", "standin")
    state = torch.random.get_rng_state()
    untouched, learned = lesson.photo_net(48, epochs=0), lesson.photo_net(48, epochs=1)
    assert learned.weights.startswith("of 1 epochs") and not learned.training
    assert any(not torch.equal(a, b) for a, b in zip(untouched.parameters(), learned.parameters(), strict=True))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_adam_by_hand_is_that_of_torch():
    start = lesson._numbers(3, 5, seed=1)
    ours, torchs = start.clone().requires_grad_(), start.clone().requires_grad_()
    optimizer = torch.optim.Adam([torchs], lr=0.05, weight_decay=0.01)
    lesson._adam([ours], lambda step: (ours**2).sum() + step * ours.sum(), 6, lr=0.05, decay=0.01)
    for step in range(6):
        optimizer.zero_grad()
        ((torchs**2).sum() + step * torchs.sum()).backward()
        optimizer.step()
    assert torch.allclose(ours, torchs, atol=1e-5) and not torch.allclose(ours, start, atol=0.1)
