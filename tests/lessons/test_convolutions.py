"""The checks of lesson 09: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.lessons import convolutions as lesson
from helpers.lessons import exercises
from tests.lessons import common

EXERCISES = exercises(lesson)
ARITY = {"09.1": 4, "09.2": 5, "09.3": 6, "09.4": 3, "09.5": 5, "09.6": 4, "09.7": 1, "09.8": 2, "09.9": 2}


# ---------------------------------------------------------------------------------------------- right answers

def _correlate_by_unfold(image, kernel, stride=1, padding=0):
    windows = F.pad(image, [padding] * 4).unfold(0, kernel.size(0), stride).unfold(1, kernel.size(1), stride)
    return torch.einsum("ijab,ab->ij", windows, kernel)


def _correlate_by_shifted_images(image, kernel, stride=1, padding=0):
    h, w = image.shape
    x = torch.zeros(h + 2 * padding, w + 2 * padding, dtype=image.dtype, device=image.device)
    x[padding:padding + h, padding:padding + w] = image
    rows, columns = x.shape[0] - kernel.shape[0] + 1, x.shape[1] - kernel.shape[1] + 1
    total = sum(kernel[a, b] * x[a:a + rows, b:b + columns] for a in range(kernel.shape[0]) for b in range(kernel.shape[1]))
    return total[::stride, ::stride]


def _correlate_by_the_library(image, kernel, stride=1, padding=0):
    return F.conv2d(image[None, None], kernel[None, None], stride=stride, padding=padding)[0, 0]


def _size_by_range(size, kernel, stride=1, padding=0, dilation=1):
    starts = range(0, size + 2 * padding - dilation * (kernel - 1), stride)
    if len(starts) == 0:
        raise ValueError("no window fits")
    return len(starts)


def _size_by_the_formula(size, kernel, stride=1, padding=0, dilation=1):
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if room < 0:
        raise ValueError
    return 1 + int(room / stride)


def _size_on_meta(size, kernel, stride=1, padding=0, dilation=1):
    if dilation * (kernel - 1) + 1 > size + 2 * padding:
        raise ValueError("too long")
    return nn.Conv1d(1, 1, kernel, stride, padding, dilation, device="meta")(torch.empty(1, 1, size, device="meta")).shape[2]


def _cost_on_meta(in_shape, out_channels, kernel, stride=1, padding=0, bias=True):
    layer = nn.Conv2d(in_shape[1], out_channels, kernel, stride, padding, bias=bias, device="meta")
    shape = tuple(layer(torch.empty(in_shape, device="meta")).shape)
    outputs = shape[0] * shape[1] * shape[2] * shape[3]
    return {"multiplications": outputs * layer.weight[0].numel(), "out_shape": shape, "parameters": sum(p.numel() for p in layer.parameters())}


def _cost_with_range(in_shape, out_channels, kernel, stride=1, padding=0, bias=True):
    n, c, *sides = in_shape
    outs = [len(range(0, side + 2 * padding - k + 1, stride)) for side, k in zip(sides, kernel, strict=True)]
    per_filter = c * kernel[0] * kernel[1]
    return dict(out_shape=(n, out_channels, *outs), parameters=out_channels * per_filter + (out_channels if bias else 0),
                multiplications=n * out_channels * outs[0] * outs[1] * per_filter)


def _patches_by_unfold(image, size, stride):
    return image.unfold(0, size, stride).unfold(1, size, stride)


def _patches_with_an_offset(image, size, stride):
    shape = [len(range(0, n - size + 1, stride)) for n in image.shape] + [size, size]
    steps = [s * stride for s in image.stride()] + list(image.stride())
    return torch.as_strided(image, shape, steps, image.storage_offset())


def _conv_by_offsets(x, weight, bias=None, stride=1, padding=0):
    x = F.pad(x, (padding,) * 4)
    o, _, kh, kw = weight.shape
    rows, columns = x.shape[2] - kh + 1, x.shape[3] - kw + 1
    out = 0
    for a in range(kh):
        for b in range(kw):
            part = x[:, :, a:a + rows, b:b + columns][:, :, ::stride, ::stride]
            out = out + torch.einsum("nchw,oc->nohw", part, weight[:, :, a, b])
    return out if bias is None else out + bias.view(1, o, 1, 1)


def _conv_by_strided_windows(x, weight, bias=None, stride=1, padding=0):
    windows = F.pad(x, (padding,) * 4).unfold(2, weight.shape[2], stride).unfold(3, weight.shape[3], stride)
    out = torch.tensordot(windows, weight, dims=([1, 4, 5], [1, 2, 3])).permute(0, 3, 1, 2)
    return out + bias[:, None, None] if bias is not None else out


def _conv_by_the_library(x, weight, bias=None, stride=1, padding=0):
    return F.conv2d(x, weight, bias, stride, padding)


def _pool_rows_then_columns(x, size=2, stride=None, mode="max"):
    if mode not in {"max", "avg"}:
        raise ValueError(mode)
    stride = size if stride is None else stride
    for axis in (2, 3):
        windows = x.unfold(axis, size, stride)
        x = windows.max(-1).values if mode == "max" else windows.sum(-1) / size
    return x


def _pool_with_loops(x, size=2, stride=None, mode="max"):
    take = {"max": torch.amax, "avg": torch.mean}
    if mode not in take:
        raise ValueError("unknown mode")
    step = stride or size
    n, c, h, w = x.shape
    rows, columns = range(0, h - size + 1, step), range(0, w - size + 1, step)
    out = torch.empty(n, c, len(rows), len(columns), dtype=x.dtype, device=x.device)
    for i, a in enumerate(rows):
        for j, b in enumerate(columns):
            out[:, :, i, j] = take[mode](x[:, :, a:a + size, b:b + size], dim=(2, 3))
    return out


def _pool_by_the_library(x, size=2, stride=None, mode="max"):
    if mode == "max":
        return F.max_pool2d(x, size, stride)
    if mode == "avg":
        return F.avg_pool2d(x, size, stride)
    raise ValueError("max or avg")


def _field_backward(layers):
    size, jump = 1, 1
    for kernel, stride in reversed(layers):
        size = (size - 1) * stride + kernel
        jump *= stride
    return size, jump


def _field_recursive(layers):
    if not layers:
        return 1, 1
    size, jump = _field_recursive(layers[:-1])
    return size + (layers[-1][0] - 1) * jump, jump * layers[-1][1]


def _pixels_seen(layers):
    """A wrong answer by gradient: it leaves out the pixels that a stride skips."""
    x = torch.zeros(1, 1, 900, dtype=torch.float64, requires_grad=True)
    out, jump = x, 1
    for kernel, stride in layers:
        out, jump = F.conv1d(out, torch.ones(1, 1, kernel, dtype=torch.float64), stride=stride), jump * stride
    return int((torch.autograd.grad(out[0, 0, 0], x)[0] != 0).sum()), jump


def _compose_transposed(first, second):
    return F.conv_transpose2d(second, first)


def _compose_by_impulse(first, second):
    c, side = first.shape[1], first.shape[2] + second.shape[2] - 1
    x = torch.zeros(c, c, 2 * side - 1, 2 * side - 1, dtype=first.dtype, device=first.device)
    for channel in range(c):
        x[channel, channel, side - 1, side - 1] = 1
    return torch.flip(F.conv2d(F.conv2d(x, first), second), (2, 3)).transpose(0, 1)


def _grad_image_by_image(x, upstream):
    kh, kw = x.shape[2] - upstream.shape[2] + 1, x.shape[3] - upstream.shape[3] + 1
    grad = 0
    for image, u in zip(x, upstream, strict=True):
        grad = grad + u.flatten(1) @ F.unfold(image[None], (kh, kw))[0].T
    return grad.reshape(upstream.shape[1], x.shape[1], kh, kw)


def _grad_as_convolution(x, upstream):
    return F.conv2d(x.transpose(0, 1), upstream.transpose(0, 1)).transpose(0, 1)


RIGHT = {
    "09.1": [_correlate_by_unfold, _correlate_by_shifted_images, _correlate_by_the_library],
    "09.2": [_size_by_range, _size_by_the_formula, _size_on_meta],
    "09.3": [_cost_on_meta, _cost_with_range],
    "09.4": [_patches_by_unfold, _patches_with_an_offset],
    "09.5": [_conv_by_offsets, _conv_by_strided_windows, _conv_by_the_library],
    "09.6": [_pool_rows_then_columns, _pool_with_loops, _pool_by_the_library],
    "09.7": [_field_backward, _field_recursive],
    "09.8": [_compose_transposed, _compose_by_impulse],
    "09.9": [_grad_image_by_image, _grad_as_convolution],
}
EQUIVALENT = {  # mutants of the solutions that are right answers
    "09.6": {"windows = x.unfold(2, size, step).unfold(3, size, step) | 2 -> -2": "axis 2 of four is axis -2"},
    "09.8": {
        "k1, k2 = first.shape[-1], second.shape[-1] | -1 -> -2": "the kernels are square",
        "k1, k2 = first.shape[-1], second.shape[-1] | -1 -> -2 (2)": "the kernels are square",
    },
}
ACCEPTED_IMPOSTORS = {}
LEAKS_ALLOWED = {}


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
    assert [e.id for e in EXERCISES] == [f"09.{n}" for n in range(1, 10)]
    assert [len(e.mistakes) for e in EXERCISES] == [22, 21, 29, 23, 24, 26, 23, 13, 13]
    assert all(len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 8


def test_the_quiz_has_right_letters_in_several_places():
    assert len({lesson.quiz[n].right_letter for n in range(1, 9)}) >= 3


def test_the_lesson_module_starts_without_torch():
    program = "import sys; import helpers.lessons.convolutions as lesson; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_right_answers_leave_the_random_state_alone():
    for exercise in EXERCISES:
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        exercise.examine(RIGHT[exercise.id][0])
        assert torch.equal(torch.random.get_rng_state(), before), exercise.title


# ---------------------------------------------------------------------------------------------- single exercises

@pytest.mark.parametrize(("exercise", "answer"), [
    (lesson.correlate2d, _correlate_by_the_library), (lesson.conv2d, _conv_by_the_library), (lesson.pool2d, _pool_by_the_library)],
    ids=lambda value: getattr(value, "name", ""))
def test_calling_the_function_itself_passes_with_a_remark(exercise, answer):
    assert "asked to build" in exercise.examine(answer).text
    assert "asked to build" not in exercise.examine(RIGHT[exercise.id][0]).text


@pytest.mark.parametrize(("exercise", "answer", "saying"), [
    (lesson.correlate2d, lambda image, kernel, stride=1, padding=0:
        _correlate_by_unfold(F.pad(image, (0, padding, 0, padding)), kernel, stride), "pad all four sides"),
    (lesson.correlate2d, lambda image, kernel, stride=1, padding=0: _correlate_by_unfold(image, kernel.flip(0, 1)), "do not flip"),
    (lesson.correlate2d, lambda image, kernel, stride=1, padding=0: _correlate_by_unfold(image, kernel.flip(1), stride, padding), "left to right"),
    (lesson.correlate2d, lambda image, kernel, stride=1, padding=0:
        _correlate_by_unfold(image.float(), kernel.float(), stride, padding).to(image.dtype), "in float32"),
    (lesson.conv_output_size, lambda size, kernel, stride=1, padding=0, dilation=1:
        (size + padding - dilation * (kernel - 1) - 1) // stride + 1, "both sides"),
    (lesson.conv_output_size, lambda size, kernel, stride=1, padding=0, dilation=1:
        (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1, "is a float"),
    (lesson.conv_output_size, lambda size, kernel, stride=1, padding=0, dilation=1:
        max(0, (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1), "return a number all the same"),
    (lesson.conv_output_size, lambda size, kernel, stride=1, padding=0, dilation=1:
        nn.Conv1d(1, 1, kernel, stride, padding, dilation)(torch.zeros(1, 1, size)).shape[2], "another exception"),
    (lesson.conv_cost, lambda in_shape, out_channels, kernel, stride=1, padding=0, bias=True:
        {**_cost_with_range((1, *in_shape[1:]), out_channels, kernel, stride, padding, bias),
         "out_shape": _cost_with_range(in_shape, out_channels, kernel, stride, padding, bias)["out_shape"]}, "for one image"),
    (lesson.extract_patches, lambda image, size, stride: _patches_by_unfold(image, size, stride).clone(), "this is a copy"),
    (lesson.extract_patches, lambda image, size, stride: torch.stack([torch.stack(list(row)) for row in _patches_by_unfold(image, size, stride)]),
     "this is a copy"),
    (lesson.conv2d, lambda x, weight, bias=None, stride=1, padding=0:
        _conv_by_offsets(x, weight, None, stride, padding) + (0 if bias is None else bias.view(1, 1, 1, -1)), "(O,1,1)"),
    (lesson.conv2d, lambda x, weight, bias=None, stride=1, padding=0:
        _conv_by_offsets(x, weight, bias, stride, padding).detach(), "the gradient"),
    (lesson.conv2d, lambda x, weight, bias=None, stride=1, padding=0: _conv_by_offsets(x.detach(), weight, bias, stride, padding), "layers below"),
    (lesson.conv2d, lambda x, weight, bias=None, stride=1, padding=0:
        _conv_by_offsets(x, weight, None if bias is None else bias.data, stride, padding), "it is a parameter too"),
    (lesson.pool2d, lambda x, size=2, stride=1, mode="max": _pool_with_loops(x, size, stride, mode), "stride = size"),
    (lesson.pool2d, lambda x, size=2, stride=None, mode="max": _pool_by_the_library(x, size, stride, mode).clamp(min=0), "hidden ReLU"),
    (lesson.receptive_field, lambda layers: (_field_backward([(k, 1) for k, _ in layers])[0], 1), "several pixels wide"),
    (lesson.receptive_field, _pixels_seen, "holes included"),
    (lesson.compose_kernels, lambda first, second: F.conv2d(first.transpose(0, 1), second.flip(2, 3)).transpose(0, 1), "pad by k2−1"),
    (lesson.compose_kernels, lambda first, second: F.conv_transpose2d(second.flip(2, 3), first), "flip one kernel"),
    (lesson.compose_kernels, lambda first, second: F.conv_transpose2d(second[:, :1], first[:1]), "sum over m"),
    (lesson.conv_weight_grad, lambda x, upstream: _grad_as_convolution(x, upstream) / (upstream.numel() / upstream.shape[1]), "hides"),
])
def test_natural_variants_of_mistakes_are_recognized(exercise, answer, saying):
    common.refused(exercise, answer, saying=saying)


def test_a_right_size_in_a_tensor_is_not_blamed_for_a_missing_exception():
    text = common.refused(lesson.conv_output_size, lambda *a, **k: torch.tensor(_size_by_range(*a, **k)))
    assert "a plain int" in text and "ValueError" not in text


def test_patches_that_read_a_neighbors_memory_are_refused():
    def wrong(image, size, stride):
        a, b = image.stride()
        return image.as_strided([(n - size) // stride + 1 for n in image.shape] + [size, size], (a * stride, b * stride, a, b), 0)

    common.refused(lesson.extract_patches, wrong)


# ---------------------------------------------------------------------------------------------- what the story stands on

@pytest.mark.parametrize(("setting", "asked"), lesson.TABLES.items())
def test_the_tables_of_the_text_are_those_of_the_library(setting, asked):
    stride, padding, turned = setting
    image, kernel = (np.array(v, float) for v in (lesson.IMAGE, lesson.KERNEL))
    kernel = kernel[::-1, ::-1].copy() if turned else kernel
    got = F.conv2d(torch.tensor(image)[None, None], torch.tensor(kernel)[None, None], stride=stride, padding=padding)
    assert got[0, 0].tolist() == asked


def test_sizes_are_those_of_a_layer():
    for size, kernel, stride, padding, dilation in [*lesson._SIZES, *lesson._random_settings()]:
        asked = _size_on_meta(size, kernel, stride, padding, dilation)
        assert lesson.conv_output_size.expected(size, kernel, stride, padding, dilation) == asked


def test_pictures_have_the_shapes_and_values_that_figures_expect():
    street, panda, square = lesson.street(), lesson.panda(), lesson.square()
    assert street.shape == (200, 320) and 0 <= street.min() < 0.1 and street.max() <= 1
    assert len(panda.unique()) == 2 and square.sum() == 25
    assert torch.equal(street, lesson.street())
    assert not torch.equal(street, street.flip(1))


def test_ten_digits_are_found_in_any_order_of_labels():
    labels = np.arange(200) % 10

    class Digits:
        train_labels = labels
        train_images = np.repeat(labels, 28 * 28).reshape(-1, 28, 28).astype(np.uint8)

    images = lesson.ten_digits(Digits)
    assert images.shape == (10, 28, 28) and images.dtype == torch.float32
    assert (images[:, 0, 0] * 255).round().int().tolist() == list(lesson.FIRST_TEN)


def test_six_patches_answer_as_the_text_says():
    W = lesson.diagonal_filter()
    assert [(p * W).sum().item() for p in lesson.six_patches().values()] == [0, -7, 0, -7, 21, -28]
    assert ((W > 0).sum(), (W < 0).sum()) == (21, 28)


@pytest.mark.parametrize("place", range(9))
def test_each_position_of_the_slider_shows_its_sum(place):
    _, text = lesson._window_figure(place)
    assert f"= {np.ravel(lesson.TABLES[1, 0, False])[place]}." in text


def test_figures_without_arguments_have_a_caption(capsys):
    for show in (lesson.show_systems, lesson.show_first_window, lesson.show_nine_windows, lesson.show_settings, lesson.show_two_conventions,
                 lesson.show_edge_patch, lesson.show_strides, lesson.show_filter_block, lesson.show_fence, lesson.show_pools,
                 lesson.show_receptive_fields):
        show()
    assert "Traceback" not in capsys.readouterr().out
