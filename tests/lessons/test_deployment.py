"""The checks of lesson 17: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from helpers import train_parallel
from helpers.lessons import deployment as lesson
from helpers.lessons import exercises
from tests.lessons import common

EXERCISES = exercises(lesson)
ARITY = {"17.2": 2, "17.3": 2, "17.4": 1, "17.5": 5, "17.6": 5, "17.7": 2}
FUNCTIONS = [e for e in EXERCISES if e.id in ARITY]


# ---------------------------------------------------------------------------------------------- right answers

def _save_on_the_cpu(path, model, config, chars):
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    torch.save({"config": dict(config), "chars": list(chars), "state_dict": state}, path)


def _save_beside_and_rename(path, model, config, chars):
    bundle = {}
    bundle["state_dict"] = model.state_dict()
    bundle["config"], bundle["chars"] = config, [*chars]
    part = f"{path}.part"
    torch.save(bundle, part)
    os.replace(part, path)


def _signed_with_cond(weight, x):
    return torch.cond(x.sum() > 0, lambda w, x: w @ x, lambda w, x: -(w @ x), (weight, x))


def _signed_with_a_factor(weight, x):
    factor = 2.0 * (x.sum() > 0) - 1.0
    return factor.to(weight.dtype) * torch.mv(weight, x)


def _signed_with_where_on_x(weight, x):
    return weight @ torch.where(x.sum(dim=0) > 0, x, -x)


def _export_with_auto(model, example):
    modes = {name: part.training for name, part in model.named_modules()}
    program = torch.export.export(model.eval(), (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    for name, part in model.named_modules():
        part.training = modes[name]
    return program


def _export_a_copy(model, example):
    import copy

    other = copy.deepcopy(model)
    other.eval()
    return torch.export.export(other, args=(example,), dynamic_shapes=[{0: torch.export.Dim("rows", min=1)}])


def _quantize_with_a_norm(w):
    scale = torch.linalg.vector_norm(w, ord=torch.inf).clamp_min(1e-12) / 127
    return torch.clamp(torch.round(w / scale), -127, 127).to(torch.int8), scale


def _quantize_with_floats(w):
    scale = float(w.abs().amax()) / 127 or 1.0
    return torch.round(w / scale).char(), scale


def _benchmark_with_numpy(fn, warmup, repeats, clock, synchronize=None):
    def timed():
        if synchronize:
            synchronize()
        begin = clock()
        fn()
        if synchronize:
            synchronize()
        return clock() - begin

    seconds = [timed() for _ in range(warmup + repeats)]
    return float(np.quantile(seconds[warmup:], 0.5))


def _benchmark_by_sorting(fn, warmup, repeats, clock, synchronize=None):
    times = []
    for turn in range(-warmup, repeats):
        if synchronize is not None:
            synchronize()
        t0 = clock()
        fn()
        if synchronize is not None:
            synchronize()
        if turn >= 0:
            times += [clock() - t0]
    return statistics.median(sorted(times))


def _shards_with_cycle(n, world_size, rank, seed=0, epoch=0):
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    length = -(-n // world_size) * world_size
    return list(itertools.islice(itertools.islice(itertools.cycle(order), length), rank, None, world_size))


def _shards_by_padding(n, world_size, rank, seed=0, epoch=0):
    g = torch.Generator()
    g.manual_seed(seed + epoch)
    order = [int(i) for i in torch.randperm(n, generator=g)]
    start = list(order)
    while len(order) % world_size:
        order.append(start[(len(order) - n) % n])
    return order[rank::world_size]


def _average_with_tensordot(grads, counts):
    weights = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    return [torch.tensordot(weights.to(parts[0]), torch.stack(parts), 1) for parts in zip(*grads, strict=True)]


def _average_with_float32_weights(grads, counts):
    weights = torch.tensor(counts) / sum(counts)
    return [sum(w * g for w, g in zip(weights, parts, strict=True)) for parts in zip(*grads, strict=True)]


def _average_running(grads, counts):
    mean, seen = [torch.zeros_like(g) for g in grads[0]], 0
    for of_rank, n in zip(grads, counts, strict=True):
        seen += n
        mean = [m + (g - m) * (n / seen) for m, g in zip(mean, of_rank, strict=True)]
    return mean


RIGHT = {
    "17.1": [_save_on_the_cpu, _save_beside_and_rename],
    "17.2": [_signed_with_a_factor, _signed_with_where_on_x, _signed_with_cond],
    "17.3": [_export_with_auto, _export_a_copy],
    "17.4": [_quantize_with_a_norm, _quantize_with_floats],
    "17.5": [_benchmark_with_numpy, _benchmark_by_sorting],
    "17.6": [_shards_with_cycle, _shards_by_padding],
    "17.7": [_average_with_tensordot, _average_running, _average_with_float32_weights],
}
EQUIVALENT = {
    "17.2": {"return torch.where(x.sum() > 0, y, -y) | sum -> mean": "the mean has the sign of the sum"},
    "17.4": {"scale = torch.where(largest > 0, largest, 1.0) / 127 | 1.0 -> 2.0": "for zeros any positive scale will do"},
    "17.7": {"averaged.append(sum(count * g for count, g in zip(counts, of_one_parameter)) / everybody) | "
             "zip(counts, of_one_parameter) -> zip(of_one_parameter, counts)": "a product in another order"},
}
ACCEPTED_IMPOSTORS = {"17.1": {"identity": "what it returns does not matter: the file does"}}
LEAKS_ALLOWED = {}


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
    assert [e.id for e in EXERCISES] == [f"17.{n}" for n in range(1, 8)]
    assert all(len(e.mistakes) >= 4 and len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 8


def test_the_quiz_has_right_letters_in_several_places():
    assert len({lesson.quiz[n].right_letter for n in range(1, 9)}) >= 3


def test_the_lesson_module_starts_without_torch():
    program = "import sys; import helpers.lessons.deployment; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_right_answers_leave_the_random_state_alone():
    for exercise in EXERCISES:
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        exercise.examine(RIGHT[exercise.id][0])
        assert torch.equal(torch.random.get_rng_state(), before), exercise.title


# ---------------------------------------------------------------------------------------------- single exercises

def test_odd_answers_to_saving_get_a_message():
    check = lesson.save_bundle
    common.refused(check, ..., outcome="not attempted")
    common.refused(check, None, saying="None")
    common.refused(check, "path", saying="'path'")
    common.refused(check, lambda path, model, config, chars: None, saying="no file")
    common.refused(check, lambda: None, saying="called")
    common.refused(check, lambda path, model, config, chars: 1 / 0, saying="ZeroDivisionError", outcome="error")

    def writes_text(path, model, config, chars):
        with open(path, "w", encoding="utf-8") as file:
            file.write("a model")

    common.refused(check, writes_text)
    common.refused(check, lambda path, model, config, chars: torch.save([config, chars, model.state_dict()], path))
    common.refused(check, lambda path, model, config, chars: torch.save(
        {"config": config, "chars": list(chars), "state_dict": model.cpu().requires_grad_(False).half().state_dict()}, path))
    common.refused(check, lambda path, model, config, chars: torch.save(
        {"config": config, "alphabet": list(chars), "state_dict": model.state_dict()}, path), saying="alphabet")


def test_each_way_to_refuse_a_file_is_told_apart():
    def bundle(**other):
        return lambda path, model, config, chars: torch.save(
            {"config": config, "chars": list(chars), "state_dict": model.state_dict(),
             **{name: make(model, config) for name, make in other.items()}}, path)

    check = lesson.save_bundle
    common.refused(check, bundle(state_dict=lambda model, config: model.state_dict), saying="parentheses")
    text = common.refused(check, bundle(device=lambda model, config: torch.get_default_device), saying="neither a tensor nor a plain value")
    assert "whole module" not in text
    common.refused(check, bundle(version=lambda model, config: "2.15"), saying="and no others")
    common.refused(check, bundle(config=lambda model, config: repr(config)), saying="text")
    common.refused(check, bundle(config=lambda model, config: {}), saying="configuration of the call")


def test_a_whole_module_in_another_style_is_recognized():
    text = common.refused(lesson.save_bundle, lambda path, model, config, chars: torch.save(model, path))
    assert "weights_only" in text


def test_a_branch_in_another_style_is_recognized():
    def with_bool(weight, x):
        return weight @ x if bool((x.sum() > 0).any()) else weight @ -x

    def with_float(weight, x):
        return weight @ x * (1.0 if float(x.sum()) > 0 else -1.0)

    common.refused(lesson.signed_product, with_bool, saying="Python `if`")
    common.refused(lesson.signed_product, with_float, saying=".item()")


def test_a_frozen_batch_in_another_style_is_recognized():
    def frozen(model, example):
        was = model.training
        program = torch.export.export(model.eval(), (example,), strict=False)
        model.train(was)
        return program

    common.refused(lesson.export_model, frozen, saying="frozen")


def test_an_axis_that_is_free_up_to_a_size_is_refused():
    def capped(model, example):
        was = model.training
        program = torch.export.export(model.eval(), (example,), dynamic_shapes=({0: torch.export.Dim("n", max=16)},))
        model.train(was)
        return program

    common.refused(lesson.export_model, capped, saying="largest size")


def test_what_is_no_program_is_told_apart():
    common.refused(lesson.export_model, lambda model, example: torch.jit.trace(model.eval(), example), saying="a trace")
    common.refused(lesson.export_model, lambda model, example: torch.compile(model), saying="torch.compile")
    common.refused(lesson.export_model, lambda model, example: torch.export.export(model.eval(), (example,)).module(), saying="module inside")


def test_a_wrong_step_is_not_taken_for_a_missing_guard():
    def by_the_mean(w):
        scale = w.abs().mean() / 127
        return torch.round(w / scale).clamp(-127, 127).to(torch.int8), scale

    def by_the_spread(w):
        scale = 3 * w.std() / 127
        return torch.round(w / scale).clamp(-127, 127).to(torch.int8), scale

    common.refused(lesson.quantize_int8, by_the_mean, saying="too short")
    common.refused(lesson.quantize_int8, by_the_spread, saying="too long")
    common.refused(lesson.quantize_int8, lambda w: _quantize_with_a_norm(w)[::-1], saying="exchanged")


def test_medians_of_an_even_number():
    def benchmark(fn, warmup, repeats, clock, synchronize=None, middle=statistics.median_high):
        return middle([_benchmark_with_numpy(fn, warmup * (turn == 0), 1, clock, synchronize) for turn in range(repeats)])

    common.passes(lesson.benchmark, lambda fn, warmup, repeats, clock, synchronize=None: benchmark(
        fn, warmup, repeats, clock, synchronize, statistics.median))
    common.refused(lesson.benchmark, lambda fn, warmup, repeats, clock, synchronize=None: benchmark(
        fn, warmup, repeats, clock, synchronize), saying="upper one")


def test_the_global_generator_is_left_alone():
    def with_manual_seed(n, world_size, rank, seed=0, epoch=0):
        torch.manual_seed(seed + epoch)
        order = torch.randperm(n).tolist()
        return [order[k % n] for k in range(rank, -(-n // world_size) * world_size, world_size)]

    before = torch.random.get_rng_state()
    common.refused(lesson.shard_indices, with_manual_seed, saying="torch's global generator")
    assert torch.equal(before, torch.random.get_rng_state())
    common.passes(lesson.shard_indices, lambda *call, **more: tuple(_shards_with_cycle(*call, **more)))


def test_scales_of_other_kinds():
    common.passes(lesson.quantize_int8, lambda w: (_quantize_with_a_norm(w)[0], _quantize_with_a_norm(w)[1].reshape(1)))
    common.refused(lesson.quantize_int8, lambda w: _quantize_with_a_norm(w)[0])
    common.refused(lesson.quantize_int8, lambda w: _quantize_with_a_norm(w)[::-1])
    common.refused(lesson.quantize_int8, lambda w: (_quantize_with_a_norm(w)[0].int(), _quantize_with_a_norm(w)[1]), saying="int8")


def test_the_reference_for_averages_is_the_gradient_of_the_whole_batch():
    grads, counts = lesson._whole_batch()
    x, y = lesson._numbers(11, 3, seed=71, dtype="float64"), lesson._numbers(11, seed=72, dtype="float64")
    w = lesson._numbers(3, seed=73, dtype="float64").requires_grad_()
    ((x @ w - y) ** 2).mean().backward()
    assert torch.allclose(lesson._average_reference(grads, counts)[0], w.grad, rtol=1e-12)


def test_the_simulated_device():
    device = lesson.Device([3.0], launch=0.5)
    device.run()
    assert device.clock() == 0.5
    device.synchronize()
    device.synchronize()
    assert device.clock() == 3.5 and device.calls == 1


# ---------------------------------------------------------------------------------------------- what the figures stand on

@pytest.mark.parametrize("bits", range(2, 9))
def test_quantized_values(bits):
    w = np.random.default_rng(bits).normal(size=200)
    q = lesson.quantized(w, bits)
    steps = 2 ** (bits - 1) - 1
    assert len(np.unique(q)) <= 2 * steps + 1
    assert np.abs(q - w).max() <= np.abs(w).max() / steps / 2 + 1e-12


def test_the_figure_of_shards_counts_those_dealt_out_twice():
    assert "1 sample is dealt out twice" in lesson._shards_figure(_shards_with_cycle, 11, 2, 0)[1]
    assert "0 samples are dealt out twice" in lesson._shards_figure(_shards_with_cycle, 8, 4, 1)[1]


def test_missing_packages_are_named():
    assert lesson.missing_packages("os", "no_such_package", "torch") == ["no_such_package"]


# ---------------------------------------------------------------------------------------------- several processes

def test_points_lie_on_the_plane():
    x, y = train_parallel.points(7).tensors
    assert torch.allclose(y[:, 0], x @ torch.tensor(train_parallel.SLOPES) + 0.7)
    assert torch.equal(x, train_parallel.points(7).tensors[0]), "each process must make the same points"


def test_a_process_that_fails_is_reported(monkeypatch):
    def failing(*args, **kwargs):
        return subprocess.CompletedProcess(args, 1, "", "line one\nRuntimeError: address already in use\n")

    monkeypatch.setattr(subprocess, "run", failing)
    with pytest.raises(lesson.CannotStart, match="address already in use"):
        lesson.torchrun()


def test_processes_that_hang_are_reported(monkeypatch):
    def hanging(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", hanging)
    with pytest.raises(lesson.CannotStart, match="after 3 s"):
        lesson.torchrun(seconds=3)


def test_one_process_needs_no_torchrun(tmp_path):
    """The same script alone: the whole data set, no gap, and a file without the prefix "module."."""
    saved = tmp_path / "alone.pt"
    done = subprocess.run([sys.executable, "-m", "helpers.train_parallel", "--save", str(saved)], capture_output=True, text=True,
                          env={**os.environ, "COURSE_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}, check=True)
    assert "rank 0 of 1: all-reduce 1, 1003 samples in 32 batches, gradient gap 0e+00" in done.stdout
    model = nn.Linear(4, 1)
    model.load_state_dict(torch.load(saved, weights_only=True))
    assert torch.allclose(model.weight, torch.tensor([[1.0, -2.0, 3.0, 0.5]]), atol=1e-4)
