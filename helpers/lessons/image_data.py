"""Lesson 08, pictures as data: its exercises, its quiz and its figures. Imports torch only when somebody needs it."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from helpers import creatures, plots, widgets
from helpers.checking import Exercise, Mistake, Question, Quiz
from helpers.comparing import describe, is_tensor

PHOTOS = {"dpi": 72, "colors": 64}  # for figures full of photos: noise does not compress
PARTS = ((0, 999, "train"), (1000, 1499, "validation"), (1500, 1999, "test"))


# ---------------------------------------------------------------------------------------------- 08.1 destination

NUMBERS = (0, 999, 1000, 1499, 1500, 1999, 2000, 12499, 7, 640)


def _observe_destination(destination, see):
    for number in NUMBERS:
        for kind in ("cat", "dog"):
            name = f"{kind}.{number}.jpg"
            see.call(destination, name, label=f"destination({name!r})")
    for path in (Path("photos") / "dog.1234.jpg", Path("cat.dogs") / "cat.1600.jpg"):
        label = f"destination(Path({path.as_posix()!r}))"
        see.call(destination, path, label=label)


def _reference_destination(name):
    found = re.fullmatch(r"(cat|dog)\.(\d+)\.jpg", Path(name).name)
    kind, number = found[1], int(found[2])
    part = {part for first, last, part in PARTS if number in range(first, last + 1)}
    return f"{part.pop()}/{kind}s/{found[0]}" if part else None


def _destination_by(rule):
    def destination(name):
        name = Path(name).name
        kind, number, _ = name.split(".")
        part = rule(number)
        return f"{part}/{kind}s/{name}" if part else None

    return destination


def _raises_beyond(number):
    number = int(number)
    if number >= 2000:
        raise ValueError(f"no place for {number}")
    return "train" if number < 1000 else "validation" if number < 1500 else "test"


def _without_s(place):
    return place and place.replace("cats/", "cat/").replace("dogs/", "dog/")


def _destination_with_folder(name):
    place = _reference_destination(name)
    return place and place.replace(Path(name).name, str(name))


def _not_none(facts) -> bool:
    value = facts.get("destination('cat.2000.jpg')")
    return type(value).__name__ == "Raised" and value.kind != "NotImplementedError"


destination = Exercise(
    "08.1", "destination",
    observe=_observe_destination,
    expected=_reference_destination,
    mistakes=[
        Mistake("A border is off by one: 999 belongs to train, 1000 to validation, 1999 to test.",
                _destination_by(lambda n: "train" if int(n) <= 1000 else "validation" if int(n) <= 1500 else "test" if int(n) <= 2000 else None),
                when=lambda facts: "train" not in str(facts["destination('cat.999.jpg')"]) and "train" in str(facts["destination('cat.640.jpg')"])
                or "validation" not in str(facts["destination('cat.1000.jpg')"]) and "train" in str(facts["destination('cat.1000.jpg')"])),
        Mistake("The number is compared as text, and '1000' < '999' since '1' comes before '9'. Make it an int first.",
                _destination_by(lambda n: "train" if n < "1000" else "validation" if n < "1500" else "test" if n < "2000" else None)),
        Mistake("Train and validation overlap: validation begins at 1000, behind the last training photo.",
                _destination_by(lambda n: "validation" if 500 <= int(n) <= 999 else "train" if int(n) < 1000 else "test" if int(n) < 2000 else None),
                when=lambda facts: "validation" in str(facts["destination('cat.640.jpg')"])),
        Mistake("Numbers from 2000 on are not used: return None, without an exception.", _destination_by(_raises_beyond), when=_not_none),
        Mistake("Numbers from 2000 on are not used: return None. Yours still get a folder.",
                _destination_by(lambda n: "train" if int(n) < 1000 else "validation" if int(n) < 1500 else "test"),
                when=lambda facts: "/" in str(facts["destination('cat.2000.jpg')"]) and type(facts["destination('cat.2000.jpg')"]) is str),
        Mistake("The folder is called cats or dogs, with an s.", lambda name: _without_s(_reference_destination(name)),
                when=lambda facts: "/cat/" in str(facts["destination('cat.999.jpg')"])),
        Mistake("A folder in front of the name is still there: `Path(name).name` is the name alone.", _destination_with_folder,
                when=lambda facts: "photos" in str(facts["destination(Path('photos/dog.1234.jpg'))"])),
        Mistake("Return text, not a Path.", lambda name: Path(_reference_destination(name)) if _reference_destination(name) else None,
                when=lambda facts: isinstance(facts["destination('cat.999.jpg')"], Path)),
    ],
    hints=[
        "The name has three parts with dots between them.",
        "`Path(name).name`, then `.split(\".\")`, then `int`.",
        "`if i < _: part = \"train\"`, then `elif i < _: ...`, and for the rest None.",
    ],
)


# ---------------------------------------------------------------------------------------------- 08.2 resized_size

SIZES = ((499, 403, 255), (375, 500, 255), (500, 375, 255), (133, 1600, 224), (640, 480, 64), (97, 250, 97), (211, 180, 400))


def _observe_resized(resized_size, see):
    for size in SIZES:
        see.call(resized_size, *size, parts=("the width", "the height"))


def _reference_resized(width, height, size):
    """What the library really does."""
    from PIL import Image
    from torchvision.transforms.v2 import functional

    return functional.resize(Image.new("L", (width, height)), [size]).size


resized_size = Exercise(
    "08.2", "resized_size",
    observe=_observe_resized,
    expected=_reference_resized,
    mistakes=[
        Mistake("A square: with one number, proportions are kept, and only the shorter side becomes `size`.",
                lambda width, height, size: (size, size)),
        Mistake("You scaled the longer side. The shorter side becomes `size`, and the longer one sticks out.",
                lambda width, height, size: (width * size // max(width, height), height * size // max(width, height))),
        Mistake("499 x 403 gives 315.7: the library truncates to 315, you rounded to 316.",
                lambda width, height, size: (round(width * size / min(width, height)), round(height * size / min(width, height)))),
        Mistake("Portrait and landscape are exchanged: the answer is (width, height), in this order.",
                lambda width, height, size: (height * size // min(width, height), width * size // min(width, height))),
        Mistake("The width becomes `size` whatever the picture is. It is the shorter side that does.",
                lambda width, height, size: (size, height * size // width)),
        Mistake("Pixels are whole numbers: truncate to an int.",
                lambda width, height, size: (width * size / min(width, height), height * size / min(width, height)),
                when=lambda facts: any(isinstance(value, tuple) and any(isinstance(side, float) for side in value) for value in facts.values())),
    ],
    hints=[
        "One factor for both sides, so that nothing is distorted.",
        "The factor is `size / min(width, height)`; the shorter side must come out as `size` exactly.",
        "`return width * size // _, height * size // _`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 08.3 make_transforms

def ramp_picture(width: int, height: int):
    """A picture that says where each pixel came from: red grows to the right, green downward, blue is 200 everywhere."""
    from PIL import Image

    longer = max(width, height) - 1
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([40 + 200 * x / longer, 40 + 200 * y / longer, np.full((height, width), 200)], 2).astype(np.uint8))


def turn_of(image) -> tuple[float, bool]:
    """By how many degrees a variant of `ramp_picture` was turned, and whether it was mirrored left-right.

    Args: image (3, h, w) in 0..1; filled corners are black. A crop that is stretched does not change the answer.
    """
    red, green, blue = np.asarray(image, float)
    inside = blue > 0.6
    y, x = np.nonzero(inside)
    grid = np.stack([x, y, np.ones(len(x))], 1)
    (a, b, _), (c, d, _) = (np.linalg.lstsq(grid, channel[inside], rcond=None)[0] for channel in (red, green))
    return float(np.degrees(np.arctan2(-b, d))), bool(a * d - b * c < 0)


def _area_of(image) -> float:
    """How much of `ramp_picture` lies in one pixel of a variant, in units that do not matter."""
    red, green, blue = np.asarray(image, float)
    inside = blue > 0.6
    y, x = np.nonzero(inside)
    grid = np.stack([x, y, np.ones(len(x))], 1)
    (a, b, _), (c, d, _) = (np.linalg.lstsq(grid, channel[inside], rcond=None)[0] for channel in (red, green))
    return float(abs(a * d - b * c))


DRAWS = 60


def _observe_transforms(make_transforms, see):
    import torch

    torch.manual_seed(83)
    for options, size in (({"size": 48}, 48), ({}, 224)):
        asked = f"make_transforms({', '.join(f'{k}={v}' for k, v in options.items())})"
        pair = see.call(make_transforms, label=asked, record=False, asks=_TWO_CALLABLES, **options)
        fits = isinstance(pair, tuple | list) and len(pair) == 2 and all(callable(part) for part in pair)
        see.fact(f"{asked} returns", _TWO_CALLABLES if fits else describe(pair), implied=_TWO_CALLABLES)
        if not fits:
            return
        for name, transform in zip(("train", "test"), pair, strict=True):
            for width, height in ((120, 90), (70, 101)) if size == 48 else ((260, 301),):
                label = f"{asked}: the {name} transform of a picture {width} x {height}"
                picture = ramp_picture(width, height)
                first = see.call(transform, picture, label=label, record=False, asks="a tensor")
                see.fact(f"{label} is", f"{first.dtype} {tuple(first.shape)}" if is_tensor(first) else describe(first))
                if not is_tensor(first) or tuple(first.shape) != (3, size, size):
                    if is_tensor(first):
                        see.fact(f"{label}: lowest, highest", (_low(first), _high(first)))
                    return
                see.fact(f"{label}: lowest value", "not below 0" if _low(first) >= 0 else f"{_low(first):.3g}")
                see.fact(f"{label}: highest value", "not above 1" if _high(first) <= 1 else f"{_high(first):.4g}")
                again = see.call(transform, picture, label=f"{label}, once more", record=False, asks="a tensor")
                same = is_tensor(again) and again.shape == first.shape and torch.equal(again, first)
                see.fact(f"{label}: two calls", "the same" if same else "differ")
                if name == "test":
                    see.fact(f"{label}: values", first.float(), rtol=0, atol=1e-5)
        if size == 48:
            _observe_draws(pair[0], asked, see)


_TWO_CALLABLES = "two transforms"


def _low(x) -> float:
    return float(x.min())


def _high(x) -> float:
    return float(x.max())


def _observe_draws(train, asked: str, see) -> None:
    picture = ramp_picture(120, 90)
    found = [see.call(train, picture, label=f"{asked}: train, draw {n}", record=False, asks="a tensor") for n in range(DRAWS)]
    turns, mirrored = zip(*(turn_of(image.numpy()) for image in found), strict=True)
    see.fact(f"{asked}: how many of {DRAWS} training variants are mirrored", _between(sum(mirrored), 0.2 * DRAWS, 0.8 * DRAWS))
    see.fact(f"{asked}: the largest turn to the left and to the right, in degrees",
             f"{_between(-min(turns), 22, 30.9)}, {_between(max(turns), 22, 30.9)}")
    areas = [_area_of(image.numpy()) for image in found]
    see.fact(f"{asked}: the crops", "of many sizes" if max(areas) > 3 * min(areas) else "all of one size")
    means = [tuple(image.mean((1, 2)).numpy().round(2)) for image in found]
    see.fact(f"{asked}: the places of the crops", "many" if len(set(means)) > DRAWS / 2 else "few")


def _between(value: float, low: float, high: float) -> str:
    return f"{low:g} to {high:g}" if low <= value <= high else f"{value:.3g}"


def _reference_transforms(size=224):
    """Written with Pillow: turn, cut out, mirror; scale and cut out the middle."""
    import torch
    from PIL import Image

    def convert(picture):
        return torch.tensor(np.asarray(picture).transpose(2, 0, 1) / np.float32(255))

    def train(picture):
        rng = np.random.default_rng(int(torch.randint(0, 2**31, (1,))))
        picture = picture.rotate(rng.uniform(-30, 30))
        width, height = picture.size
        while True:
            area, ratio = rng.uniform(0.08, 1) * width * height, np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
            w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
            if w <= width and h <= height:
                break
        left, top = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
        picture = picture.crop((left, top, left + w, top + h)).resize((size, size), Image.Resampling.BILINEAR)
        return convert(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else picture)

    def test(picture):
        width, height = _reference_resized(*picture.size, round(size * 255 / 224))
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        left, top = round((width - size) / 2), round((height - size) / 2)
        return convert(picture.crop((left, top, left + size, top + size)))

    return train, test


def _transforms(size, train_tail=(), test_head=None, test_tail=(), swap=False, scale=True, crop=True, vary=None, resize=None):
    import torch
    from torchvision.transforms import v2

    to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=scale)]
    named = {"rotation": v2.RandomRotation(30), "far": v2.RandomRotation(90), "zoom": v2.RandomResizedCrop(size), "crop": v2.RandomCrop(size),
             "flip": v2.RandomHorizontalFlip(), "upside": v2.RandomVerticalFlip()}
    vary = [named[name] for name in (vary or "rotation zoom flip").split()]
    middle = [*([v2.Resize(resize or round(size * 255 / 224))] if resize != "none" else []), *([v2.CenterCrop(size)] if crop else [])]
    pair = (v2.Compose([*vary, *to_tensor, *train_tail]), v2.Compose([*(vary if test_head else middle), *to_tensor, *test_tail]))
    return pair[::-1] if swap else pair


def _normalized_transforms(size=224):
    from torchvision.transforms import v2

    normalize = [v2.Normalize([0.5] * 3, [0.5] * 3)]
    return _transforms(size, train_tail=normalize, test_tail=normalize)


def _test_fact(facts, ending: str):
    return facts[f"make_transforms(size=48): the test transform of a picture 120 x 90{ending}"]


def _train_fact(facts, ending: str):
    return facts[f"make_transforms(size=48): the train transform of a picture 120 x 90{ending}"]


_TURNS = "make_transforms(size=48): the largest turn to the left and to the right, in degrees"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


make_transforms = Exercise(
    "08.3", "make_transforms",
    observe=_observe_transforms,
    expected=_reference_transforms,
    seconds=20,
    mistakes=[
        Mistake("The test transform is random: two calls differ. What is measured must look like real input, always in the same way.",
                lambda size=224: _transforms(size, test_head=True),
                when=lambda facts: _test_fact(facts, ": two calls") == "differ" and _train_fact(facts, ": two calls") == "differ"),
        Mistake("The maximum is 240 and more: `ToDtype(torch.float32)` only changes the type. It needs `scale=True` for 0..1.",
                lambda size=224: _transforms(size, scale=False),
                when=lambda facts: _train_fact(facts, ": highest value") != "not above 1"),
        Mistake("Resize without a crop: pictures keep their proportions, and a stack of different shapes fails. Crop the middle.",
                lambda size=224: _transforms(size, crop=False),
                when=lambda facts: "(3, 55, 73)" in _test_fact(facts, " is")),
        Mistake("The pair is swapped: the first pipeline gives the same picture each time, and it must be the training one.",
                lambda size=224: _transforms(size, swap=True),
                when=lambda facts: _train_fact(facts, ": two calls") == "the same"),
        Mistake("There are values below 0: Normalize is not asked for here. Both transforms end in 0..1.", _normalized_transforms,
                when=lambda facts: _train_fact(facts, ": lowest value") != "not below 0"),
        Mistake("The flip is missing in training, or it turns the picture upside down: RandomHorizontalFlip mirrors left-right.",
                lambda size=224: _transforms(size, vary="rotation zoom"),
                when=lambda facts: facts.get("make_transforms(size=48): how many of 60 training variants are mirrored") == "0"),
        Mistake("The pictures are turned upside down: a vertical flip. Cats walk on the floor; mirror left-right.",
                lambda size=224: _transforms(size, vary="rotation zoom upside"),
                when=lambda facts: "17" in facts.get(_TURNS, "") and "17" in facts[_TURNS].split(", ")[1]),
        Mistake("The rotation is missing in training.", lambda size=224: _transforms(size, vary="zoom flip"),
                when=lambda facts: "e-" in facts.get(_TURNS, "") or facts.get(_TURNS) == "0, 0"),
        Mistake("The training pictures are turned too far: by up to 30 degrees.", lambda size=224: _transforms(size, vary="far zoom flip"),
                when=lambda facts: all(31 < _number(turn) < 95 for turn in facts.get(_TURNS, "0, 0").split(", "))),
        Mistake("RandomCrop cuts out windows of one size. RandomResizedCrop varies how much of the picture is seen, and that teaches scale.",
                lambda size=224: _transforms(size, vary="rotation crop flip"),
                when=lambda facts: facts.get("make_transforms(size=48): the crops") == "all of one size"),
        Mistake("The test picture is resized to `size` at once, so nothing is left for the crop to cut off. First to round(size * 255 / 224).",
                lambda size=224: _transforms(size, resize=size)),
        Mistake("255 fits to 224 only. For another size it is round(size * 255 / 224).", lambda size=224: _transforms(size, resize=255)),
        Mistake("A pair distorts the picture. `Resize` of one number keeps the proportions.", lambda size=224: _transforms(size, resize=(size, size))),
        Mistake("The test picture is cut but not resized first: only its middle is seen.", lambda size=224: _transforms(size, resize="none")),
    ],
    hints=[
        "Random steps for training only; what tests does the same to each picture, each time.",
        "`v2.RandomRotation`, `v2.RandomResizedCrop`, `v2.RandomHorizontalFlip`, `v2.ToImage`, `v2.ToDtype`.",
        "For the test: `v2.Compose([v2.Resize(_), v2.CenterCrop(_), v2.ToImage(), v2.ToDtype(_, scale=_)])`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 08.4 FolderDataset

_TREE = (  # in the order in which they are written
    ("dog", "m3.JPG"), ("dog", "a7.jpeg"), ("ant", "k2.png"), ("cat", "c9.jpg"), ("ant", "gray.png"), ("cat", "b4.JPEG"), ("dog", "x1.jpg"),
    ("cat", "z5.Png"), ("ant", "f8.jpg"), ("cat", "e6.PNG"),
)


def _plant_tree(root: Path) -> None:
    """Ten small pictures of three classes, one of them gray; a text file in the root and one in a class."""
    from PIL import Image

    rng = np.random.default_rng(84)
    for n, (kind, name) in enumerate(_TREE):
        (root / kind).mkdir(exist_ok=True)
        pixels = np.kron(rng.integers(0, 256, (5, 6 + n % 3, 3)), np.ones((2, 2, 1))).astype(np.uint8)
        picture = Image.fromarray(pixels)
        picture = picture.convert("L") if name.startswith("gray") else picture
        picture.save(root / kind / name, format="PNG" if name.lower().endswith("png") else "JPEG")
    (root / "readme.txt").write_text("not a class")
    (root / "cat" / "notes.txt").write_text("not a picture")


@contextlib.contextmanager
def _disk_in_reverse() -> Iterator[None]:
    """A disk lists files in any order. Here it is the worst one, on each machine: backward."""
    listdir, scandir = os.listdir, os.scandir

    class Entries:
        def __init__(self, path="."):
            with scandir(path) as found:
                self.entries = iter(sorted(found, key=lambda entry: str(entry.name), reverse=True))

        def __iter__(self):
            return self.entries

        def __next__(self):
            return next(self.entries)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def close(self):
            return None

    os.listdir, os.scandir = (lambda path=".": sorted(listdir(path), reverse=True)), Entries
    try:
        yield
    finally:
        os.listdir, os.scandir = listdir, scandir


def _looked_at(picture) -> str:
    """What a transform gets to see, as text that tells one picture from another."""
    return f"seen {picture.size[0]} x {picture.size[1]}, {picture.mode}, mean {np.asarray(picture).mean():.2f}"


def _observe_folder(FolderDataset, see):
    from torch.utils.data import Dataset

    with tempfile.TemporaryDirectory() as folder, _disk_in_reverse():
        root = Path(folder)
        _plant_tree(root)
        found = see.call(FolderDataset, root, label="FolderDataset(root)", record=False, asks="a data set")
        see.fact("FolderDataset(root) is", "a Dataset" if isinstance(found, Dataset) else describe(found), implied="a Dataset")
        see.fact("classes", _plain_list(getattr(found, "classes", "missing")))
        see.fact("class_to_idx", getattr(found, "class_to_idx", "missing"))
        length = see.call(getattr(found, "__len__", len), label="len(dataset)")
        for i in range(length if isinstance(length, int) and length <= 20 else 0):
            _observe_item(found, i, see)
        see.raises(found.__getitem__, length, error=IndexError, label="the item past the end")
        changed = see.call(FolderDataset, str(root), transform=_looked_at, label="FolderDataset(root, transform)", record=False)
        for i in (0, 1, 6):
            item = see.call(changed.__getitem__, i, label=f"with a transform: item {i}", record=False)
            see.fact(f"with a transform: item {i} is", _item_text(item))


def _plain_list(value):
    return list(value) if isinstance(value, tuple | list) else describe(value)


def _observe_item(dataset, i: int, see) -> None:
    item = see.call(dataset.__getitem__, i, label=f"item {i}", record=False, asks="a picture and a label")
    pair = isinstance(item, tuple | list) and len(item) == 2
    see.fact(f"item {i} is", "a pair" if pair else describe(item), implied="a pair")
    if not pair:
        return
    picture, label = item
    mode = getattr(picture, "mode", None)
    see.fact(f"item {i}: mode of the picture", mode if isinstance(mode, str) else describe(picture))
    see.fact(f"item {i}: the label", label)
    see.fact(f"item {i}: the picture", np.asarray(picture) if isinstance(mode, str) else describe(picture))


def _item_text(item) -> str:
    if not (isinstance(item, tuple | list) and len(item) == 2):
        return describe(item)
    first, label = item
    return f"({first if isinstance(first, str) else 'a raw picture' if hasattr(first, 'mode') else describe(first)}, {describe(label)})"


def _reference_folder(root, transform=None):
    """The library's own."""
    from torchvision.datasets import ImageFolder

    return ImageFolder(root, transform)


@functools.cache
def _folder_dataset(flaw: str):
    """A FolderDataset with one flaw."""
    from PIL import Image
    from torch.utils.data import Dataset

    endings = (".jpg",) if flaw == "jpg" else (".jpg", ".jpeg", ".png", *([".txt"] if flaw == "text" else []))

    class FolderDataset(Dataset):
        def __init__(self, root, transform=None):
            folders = [path for path in Path(root).iterdir() if path.is_dir()]
            names = [path.name for path in folders]
            self.classes = names if flaw == "unsorted" else sorted(names)
            self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
            self.transform, self.samples = transform, []
            for name in self.classes:
                label = name if flaw == "string" else self.class_to_idx[name]
                files = list((Path(root) / name).iterdir())
                files = files if flaw == "files" else sorted(files)
                self.samples += [(file, label) for file in files if (file.suffix if flaw == "capitals" else file.suffix.lower()) in endings]

        def __len__(self):
            return len(self.samples)

        def __getitem__(self, i):
            file, label = self.samples[i]
            picture = Image.open(file)
            picture = picture if flaw == "gray" else picture.convert("RGB")
            return (self.transform(picture) if self.transform and flaw != "transform" else picture), label

    return FolderDataset


def _make(flaw: str) -> type:
    """A class that stands for the flawed one until it is called, so that this module starts without torch."""
    def build(cls, root, transform=None):
        return _folder_dataset(flaw)(root, transform)

    return type("FolderDataset", (), {"__new__": build})


FolderDataset = Exercise(
    "08.4", "FolderDataset",
    kind="class",
    observe=_observe_folder,
    expected=_reference_folder,
    parameters=("root", "transform"),
    mistakes=[
        Mistake("The classes come in the order of the disk, so the labels depend on the machine. Sort the names.", _make("unsorted"),
                when=lambda facts: sorted(facts["classes"]) == ["ant", "cat", "dog"] != facts["classes"]),
        Mistake("A gray picture stays in mode L: 1 channel in a batch of 3. Convert each picture to RGB.", _make("gray"),
                when=lambda facts: facts["item 2: mode of the picture"] == "L"),
        Mistake("A text file was opened as a picture: skip files that are not images.", _make("text"),
                when=lambda facts: facts["len(dataset)"] == 11),
        Mistake("The transform was stored, but the raw picture came back: call it before returning.", _make("transform"),
                when=lambda facts: "a raw picture" in facts["with a transform: item 0 is"]),
        Mistake("The label must be the class index (an int), not the name: a loss needs a number.", _make("string"),
                when=lambda facts: facts["item 0: the label"] == "ant"),
        Mistake("Endings in capitals are skipped: `.JPG` is a picture too. Compare `suffix.lower()`.", _make("capitals"),
                when=lambda facts: facts["len(dataset)"] == 6),
        Mistake("Only `.jpg` counts in yours; `.jpeg` and `.png` are pictures too.", _make("jpg"),
                when=lambda facts: facts["len(dataset)"] in {3, 4}),
        Mistake("The files of a class come in the order of the disk. Sort them too, or the items differ from machine to machine.", _make("files")),
    ],
    hints=[
        "List the files first, open them later: one in `__init__`, the other in `__getitem__`.",
        "`sorted`, `iterdir`, `is_dir`, `suffix.lower()`, and `Image.open(...)` with `.convert(\"RGB\")`.",
        "`self.samples` is a list of pairs: `[(path, self.class_to_idx[_]) for _ in self.classes for path in sorted(_)]`, with a condition on the suffix.",
    ],
)


# ---------------------------------------------------------------------------------------------- 08.5 split_loaders

def _numbered(n: int):
    """A data set whose item i is the number 10 i + 3, with a label: what a loader gives tells where it came from."""
    import torch
    from torch.utils.data import TensorDataset

    return TensorDataset(torch.arange(n) * 10 + 3, torch.arange(n) % 2)


def _drawn(loader) -> list[list[int]]:
    """The places of the items that a loader gives, batch by batch."""
    return [((x - 3) // 10).tolist() for x, _ in itertools.islice(loader, 200)]


def _observe_split(split_loaders, see):
    import torch

    for n, fraction, batch, seed in ((53, 0.2, 7, 4), (31, 0.25, 5, 9)):
        asked = f"split_loaders({n} items, {fraction}, {batch}, seed={seed})"
        torch.manual_seed(seed)
        pair = see.call(split_loaders, _numbered(n), fraction, batch, seed, label=asked, record=False, asks=_TWO_LOADERS)
        fits = isinstance(pair, tuple | list) and len(pair) == 2 and all(hasattr(part, "__iter__") for part in pair)
        see.fact(f"{asked} returns", _TWO_LOADERS if fits else describe(pair), implied=_TWO_LOADERS)
        if not fits:
            return
        passes = [[see.call(_drawn, part, label=f"{asked}: a pass over {name}", record=False, changes_inputs=True)
                   for name, part in zip(("training", "validation"), pair, strict=True)] for _ in range(2)]
        (train, valid), (again, valid_again) = passes
        flat, flat_again, flat_valid = sum(train, []), sum(again, []), sum(valid, [])
        see.fact(f"{asked}: items in training, validation", (len(flat), len(flat_valid)))
        see.fact(f"{asked}: items in both", len(set(flat) & set(flat_valid)))
        see.fact(f"{asked}: items in neither", len(set(range(n)) - set(flat) - set(flat_valid)))
        see.fact(f"{asked}: items that come twice in a pass", len(flat) - len(set(flat)) + len(flat_valid) - len(set(flat_valid)))
        see.fact(f"{asked}: sizes of the training batches", [len(b) for b in train])
        see.fact(f"{asked}: sizes of the validation batches", [len(b) for b in valid])
        see.fact(f"{asked}: two epochs of training have", "the same items" if set(flat) == set(flat_again) else "other items")
        see.fact(f"{asked}: their order", "new" if flat != flat_again else "the same")
        same = set(flat_valid) == set(sum(valid_again, []))
        see.fact(f"{asked}: two passes over validation have", "the same items" if same else "other items")
        see.fact(f"{asked}: the validation items lie", _where(flat_valid, n))
        torch.manual_seed(seed + 77)
        for other, name in ((seed, "a second call with the same seed"), (seed + 1, "another seed")):
            pair = see.call(split_loaders, _numbered(n), fraction, batch, other, label=f"{asked}, {name}", record=False)
            found = set(sum(see.call(_drawn, pair[1], label=f"{asked}, {name}: a pass", record=False, changes_inputs=True), []))
            see.fact(f"{asked}: {name} gives", "the same split" if found == set(flat_valid) else "another split")


_TWO_LOADERS = "two loaders"


def _where(places: list[int], n: int) -> str:
    ordered = sorted(places)
    if not ordered or ordered[-1] - ordered[0] > len(ordered):
        return "all over the file"
    return "in the first block" if ordered[0] == 0 else "in the last block" if ordered[-1] == n - 1 else "in one block"


def _reference_split(dataset, valid_fraction, batch_size, seed):
    """By random keys: the items with the smallest ones are for validation."""
    from torch.utils.data import DataLoader, Subset

    n = len(dataset)
    key = np.random.default_rng([seed, 85]).random(n)
    order = np.argsort(key).tolist()
    count = int(n * valid_fraction)
    return (DataLoader(Subset(dataset, order[count:]), batch_size=batch_size, shuffle=True),
            DataLoader(Subset(dataset, order[:count]), batch_size=batch_size))


def _split_with(dataset, fraction, batch, seed, train=None, shuffled=True, again=True, fixed=None, sampler=False,
                drop=False, valid_batch=None):
    import torch
    from torch.utils.data import DataLoader, Subset, SubsetRandomSampler

    n = len(dataset)
    generator = None if seed is None else torch.Generator().manual_seed(seed if fixed is None else fixed)
    order = torch.randperm(n, generator=generator).tolist() if shuffled else list(range(n))
    k = int(n * fraction)
    valid = order[:k] if shuffled else order[n - k:]
    rest = order[k:] if shuffled else order[:n - k]
    if train is not None:
        rest = train(order, k)
    if sampler:
        return DataLoader(dataset, batch, shuffle=True, sampler=SubsetRandomSampler(rest)), DataLoader(dataset, batch)
    return DataLoader(Subset(dataset, rest), batch, shuffle=again, drop_last=drop), DataLoader(Subset(dataset, valid), valid_batch or batch)


def _split_swapped(dataset, fraction, batch, seed):
    train, valid = _split_with(dataset, fraction, batch, seed)
    return valid, train


def _split_fact(facts, ending: str):
    return facts[f"split_loaders(53 items, 0.2, 7, seed=4): {ending}"]


def _is_sampler_error(facts) -> bool:
    value = facts["split_loaders(53 items, 0.2, 7, seed=4)"]
    return value.kind == "ValueError" and "sampler" in value.text


split_loaders = Exercise(
    "08.5", "split_loaders",
    observe=_observe_split,
    expected=_reference_split,
    mistakes=[
        Mistake("Cut without shuffling: validation is one block of the file, and in a folder of classes that means all dogs.",
                lambda dataset, valid_fraction, batch_size, seed: _split_with(dataset, valid_fraction, batch_size, seed, shuffled=False),
                when=lambda facts: "block" in _split_fact(facts, "the validation items lie")),
        Mistake("An item occurs in both loaders: the two slices overlap.",
                lambda dataset, valid_fraction, batch_size, seed: _split_with(
                    dataset, valid_fraction, batch_size, seed, train=lambda order, k: order[k - 1:]),
                when=lambda facts: 0 < _split_fact(facts, "items in both") < 10),
        Mistake("Two epochs come in the same order: no shuffling of the training part.",
                lambda dataset, valid_fraction, batch_size, seed: _split_with(dataset, valid_fraction, batch_size, seed, again=False),
                when=lambda facts: _split_fact(facts, "their order") == "the same"),
        Mistake("A sampler already decides the order, so `shuffle=True` beside it is refused. Leave shuffle out.",
                lambda dataset, valid_fraction, batch_size, seed: _split_with(dataset, valid_fraction, batch_size, seed, sampler=True),
                when=_is_sampler_error),
        Mistake("Two seeds give the same split: hand `seed` to the generator that shuffles the indices.",
                lambda dataset, valid_fraction, batch_size, seed: _split_with(dataset, valid_fraction, batch_size, seed, fixed=0),
                when=lambda facts: _split_fact(facts, "another seed gives") == "the same split"),
        Mistake("The split changes from call to call: shuffle the indices with a generator that starts from `seed`.",
                lambda dataset, valid_fraction, batch_size, seed: _split_with(dataset, valid_fraction, batch_size, None),
                when=lambda facts: _split_fact(facts, "a second call with the same seed gives") == "another split"),
        Mistake("Swapped: return the training loader first.",
                lambda dataset, valid_fraction, batch_size, seed: _split_swapped(dataset, valid_fraction, batch_size, seed),
                when=lambda facts: _split_fact(facts, "items in training, validation") == (10, 43)),
        Mistake("`drop_last=True` throws the last, shorter batch away. Every item counts.",
                lambda dataset, valid_fraction, batch_size, seed: _split_with(dataset, valid_fraction, batch_size, seed, drop=True),
                when=lambda facts: _split_fact(facts, "items in training, validation")[0] == 42),
        Mistake("The training loader holds the whole data set, the validation items too: take its part of the indices.",
                lambda dataset, valid_fraction, batch_size, seed: _split_with(dataset, valid_fraction, batch_size, seed, train=lambda order, k: order),
                when=lambda facts: _split_fact(facts, "items in training, validation") == (53, 10)),
        Mistake("The validation loader gives one item at a time: it needs `batch_size` as well.",
                lambda dataset, valid_fraction, batch_size, seed: _split_with(dataset, valid_fraction, batch_size, seed, valid_batch=1),
                when=lambda facts: _split_fact(facts, "sizes of the validation batches") == [1] * 10),
    ],
    hints=[
        "Shuffle the indices once, cut once.",
        "`SubsetRandomSampler`, or `random_split` with a `generator`.",
        "`DataLoader(dataset, batch_size, sampler=SubsetRandomSampler(order[_]))`, twice.",
    ],
)


# ---------------------------------------------------------------------------------------------- 08.6 Batches

def _first(batches, count: int = 9) -> list:
    """The first batches of a new pass, and no more: it may be endless."""
    return list(itertools.islice(iter(batches), count))


def _interleaved(batches) -> list:
    """Two passes at once, in turn: the first two batches of the one, one of the other, one of the first again."""
    one, other = iter(batches), iter(batches)
    return [next(which, "no more") for which in (one, one, other, one, other)]


def _observe_batches(Batches, see):
    import torch

    for data, size in (([5, 1, 8, 2, 9, 3, 7, 4, 11, 6, 10], 4), ([3, 9, 4, 1, 7, 2, 8, 6], 4), ("abcdefg", 3)):
        asked = f"Batches({data if isinstance(data, str) else str(len(data)) + ' numbers'}, {size})"
        found = see.call(Batches, data, size, label=asked, record=False, asks="an object to iterate over")
        see.call(_first, found, label=f"{asked}: the batches", changes_inputs=True)
        see.call(getattr(found, "__len__", len), label=f"{asked}: len")
        see.call(_first, found, label=f"{asked}: a second pass", changes_inputs=True)
    data = torch.tensor([[2.0, 7.0], [1.0, -3.0], [4.0, 0.5], [8.0, 6.0], [-1.0, 9.0]])
    found = see.call(Batches, data, 2, label="Batches(tensor (5, 2), 2)", record=False)
    see.call(_first, found, label="Batches(tensor (5, 2), 2): the batches", changes_inputs=True)
    see.call(getattr(found, "__len__", len), label="Batches(tensor (5, 2), 2): len")
    see.call(_interleaved, found, label="Batches(tensor (5, 2), 2): two passes at once", changes_inputs=True)


class _ReferenceBatches:
    """By counting down what is left."""

    def __init__(self, data, batch_size):
        self.data, self.batch_size = data, batch_size

    def __len__(self):
        full, rest = divmod(len(self.data), self.batch_size)
        return full + bool(rest)

    def __iter__(self):
        rest, found = self.data, []
        while len(rest):
            found.append(rest[:self.batch_size])
            rest = rest[self.batch_size:]
        return iter(found)


class _SpentBatches(_ReferenceBatches):
    def __init__(self, data, batch_size):
        super().__init__(data, batch_size)
        self.place = 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.place >= len(self.data):
            raise StopIteration
        self.place += self.batch_size
        return self.data[self.place - self.batch_size:self.place]


class _CutBatches(_ReferenceBatches):
    def __iter__(self):
        return iter([self.data[k * self.batch_size:(k + 1) * self.batch_size] for k in range(len(self.data) // self.batch_size)])


class _EndlessBatches(_ReferenceBatches):
    def __iter__(self):
        place = 0
        while True:
            yield self.data[place:place + self.batch_size]
            place += self.batch_size


class _LongBatches(_ReferenceBatches):
    def __len__(self):
        return len(self.data)


class _FlooredBatches(_ReferenceBatches):
    def __len__(self):
        return len(self.data) // self.batch_size


class _OneMoreBatch(_ReferenceBatches):
    def __len__(self):
        return len(self.data) // self.batch_size + 1


class _SharedPlace(_SpentBatches):
    def __iter__(self):
        self.place = 0
        return self


class _ListBatches(_ReferenceBatches):
    def __iter__(self):
        return (list(batch) for batch in super().__iter__())


Batches = Exercise(
    "08.6", "Batches",
    kind="class",
    observe=_observe_batches,
    expected=_ReferenceBatches,
    parameters=("data", "batch_size"),
    mistakes=[
        Mistake("The second pass is empty: the object is its own iterator and remembers its place. Let `__iter__` return a new one.", _SpentBatches,
                when=lambda facts: facts["Batches(11 numbers, 4): a second pass"] == [] != facts["Batches(11 numbers, 4): the batches"]),
        Mistake("The last 3 items are missing: a short last batch is a batch too.", _CutBatches,
                when=lambda facts: len(facts["Batches(11 numbers, 4): the batches"]) == 2),
        Mistake("The iteration does not stop after the last batch: when no item is left, end the loop.", _EndlessBatches,
                when=lambda facts: len(facts["Batches(11 numbers, 4): the batches"]) == 9),
        Mistake("`len` counts samples: 11, expected 3, the number of batches.", _LongBatches,
                when=lambda facts: facts["Batches(11 numbers, 4): len"] == 11),
        Mistake("`len` is rounded down: the short last batch counts too. Round up.", _FlooredBatches,
                when=lambda facts: facts["Batches(11 numbers, 4): len"] == 2),
        Mistake("`len` is one too many where the batches fit exactly: 8 numbers by 4 make 2. Round up, and add nothing.", _OneMoreBatch,
                when=lambda facts: facts["Batches(8 numbers, 4): len"] == 3),
        Mistake("Two loops at once disturb each other: the place is kept in the object. Let each call of `__iter__` keep its own.", _SharedPlace,
                when=lambda facts: facts["Batches(11 numbers, 4): a second pass"] == facts["Batches(11 numbers, 4): the batches"] != []),
        Mistake("Each batch became a list. A slice keeps the kind of the data: text stays text, a tensor a tensor.", _ListBatches),
    ],
    hints=[
        "`__iter__` must return a **new** iterator each time it is called.",
        "`range(0, n, b)` and `yield`.",
        "`for i in range(0, _, _): yield self.data[i:_]`, and for the length round up.",
    ],
)


# ---------------------------------------------------------------------------------------------- 08.7 pad_row

MODES = {"constant": "constant", "nearest": "edge", "reflect": "symmetric", "wrap": "wrap"}  # NumPy's names


def _rows() -> list:
    import torch

    return [(torch.tensor([3.5, -1.25, 8.0, 2.0, 6.75]), 3), (torch.tensor([7, 2, 9]), 2),
            (torch.tensor([0.5, 4.0, -2.0, 1.5], dtype=torch.float64), 4), (torch.tensor([6, 1, 4, 8, 2]), 1), (torch.tensor([2.5, 9.0, 4.0]), 0)]


def _observe_pad(pad_row, see):
    import torch

    for mode in MODES:
        for row, pad in _rows():
            see.call(pad_row, row, pad, mode, label=f"pad_row({row.tolist()}, pad={pad}, {mode!r})")
    see.raises(pad_row, torch.tensor([5, 1, 3, 2]), 5, "nearest", label="pad_row of 4 values, pad=5")
    see.raises(pad_row, torch.tensor([5, 1, 3, 2]), 2, "mirror", label="pad_row with the unknown mode 'mirror'")


def _reference_pad(row, pad, mode):
    import torch

    if pad > len(row) or mode not in MODES:
        raise ValueError("no such padding")
    return torch.from_numpy(np.pad(row.numpy(), pad, mode=MODES[mode]))


def _pad_with(**names):
    def pad_row(row, pad, mode):
        import torch

        if pad > len(row) or mode not in MODES:
            raise ValueError("no such padding")
        return torch.from_numpy(np.pad(row.numpy(), pad, mode={**MODES, **names}[mode]))

    return pad_row


def _wrap_wrong(row, pad, mode):
    import torch

    if mode != "wrap":
        return _reference_pad(row, pad, mode)
    if pad > len(row):
        raise ValueError("no such padding")
    return torch.cat([row[:pad], row, row[-pad:]])


def _reflect_wrong(row, pad, mode):
    import torch

    found = _reference_pad(row, pad, mode)
    return torch.cat([row[:pad], row, row[len(row) - pad:]]) if mode == "reflect" else found


def _whole_row_for_zero(row, pad, mode):
    import torch

    found = _reference_pad(row, pad, mode)
    return found if pad or mode != "reflect" else torch.cat([row[:0], row, row.flip(0)])


def _pad_or(otherwise, modes: bool = True):
    """Right where the row can be padded; ``otherwise`` where one of the two errors is due (the pad, or the mode)."""
    def pad_row(row, pad, mode):
        wrong = pad > len(row) if modes else mode not in MODES
        return otherwise(row, pad, mode) if wrong else _reference_pad(row, pad, mode)
    return pad_row


def _pad_exchanged(row, pad, mode):
    import torch

    found = _reference_pad(row, pad, mode)
    return torch.cat([found[-pad:], row, found[:pad]])


def _padded(facts, mode: str, name: str) -> bool:
    """Whether all answers of one mode are those of NumPy's mode ``name``."""
    return all(np.array_equal(np.asarray(facts[f"pad_row({row.tolist()}, pad={pad}, {mode!r})"]), np.pad(row.numpy(), pad, mode=name))
               for row, pad in _rows()[:2])


pad_row = Exercise(
    "08.7", "pad_row",
    observe=_observe_pad,
    expected=_reference_pad,
    mistakes=[
        Mistake("Reflect leaves out the edge: you give 2 3 4 where 1 2 3 is due. Here the mirror stands behind the last value, so it comes twice.",
                _pad_with(reflect="reflect"), when=lambda facts: _padded(facts, "reflect", "reflect")),
        Mistake("Wrap is taken from the wrong end: the left side continues with the end of the row, the right side with its start.", _wrap_wrong),
        Mistake("Constant fills with 0: what you give is nearest.", _pad_with(constant="edge"),
                when=lambda facts: _padded(facts, "constant", "edge")),
        Mistake("The two sides are exchanged: what stands left belongs to the right.", _pad_exchanged),
        Mistake("Reflect mirrors: the values next to the edge come first. Yours are not turned round.", _reflect_wrong),
        Mistake("With pad=0 nothing is added. `row[-0:]` is the whole row: slice from n - pad.", _whole_row_for_zero,
                when=lambda facts: any(len(facts[f"pad_row([2.5, 9.0, 4.0], pad=0, {mode!r}"+")"]) > 3 for mode in MODES)
                and len(facts["pad_row([7, 2, 9], pad=2, 'constant')"]) == 7),
        Mistake("A pad larger than the row must raise ValueError: there is nothing to mirror.",
                _pad_or(lambda row, pad, mode: row.new_zeros(len(row) + 2 * pad)),
                when=lambda facts: "pad=5" in list(facts)[-1]),
        Mistake("An unknown mode must raise ValueError: silence hides a slip of the pen.", _pad_or(lambda row, pad, mode: row, modes=False)),
    ],
    hints=[
        "Every mode is a rule about indices: which value stands at place -1, at place -2, at place n?",
        "`clamp` for nearest, `%` for wrap, `-1 - i` left of the row for reflect.",
        "`i = torch.arange(-pad, n + pad)`, then for wrap `row[i % _]`, for nearest `row[i.clamp(_, _)]`.",
    ],
)


# ---------------------------------------------------------------------------------------------- 08.8 channel_stats

def _picture_batches(sizes: tuple[int, ...], height: int, width: int, seed: int) -> list:
    """A loader in its simplest form. Channels differ in mean and spread, images too, and the last batch is lighter by 2."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    batches = []
    for place, n in enumerate(sizes):
        x = torch.randn(n, 3, height, width, generator=generator) * torch.tensor([0.5, 1.0, 2.0]).view(3, 1, 1)
        x = x + torch.tensor([0.3, -0.6, 1.1]).view(3, 1, 1) + torch.randn(n, 1, 1, 1, generator=generator)
        batches.append((x + 2 * (place == len(sizes) - 1), torch.arange(n) % 2))
    return batches


def _observe_stats(channel_stats, see):
    for sizes, height, width in (((4, 4, 3), 5, 7), ((6, 2), 4, 3)):
        label = f"channel_stats of {sum(sizes)} images {height} x {width} in batches of {', '.join(map(str, sizes))}"
        found = see.call(channel_stats, _picture_batches(sizes, height, width, seed=sum(sizes)), label=label, record=False, asks="two tensors")
        pair = isinstance(found, tuple | list) and len(found) == 2 and all(is_tensor(v) for v in found)
        see.fact(f"{label} returns", "two tensors" if pair else describe(found), implied="two tensors")
        if not pair:
            return
        for name, value in zip(("mean", "standard deviation"), found, strict=True):
            see.fact(f"{label}: the {name}", value.double(), rtol=1e-4, atol=1e-4)


def _reference_stats(loader):
    import torch

    pixels = np.concatenate([x.numpy().transpose(0, 2, 3, 1).reshape(-1, 3) for x, _ in loader]).astype(np.float64)
    return torch.tensor(pixels.mean(0)), torch.tensor(pixels.std(0))


def _stats_with(mean=None, std=None):
    """The right pair but for one of the two, which is computed from the list of batches."""
    def channel_stats(loader):
        right = _reference_stats(loader)
        xs = [x.double() for x, _ in loader]
        return (mean(xs) if mean else right[0]), (std(xs) if std else right[1])

    return channel_stats


def _all_images(xs):
    import torch

    return torch.cat(xs)


def _mean_of_means(xs):
    return sum(x.mean((0, 2, 3)) for x in xs) / len(xs)


def _stats_of_batch_means(loader):
    import torch

    means = torch.stack([x.double().mean((0, 2, 3)) for x, _ in loader])
    return means.mean(0), means.std(0)


def _uncounted(loader):
    total = sum(x.double().sum((0, 2, 3)) for x, _ in loader)
    squares = sum(x.double().square().sum((0, 2, 3)) for x, _ in loader)
    n = sum(len(x) for x, _ in loader)
    return total / n, (squares / n - (total / n) ** 2).abs().sqrt()


def _stats_are(facts, name: str, compute) -> bool:
    label = "channel_stats of 11 images 5 x 7 in batches of 4, 4, 3"
    xs = [x.double() for x, _ in _picture_batches((4, 4, 3), 5, 7, seed=11)]
    return bool(np.allclose(facts[f"{label}: the {name}"], compute(xs), rtol=1e-4))


channel_stats = Exercise(
    "08.8", "channel_stats",
    observe=_observe_stats,
    expected=_reference_stats,
    mistakes=[
        Mistake("Mean of batch means: the last batch of 3 weighs as much as one of 4. Sum first, divide once.", _stats_with(mean=_mean_of_means),
                when=lambda facts: _stats_are(facts, "mean", _mean_of_means)
                and not _stats_are(facts, "standard deviation", lambda xs: _stats_of_batch_means([(x, None) for x in xs])[1])),
        Mistake("Mean of the deviations of each image: that ignores the differences between images.",
                _stats_with(std=lambda xs: _all_images(xs).std((2, 3), correction=0).mean(0)),
                when=lambda facts: any(_stats_are(facts, "standard deviation", lambda xs, c=c: _all_images(xs).std((2, 3), correction=c).mean(0))
                                       for c in (0, 1))),
        Mistake("The mean is H·W times too large: divide by images times pixels.", _uncounted,
                when=lambda facts: _stats_are(facts, "mean", lambda xs: 35 * _all_images(xs).mean((0, 2, 3)))),
        Mistake("That is the spread of the batch means, not of the pixels. A pixel's square must enter the sum.", _stats_of_batch_means,
                when=lambda facts: any(_stats_are(facts, "standard deviation", lambda xs, c=c: _stacked_means(xs).std(0, correction=c))
                                       for c in (0, 1))),
        Mistake("That is the variance. The standard deviation is its square root.", _stats_with(std=lambda xs: _all_images(xs).var((0, 2, 3), correction=0)),
                when=lambda facts: _stats_are(facts, "standard deviation", lambda xs: _all_images(xs).var((0, 2, 3), correction=0))),
        Mistake("Divided by n - 1. The population standard deviation divides by n: `correction=0`.",
                _stats_with(std=lambda xs: _all_images(xs).std((0, 2, 3)))),
        Mistake("The square of the mean is not subtracted: var = q / n - mean ** 2.",
                _stats_with(std=lambda xs: _all_images(xs).square().mean((0, 2, 3)).sqrt())),
        Mistake("A third of the mean: n counts the values of all three channels. Each channel has a third of them.",
                _stats_with(mean=lambda xs: _all_images(xs).mean((0, 2, 3)) / 3),
                when=lambda facts: _stats_are(facts, "mean", lambda xs: _all_images(xs).mean((0, 2, 3)) / 3)),
        Mistake("One number for all channels. Sum over images, rows and columns, (0, 2, 3), and keep the channels.",
                _stats_with(mean=lambda xs: _all_images(xs).mean(), std=lambda xs: _all_images(xs).std()),
                when=lambda facts: np.ndim(facts["channel_stats of 11 images 5 x 7 in batches of 4, 4, 3: the mean"]) == 0),
    ],
    hints=[
        "Three running numbers for each channel: the sum, the sum of squares, and how many.",
        "`x.sum((0, 2, 3))` sums over images, rows and columns.",
        "At the end `mean = s / n` and `var = q / n - _ ** 2`, and n counts pixels, not images.",
    ],
)


def _stacked_means(xs):
    import torch

    return torch.stack([x.mean((0, 2, 3)) for x in xs])


# ---------------------------------------------------------------------------------------------- 08.9 random_flip

def _observe_flip(random_flip, see):
    import torch

    images = torch.rand(400, 3, 4, 6, generator=torch.Generator().manual_seed(89))
    asked = "random_flip(400 images 4 x 6, p=0.3)"
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(7)
    out = see.call(random_flip, images, 0.3, generator, label=asked, record=False, asks="a tensor")
    see.fact(f"{asked} is", f"{out.dtype} {tuple(out.shape)}" if is_tensor(out) else describe(out))
    if not is_tensor(out) or out.shape != images.shape:
        return
    mirrored = (out == images.flip(-1)).flatten(1).all(1)
    kept = (out == images).flatten(1).all(1)
    upside_down = (out == images.flip(-2)).flatten(1).all(1)
    see.fact(f"{asked}: neither itself nor its mirror image", int((~mirrored & ~kept).sum()))
    see.fact(f"{asked}: turned upside down", int(upside_down.sum()))
    see.fact(f"{asked}: how many are mirrored", _between(int(mirrored.sum()), 80, 160))
    see.fact(f"{asked}: its own memory", "new" if out.data_ptr() != images.data_ptr() else "the input's")
    torch.manual_seed(8)
    again = see.call(random_flip, images, 0.3, torch.Generator().manual_seed(1), label=f"{asked}, the same seed", record=False)
    see.fact(f"{asked}: a generator with the same seed gives", "the same" if torch.equal(again, out) else "something else")
    on = see.call(random_flip, images, 0.3, generator, label=f"{asked}, the same generator once more", record=False)
    see.fact(f"{asked}: the same generator once more gives", "something else" if not torch.equal(on, out) else "the same")
    few = torch.rand(7, 1, 5, 3, generator=torch.Generator().manual_seed(90))
    for p in (0.0, 1.0):
        see.call(random_flip, few, p, torch.Generator().manual_seed(2), label=f"random_flip(7 images 5 x 3, p={p:g})")


def _reference_flip(images, p, generator):
    """Image by image."""
    import torch

    coins = torch.rand(len(images), generator=generator, dtype=torch.float64).tolist()
    return torch.stack([image.flip(2) if coin < p else image.clone() for image, coin in zip(images, coins, strict=True)])


def _flip_with(coins=None, axis=-1, invert=False):
    def random_flip(images, p, generator):
        import torch

        heads = torch.rand(coins or len(images), generator=generator) < (1 - p if invert else p)
        return torch.where(heads.view(-1, 1, 1, 1), images.flip(axis if isinstance(axis, tuple) else (axis,)), images)

    return random_flip


def _flip_by_global_coins(images, p, generator):
    import torch

    return torch.where(torch.rand(len(images), 1, 1, 1) < p, images.flip(-1), images)


def _flip_in_place(images, p, generator):
    import torch

    heads = torch.rand(len(images), generator=generator) < p
    images[heads] = images[heads].flip(-1)
    return images


def _count_mirrored(facts) -> str:
    return facts["random_flip(400 images 4 x 6, p=0.3): how many are mirrored"]


random_flip = Exercise(
    "08.9", "random_flip",
    observe=_observe_flip,
    expected=_reference_flip,
    mistakes=[
        Mistake("One coin for the whole batch: all images are flipped or none. Each image has its own coin.", _flip_with(coins=1),
                when=lambda facts: _count_mirrored(facts) in ("0", "400")
                and facts["random_flip(400 images 4 x 6, p=0.3): neither itself nor its mirror image"] == 0),
        Mistake("Upside down: left and right are the last axis, -1.", _flip_with(axis=-2),
                when=lambda facts: facts["random_flip(400 images 4 x 6, p=0.3): turned upside down"] > 0),
        Mistake("The input was changed: give back a new tensor, and leave the caller's images alone.", _flip_in_place,
                when=lambda facts: "random_flip(400 images 4 x 6, p=0.3): its inputs stay as they are" in facts),
        Mistake("About 70 % are flipped, expected 30 %: `<` and `>` are exchanged, or p and 1 - p.", _flip_with(invert=True),
                when=lambda facts: 240 <= float(_count_mirrored(facts)) <= 320),
        Mistake("Turned by half a circle: both axes are flipped. Left and right are the last axis alone.", _flip_with(axis=(-2, -1))),
        Mistake("The colors are exchanged: axis 1 holds the channels. Left and right are the last axis, -1.", _flip_with(axis=1)),
        Mistake("Equal generators give other coins: the random numbers do not come from `generator`. Pass it on.", _flip_by_global_coins,
                when=lambda facts: facts.get("random_flip(400 images 4 x 6, p=0.3): a generator with the same seed gives") == "something else"),
    ],
    hints=[
        "N images, N coins.",
        "`torch.rand(N, generator=generator)` and `images.flip(-1)`.",
        "`torch.where(mask.view(-1, _, _, _), _, images)`.",
    ],
)


# ---------------------------------------------------------------------------------------------- quiz

quiz = Quiz("08", [
    Question("`Resize(255)` on a picture of 500 x 375 gives",
             ("340 x 255", "The shorter side becomes 255, and 500 · 255 / 375 = 340."),
             [("255 x 255", "Only a pair, `Resize((255, 255))`, gives a square."),
              ("255 x 191", "That scales the longer side; it is the shorter one that counts."),
              ("255 x 340", "Width and height are swapped: the picture stays lying.")]),
    Question("Should validation images be augmented?",
             ("no", "They must look like real input, and give the same result each time."),
             [("yes, to have more of them", "They stay the same few images; only noise is added to the measurement."),
              ("yes, so that training and validation are treated alike", "It would be unequal in each run: two evaluations of one model would differ.")]),
    Question("Does augmentation enlarge the data set?",
             ("`len` stays; each epoch sees other variants", "Every access draws a new variant of the same photo."),
             [("yes, it doubles", "`len(dataset)` does not change: a transform replaces the picture, it adds none."),
              ("yes, by as much as there are variants", "The variants are drawn one at a time, at access. None is stored.")]),
    Question("Is a DataLoader a generator?",
             ("no, an iterable: `iter()` starts a new pass", "That is why one loader serves for all epochs."),
             [("yes, a generator", "A generator is spent after one pass; a loader starts anew."),
              ("no, an iterator", "`next(loader)` raises TypeError: ask `iter(loader)` for an iterator first.")]),
    Question("Why shuffle in each epoch?",
             ("a fixed order teaches artifacts, and a batch of one class gives a biased gradient", "The order is no property of the photos, so it should not leave a trace."),
             [("it is faster", "It is a little slower: files are read in random order."),
              ("it saves memory", "The same batches lie in memory, whatever the order.")]),
    Question("A random horizontal flip for handwritten digits?",
             ("no", "A mirrored 2 is not a 2: the label would be wrong."),
             [("yes, flips always help", "They help where the task is symmetric: a mirrored cat is a cat. Digits and text are not."),
              ("yes, if p is small", "Each mirrored digit is a wrong example, whether there are many or few.")]),
    Question("After `train, valid = random_split(dataset, ...)` you write `dataset.transform = train_transform`. Which half is augmented?",
             ("both", "They share one object: each half holds only a list of indices into it."),
             [("only the first", "Neither half has a transform of its own; both read from the same data set."),
              ("none", "The halves look into the data set at access, and find the new transform there.")]),
    Question("A dense layer takes a photo of 224 x 224 in color into 512 units. How many parameters?",
             ("77,070,848", "150,528 · 512 weights and 512 biases."),
             [("77,070,336", "Those are the weights alone; each unit has a bias too."),
              ("669,706", "That is the whole digit reader of lesson 06."),
              ("150,528", "So many numbers come in, and each of them has a weight in each of the 512 units.")]),
])


# ---------------------------------------------------------------------------------------------- pictures to work with

def example(width: int = 499, height: int = 403, kind: str = "cat", seed: int = 16):
    """A drawn animal as a PIL image of a given size, the same on every machine."""
    from PIL import Image

    return Image.fromarray(creatures.draw_creature(kind, width, height, np.random.default_rng(seed)))


def example_file(folder: str | Path, kind: str = "cat") -> Path:
    """The example written as a JPEG file; returns its path."""
    path = Path(folder) / f"{kind}.jpg"
    example(kind=kind).save(path, quality=90)
    return path


def plant_names(root: str | Path, count: int = 2000) -> None:
    """Empty files with the names of the competition set: root/cat.0.jpg to dog.1999.jpg. Only the names matter here."""
    for kind in creatures.KINDS:
        for n in range(count):
            (Path(root) / f"{kind}.{n}.jpg").touch()


def _hwc(image) -> np.ndarray:
    """A PIL image, an array (h, w, 3) or a tensor (3, h, w) as an array that imshow takes."""
    if is_tensor(image):
        image = image.detach().cpu().permute(1, 2, 0).numpy()
    return np.asarray(image)


def _bare(ax, title: str = "", frame: bool = False) -> None:
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for side in ax.spines.values():
        side.set_visible(frame)
    if title:
        ax.set_title(title, fontsize=11)


def _row(images, titles, height: float = 2.3, wide: float = 9.4):
    fig, axes = plots.figure(1, len(images), size=(wide, height), squeeze=False)
    for ax, image, title in zip(axes[0], images, titles, strict=True):
        ax.imshow(_hwc(image), interpolation="nearest" if min(_hwc(image).shape[:2]) < 60 else "antialiased")
        _bare(ax, title)
    return fig, axes[0]


# ---------------------------------------------------------------------------------------------- figures: from file to tensor

def show_four_steps(path) -> None:
    """File, picture, numbers, tensor. Args: path of a picture file."""
    from PIL import Image

    picture = Image.open(path)
    raw = Path(path).read_bytes()[:40]
    fig, axes = plots.figure(1, 4, size=(9.8, 2.7), width_ratios=(1, 1.15, 1, 1.15))
    texts = ("1 read", "2 decode", "3 make float", "4 scale to 0..1")
    side = 4
    y, x = _liveliest(np.asarray(picture.convert("RGB"))[..., 0].astype(float), side)
    patch = np.asarray(picture.convert("RGB"))[y:y + side, x:x + side, 0].astype(float)
    for ax, title in zip(axes, texts, strict=True):
        _bare(ax, title, frame=True)
        ax.set(xlim=(0, 1), ylim=(0, 1))
    for n in range(5):
        axes[0].text(0.5, 0.83 - 0.165 * n, raw[8 * n:8 * n + 8].hex(" "), ha="center", va="center", family="monospace", fontsize=9)
    axes[1].imshow(picture)
    axes[1].set(xlim=(0, picture.size[0]), ylim=(picture.size[1], 0))
    frame = _rectangle(x - 12, y - 12, side + 24, side + 24, "none", "white")
    frame.set_linewidth(2)
    axes[1].add_patch(frame)
    for ax, values, form in ((axes[2], patch, "{:.1f}"), (axes[3], patch / 255, "{:.3f}")):
        for (r, c), v in np.ndenumerate(values):
            ax.text((c + 0.5) / side, 1 - (r + 0.5) / side, form.format(v), ha="center", va="center", fontsize=10)
    plots.show(fig, f"Four steps. The file: bytes that look like nothing. Decoded: a picture of {picture.size[0]} by {picture.size[1]}. As float: the red "
                    "values of 4 by 4 of its pixels, those in the white frame, 0 to 255. Scaled: the same divided by 255.", **PHOTOS)


def _liveliest(values: np.ndarray, side: int) -> tuple[int, int]:
    """Where the square of side x side with the largest spread lies: (row, column) of its upper left corner."""
    windows = np.lib.stride_tricks.sliding_window_view(values, (side, side))
    row, column = np.unravel_index(windows.std((2, 3)).argmax(), windows.shape[:2])
    return int(row), int(column)


def show_axes(picture) -> None:
    """Width x height of the picture, and (channels, height, width) of the tensor."""
    width, height = picture.size
    fig, (left, right) = plots.figure(1, 2, size=(7.4, 2.7))
    left.imshow(picture)
    left.set(xlabel=f"width {width}", ylabel=f"height {height}", xticks=[], yticks=[], title=f"picture.size = ({width}, {height})")
    left.grid(False)
    pixels = np.asarray(picture)
    for channel, name in ((2, "blue"), (1, "green"), (0, "red")):
        shift = 0.16 * channel
        shown = np.zeros_like(pixels)
        shown[..., channel] = pixels[..., channel]
        right.imshow(shown, extent=(shift, shift + 1, 0.16 * channel, 0.16 * channel + height / width), zorder=3 - channel)
        right.text(shift + 0.98, 0.16 * channel + height / width - 0.02, name, ha="right", va="top", color="white", fontsize=9, zorder=9)
    right.set(xlim=(-0.02, 1.36), ylim=(-0.02, 0.36 + height / width), title=f"tensor.shape = (3, {height}, {width})")
    _bare(right)
    plots.show(fig, f"The same picture twice. For Pillow it is {width} wide and {height} high, width first. As a tensor it is three layers, red, green and "
                    f"blue, each with {height} rows of {width} values: height comes before width.", **PHOTOS)


def show_sizes(folder) -> None:
    """Width and height of every photo of an ImageFolder."""
    from PIL import Image

    size = np.array([Image.open(path).size for path, _ in folder.samples])
    fig, ax = plots.figure(size=(6.8, 3.9))
    labels = np.array(folder.targets)
    for label, (name, marker, color) in enumerate(zip(folder.classes, "oX", (plots.BLUE, plots.RED), strict=False)):
        ax.scatter(*size[labels == label].T, marker=marker, color=color, edgecolor="white", s=46, label=name)
    top = size.max() * 1.04
    ax.plot([0, top], [0, top], color=plots.GREY, linestyle="--", linewidth=1)
    ax.text(0.97 * top, 0.99 * top, "square", color="#555555", ha="right", va="top", fontsize=9)
    ax.set(xlabel="width in pixels", ylabel="height in pixels", xlim=(0, top), ylim=(0, top))
    plots.legend(ax, loc="upper left")
    count = len({tuple(s) for s in size.tolist()})
    plots.show(fig, f"Width and height of the {len(size)} training pictures, a circle for each cat and a cross for each dog: {count} different sizes. Points "
                    "below the dashed line lie, those above it stand upright.")


def show_four_options() -> None:
    """Four ways to make a batch of pictures of different sizes."""
    sizes = ((1.0, 0.62), (0.6, 0.9), (0.85, 0.64))
    colors = (plots.BLUE, plots.RED, plots.GREEN)
    fig, axes = plots.figure(1, 4, size=(8.6, 3.9))
    names = ("resize and crop", "pad", "one at a time", "group by proportion")

    def box(ax, x, y, w, h, color, edge=plots.BLACK):
        ax.add_patch(_rectangle(x, y, w, h, color, edge))

    for ax, name in zip(axes, names, strict=True):
        _bare(ax, name)
        ax.set(xlim=(0, 1.2), ylim=(0, 3.15), aspect="equal")
    for n, ((w, h), color) in enumerate(zip(sizes, colors, strict=True)):
        y = 2.1 - n
        box(axes[0], 0.25, y, 0.7, 0.7, color)
        box(axes[1], 0.1, y - 0.05, 1.0, 0.92, "#DDDDDD")
        box(axes[1], 0.1, y - 0.05, w, h, color)
        box(axes[2], 0.1, y, 0.88 * w, 0.88 * h, color)
        axes[2].plot([0.02, 1.18], [y - 0.11] * 2, color=plots.GREY, linestyle=":", linewidth=1.5)
    for y in (2.3, 1.55):
        box(axes[3], 0.12, y, 0.9, 0.56, plots.BLUE)
    axes[3].plot([0.02, 1.18], [1.35] * 2, color=plots.GREY, linestyle=":", linewidth=1.5)
    for x in (0.08, 0.64):
        box(axes[3], x, 0.25, 0.48, 0.9, plots.RED)
    plots.show(fig, "Four ways out when pictures differ in size: scale and cut all to one square; put each on a canvas that is large enough, gray here; give "
                    "them to the network one at a time, between the dotted lines; or make batches of pictures with the same proportions.")


def _rectangle(x, y, w, h, color, edge):
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), w, h, facecolor=color, edgecolor=edge, linewidth=1.2)


# ---------------------------------------------------------------------------------------------- figures: folders

def show_tree(classes) -> None:
    """A tree of folders, and the label of each class. Args: names, sorted."""
    fig, ax = plots.figure(size=(8.6, 2.9))
    _bare(ax)
    ax.set(xlim=(0, 10), ylim=(-0.2, 4))
    ax.text(0.3, 2, "train/", fontsize=14, family="monospace", va="center")
    for n, (name, color) in enumerate(zip(classes, (plots.BLUE, plots.RED), strict=True)):
        y = 3.1 - 2.2 * n
        ax.plot([1.55, 2.4], [2, y], color=plots.GREY)
        ax.text(2.5, y, f"{name}/", fontsize=14, family="monospace", va="center", color=color, weight="bold")
        for k, file in enumerate((f"{name}_000.jpg", f"{name}_001.jpg", "...")):
            ax.plot([3.5, 4.1], [y, y + 0.65 * (1 - k)], color=plots.GREY, linewidth=1)
            ax.text(4.2, y + 0.65 * (1 - k), file, fontsize=11, family="monospace", va="center")
        ax.annotate("", (8.3, y), xytext=(6.6, y), arrowprops={"arrowstyle": "->", "color": color, "linewidth": 1.5})
        ax.text(8.5, y, f"label {n}", fontsize=14, va="center", color=color, weight="bold")
    plots.show(fig, f"A folder named train with the folders {classes[0]} and {classes[1]} in it. All pictures in the first get label 0, those in the second "
                    "label 1: the place of the folder's name in the alphabet.")


def show_leaves(counts: dict[str, int]) -> None:
    """How many files each leaf folder holds. Args: counts, "train/cats" -> number."""
    fig, ax = plots.figure(size=(7.4, 3.1))
    names = list(counts)[::-1]
    colors = [plots.BLUE if name.endswith("cats") else plots.RED for name in names]
    bars = ax.barh(names, [counts[name] for name in names], color=colors)
    for bar, name in zip(bars, names, strict=True):
        bar.set_hatch("" if name.endswith("cats") else "//")
        bar.set_edgecolor("white")
    ax.bar_label(bars, padding=4)
    ax.set(xlabel="files", xlim=(0, 1150))
    ax.grid(axis="y", visible=False)
    said = ", ".join(f"{name} {count}" for name, count in counts.items())
    plots.show(fig, f"How many files lie in each of the {len(counts)} leaf folders: {said}.")


def show_pictures(pictures, titles) -> None:
    """Pictures as they are, in a row, with their sizes. Args: PIL images; titles."""
    fig, _ = _row(pictures, wide=7.6, height=2.1, titles=[f"{t}\n{p.size[0]} x {p.size[1]}" for p, t in zip(pictures, titles, strict=True)])
    sizes = ", ".join(f"{p.size[0]} by {p.size[1]}" for p in pictures)
    plots.show(fig, f"{len(pictures)} training pictures as they lie on the disk, {', '.join(titles)}, of different sizes: {sizes}.", **PHOTOS)


# ---------------------------------------------------------------------------------------------- figures: transforms

def show_resizing(picture) -> None:
    """What Resize(255), Resize((255, 255)) and a center crop make of a picture, drawn to one scale."""
    from torchvision.transforms import v2

    small = v2.Resize(255)(picture)
    shown = ((picture, "the picture"), (small, "Resize(255)"), (v2.Resize((255, 255))(picture), "Resize((255, 255))"),
             (v2.CenterCrop(224)(small), "Resize(255),\nCenterCrop(224)"))
    fig, axes = plots.figure(1, 4, size=(9.4, 2.75), width_ratios=[max(p.size[0], 290) for p, _ in shown])
    for ax, (image, title) in zip(axes, shown, strict=True):
        ax.imshow(image)
        ax.set(xlim=(0, image.size[0]), ylim=(max(p.size[1] for p, _ in shown), 0))
        _bare(ax)
        ax.set_title(f"{title}\n{image.size[0]} x {image.size[1]}", fontsize=10)
    plots.show(fig, f"One picture of {picture.size[0]} by {picture.size[1]}, to one scale. Resize(255) keeps its proportions: {small.size[0]} by {small.size[1]}. "
                    "Resize to a pair makes a square and squeezes the animal. A crop of 224 from the middle loses what lies at the edges.", **PHOTOS)


def show_scale_or_not(picture) -> None:
    """A picture as float with and without scale=True, as imshow shows it."""
    import torch
    from torchvision.transforms import v2

    image = v2.ToImage()(picture)
    scaled, raw = v2.ToDtype(torch.float32, scale=True)(image), v2.ToDtype(torch.float32)(image)
    fig, axes = plots.figure(2, 2, size=(7, 3.7), height_ratios=(1.6, 1))
    for column, (x, title) in enumerate(((scaled, "scale=True"), (raw, "without"))):
        axes[0, column].imshow(_hwc(x).clip(0, 1))
        _bare(axes[0, column], f"ToDtype(torch.float32{', scale=True' if column == 0 else ''})", frame=True)
        axes[1, column].hist(x.flatten().numpy(), bins=50, color=plots.BLUE if column == 0 else plots.RED)
        axes[1, column].set(xlabel=f"value ({title})", yticks=[])
    axes[1, 0].set_ylabel("pixels")
    plots.show(fig, "The same picture as float. Left, with scale=True: values in 0 to 1, and the picture looks as it should. Right, without: values up to 255; "
                    "all from 1 on is drawn white, so nothing is to be seen.", **PHOTOS)


def show_batch(images, labels, classes) -> None:
    """A batch as a sheet. Args: images (n, 3, h, w) in 0..1; labels (n,); classes, names."""
    n = len(images)
    fig, axes = plots.figure(-(-n // 8), 8, size=(7.6, 1.1 * -(-n // 8)), squeeze=False)
    for place, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if place < n:
            ax.imshow(_hwc(images[place]))
            ax.set_title(f"{int(labels[place])} {classes[int(labels[place])]}", fontsize=9, color=(plots.BLUE, plots.RED)[int(labels[place])], pad=2)
    plots.show(fig, f"A batch of {n} pictures, each cut to {images.shape[-1]} by {images.shape[-2]}, with label and class above it: all of one size now, in random order.", **PHOTOS)


def show_times(times: dict[str, float]) -> None:
    """Milliseconds per image of each step. Args: times, name -> seconds."""
    fig, ax = plots.figure(size=(7.2, 2.5))
    names = list(times)[::-1]
    bars = ax.barh(names, [1000 * times[name] for name in names], color=plots.BLUE)
    ax.bar_label(bars, fmt="%.2f", padding=4)
    ax.set(xlabel="milliseconds per picture", xlim=(0, 1200 * max(times.values())))
    ax.grid(axis="y", visible=False)
    most = max(times, key=times.get)
    plots.show(fig, f"Milliseconds per picture of each step, measured on this machine. Most of the time goes to: {most}.")


# ---------------------------------------------------------------------------------------------- figures: iterators and splits

def show_iterators() -> None:
    """Iterable, iterator, generator: what they give and what is left after one pass."""
    rows = (("iterable", "list, DataLoader", "iter(x) starts a new pass", "everything, again"),
            ("iterator", "iter(loader)", "next(it) gives the next one", "nothing: spent"),
            ("generator", "def f(): ... yield", "an iterator written as a function", "nothing: spent"))
    fig, ax = plots.figure(size=(9.4, 2.9))
    _bare(ax)
    ax.set(xlim=(0, 10), ylim=(0, 4))
    for x, head in ((1.9, "for example"), (4.5, "what it does"), (8.0, "after one pass")):
        ax.text(x, 3.6, head, fontsize=11, color="#555555")
    for n, (name, sample, does, left) in enumerate(rows):
        y, color = 2.8 - 1.1 * n, (plots.BLUE, plots.RED, plots.GREEN)[n]
        ax.add_patch(_rectangle(0.05, y - 0.38, 1.6, 0.76, color, "white"))
        ax.text(0.85, y, name, color="white", ha="center", va="center", fontsize=12, weight="bold")
        ax.text(1.9, y, sample, va="center", fontsize=11, family="monospace")
        ax.text(4.5, y, does, va="center", fontsize=11)
        ax.text(8.0, y, left, va="center", fontsize=11)
    plots.show(fig, "Three rows. An iterable, such as a list or a DataLoader, starts a new pass with each iter, and after one pass gives everything again. An "
                    "iterator gives the next item and is spent after one pass. A generator is an iterator that is written as a function with yield.")


def show_split(n_train: int, n_valid: int) -> None:
    """One folder, two data sets with a transform each, one list of indices cut in two."""
    fig, ax = plots.figure(size=(9.4, 3.3))
    _bare(ax)
    ax.set(xlim=(0, 10), ylim=(0, 4))

    def box(x, y, w, h, text, color, size=10.5):
        ax.add_patch(_rectangle(x, y, w, h, color, "white"))
        ax.text(x + w / 2, y + h / 2, text, color="white", ha="center", va="center", fontsize=size)

    box(0.1, 1.5, 1.6, 1.0, "one folder\nof files", "#555555", 11.5)
    box(2.6, 2.7, 2.9, 0.9, "ImageFolder(root, train_tf)", plots.BLUE)
    box(2.6, 0.4, 2.9, 0.9, "ImageFolder(root, test_tf)", plots.RED)
    for y in (3.15, 0.85):
        ax.annotate("", (2.55, y), xytext=(1.75, 2), arrowprops={"arrowstyle": "->", "color": plots.GREY, "linewidth": 1.5})
    box(6.6, 2.7, 3.3, 0.9, f"Subset: order[k:], {n_train} pictures", plots.BLUE)
    box(6.6, 0.4, 3.3, 0.9, f"Subset: order[:k], {n_valid} pictures", plots.RED)
    for y in (3.15, 0.85):
        ax.annotate("", (6.55, y), xytext=(5.55, y), arrowprops={"arrowstyle": "->", "color": plots.GREY, "linewidth": 1.5})
    rng = np.random.default_rng(3)
    order, cut = rng.permutation(30), 6
    for place in range(30):
        ax.add_patch(_rectangle(3.1 + 0.18 * place, 1.8, 0.15, 0.4, plots.RED if order[place] < cut else plots.BLUE, "white"))
    ax.text(8.65, 2.0, "one list of indices", va="center", fontsize=9.5, color="#555555")
    plots.show(fig, f"One folder is opened twice: above with the training transform, below with the test transform. One list of shuffled indices says which "
                    f"pictures are used of each: {n_train} of the first, the other {n_valid} of the second.")


# ---------------------------------------------------------------------------------------------- figures: augmentation

def show_variants(transform, picture, rows: int = 4, columns: int = 4,
                  how: str = "turned, cut out at random places and sizes, some mirrored") -> None:
    """One picture and many variants of it.

    Args: transform, PIL image -> tensor (3, h, w); picture; how many variants; how, what happened to them, in words.
    """
    fig, axes = plots.figure(rows, columns + 1, size=(1.2 * columns + 2, 1.2 * rows), width_ratios=[1.6] + [1] * columns)
    for ax in axes.flat:
        ax.set_axis_off()
    axes[0, 0].imshow(picture)
    axes[0, 0].set_title("the photo", fontsize=11)
    for ax in axes[:, 1:].flat:
        ax.imshow(_hwc(transform(picture)))
    plots.show(fig, f"At the left one picture, at the right {rows * columns} variants that a training transform drew from it: "
                    f"{how}. Corners that the turn uncovered are black.", **PHOTOS)


def show_train_and_test(train, test, pictures) -> None:
    """The same pictures through both transforms. Args: two transforms; PIL images."""
    fig, axes = plots.figure(2, len(pictures), size=(7.2, 3.2))
    for row, (name, transform) in zip(axes, (("train", train), ("test", test)), strict=True):
        for ax, picture in zip(row, pictures, strict=True):
            ax.imshow(_hwc(transform(picture)))
            _bare(ax)
        row[0].set_ylabel(name, fontsize=13)
    plots.show(fig, f"The same {len(pictures)} pictures twice. Above, through the training transform: another random variant at each call. Below, through the test "
                    "transform: the middle of the picture, always the same.", **PHOTOS)


def show_recipes(picture) -> None:
    """Translate, rotate, scale, crop, mirror, shear: one effect each."""
    from torchvision.transforms import v2

    f = v2.functional
    width, height = picture.size
    move = functools.partial(f.affine, picture, fill=[0])
    shown = (("translate", move(angle=0, translate=[width // 5, height // 8], scale=1, shear=[0])),
             ("rotate", move(angle=30, translate=[0, 0], scale=1, shear=[0])),
             ("scale", move(angle=0, translate=[0, 0], scale=0.7, shear=[0])),
             ("crop", f.resized_crop(picture, height // 6, width // 5, height // 2, width // 2, [height, width])),
             ("mirror", f.hflip(picture)),
             ("shear", move(angle=0, translate=[0, 0], scale=1, shear=[20])))
    fig, _ = _row([image for _, image in shown], [name for name, _ in shown], height=1.75, wide=8.8)
    plots.show(fig, "Six ways to change a picture and not its label: moved, turned by 30 degrees, made smaller, a part cut out and enlarged, mirrored, and sheared. "
                    "What is uncovered is filled with black.", **PHOTOS)


def turned(picture, angle: float = 30, scale: float = 1.0, nearest: bool = False):
    """A picture turned and scaled about its middle, PIL to PIL; what is uncovered is black or, with ``nearest``, the edge's color.

    v2's geometric transforms fill with a constant only, so for ``nearest`` the picture gets a wide border of its own edge first.
    """
    from torchvision.transforms import v2

    f = v2.functional
    width, height = picture.size
    if not nearest:
        return f.affine(picture, angle=angle, translate=[0, 0], scale=scale, shear=[0])
    border = max(width, height)
    wide = f.pad(picture, [border], padding_mode="edge")
    return f.center_crop(f.affine(wide, angle=angle, translate=[0, 0], scale=scale, shear=[0]), [height, width])


def show_corners(picture, angle: float = 30) -> None:
    """Black corners, and corners filled from the edge."""
    fig, _ = _row([picture, turned(picture, angle), turned(picture, angle, nearest=True)], ["the picture", "fill 0", "fill from the edge"], height=2.1, wide=6.6)
    plots.show(fig, f"A picture, the same turned by {angle:g} degrees with black corners, and turned with corners that continue the colors of the edge.", **PHOTOS)


def augment_sliders(picture) -> None:
    """Sliders for angle, scale and fill."""
    small = picture.copy()
    small.thumbnail((260, 260))

    def draw(angle, scale, nearest):
        fill = "the edge's colors" if nearest >= 0.5 else "black"
        fig, ax = plots.figure(size=(4.2, 3.2))
        ax.imshow(turned(small, angle, scale, nearest >= 0.5))
        _bare(ax)
        return fig, f"Turned by {angle:g} degrees, {scale:g} times as large; what is uncovered is filled with {fill}."

    widgets.sliders(draw, angle=(-180, 180, 30, 5), scale=(0.4, 2.0, 1.0, 0.1), nearest=(0, 1, 0, 1))


def show_fills(pad) -> None:
    """Four strips: a row of four values, continued in four ways. Args: pad, (row, pad, mode) -> row."""
    import torch

    fig, axes = plots.figure(4, 1, size=(8.8, 3.6))
    for ax, mode in zip(axes, MODES, strict=True):
        _strip(ax, pad(torch.tensor([1, 2, 3, 4]), 4, mode).tolist(), 4, mode)
    plots.show(fig, "A row 1 2 3 4, framed, continued by four values to each side. Constant: zeros. Nearest: 1 1 1 1 at the left and 4 4 4 4 at the right. "
                    "Reflect: 4 3 2 1 on both sides. Wrap: 1 2 3 4 on both sides.")


def show_two_reflections() -> None:
    """The same word, two meanings: with and without a second copy of the edge."""
    fig, axes = plots.figure(2, 1, size=(8.8, 1.9))
    for ax, name, label in zip(axes, ("symmetric", "reflect"), ("Keras: reflect", "torch, NumPy: reflect"), strict=True):
        _strip(ax, np.pad([1, 2, 3, 4], 3, mode=name).tolist(), 3, label)
    plots.show(fig, "A row 1 2 3 4 mirrored by three values. What Keras calls reflect: 3 2 1, then 1 2 3 4, then 4 3 2. What torch and NumPy call reflect: "
                    "4 3 2, then 1 2 3 4, then 3 2 1; the edge is not repeated.")


def _strip(ax, values: list[int], pad: int, label: str) -> None:
    for place, value in enumerate(values):
        inside = pad <= place < len(values) - pad
        gray = 0.95 - 0.15 * value
        ax.add_patch(_rectangle(place, 0, 1, 1, str(gray), "white"))
        ax.text(place + 0.5, 0.47, str(value), ha="center", va="center", fontsize=13, color="white" if gray < 0.6 else plots.BLACK,
                weight="bold" if inside else "normal")
    frame = _rectangle(pad, 0, len(values) - 2 * pad, 1, "none", plots.RED)
    frame.set_linewidth(3)
    ax.add_patch(frame)
    ax.set(xlim=(-0.05, len(values) + 0.05), ylim=(-0.08, 1.08))
    _bare(ax)
    ax.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=12)


# ---------------------------------------------------------------------------------------------- figures: the network that fails

def show_failure(train_accuracy: list[float], test_accuracy: list[float], chance: float) -> None:
    """Training and test accuracy of a few runs, against chance. Args: accuracies in 0..1, one a run; chance in 0..1."""
    fig, ax = plots.figure(size=(7.2, 3.6))
    runs = np.arange(1, len(train_accuracy) + 1)
    for values, shift, color, hatch, name in ((train_accuracy, -0.2, plots.BLUE, "", "training"), (test_accuracy, 0.2, plots.RED, "//", "test")):
        bars = ax.bar(runs + shift, 100 * np.array(values), 0.38, color=color, hatch=hatch, edgecolor="white", label=name)
        ax.bar_label(bars, fmt="%.0f", padding=2)
    ax.axhline(100 * chance, color=plots.BLACK, linestyle="--", linewidth=1.5, label=f"chance: {100 * chance:.0f} %")
    ax.set(xlabel="run", ylabel="accuracy in %", xticks=runs, ylim=(0, 112))
    plots.legend(ax, outside=True)
    said = ", ".join(f"{100 * a:.0f}" for a in test_accuracy)
    plots.show(fig, f"Three runs of the dense network. Training accuracy is near 100 % each time; test accuracy is {said} %, close to the dashed line of chance "
                    f"at {100 * chance:.0f} %.")


def show_parameters() -> None:
    """Parameters of the first layer of 512 units, by the size of the picture."""
    names, sides = ("28 x 28 gray", "32 x 32 color", "150 x 150 color", "224 x 224 color"), (28 * 28, 3 * 32**2, 3 * 150**2, 3 * 224**2)
    counts = [512 * n + 512 for n in sides]
    fig, ax = plots.figure(size=(8, 2.9))
    bars = ax.barh(names[::-1], counts[::-1], color=[plots.RED, plots.BLUE, plots.BLUE, plots.BLUE])
    ax.bar_label(bars, labels=[f"{c:,}" for c in counts[::-1]], padding=5)
    ax.set(xlabel="parameters of a first layer of 512 units", xlim=(0, 1.3 * max(counts)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:.0f} million")
    ax.grid(axis="y", visible=False)
    plots.show(fig, "Parameters of one dense layer of 512 units: " + ", ".join(f"{c:,} for {n}" for n, c in zip(names, counts, strict=True)) + ".")


def show_coins(images) -> None:
    """One picture several times, some of them mirrored. Args: images (n, 3, h, w) in 0..1."""
    fig, _ = _row(list(images), [f"coin {n}" for n in range(1, len(images) + 1)], height=1.9, wide=1.2 * len(images) + 2.4)
    plots.show(fig, f"One picture {len(images)} times, after {len(images)} coins: some show it as it was, the others its mirror image.", **PHOTOS)


def show_images(images, titles) -> None:
    """Tensors (3, h, w) in a row, cut to 0..1 as a screen does. Args: images; titles."""
    fig, axes = _row([image.clamp(0, 1) for image in images], titles, height=2.1, wide=1.2 * len(images) + 2.4)
    for ax in axes:
        _bare(ax, frame=True)
    ranges = "; ".join(f"{t.splitlines()[0]}: {image.min():.2f} to {image.max():.2f}" for image, t in zip(images, titles, strict=True))
    plots.show(fig, f"The same picture, prepared in {len(images)} ways. Values: {ranges}. What lies above 1 is drawn white, what lies below 0 black.", **PHOTOS)
