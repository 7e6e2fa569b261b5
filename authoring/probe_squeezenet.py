"""How far does a frozen SqueezeNet get with a linear head on photographs? Both figures in one run.

    OMP_NUM_THREADS=2 python -m authoring.probe_squeezenet

SqueezeNet 1.0 with its weights from ImageNet, frozen; pictures at 224 x 224; averages over space of its 512 maps; a linear
head on the standardized averages. Cats and dogs: 5-fold cross-validation over all 245 photographs. Flowers: 600 photographs of
five kinds for training, 150 others for testing. Needs COURSE_DATA_DIR with `cats_dogs`, `flower_photos` and the weights;
nothing is downloaded. The seconds are wall-clock time and hold all: reading the pictures, features, training of the heads.

SqueezeNet has seen 118 breeds of dogs and five kinds of cats among its 1,000 classes, and daisies too: this is easy for it.

Measured on 2 cores of a Xeon, torch 2.15.0, OMP_NUM_THREADS=2, while other jobs ran:

    cats vs dogs, 5-fold: 234 of 245 = 95.5% (must be 90%), 5.9 s, 10.6 CPU-s
    five flowers: 133 of 150 = 88.7% (must be 86%), 16.7 s, 31.0 CPU-s
"""

from __future__ import annotations

import os
import sys
import time

CATS_MUST_BE, FLOWERS_MUST_BE, SECONDS = 0.90, 0.86, 60.0
SIDE = 224


def features(backbone, images, batch: int = 25):
    """Averages over space of the last maps: uint8 (n, h, w, 3) -> float32 (n, channels)."""
    import torch

    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (backbone.mean, backbone.std))
    with torch.inference_mode():
        return torch.cat([backbone.features((part.permute(0, 3, 1, 2) / 255 - mean) / std).mean((2, 3))
                          for part in images.split(batch)])


def hits(X, y, X_test, y_test, epochs: int = 60, seed: int = 0) -> int:
    """How many test pictures a linear head gets right that was trained on standardized features."""
    import torch
    import torch.nn.functional as F

    mean, std = X.mean(0), X.std(0) + 1e-6
    X, X_test = (X - mean) / std, (X_test - mean) / std
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = torch.nn.Linear(X.shape[1], int(y.max()) + 1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.05)
    for _ in range(epochs):
        for rows in torch.randperm(len(X), generator=generator).split(32):
            optimizer.zero_grad()
            F.cross_entropy(head(X[rows]), y[rows]).backward()
            optimizer.step()
    return int((head(X_test).argmax(1) == y_test).sum())


def cats_and_dogs(backbone) -> tuple[int, int]:
    """(right, all) in 5-fold cross-validation."""
    import torch
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    from helpers import data

    square = v2.Compose([v2.Resize(SIDE), v2.CenterCrop(SIDE), v2.PILToTensor()])
    photos = data.cats_and_dogs()
    if photos.source == "standin":
        sys.exit("There are no photographs of cats and dogs: set COURSE_DATA_DIR.")
    pairs = [pair for part in (photos.train, photos.test) for pair in ImageFolder(part, square)]
    X = features(backbone, torch.stack([picture.permute(1, 2, 0) for picture, _ in pairs]))
    y = torch.tensor([label for _, label in pairs])
    fold = torch.randperm(len(y), generator=torch.Generator().manual_seed(0)) % 5
    return sum(hits(X[fold != k], y[fold != k], X[fold == k], y[fold == k]) for k in range(5)), len(y)


def flowers(backbone) -> tuple[int, int]:
    """(right, all) of the 150 test photographs."""
    import torch

    from helpers import data

    pictures = data.flowers(SIDE)
    if pictures.source == "standin":
        sys.exit("There are no photographs of flowers: set COURSE_DATA_DIR.")
    X, y, X_test, y_test = (torch.from_numpy(a) for a in (pictures.train_images, pictures.train_labels,
                                                          pictures.test_images, pictures.test_labels))
    return hits(features(backbone, X), y, features(backbone, X_test), y_test), len(y_test)


def main() -> int:
    os.environ["COURSE_MODE"] = "fast"  # 150 flowers of each kind
    import torch

    from helpers.models import load_backbone

    backbone = load_backbone("squeezenet")
    print(f"{backbone.source}, frozen, {SIDE} px, {torch.get_num_threads()} threads")
    good = True
    for name, measure, must in (("cats vs dogs, 5-fold", cats_and_dogs, CATS_MUST_BE),
                                ("five flowers", flowers, FLOWERS_MUST_BE)):
        start, cpu = time.perf_counter(), time.process_time()
        right, n = measure(backbone)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(f"{name}: {right} of {n} = {right / n:.1%} (must be {must:.0%}), {seconds:.1f} s, {cpu:.1f} CPU-s", flush=True)
        good &= right / n >= must and seconds <= SECONDS
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
