"""The checks of lesson 08: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Subset, SubsetRandomSampler, random_split
from torchvision.transforms import v2

from helpers import plots, widgets
from helpers.lessons import exercises
from helpers.lessons import image_data as lesson
from tests.lessons import common

EXERCISES = exercises(lesson)
FUNCTIONS = [e for e in EXERCISES if e.kind == "function"]
ARITY = {"08.1": 1, "08.2": 3, "08.3": 1, "08.5": 4, "08.7": 3, "08.8": 1, "08.9": 3}


# ---------------------------------------------------------------------------------------------- right answers

def _destination_by_table(name):
    file = os.path.basename(name)
    kind, number = re.match(r"(\w+)\.(\d+)", file).groups()
    parts = ["train"] * 1000 + ["validation"] * 500 + ["test"] * 500
    return "/".join((parts[int(number)], f"{kind}s", file)) if int(number) < len(parts) else None


def _destination_with_bisect(name):
    import bisect

    name = str(name).replace(os.sep, "/").split("/")[-1]
    place = bisect.bisect([1000, 1500, 2000], int(name.split(".")[1]))
    return None if place == 3 else f"{['train', 'validation', 'test'][place]}/{name[:3]}s/{name}"


def _resized_with_if(width, height, size):
    if width <= height:
        return size, int(size * height / width)
    return int(size * width / height), size


def _resized_with_a_factor(width, height, size):
    factor = size / min(width, height)
    return tuple(size if side == min(width, height) else int(side * factor) for side in (width, height))


def _transforms_tensor_first(size=224):
    first = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    train = v2.Compose([*first, v2.RandomRotation(degrees=(-30, 30)), v2.RandomResizedCrop((size, size)), v2.RandomHorizontalFlip(p=0.5)])

    def test(picture):
        small = v2.functional.resize(picture, round(size * 255 / 224))
        return v2.functional.to_dtype(v2.functional.to_image(v2.functional.center_crop(small, size)), torch.float32, scale=True)

    return train, test


def _transforms_flip_first(size=224):
    def convert(picture):
        return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255

    train = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomRotation(30), v2.RandomResizedCrop(size), convert])
    test = v2.Compose([v2.Resize(round(size * 255 / 224)), v2.CenterCrop((size, size)), convert])
    return [train, test]


class _FolderWithScandir(Dataset):
    def __init__(self, root, transform=None):
        with os.scandir(root) as entries:
            self.classes = sorted(entry.name for entry in entries if entry.is_dir())
        self.class_to_idx = dict(zip(self.classes, range(len(self.classes)), strict=True))
        self.paths, self.targets, self.change = [], [], transform
        for name in self.classes:
            for file in sorted(os.listdir(os.path.join(root, name))):
                if file.lower().endswith((".jpg", ".jpeg", ".png")):
                    self.paths.append(os.path.join(root, name, file))
                    self.targets.append(self.class_to_idx[name])

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        with Image.open(self.paths[i]) as file:
            picture = file.convert("RGB")
        return (self.change(picture) if self.change else picture), self.targets[i]


class _FolderWithGlob(Dataset):
    def __init__(self, root, transform=None):
        root = Path(root)
        found = sorted(p for p in root.glob("*/*") if re.search(r"\.(jpe?g|png)$", p.name, re.IGNORECASE))
        self.classes = sorted({p.parent.name for p in found})
        self.class_to_idx = {name: self.classes.index(name) for name in self.classes}
        self.found, self.transform = found, transform or (lambda picture: picture)

    def __len__(self):
        return len(self.found)

    def __getitem__(self, i):
        return self.transform(Image.open(self.found[i]).convert(mode="RGB")), self.class_to_idx[self.found[i].parent.name]


def _split_with_random_split(dataset, valid_fraction, batch_size, seed):
    k = int(len(dataset) * valid_fraction)
    train, valid = random_split(dataset, [len(dataset) - k, k], generator=torch.Generator().manual_seed(seed))
    return DataLoader(train, batch_size=batch_size, shuffle=True), DataLoader(valid, batch_size=batch_size)


def _split_with_subsets(dataset, valid_fraction, batch_size, seed):
    n = len(dataset)
    order = np.random.default_rng(seed).permutation(n).tolist()
    cut = n - int(n * valid_fraction)
    return (DataLoader(Subset(dataset, order[:cut]), batch_size, shuffle=True),
            DataLoader(dataset, batch_size, sampler=SubsetRandomSampler(order[cut:])))


class _BatchesFromAList:
    def __init__(self, data, batch_size):
        self.slices, rest = [], data
        while len(rest) > 0:
            self.slices.append(rest[:batch_size])
            rest = rest[batch_size:]

    def __iter__(self):
        return iter(self.slices)

    def __len__(self):
        return len(self.slices)


class _BatchesWithAnIterator:
    class Pass:
        def __init__(self, data, batch_size):
            self.data, self.batch_size, self.at = data, batch_size, 0

        def __iter__(self):
            return self

        def __next__(self):
            batch = self.data[self.at:self.at + self.batch_size]
            if len(batch) == 0:
                raise StopIteration
            self.at += len(batch)
            return batch

    def __init__(self, data, batch_size):
        self.data, self.batch_size = data, batch_size

    def __iter__(self):
        return self.Pass(self.data, self.batch_size)

    def __len__(self):
        return (len(self.data) + self.batch_size - 1) // self.batch_size


def _pad_by_index(row, pad, mode):
    n = len(row)
    i = torch.arange(-pad, n + pad)
    if pad > n:
        raise ValueError("too far")
    if mode == "constant":
        return torch.where((i >= 0) & (i < n), row[i.clamp(0, n - 1)], torch.zeros((), dtype=row.dtype))
    if mode == "nearest":
        return row[i.clamp(0, n - 1)]
    if mode == "reflect":
        i = i % (2 * n)
        return row[torch.where(i < n, i, 2 * n - 1 - i)]
    if mode == "wrap":
        return row[i % n]
    raise ValueError(mode)


def _pad_with_numpy(row, pad, mode):
    names = {"constant": "constant", "nearest": "edge", "reflect": "symmetric", "wrap": "wrap"}
    if mode not in names or pad > row.numel():
        raise ValueError(f"{mode}, {pad}")
    return torch.as_tensor(np.pad(row.numpy(), (pad, pad), names[mode]))


def _stats_of_everything(loader):
    x = torch.cat([images for images, _ in loader])
    return x.mean(dim=(0, 2, 3)), x.std(dim=(0, 2, 3), correction=0)


def _stats_in_two_passes(loader):
    batches = [images.double().transpose(0, 1).flatten(1) for images, _ in loader]
    n = sum(b.shape[1] for b in batches)
    mean = sum(b.sum(1) for b in batches) / n
    return mean, torch.sqrt(sum(((b - mean[:, None]) ** 2).sum(1) for b in batches) / n)


def _flip_with_a_mask(images, p, generator):
    out = images.clone()
    heads = torch.rand(images.size(0), generator=generator).lt(p)
    out[heads] = out[heads].flip(3)
    return out


def _flip_with_bernoulli(images, p, generator):
    heads = torch.bernoulli(torch.full((len(images), 1, 1, 1), p), generator=generator)
    return heads * torch.fliplr(images.permute(2, 3, 0, 1)).permute(2, 3, 0, 1) + (1 - heads) * images


RIGHT = {
    "08.1": [_destination_by_table, _destination_with_bisect],
    "08.2": [_resized_with_if, _resized_with_a_factor],
    "08.3": [_transforms_tensor_first, _transforms_flip_first],
    "08.4": [_FolderWithScandir, _FolderWithGlob],
    "08.5": [_split_with_random_split, _split_with_subsets],
    "08.6": [_BatchesFromAList, _BatchesWithAnIterator],
    "08.7": [_pad_by_index, _pad_with_numpy],
    "08.8": [_stats_of_everything, _stats_in_two_passes],
    "08.9": [_flip_with_a_mask, _flip_with_bernoulli],
}

EQUIVALENT: dict[str, dict[str, str]] = {
    "08.8": {"pixels += x.numel() // 3 | x.numel() // 3 -> x.numel() / 3": "three channels: the division leaves no rest"},
    "08.9": {"heads = torch.rand(len(images), generator=generator) < p | torch.rand(len(images), generator=generator) < p -> "
             "torch.rand(len(images), generator=generator) <= p": "a random float is p itself once in 16 million"},
}
ACCEPTED_IMPOSTORS: dict[str, dict[str, str]] = {
    "08.8": {"dtype": "any floating-point precision will do"},
}
LEAKS_ALLOWED: dict[str, str] = {}


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
    assert [e.id for e in EXERCISES] == [f"08.{n}" for n in range(1, 10)]
    assert [len(e.mistakes) for e in EXERCISES] == [8, 6, 14, 8, 10, 8, 8, 9, 7]
    assert all(len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 8


def test_the_quiz_has_right_letters_in_several_places():
    letters = [lesson.quiz[n].right_letter for n in range(1, 9)]
    assert len(set(letters)) >= 3, letters


def test_the_lesson_module_starts_without_torch():
    program = "import sys; import helpers.lessons.image_data as lesson; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


# ---------------------------------------------------------------------------------------------- single exercises

def test_classes_that_are_no_answer_get_a_message():
    class Nothing:
        def __init__(self, *args, **kwargs):
            pass

    class Stub:
        def __init__(self, *args, **kwargs):
            raise NotImplementedError

    class Lazy(Dataset):
        def __init__(self, root, transform=None):
            self.classes, self.class_to_idx = [], {}

        def __len__(self):
            return 10

        def __getitem__(self, i):
            return None

    for exercise in (lesson.FolderDataset, lesson.Batches):
        common.refused(exercise, ..., outcome="not attempted")
        common.refused(exercise, lambda *a: 1, saying="a class")
        common.refused(exercise, Stub, outcome="not attempted")
        assert exercise.examine(Nothing).outcome in ("wrong", "error")
    common.refused(lesson.FolderDataset, Lazy, saying="classes")


def test_a_data_set_that_depends_on_the_disk_is_found_on_every_machine():
    class Unsorted(_FolderWithScandir):
        def __init__(self, root, transform=None):
            super().__init__(root, transform)
            pairs = [(p, t) for t, name in enumerate(self.classes) for p in map(str, (Path(root) / name).iterdir())]
            pairs = [(p, t) for p, t in pairs if p.lower().endswith(("jpg", "jpeg", "png"))]
            self.paths, self.targets = zip(*pairs, strict=True)

    common.refused(lesson.FolderDataset, Unsorted, saying="item 0")
    listdir, scandir = os.listdir, os.scandir
    lesson.FolderDataset.examine(Unsorted)
    assert (os.listdir, os.scandir) == (listdir, scandir)


@pytest.mark.parametrize(("change", "saying"), [
    (lambda: [v2.RandomResizedCrop(48), v2.RandomHorizontalFlip()], "the largest turn"),
    (lambda: [v2.RandomRotation(30), v2.RandomResizedCrop(48)], "mirrored"),
    (lambda: [v2.RandomRotation(30), v2.RandomHorizontalFlip(), v2.Resize((48, 48))], "the crops"),
    (lambda: [v2.RandomRotation(90), v2.RandomResizedCrop(48), v2.RandomHorizontalFlip()], "the largest turn"),
    (lambda: [v2.RandomRotation(30), v2.RandomResizedCrop(48), v2.RandomHorizontalFlip(1.0)], "mirrored"),
])
def test_training_transforms_that_lack_a_step_are_refused(change, saying):
    def transforms(size=224):
        right = _transforms_tensor_first(size)
        return v2.Compose([*change(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]), right[1]

    common.refused(lesson.make_transforms, transforms, saying=saying)


def test_turns_are_measured_through_crops_and_mirrors():
    picture = lesson.ramp_picture(120, 90)
    for angle, flip in ((0, False), (25, False), (-17, True)):
        out = v2.functional.rotate(picture, angle)
        out = v2.functional.resized_crop(out, 20, 30, 40, 50, [48, 48])
        out = v2.functional.to_dtype(v2.functional.to_image(v2.functional.hflip(out) if flip else out), torch.float32, scale=True)
        turn, mirrored = lesson.turn_of(out.numpy())
        assert abs(turn - angle) < 1 or abs(turn + angle) < 1
        assert mirrored == flip


def test_a_sampler_beside_shuffle_is_explained():
    def split(dataset, valid_fraction, batch_size, seed):
        order = list(range(len(dataset)))
        return DataLoader(dataset, batch_size, True, SubsetRandomSampler(order)), DataLoader(dataset, batch_size)

    common.refused(lesson.split_loaders, split, saying="already decides the order")


def test_right_answers_leave_the_random_state_alone():
    for exercise in EXERCISES:
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        exercise.examine(RIGHT[exercise.id][0])
        assert torch.equal(torch.random.get_rng_state(), before), exercise.title


# ---------------------------------------------------------------------------------------------- figures and helpers

def test_the_example_is_the_same_everywhere(tmp_path):
    assert lesson.example().size == (499, 403)
    assert Image.open(lesson.example_file(tmp_path, "dog")).size == (499, 403)


def test_names_are_planted(tmp_path):
    lesson.plant_names(tmp_path, 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{k}.{n}.jpg" for k in ("cat", "dog") for n in range(3)]


def test_the_edge_fills_the_corners():
    picture = Image.new("RGB", (40, 30), (200, 90, 50))
    assert np.asarray(lesson.turned(picture, 30)).min() == 0
    edge = np.asarray(lesson.turned(picture, 30, 0.6, nearest=True))
    assert edge.shape == (30, 40, 3)
    assert (edge == (200, 90, 50)).all()


def test_the_sliders_draw(monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "sliders", lambda draw, **ranges: shown.append(draw(**{k: r[2] for k, r in ranges.items()})))
    lesson.augment_sliders(lesson.example(120, 90))
    assert "30 degrees" in shown[0][1]


def test_figures_say_what_they_show(monkeypatch, tmp_path):
    texts = []
    monkeypatch.setattr(plots, "show", lambda fig, alt, **options: texts.append(alt))
    lesson.show_four_steps(lesson.example_file(tmp_path))
    lesson.show_axes(lesson.example(200, 150))
    lesson.show_resizing(lesson.example())
    lesson.show_leaves({"train/cats": 7, "train/dogs": 5})
    lesson.show_fills(lesson.pad_row.expected)
    lesson.show_failure([1.0, 0.99], [0.4, 0.6], 0.51)
    lesson.show_parameters()
    lesson.show_times({"decode": 0.004, "stack": 0.0001})
    lesson.show_coins(torch.rand(3, 3, 8, 8))
    lesson.show_images(torch.rand(2, 3, 8, 8), ["one", "two"])
    lesson.show_variants(lambda picture: torch.rand(3, 8, 8), lesson.example(40, 30), 2, 3, how="moved")
    assert "499 by 403" in texts[0]
    assert "200 wide and 150 high" in texts[1]
    assert "315 by 255" in texts[2]
    assert "train/cats 7" in texts[3]
    assert "40, 60 %" in texts[5]
    assert "77,070,848" in texts[6]
    assert texts[7].endswith("decode.")
    assert texts[8].startswith("One picture 3 times")
    assert "one: 0.0" in texts[9]
    assert "6 variants that a training transform drew from it: moved." in texts[10]


def test_the_frame_stands_where_something_is_to_be_seen():
    values = np.zeros((20, 30))
    values[11:13, 22:25] = [[9, 0, 9], [0, 9, 0]]
    row, column = lesson._liveliest(values, 4)
    assert 9 <= row <= 11
    assert 21 <= column <= 22
