"""What the stand-in digits are worth: `python -m authoring.measure_standins [--seeds 0 1 2]`.

A network 784-512-512-10 learns from stand-in digits alone and is tested on the real test set and on fresh
stand-ins; the multiclass perceptron of lesson 01 shows that the stand-ins are neither trivial nor hopeless
for one linear layer. Needs the real digits (COURSE_DATA_DIR, or a download). Half a minute a seed on a core.
Of the stand-in garments it measures that a linear layer gets 70 to 85 % right and the network at least three points more.
With --flowers it measures the drawn flowers and patterns alone: linear probes of pixels, of the course's network and of an
untrained one. With --creatures the drawn cats and dogs: a small ConvNet learns them from 120 pictures, a linear layer and
the dense network of lesson 08 stay near chance on fresh ones. Half a minute a seed.
Exits with 1 if a figure misses its mark.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from helpers import creatures, data, flowers, standins

MARKS = {
    "real": (0.80, 1.0),
    "standin": (0.97, 1.0),
    "perceptron": (0.80, 0.97),
    "creatures, ConvNet 64 x 64": (0.85, 1.0),
    "creatures, dense 32 x 32": (0.40, 0.65),
    "creatures, linear 32 x 32": (0.40, 0.65),
    "flowers, pixels": (0.10, 0.35),
    "flowers, all stages": (0.75, 1.0),
    "flowers, last stage": (0.55, 0.80),
    "flowers, untrained": (0.30, 0.60),
    "patterns, pixels": (0.10, 0.35),
    "patterns, all stages": (0.55, 1.0),
    "patterns, last stage": (0.35, 0.80),
    "patterns, untrained": (0.10, 0.45),
}  # lowest and highest allowed


def perceptron_accuracy(
    X: np.ndarray, y: np.ndarray, X_test: np.ndarray, y_test: np.ndarray, epochs: int = 3
) -> float:
    """Multiclass perceptron from zero, lr 1, in the given order: X (n, 28, 28) uint8, y (n,)."""
    X, X_test = (a.reshape(len(a), -1) / 255 for a in (X, X_test))
    W, b = np.zeros((10, X.shape[1])), np.zeros(10)
    for _ in range(epochs):
        for x, right in zip(X, y, strict=True):
            winner = int(np.argmax(W @ x + b))
            if winner != right:
                W[right] += x
                W[winner] -= x
                b[right] += 1
                b[winner] -= 1
    return float((np.argmax(X_test @ W.T + b, axis=1) == y_test).mean())


def trained_network(X: np.ndarray, y: np.ndarray, seed: int, epochs: int, linear: bool = False):
    """784-512-512-10 with ReLU, or one linear layer, after `epochs` of AdamW, one-cycle learning rate; X (n, 28, 28) uint8."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    hidden = [nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)]
    model = nn.Sequential(nn.Flatten(), *([nn.Linear(784, 10)] if linear else hidden))
    images, labels = torch.tensor(X).float() / 255, torch.tensor(y)
    batch = 128
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=2e-3, epochs=epochs, steps_per_epoch=-(-len(images) // batch)
    )
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def predictions(model, X: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        return model(torch.tensor(X).float() / 255).argmax(dim=1).numpy()


def creature_tensors(n: int, seed: int, side: int, columns: int = 200):
    """n drawn cats and n dogs, in turn, cropped: (2n, 3, side, side) float32 in 0..1 and labels (2n,), as tensors.

    They are drawn at half the size of the stand-in's files, which takes a quarter of the time and shows less noise.
    """
    import torch
    from PIL import Image
    from torchvision.transforms.v2 import functional

    rng = np.random.default_rng([seed, 77])
    sizes, pictures = creatures.sizes(columns, rng), []
    for i in range(2 * n):
        width, height = sizes[i % columns]
        drawn = creatures.draw_creature(creatures.KINDS[i % 2], width // 2, height // 2, rng)
        small = functional.center_crop(functional.resize(Image.fromarray(drawn), round(side * 255 / 224)), side)
        pictures.append(np.asarray(small))
    return torch.tensor(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255, torch.arange(2 * n) % 2


def creature_network(kind: str, X, y, seed: int):
    """A trained "linear" layer, "dense" network, or "ConvNet" (with augmentation). X (n, 3, side, side), y (n,)."""
    import torch
    from torch import nn
    from torchvision.transforms import v2

    torch.manual_seed(seed)
    pixels = X[0].numel()
    if kind == "ConvNet":
        layers, channels = [], 3
        for width in (16, 32, 64, 64):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
            channels = width
        model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(channels, 2))
    elif kind == "dense":
        model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, 512), nn.ReLU(),
                              nn.Dropout(0.2), nn.Linear(512, 2))
    else:
        model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 2))
    vary = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomAffine(15, (0.1, 0.1), (0.85, 1.2))]) if kind == "ConvNet" else None
    epochs, rate, batch = (60, 3e-3, 16) if kind == "ConvNet" else (100, 1e-3, 32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs=epochs, steps_per_epoch=-(-len(X) // batch))
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(batch):
            x = torch.stack([vary(one) for one in X[rows]]) if vary else X[rows]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y[rows]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def creature_figures(seed: int, fresh: int = 200) -> dict[str, float]:
    """Accuracy on ``2 * fresh`` new creatures after learning from 120, by the keys of MARKS."""
    import torch

    figures = {}
    for kind, side in (("ConvNet", 64), ("dense", 32), ("linear", 32)):
        model = creature_network(kind, *creature_tensors(60, seed, side), seed)
        X, y = creature_tensors(fresh, seed + 1000, side)
        with torch.no_grad():
            figures[f"creatures, {kind} {side} x {side}"] = (model(X).argmax(1) == y).float().mean().item()
    return figures


def measure_creatures(seeds: list[int]) -> int:
    missed = 0
    for seed in seeds:
        for name, value in creature_figures(seed).items():
            low, high = MARKS[name]
            missed += not low <= value <= high
            kept = "yes" if low <= value <= high else "NO"
            print(f"seed {seed}, {name}: {value:.4f} (must be {low} to {high}: {kept})", flush=True)
    return 1 if missed else 0


def flower_probe(X, y, X_test, y_test, epochs: int = 100) -> float:
    """Accuracy of softmax regression on standardized features: X (n, C) float32, y (n,)."""
    import torch

    torch.manual_seed(0)
    mean, std = X.mean(0), X.std(0) + 1e-6
    X, X_test = (X - mean) / std, (X_test - mean) / std
    model = torch.nn.Linear(X.shape[1], int(y.max()) + 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(50):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(X[rows]), y[rows]).backward()
            optimizer.step()
    return (model(X_test).argmax(1) == y_test).float().mean().item()


def stage_averages(backbone, images):
    """Averages over space at the end of each stage, and of the last stage alone: images (n, side, side, 3) uint8."""
    import torch

    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (backbone.mean, backbone.std))
    found = []
    for x in images.split(100):
        x, stages = (x.permute(0, 3, 1, 2) / 255 - mean) / std, []
        with torch.no_grad():
            for layer in backbone.features:
                if isinstance(layer, torch.nn.MaxPool2d):
                    stages.append(x.mean((2, 3)))
                x = layer(x)
        found.append((torch.cat([*stages, x.mean((2, 3))], 1), x.mean((2, 3))))
    return tuple(torch.cat(part) for part in zip(*found, strict=True))


def measure_flowers(seeds: list[int]) -> int:
    """Linear probes, 600 drawings for training and 150 for testing (both kinds of drawing), by the keys of MARKS."""
    import torch

    from helpers.models import load_backbone

    missed = 0
    for what, draw in (("flowers", flowers.flowers), ("patterns", flowers.patterns)):
        for seed in seeds:
            X, y, X_test, y_test = (torch.from_numpy(a) for a in draw(120, 30, seed=seed))
            trained, untrained = ([stage_averages(load_backbone(name), z) for z in (X, X_test)] for name in ("tiny", "random"))
            pixels = [torch.nn.functional.avg_pool2d(z.permute(0, 3, 1, 2).float(), 3).flatten(1) for z in (X, X_test)]
            figures = {
                "pixels": flower_probe(pixels[0], y, pixels[1], y_test, epochs=30),
                "all stages": flower_probe(trained[0][0], y, trained[1][0], y_test),
                "last stage": flower_probe(trained[0][1], y, trained[1][1], y_test),
                "untrained": flower_probe(untrained[0][0], y, untrained[1][0], y_test),
            }
            for name, value in figures.items():
                low, high = MARKS[f"{what}, {name}"]
                missed += not low <= value <= high
                kept = "yes" if low <= value <= high else "NO"
                print(f"seed {seed}, {what}, {name}: {value:.4f} (must be {low} to {high}: {kept})", flush=True)
    return 1 if missed else 0


def contact_sheet(path: Path, X: np.ndarray, y: np.ndarray, columns: int = 26) -> None:
    """Write the first images of every digit, a row each, black on white."""
    import matplotlib.image

    rows = [np.concatenate(list(X[y == digit][:columns]), axis=1) for digit in range(10)]
    sheet = np.kron(255 - np.concatenate(rows), np.ones((2, 2), np.uint8))
    matplotlib.image.imsave(path, sheet, cmap="gray", vmin=0, vmax=255)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--images", type=int, default=60_000, help="stand-ins to learn from")
    parser.add_argument(
        "--confusion", action="store_true", help="also print real training digits against predictions"
    )
    parser.add_argument("--sheet", type=Path, help="write a contact sheet of stand-ins to this PNG file")
    parser.add_argument("--creatures", action="store_true", help="measure the drawn cats and dogs only")
    parser.add_argument("--flowers", action="store_true", help="measure the drawn flowers and patterns only")
    args = parser.parse_args(argv)

    if args.creatures:
        return measure_creatures(args.seeds)
    if args.flowers:
        return measure_flowers(args.seeds)
    real = data.mnist()
    if real.source == "standin":
        print("The real digits are needed: set COURSE_DATA_DIR, or go online.")
        return 1
    pixels = real.train_images / 255
    print(f"real digits: mean {pixels.mean():.3f}, standard deviation {pixels.std():.3f}")
    missed = 0
    for seed in args.seeds:
        start = time.perf_counter()
        X, y, X_test, y_test = standins.digits(args.images, 10_000, seed)
        drawn = time.perf_counter() - start
        if args.sheet and seed == args.seeds[0]:
            contact_sheet(args.sheet, X, y)
        model = trained_network(X, y, seed, args.epochs)
        figures = {
            "real": float((predictions(model, real.test_images) == real.test_labels).mean()),
            "standin": float((predictions(model, X_test) == y_test).mean()),
            "perceptron": perceptron_accuracy(X[:2000], y[:2000], X_test[:1000], y_test[:1000]),
        }
        print(
            f"seed {seed}: mean {X.mean() / 255:.3f}, standard deviation {X.std() / 255:.3f}, "
            f"drawn in {drawn:.1f} s, all in {time.perf_counter() - start:.0f} s"
        )
        for name, what in (
            ("real", "network on the 10,000 real test digits"),
            ("standin", "network on 10,000 fresh stand-ins"),
            ("perceptron", "perceptron, 2,000 stand-ins, 3 epochs, on 1,000"),
        ):
            low, high = MARKS[name]
            kept = low <= figures[name] <= high
            missed += not kept
            print(f"  {what}: {figures[name]:.4f} (must be {low} to {high}: {'yes' if kept else 'NO'})")
        if args.confusion:  # on training digits: the test set is not for tuning
            counts = np.zeros((10, 10), int)
            np.add.at(counts, (real.train_labels, predictions(model, real.train_images)), 1)
            print(np.round(100 * counts / counts.sum(axis=1, keepdims=True)).astype(int))
    for seed in args.seeds:
        X, y, X_test, y_test = standins.garments(20_000, 5_000, seed)
        linear, network = (
            float((predictions(trained_network(X, y, seed, 2 * args.epochs, kind), X_test) == y_test).mean())
            for kind in (True, False)
        )
        kept = 0.70 <= linear <= 0.85 and network >= linear + 0.03
        missed += not kept
        print(f"seed {seed}, garments: linear {linear:.4f}, network {network:.4f} (as wanted: {'yes' if kept else 'NO'})")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
