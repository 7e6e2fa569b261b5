"""The checks of lesson 13: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import functional

from authoring import train_style
from helpers import devices, paintings
from helpers.lessons import exercises
from helpers.lessons import style_transfer as lesson
from helpers.models import load_backbone
from helpers.photos import UnusablePhoto
from tests.lessons import common

EXERCISES = exercises(lesson)
ARITY = {"13.1": 1, "13.2": 1, "13.3": 3, "13.4": 1, "13.5": 3, "13.7": 1, "13.8": 10}
FUNCTIONS = [e for e in EXERCISES if e.id in ARITY]
MEAN, STD = (np.array(v, dtype=np.float32) for v in (lesson.MEAN, lesson.STD))


# ---------------------------------------------------------------------------------------------- right answers

def _convert_in_numpy(tensor):
    x = tensor.detach().cpu().numpy()[0]
    return np.clip(np.transpose(x, (1, 2, 0)) * STD + MEAN, 0, 1)


def _convert_with_normalize(tensor):
    back = functional.normalize(tensor.detach()[0].cpu(), (-MEAN / STD).tolist(), (1 / STD).tolist())
    return back.clamp(0, 1).movedim(0, 2).numpy()


def _names_counting_pools(features):
    pools = [i for i, m in enumerate(features) if isinstance(m, nn.MaxPool2d | nn.AvgPool2d)]
    found = {}
    for index in [i for i, m in enumerate(features) if isinstance(m, nn.Conv2d)]:
        block = 1 + sum(p < index for p in pools)
        place = 1 + sum(name.startswith(f"conv{block}_") for name in found.values())
        found[index] = f"conv{block}_{place}"
    return found


def _names_by_class_name(features):
    block, place, found = 1, 1, {}
    for index, layer in enumerate(features.children()):
        kind = type(layer).__name__
        if "Pool" in kind:
            block += 1
            place = 1
        if kind == "Conv2d":
            found[index] = "conv" + str(block) + "_" + str(place)
            place += 1
    return found


def _features_by_slices(image, model, layers):
    return {name: model[:index + 1](image) for index, name in layers.items()}


def _features_by_parts(image, model, layers):
    found, begin, x = {}, 0, image
    for index in sorted(layers):
        x = model[begin:index + 1](x)
        found[layers[index]] = x * 1.0
        begin = index + 1
    return found


def _features_by_hooks(image, model, layers):
    found, handles = {}, []
    for index, name in layers.items():
        def keep(module, inputs, output, name=name):
            found[name] = output.clone()
        handles.append(model[index].register_forward_hook(keep))
    model[:max(layers) + 1](image)
    for handle in handles:
        handle.remove()
    return found


def _gram_by_einsum(features):
    if len(features) != 1:
        raise ValueError("one at a time")
    return torch.einsum("nchw,ndhw->cd", features, features)


def _gram_by_tensordot(features):
    (f,) = features  # ValueError for another number of pictures
    return torch.tensordot(f, f, dims=([1, 2], [1, 2]))


def _style_with_frobenius(target_features, style_grams, weights):
    terms = []
    for name in weights:
        _, c, h, w = target_features[name].shape
        gap = _gram_by_einsum(target_features[name]) - style_grams[name]
        terms.append(weights[name] * gap.pow(2).sum() / (c * c) / (c * h * w))
    return torch.stack(terms).sum()


def _style_with_mse(target_features, style_grams, weights):
    return sum(w * nn.functional.mse_loss(_gram_by_tensordot(target_features[k]), style_grams[k]) / target_features[k].numel()
               for k, w in weights.items())


def _target_as_parameter(content, noise=0.0, generator=None):
    z = torch.randn(content.shape, generator=generator, dtype=content.dtype, device=content.device)
    return nn.Parameter(content.detach().clone().contiguous() + noise * z)


def _target_by_copying(content, noise=0.0, generator=None):
    target = torch.empty(tuple(content.shape), dtype=content.dtype, device=content.device)
    target.copy_(content.detach())
    if noise:
        target += noise * torch.empty_like(target).normal_(generator=generator)
    target.requires_grad = True
    return target


def _variation_with_diff(image):
    return sum(image.diff(dim=axis).pow(2).mean() for axis in (-1, -2))


def _variation_with_mse(image):
    mse = nn.functional.mse_loss
    return mse(image[..., 1:, :], image[..., :-1, :]) + mse(image[..., :, :-1], image[..., :, 1:])


def _bounds(like):
    mean, std = (torch.tensor(v, dtype=torch.float64).to(like).reshape(3, 1, 1) for v in (lesson.MEAN, lesson.STD))
    return (0 - mean) / std, (1 - mean) / std


def _stylize_with_a_frozen_copy(content, style, model, layers, style_weights, content_layer, alpha=1.0, beta=1e3, steps=30, lr=0.05):
    import copy

    network = copy.deepcopy(model).requires_grad_(False)
    aim = _features_by_slices(content, network, layers)[content_layer].detach()
    grams = {k: _gram_by_einsum(v).detach() for k, v in _features_by_slices(style, network, layers).items()}
    target = _target_by_copying(content)
    optimizer, history = torch.optim.Adam([target], lr), []

    def closure():
        optimizer.zero_grad()
        found = _features_by_slices(target, network, layers)
        loss = alpha * nn.functional.mse_loss(found[content_layer], aim) + beta * _style_with_mse(found, grams, style_weights)
        loss.backward()
        history.append(float(loss.detach()))
        return loss

    for _ in range(steps):
        optimizer.step(closure)
        lo, hi = _bounds(target)
        target.data = torch.minimum(torch.maximum(target.data, lo), hi)
    return target.detach().clone(), history


def _stylize_channel_by_channel(content, style, model, layers, style_weights, content_layer, alpha=1.0, beta=1e3, steps=30, lr=0.05):
    with torch.no_grad():
        aims, ofs = _features_by_parts(content, model, layers), _features_by_parts(style, model, layers)
    grams = {k: _gram_by_tensordot(ofs[k]) for k in style_weights}
    x, history = _target_as_parameter(content), []
    adam = torch.optim.Adam([x], lr=lr)
    for _ in range(steps):
        f = _features_by_parts(x, model, layers)
        total = alpha * ((f[content_layer] - aims[content_layer]) ** 2).mean() + beta * _style_with_frobenius(f, grams, style_weights)
        history += [total.item()]
        (x.grad,) = torch.autograd.grad(total, x)
        adam.step()
        with torch.no_grad():
            for c, (lo, hi) in enumerate(zip(*_bounds(x), strict=True)):
                x[:, c].clamp_(lo.item(), hi.item())
    return x.data, history


RIGHT = {
    "13.1": [_convert_in_numpy, _convert_with_normalize],
    "13.2": [_names_counting_pools, _names_by_class_name],
    "13.3": [_features_by_slices, _features_by_parts, _features_by_hooks],
    "13.4": [_gram_by_einsum, _gram_by_tensordot],
    "13.5": [_style_with_frobenius, _style_with_mse],
    "13.6": [_target_as_parameter, _target_by_copying],
    "13.7": [_variation_with_diff, _variation_with_mse],
    "13.8": [_stylize_with_a_frozen_copy, _stylize_channel_by_channel],
}
EQUIVALENT = {
    "13.5": {"gap = (gram_matrix(f) - style_grams[name]).square().mean() | gram_matrix(f) - style_grams[name] -> "
             "style_grams[name] - gram_matrix(f)": "the difference is squared"},
    "13.8": {"total = alpha * (found[content_layer] - wanted).square().mean() | found[content_layer] - wanted -> "
             "wanted - found[content_layer]": "the difference is squared",
             "with torch.no_grad(): | unwrapped: with torch.no_grad()": "it saves memory: the graph of the aims is never used"},
}
ACCEPTED_IMPOSTORS = {}
LEAKS_ALLOWED = {"with torch.no_grad():": "known from lesson 05"}


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
    assert [e.id for e in EXERCISES] == [f"13.{n}" for n in range(1, 9)]
    assert all(len(e.mistakes) >= 5 and len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 8


def test_the_quiz_has_right_letters_in_several_places():
    assert len({lesson.quiz[n].right_letter for n in range(1, 9)}) >= 3


def test_the_lesson_module_starts_without_torch():
    program = "import sys; import helpers.lessons.style_transfer; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_right_answers_leave_the_random_state_alone():
    for exercise in EXERCISES:
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        exercise.examine(RIGHT[exercise.id][0])
        assert torch.equal(torch.random.get_rng_state(), before), exercise.title


# ---------------------------------------------------------------------------------------------- single exercises

def test_variants_of_mistakes_are_recognized():
    def kept(image, model, layers):
        x, found = image, {}
        for index in range(max(layers) + 1):
            x = model[index](x)
            found |= {layers[index]: x} if index in layers else {}
        return found

    def numbered(image, model, layers):
        return {str(index): f for index, f in zip(layers, _features_by_slices(image, model, layers).values(), strict=True)}

    def moved(content, noise=0.0, generator=None):
        return content.detach().clone().requires_grad_().mul(1.0)

    def with_backward(*args, **kwargs):
        model = args[2]
        picture, history = _stylize_with_a_frozen_copy(*args, **kwargs)
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        return picture, history

    common.refused(lesson.get_features, kept, saying="worked in place")
    common.refused(lesson.get_features, numbered, saying="Use the names")
    common.refused(lesson.new_target, moved, saying="Not a leaf")
    common.refused(lesson.stylize, with_backward, saying="torch.autograd.grad")


def test_a_second_fault_does_not_hide_the_first():
    def divided(features):  # and no ValueError for a batch
        f = features.flatten(2)[0]
        return f @ f.T / f.numel()

    def dealt_out(features):
        f = features.reshape(-1, features.shape[1])
        return f.T @ f

    def forgotten(content, noise=0.0, generator=None):  # the strides of the content too
        return content.detach().clone() + noise * torch.randn(content.shape, generator=generator, dtype=content.dtype)

    def from_the_front(image):  # fails for fewer axes
        return (image[:, 1:] - image[:, :-1]).pow(2).mean() + (image[:, :, 1:] - image[:, :, :-1]).pow(2).mean()

    common.refused(lesson.gram_matrix, divided, saying="Divided by C·H·W")
    common.refused(lesson.gram_matrix, dealt_out, saying="deals the values out anew")
    common.refused(lesson.new_target, forgotten, saying="No gradient is asked for")
    common.refused(lesson.total_variation, from_the_front, saying="You compare colors")


def test_answers_that_are_right_in_the_easy_cases_only():
    def in_steps_of_two(features):
        names, block, start = {}, 1, 0
        for index, layer in enumerate(features):
            if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
                block, start = block + 1, index + 1
            elif isinstance(layer, nn.Conv2d):
                names[index] = f"conv{block}_{1 + (index - start) // 2}"
        return names

    def squeezed(tensor):
        return _convert_in_numpy(tensor)[0] if tensor.shape[2] == 1 else _convert_in_numpy(tensor)

    def with_one_map(features):
        f = _gram_by_einsum(features)  # ValueError for a batch
        return features.squeeze() @ features.squeeze().T if features.shape[1] == 1 else f

    common.refused(lesson.vgg_layer_names, in_steps_of_two, saying="steps of two")
    common.refused(lesson.im_convert, squeezed, saying="squeeze(0)")
    common.refused(lesson.gram_matrix, with_one_map, saying="squeeze(0)")


@pytest.mark.parametrize(("act", "saying"), [
    (lambda model: model.train(), "training and eval"),
    (lambda model: model.requires_grad_(False), "requires_grad of its weights changed"),
    (lambda model: setattr(model[1], "inplace", False), "keep clones"),
    (lambda model: model[0].register_forward_hook(lambda *args: None), "handle.remove()"),
    (lambda model: model.__setitem__(1, nn.ReLU()), "its modules are others"),
], ids=["mode", "frozen", "inplace", "hook", "module"])
def test_looking_leaves_the_network_alone(act, saying):
    def look(image, model, layers):
        act(model)
        return _features_by_parts(image, model, layers)

    common.refused(lesson.get_features, look, saying=saying)


def test_a_copy_of_the_image_is_no_missing_return():
    def copied(image, model, layers):
        return _features_by_parts(image.detach().clone().requires_grad_(), model, layers)

    assert "`return`" not in common.refused(lesson.get_features, copied, saying="gradients reach the copy")


def test_messages_say_nothing_false():
    def clamped(content, noise=0.0, generator=None):
        return _target_as_parameter(content, noise, generator).detach().clamp(0, 1).requires_grad_()

    def one_number(content, noise=0.0, generator=None):
        z = torch.randn(1, generator=generator, dtype=content.dtype).to(content.device)
        return (content.detach() + noise * z).contiguous().requires_grad_()

    def switched_off(tensor):
        return _convert_in_numpy(tensor.detach_())

    def noisy_start(*args, **kwargs):
        return _stylize_channel_by_channel(args[0] + 0.3 * torch.randn_like(args[0]), *args[1:], **kwargs)

    common.refused(lesson.new_target, clamped, saying="Clamped to 0..1")
    common.refused(lesson.new_target, one_number, saying="A single random number")
    common.refused(lesson.im_convert, switched_off, saying="lost its gradient")
    assert "step()" not in common.refused(lesson.stylize, noisy_start)


def test_odd_answers_to_a_new_target():
    common.refused(lesson.new_target, ..., outcome="not attempted")
    common.refused(lesson.new_target, lambda content, noise=0.0, generator=None: None, saying="None")
    common.refused(lesson.new_target, lambda content, noise=0.0, generator=None: 3.0, saying="a tensor")
    common.refused(lesson.new_target, lambda: None, saying="called")
    common.refused(lesson.new_target, lambda content, noise=0.0, generator=None: content[..., 1:].detach().clone().requires_grad_())


def test_odd_histories():
    def tensors(*args, **kwargs):
        picture, history = _stylize_channel_by_channel(*args, **kwargs)
        return picture, [torch.tensor(v) for v in history]

    def short(*args, **kwargs):
        picture, history = _stylize_channel_by_channel(*args, **kwargs)
        return picture, history[1:]

    def pairs(*args, **kwargs):
        picture, history = _stylize_channel_by_channel(*args, **kwargs)
        return picture, [(v, 0.0) for v in history]

    assert "graph" not in common.refused(lesson.stylize, tensors, saying="tensors")
    common.refused(lesson.stylize, pairs, saying="a list of 30, the first of them (")
    common.refused(lesson.stylize, short, saying="29 values")
    common.refused(lesson.stylize, lambda *args, **kwargs: _stylize_channel_by_channel(*args, **kwargs)[0])


def test_the_picture_changes_as_much_as_the_contract_says():
    network, content = lesson._network(190), lesson._colors(1, 3, 24, 20, seed=191)
    style = lesson._colors(1, 3, 16, 28, seed=180) * 0.5
    _, history = lesson._reference_stylize(content, style, network, lesson._NUMBERED, lesson._STYLE_LAYERS, "conv1_2", 1.0, 0.02)
    assert history[-1] < 0.25 * history[0]


# ---------------------------------------------------------------------------------------------- pictures and layers

def test_an_unknown_layer_is_named():
    names = {0: "conv1_1", 2: "conv1_2"}
    assert lesson.layers_named(names, ["conv1_2"]) == {2: "conv1_2"}
    with pytest.raises(lesson.UnknownLayer, match=r"no layer 'conv12' \(did you mean conv1_2\?\); it has conv1_1, conv1_2") as caught:
        lesson.layers_named(names, ["conv12"])
    assert caught.value._render_traceback_()[0].startswith("✗")
    with pytest.raises(lesson.UnknownLayer, match="it has no names"):
        lesson.layers_named({}, ["conv1_1"])


@pytest.mark.parametrize(("mode", "color"), [("L", 90), ("RGBA", (9, 9, 9, 0)), ("LA", (50, 255)), ("P", 3), ("1", 1), ("I;16", 3000)])
def test_pictures_of_all_kinds_become_colors(mode, color, tmp_path):
    Image.new(mode, (40, 30), color).save(tmp_path / "own.png")
    picture = lesson.read_picture(tmp_path / "own.png", 64)
    assert picture.shape == (48, 64, 3) and picture.dtype == np.uint8
    if mode == "RGBA":
        assert picture.min() == 255, "what is transparent is white"


def test_pictures_that_cannot_be_used(tmp_path):
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    (tmp_path / "text.png").write_text("no picture", encoding="utf-8")
    for name, why in (("dot.png", "1 x 1"), ("text.png", "no picture"), ("absent.png", "no file")):
        with pytest.raises(UnusablePhoto, match=why):
            lesson.read_picture(tmp_path / name, 64)


def test_a_narrow_picture_keeps_enough_pixels_for_five_blocks():
    assert lesson.scaled(np.zeros((20, 900, 3), np.uint8), 128).shape == (16, 128, 3)
    assert lesson.scaled(np.zeros((300, 200, 3), np.uint8), 512).shape == (512, 341, 3)


def test_receptive_fields():
    tiny = load_backbone("tiny")
    sees = {name: lesson.receptive_field(tiny.features, index) for index, name in tiny.layer_names.items()}
    assert (sees["conv1_1"], sees["conv4_2"], sees["conv5_1"]) == (3, 68, 108)


def test_the_functions_of_the_module_agree_with_each_other():
    tiny = load_backbone("tiny")
    layers = lesson.layers_named(tiny.layer_names, ["conv1_1", "conv4_2"])
    image = lesson._colors(1, 3, 24, 32, seed=5, dtype="float32").cpu()
    ours, theirs = lesson.features_of(image, tiny.features, layers), _features_by_slices(image, tiny.features, layers)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in layers.values())


# ---------------------------------------------------------------------------------------------- optimizing

def _bowl(target):
    return (target - 0.3).square().mean(), (target[:, 1] - 0.1).square().mean()


@pytest.mark.parametrize(("method", "rate"), [("Adam", 0.1), ("L-BFGS", 1.0)])
def test_optimize(method, rate):
    start = lesson._colors(1, 3, 5, 7, seed=8).permute(0, 1, 3, 2)
    before = start.clone()
    run = lesson.optimize(_bowl, start, beta=2.0, method=method, rate=rate, evaluations=40, keep=(0, 10, 40))
    assert torch.equal(start, before) and not run.picture.requires_grad
    assert len(run.history) == 40 and list(run.strip) == [0, 10, 40]
    assert run.after[2] < 0.2 * run.totals[0]
    content, style, total = run.history[0]
    assert total == pytest.approx(content + 2 * style)
    assert "total" in repr(run)


def test_optimize_counts_the_extra_term_and_clamps():
    start = lesson._colors(1, 3, 5, 7, seed=9)
    run = lesson.optimize(lambda t: ((t - 9.0).square().mean(), 0.0), start, evaluations=30, extra=lambda t: 0.5 * t.square().mean())
    assert run.totals[0] == pytest.approx(run.history[0][0] + 0.5 * start.square().mean().item())
    colors = lesson.as_colors(run.picture)
    assert colors.max() <= 1 and run.after[0] > run.before[0], "the clamp raises this loss"


def test_optimize_refuses_an_unknown_method():
    with pytest.raises(ValueError, match="L-BFGS"):
        lesson.optimize(_bowl, lesson._colors(1, 3, 4, 4, seed=1), method="SGD")


def test_a_network_that_is_not_here(monkeypatch, capsys):
    from helpers import models

    monkeypatch.setattr(models, "_found", lambda name: None)
    assert lesson.network_here("squeezenet") is None
    assert "not on this machine" in capsys.readouterr().out


def test_the_script_paints_and_reports(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA", "standin")
    saved = tmp_path / "painted.png"
    assert train_style.main(["--side", "48", "--steps", "30", "--fall", "2", "--save", str(saved)]) == 0
    assert "✓" in capsys.readouterr().out
    assert Image.open(saved).size == (48, 36)
    arguments = ["--side", "32", "--steps", "5", "--fall", "1e9", "--raw", "--style", str(saved), "--save", str(saved)]
    assert train_style.main(arguments) == 1


# ---------------------------------------------------------------------------------------------- figures

@pytest.mark.parametrize(("published", "most"), [("1", 32), ("", 256)])
def test_committed_pictures_have_few_colors_and_a_students_all(published, most, monkeypatch):
    seen = []
    monkeypatch.setenv("COURSE_PUBLISH", published)
    monkeypatch.setattr(lesson.plots, "show", lambda fig, **options: seen.append(options["colors"]))
    lesson.show_pictures({"a cup": paintings.cup()}, alt="A cup.")
    assert seen == [most]


def test_the_goal_is_painted(monkeypatch):
    shown = []
    monkeypatch.setattr(lesson, "show_pictures", lambda pictures, **options: shown.append(pictures))
    content, style = (lesson.scaled(picture, 48) for picture in (paintings.cup(), paintings.waves()))
    lesson.show_goal(content, style, evaluations=10)
    (pictures,) = shown
    assert list(pictures) == ["content", "style", "target"]
    painted = lesson.as_colors(pictures["target"])
    assert painted.shape == content.shape and 0.01 < np.abs(painted - content / 255).mean() < 0.3


def test_a_long_title_becomes_smaller():
    short, long = (lesson._row_of({title: paintings.cup()}, width=1.9) for title in ("wave", "the_shipwreck_of_the_minotaur"))
    assert long.axes[0].title.get_fontsize() < short.axes[0].title.get_fontsize() == 11


# ---------------------------------------------------------------------------------------------- uploads

def _png(picture) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()


def _average(content, style):
    return torch.zeros(1, 3, *content.shape[:2], device=devices.device())


def test_uploads():
    files = {"content": _png(paintings.cup()), "style": _png(paintings.waves())}
    assert 'alt="Your content' in lesson._painted(_average, files, 64)
    assert "style picture is missing" in lesson._painted(_average, {**files, "style": None}, 64)
    assert "content picture: the upload" in lesson._painted(_average, {**files, "content": b"<html>"}, 64)

    def fails(content, style):
        raise RuntimeError("out of <memory>")

    assert "out of &lt;memory&gt;" in lesson._painted(fails, files, 64)


def test_the_form_of_both_ipywidgets():
    assert lesson._uploaded(()) is None and lesson._uploaded({}) is None
    assert lesson._uploaded(({"name": "a.png", "content": memoryview(b"xy")},)) == b"xy"
    assert lesson._uploaded({"a.png": {"content": b"xy"}}) == b"xy"


def test_the_upload_box_answers():
    pytest.importorskip("ipywidgets")
    box = lesson._upload_box(_average, 64)
    uploads, result = box.children
    uploads.children[2].click()
    assert "missing" in result.value and not uploads.children[2].disabled


def test_without_a_notebook_one_line_says_so(capsys):
    lesson.upload(_average)
    assert "read_picture" in capsys.readouterr().out
