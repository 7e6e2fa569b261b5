"""The checks of lesson 04: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from helpers.checking import ERROR
from helpers.lessons import exercises
from helpers.lessons import tensors as lesson
from tests.lessons import common

EXERCISES = exercises(lesson)
ARITY = {"04.1": 3, "04.2": 3, "04.3": 5, "04.4": 1, "04.5": 1, "04.6": 1, "04.7": 1, "04.8": 5, "04.9": 1}


# ---------------------------------------------------------------------------------------------- right answers

def _strides_by_recursion(shape):
    if not shape:
        return ()
    rest = _strides_by_recursion(shape[1:])
    return (rest[0] * shape[1] if rest else 1, *rest)


def _two_layer_of_neurons(x, W1, B1, W2, B2):
    hidden = torch.cat([torch.sigmoid(x @ W1[:, j:j + 1] + B1[:, j:j + 1]) for j in range(W1.shape[1])], dim=1)
    return F.linear(hidden, W2.T, B2[0]).sigmoid()


def _mlp_by_einsum(images, w1, b1, w2, b2):
    hidden = torch.einsum("md,dh->mh", images.flatten(start_dim=1), w1).add(b1).sigmoid()
    return torch.addmm(b2, hidden, w2)


def _display_by_moving(image):
    return image.cpu().detach().movedim(0, -1).numpy()


RIGHT = {
    "04.1": [lambda x, w, b: 1 / (1 + torch.exp(-((x * w).sum(dim=1, keepdim=True) + b))),
             lambda x, w, b: torch.sigmoid(x @ w.T + b),
             lambda x, w, b: torch.sigmoid(torch.dot(x[0], w[0]) + b)],
    "04.2": [lambda x, w, b: torch.sigmoid(torch.mm(x, w.reshape(-1, 1)) + b),
             lambda x, w, b: torch.sigmoid(torch.einsum("mn,kn->mk", x, w) + b),
             lambda x, w, b: (w @ x.t() + b).t().sigmoid()],
    "04.3": [lambda x, W1, B1, W2, B2: torch.addmm(B2, torch.addmm(B1, x, W1).sigmoid(), W2).sigmoid(), _two_layer_of_neurons],
    "04.4": [lambda t: torch.flatten(t, start_dim=1), lambda t: t.reshape(len(t), -1), lambda t: t.reshape(t.size(0), math.prod(t.shape[1:])),
             lambda t: t.contiguous().view(t.shape[0], -1)],
    "04.5": [lambda s: tuple(itertools.accumulate((1,) + s[:0:-1], lambda p, q: p * q))[::-1] if s else (),
             lambda s: tuple(math.prod(s[i + 1:]) for i in range(len(s))), _strides_by_recursion],
    "04.6": [lambda a: torch.tensor(a, dtype=torch.float32), lambda a: torch.from_numpy(a.copy()).to(torch.float32),
             lambda a: torch.from_numpy(a).float().clone(), lambda a: torch.from_numpy(a.astype(np.float32))],
    "04.7": [lambda x: (x.T / x.sum(1)).T, lambda x: x / x.sum(dim=1).view(-1, 1), lambda x: F.normalize(x, p=1, dim=1),
             lambda x: torch.stack([row / row.sum() for row in x])],
    "04.8": [lambda im, w1, b1, w2, b2: F.linear(torch.sigmoid(F.linear(im.reshape(len(im), -1), w1.T, b1)), w2.T, b2), _mlp_by_einsum],
    "04.9": [lambda t: np.transpose(t.detach().cpu().numpy(), (1, 2, 0)), lambda t: torch.stack(list(t.detach().cpu()), dim=-1).numpy(),
             lambda t: t.permute(1, 2, 0).numpy(force=True), _display_by_moving],
}
EQUIVALENT: dict = {}
ACCEPTED_IMPOSTORS: dict = {}
LEAKS_ALLOWED: dict = {}


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
    assert [e.id for e in EXERCISES] == [f"04.{n}" for n in range(1, 10)]
    assert [len(e.mistakes) for e in EXERCISES] == [8, 7, 8, 5, 5, 3, 7, 8, 8]
    assert all(len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 7


def test_the_quiz_has_right_letters_in_several_places():
    letters = [lesson.quiz[n].right_letter for n in range(1, 8)]
    assert len(set(letters)) >= 3, letters


def test_the_lesson_module_starts_without_torch():
    program = "import sys; import helpers.lessons.tensors as lesson; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_right_answers_leave_the_random_state_alone():
    for exercise in EXERCISES:
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        exercise.examine(RIGHT[exercise.id][0])
        assert torch.equal(torch.random.get_rng_state(), before), exercise.title


# ---------------------------------------------------------------------------------------------- single exercises

@pytest.mark.parametrize(("exercise", "answer", "saying"), [
    (lesson.neuron_sum, lambda x, w, b: torch.sigmoid(torch.sum(x * w + b)), "(0.4034 in the story)"),
    (lesson.neuron_sum, lambda x, w, b: (x * w).sum(dim=1, keepdim=True) + b, "activation is missing"),
    (lesson.neuron_sum, lambda x, w, b: torch.sigmoid(x @ w.T), "bias is missing"),
    (lesson.neuron_mm, lambda x, w, b: torch.sigmoid(x @ w + b), "needs n rows"),
    (lesson.neuron_mm, lambda x, w, b: torch.sigmoid(torch.sum(x * w) + b[0]), "summed into one number"),
    (lesson.neuron_mm, lambda x, w, b: torch.sigmoid(w @ x.T + b), "transposed"),
    (lesson.neuron_mm, lambda x, w, b: torch.sigmoid((x * w).sum(1) + b[0]), "the column dimension is lost"),
    (lesson.two_layer, lambda x, W1, B1, W2, B2: torch.relu(x @ W1 + B1) @ W2 + B2, ""),
    (lesson.flatten_batch, lambda t: t.view(len(t), -1), "reshape"),
    (lesson.flatten_batch, lambda t: t.flatten(), "keep dimension 0"),
    (lesson.flatten_batch, lambda t: t.flatten(1).clone(), "copies without need"),
    (lesson.tensor_from_numpy, lambda a: torch.as_tensor(a, dtype=torch.float32), "as_tensor"),
    (lesson.tensor_from_numpy, lambda a: torch.as_tensor(a), "the dtype follows the array"),
    (lesson.tensor_from_numpy, lambda a: torch.from_numpy(a.copy()), "say which dtype"),
    (lesson.normalize_rows, lambda x: x / torch.sum(x, 1), "keepdim=True"),
    (lesson.normalize_rows, lambda x: x / x.sum(0), "columns sum to 1"),
    (lesson.mlp_logits, lambda im, w1, b1, w2, b2: F.softmax((im.flatten(1) @ w1 + b1).sigmoid() @ w2 + b2, dim=-1), "the loss applies softmax"),
    (lesson.to_display, lambda t: t.detach().cpu().numpy().reshape(t.shape[1], t.shape[2], 3), "colors are scrambled"),
    (lesson.to_display, lambda t: t.detach().cpu().numpy().T, "mirrored"),
])
def test_variants_of_known_mistakes_are_recognized(exercise, answer, saying):
    common.refused(exercise, answer, saying=saying)


def test_an_array_that_was_changed_is_refused():
    def changes(a):
        a *= 2
        return torch.tensor(a / 2, dtype=torch.float32)

    common.refused(lesson.tensor_from_numpy, changes)


def test_a_picture_on_a_gpu_is_asked_for_by_an_imitation():
    far = torch.zeros(3, 2, 4).as_subclass(lesson._far_tensor())
    assert far.is_cuda
    with pytest.raises(TypeError, match="cuda"):
        far.numpy()
    with pytest.raises(TypeError, match="cuda"):
        np.asarray(far)
    assert far.cpu().numpy().shape == far.to("cpu").numpy().shape == (3, 2, 4)
    common.refused(lesson.to_display, lambda t: t.detach().permute(1, 2, 0).numpy(), saying=".cpu()")


def test_strides_in_a_list_or_as_a_number_are_refused():
    common.refused(lesson.contiguous_strides, lambda s: [math.prod(s[i + 1:]) for i in range(len(s))], saying="tuple")
    common.refused(lesson.contiguous_strides, lambda s: torch.empty(s).stride() if s else (1,))
    common.refused(lesson.contiguous_strides, lambda s: s[10], saying="IndexError", outcome=ERROR)


# ---------------------------------------------------------------------------------------------- what the figures stand on

@pytest.fixture
def captions(monkeypatch):
    """What the figures say, instead of showing them."""
    said = []
    monkeypatch.setattr("helpers.plots.show", lambda fig, alt, **options: said.append(alt))
    return said


def test_the_story_has_the_numbers_of_the_lesson():
    x, w, b = lesson._story_neuron()
    assert round(torch.sigmoid(x @ w.T + b).item(), 4) == 0.1595
    x, W1, W2, B1, B2 = lesson._story_network()
    assert round(lesson._two(torch.sigmoid, torch.sigmoid)(x, W1, B1, W2, B2).item(), 4) == 0.3171
    torch.manual_seed(7)  # what the notebook writes
    features = torch.randn((1, 5))
    assert torch.equal(features, lesson._story_neuron()[0].cpu())
    assert torch.equal(torch.randn_like(features), lesson._story_neuron()[1].cpu())


def test_the_reading_slider_reads_what_torch_reads():
    memory = torch.arange(12)
    for shape, transposed in itertools.product(lesson._TWELVE, (False, True)):
        table = memory.view(shape).t() if transposed else memory.view(shape)
        for row, column in ((0, 0), (1, 2), (11, 11)):
            i, j = min(row, table.shape[0] - 1), min(column, table.shape[1] - 1)
            _, text = lesson.draw_reading(shape, transposed, row, column)
            assert f"Entry [{i}, {j}]" in text and f"= {table[i, j]} in memory" in text
            assert f"{i}·{table.stride()[0]} + {j}·{table.stride()[1]}" in text


def test_the_scene_tells_its_sides_and_colors_apart():
    scene = lesson.scene()
    assert scene.shape == (3, 40, 60) and scene.dtype == torch.float32 and scene.min() >= 0 and scene.max() <= 1
    assert scene[:, 10, 13].argmax() == 0 and scene[:, 36, 30].argmax() == 2 and scene[:, 20, 50].argmax() == 1
    assert not torch.equal(scene, scene.flip(1)) and not torch.equal(scene, scene.flip(2))


def test_captions_say_what_was_measured(captions):
    x = torch.rand(10, 10, generator=torch.Generator().manual_seed(0))
    lesson.show_row_sums((x / x.sum(1)).sum(1))
    assert "from 0.75 to 1.37" in captions[-1]
    t = torch.arange(6).view(2, 3).t()
    lesson.show_blind_layer(t, torch.as_strided(t, (3, 2), (2, 1)))
    assert "4 of 6 numbers are wrong" in captions[-1]
    lesson.show_neuron(*lesson._story_neuron())
    assert "−1.6619" in captions[-1] and "0.1595" in captions[-1]
    x, W1, W2, B1, B2 = lesson._story_network()
    lesson.show_two_layer(x, W1, B1, W2, B2)
    assert "0.6813 and 0.4355, output 0.3171" in captions[-1]
    equal = torch.zeros(64, 64, dtype=torch.bool)
    equal[3, 3] = equal[5, 9] = equal[60, 2] = True
    lesson.show_everybody_meets_everybody(equal)
    assert "1 of the 64 places" in captions[-1] and "2 of the 4,032" in captions[-1]


def test_every_figure_can_be_drawn(captions):
    for draw in (lesson.show_dimensions, lesson.show_product_shapes, lesson.show_reshape_transpose, lesson.show_reading, lesson.show_strides,
                 lesson.show_patch, lesson.show_shared_memory, lesson.show_broadcasting, lesson.show_mlp, lesson.show_devices):
        draw()
    lesson.show_batch_product(torch.rand(4, 5), torch.rand(5, 1), torch.rand(4, 1))
    lesson.show_stuck_accuracy(range(3), [3.0, 2.0, 1.0], [0.1, 0.11, 0.12], [0.1, 0.5, 0.9])
    lesson.show_untrained(torch.rand(4, 10).softmax(1), torch.rand(4, 10).softmax(1))
    lesson.show_digits(torch.rand(12, 1, 28, 28), np.arange(12))
    lesson.show_layouts(lesson.scene())
    lesson.show_picture(lesson.scene().permute(1, 2, 0).numpy())
    lesson.show_gradient(torch.rand(2, 2), torch.rand(2, 2))
    assert len(captions) == 17 and all(text.endswith(".") for text in captions)
