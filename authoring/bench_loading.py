"""How much faster does a whole batch come out of a tensor than out of one sample after another? Timed in turn, in one run.

    python -m authoring.bench_loading [--images 60000] [--rounds 5]

The same 28 x 28 images, the same batch size, shuffled anew in each pass:

* **vectorized**: helpers.training.tensor_loader, a DataLoader whose sampler is a BatchSampler and whose batch_size is None,
  so that each batch is one index into a tensor of float32;
* **per sample**: the usual DataLoader over torchvision's MNIST class, which turns one image after another into a picture,
  then through the transforms into a tensor, and stacks them;
* **per sample, ready tensors**: the usual DataLoader over a TensorDataset: taking apart and stacking alone.

The ratio of the first two is what counts. Nothing is trained, and no file is read: decoding JPEG files would come on top.

Measured on 2 cores of a Xeon, torch 2.15.0 (medians of 3 rounds, images per second):

    threads                          vectorized   per sample   per sample, ready tensors   ratio
    1 (OMP_NUM_THREADS=1), quiet       608,287       11,317              217,203           53.8
    1, other jobs run                  540,461        8,201              186,075           65.9
    2, other jobs run                  250,480       10,263              192,063           24.4
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from types import SimpleNamespace

import numpy as np

from authoring import bench_training
from helpers import training

MUST_BE = 20.0
BATCH = 256


def images(n: int, seed: int = 0) -> SimpleNamespace:
    """n random images of MNIST's size: train_images (n, 28, 28) uint8, train_labels (n,) int64."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
    return SimpleNamespace(train_images=pixels, train_labels=rng.integers(0, 10, n))


def loaders(digits, batch_size: int = BATCH) -> dict:
    """The three loaders by name, as they are timed. Each yields (batch, 1, 28, 28) float32 in 0..1, and labels."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset
    from torchvision.transforms import v2

    X, y = bench_training.scaled(digits.train_images, standardize=False), torch.from_numpy(digits.train_labels)
    convert = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    pictures = bench_training.torchvision_mnist(digits, convert)
    return {
        "vectorized": training.tensor_loader(X, y, batch_size, shuffle=True),
        "per sample": DataLoader(pictures, batch_size=batch_size, shuffle=True),
        "per sample, ready tensors": DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True),
    }


def rate(loader) -> float:
    """Images per second of one pass over a loader of (images, labels)."""
    started, seen = time.perf_counter(), 0
    for x, _ in loader:
        seen += len(x)
    return seen / (time.perf_counter() - started)


def interleaved(those: dict, rounds: int, say=print) -> dict[str, float]:
    """Median images per second of each loader, measured in turn, so that both meet the same load of the machine."""
    rates: dict[str, list[float]] = {name: [] for name in those}
    for turn in range(rounds):
        for name, loader in those.items():
            rates[name].append(rate(loader))
        say(f"round {turn + 1}: " + ", ".join(f"{name} {rates[name][-1]:,.0f}" for name in those) + " images per second")
    return {name: statistics.median(found) for name, found in rates.items()}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    import torch

    version, threads = torch.__version__.split("+")[0], torch.get_num_threads()
    print(f"torch {version}, {threads} threads, CPU; {options.images:,} images, batches of {BATCH}")
    found = interleaved(loaders(images(options.images)), options.rounds, lambda text: print(text, flush=True))
    for name, value in found.items():
        print(f"{name:>25}: {value:10,.0f} images per second (median of {options.rounds})")
    ratio = found["vectorized"] / found["per sample"]
    mark = "✓" if ratio >= MUST_BE else "✗"
    print(f"{mark} the vectorized loader gives {ratio:.1f} times as many as the one per sample (must be at least {MUST_BE:g})")
    return 0 if ratio >= MUST_BE else 1


if __name__ == "__main__":
    sys.exit(main())
