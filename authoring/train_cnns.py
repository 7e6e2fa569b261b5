"""Train the networks of lesson 10 as far as they go, once, and print the figures that the lesson and the README quote.

    python -m authoring.train_cnns --work FOLDER                          all four networks, seeds 0 1 2
    python -m authoring.train_cnns --work FOLDER --only cifar --seeds 0   one of them
    python -m authoring.train_cnns --work FOLDER --only residual --epochs 12 --seeds 0

    name       network                                                  data                        must reach (test accuracy)
    mnist      3 convolutions, 2 dense layers, 93,322 parameters        60,000 digits               99.1 %
    batchnorm  the same with BatchNorm, 93,482                          60,000 digits               99.2 %
    cifar      3 convolutions, 2 dense layers, dropout, 541,094         40,000 pictures, augmented  76 %
    residual   6 residual blocks of widths 32, 64, 128                  40,000 pictures, augmented  85 %

It takes a GPU if there is one (mixed precision, bfloat16), else the CPU; COURSE_DEVICE=cpu asks for the CPU. With --mixed the
CPU computes in bfloat16 too, three times as fast where it has matrix units (AMX), slower elsewhere. After each epoch FOLDER
gets a checkpoint, and the same command goes on from there: what is random in an epoch depends on seed and epoch only. Nothing
is chosen by a test image: the number of epochs is fixed, and the test set is looked at once, after the last one. 10,000 of the
CIFAR-10 pictures are kept for validation, so that one can watch. CIFAR-10 comes from data.cifar10(): COURSE_DATA_DIR, cache or
download; its pictures are not published, the figures are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers import data, devices

MNIST_STATISTICS = ((0.1307,), (0.3081,))
VALIDATION = 10_000  # CIFAR-10 pictures, the last ones of the training set


# ---------------------------------------------------------------------------------------------- the networks

def mnist_net(batch_norm: bool = False) -> nn.Sequential:
    """(n, 1, 28, 28) -> (n, 10): 93,322 parameters, with BatchNorm 93,482."""
    def block(i, o):
        norm = [nn.BatchNorm2d(o)] if batch_norm else []
        return [nn.Conv2d(i, o, 3, bias=not batch_norm), *norm, nn.ReLU()]

    return nn.Sequential(*block(1, 32), nn.MaxPool2d(2), *block(32, 64), nn.MaxPool2d(2), *block(64, 64),
                         nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10))


def cifar_net(dropout: float = 0.25) -> nn.Sequential:
    """(n, 3, 32, 32) -> (n, 10): 541,094 parameters."""
    layers = [part for i, o in ((3, 16), (16, 32), (32, 64))
              for part in (nn.Conv2d(i, o, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(1024, 500), nn.ReLU(), nn.Dropout(dropout),
                         nn.Linear(500, 10))


class Block(nn.Module):
    """The lesson's residual block; the last BatchNorm may start with weight 0, so that the block starts as its shortcut."""

    def __init__(self, i: int, o: int, stride: int = 1, zero: bool = True):
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(),
                                    nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o))
        same = stride == 1 and i == o
        self.shortcut = nn.Sequential() if same else nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))
        if zero:
            nn.init.zeros_(self.branch[-1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + self.shortcut(x))


def residual_net(widths: tuple[int, ...] = (32, 64, 128), blocks: int = 2) -> nn.Sequential:
    """(n, 3, 32, 32) -> (n, 10): 3x3 convolution, then `blocks` residual blocks of each width, then the mean of each map."""
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    now = widths[0]
    for width in widths:
        for number in range(blocks):
            layers.append(Block(now, width, stride=2 if number == 0 and width != widths[0] else 1))
            now = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(now, 10))


# ---------------------------------------------------------------------------------------------- the recipes

@dataclass(frozen=True)
class Recipe:
    """How a network is trained: one cycle of the learning rate over all epochs, up to ``rate``."""

    make: Callable[[], nn.Module]
    dataset: str
    epochs: int
    batch: int
    rate: float
    must_reach: float
    optimizer: str = "adam"  # or "sgd", with momentum
    decay: float = 0.0
    shift: int = 0  # random crops of the picture padded by so many pixels; 0 for no augmentation
    smoothing: float = 0.0
    warmup: float = 0.25


RECIPES = {
    "mnist": Recipe(mnist_net, "mnist", 4, 128, 4e-3, 0.991),
    "batchnorm": Recipe(lambda: mnist_net(True), "mnist", 2, 256, 1e-2, 0.992),
    "cifar": Recipe(cifar_net, "cifar10", 40, 128, 2e-3, 0.76, shift=3),
    "residual": Recipe(residual_net, "cifar10", 20, 128, 0.1, 0.85, optimizer="sgd", decay=5e-4, shift=4, smoothing=0.05),
}


def augmented(x: Tensor, pad: int, generator: torch.Generator) -> Tensor:
    """Each picture of a batch (n, c, h, w) on its own: mirrored or not, cut out of itself padded by reflection."""
    n, _, height, width = x.shape
    device = x.device
    mirror = torch.rand(n, generator=generator).to(device) < 0.5
    x = torch.where(mirror[:, None, None, None], x.flip(-1), x)
    top, left = torch.randint(0, 2 * pad + 1, (2, n), generator=generator).to(device)
    rows = top[:, None] + torch.arange(height, device=device)
    columns = left[:, None] + torch.arange(width, device=device)
    padded = F.pad(x, (pad,) * 4, mode="reflect")
    return padded[torch.arange(n, device=device)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@dataclass
class Sets:
    """Pictures (n, c, h, w) uint8 and labels on the device, and each channel's mean and spread in the training pictures."""

    train: tuple[Tensor, Tensor]
    valid: tuple[Tensor, Tensor] | None
    test: tuple[Tensor, Tensor]
    mean: Tensor
    std: Tensor
    source: str

    def ready(self, images: Tensor) -> Tensor:
        x = (images.float() / 255 - self.mean) / self.std
        return x.contiguous(memory_format=torch.channels_last)


def load(name: str, device: torch.device, size: tuple[int, int] = (50_000, 10_000), validation: int = VALIDATION) -> Sets:
    found = data.mnist() if name == "mnist" else data.cifar10(size)
    pictures = [torch.from_numpy(a).to(device) for a in (found.train_images, found.test_images)]
    pictures = [p[:, None] if p.ndim == 3 else p.permute(0, 3, 1, 2) for p in pictures]
    labels = [torch.from_numpy(a).to(device) for a in (found.train_labels, found.test_labels)]
    if name == "mnist":
        valid, (mean, std) = None, MNIST_STATISTICS
    else:
        cut = len(labels[0]) - validation
        valid, pictures[0], labels[0] = (pictures[0][cut:], labels[0][cut:]), pictures[0][:cut], labels[0][:cut]
        channels = [pictures[0][:, c].float() / 255 for c in range(3)]
        mean, std = [c.mean().item() for c in channels], [c.std().item() for c in channels]
    mean, std = (torch.tensor(v, device=device).view(-1, 1, 1) for v in (mean, std))
    return Sets((pictures[0], labels[0]), valid, (pictures[1], labels[1]), mean, std, found.source)


@torch.no_grad()
def accuracy(model: nn.Module, sets: Sets, which: tuple[Tensor, Tensor]) -> float:
    model.eval()
    batches = zip(which[0].split(1000), which[1].split(1000), strict=True)
    return sum(int((model(sets.ready(x)).argmax(1) == y).sum()) for x, y in batches) / len(which[1])


# ---------------------------------------------------------------------------------------------- training

def train(name: str, seed: int, epochs: int, sets: Sets, device: torch.device, work: Path, mixed: bool = False,
          say=print) -> dict:
    """Train one network, or go on from its checkpoint; returns its history and, at the end, the test accuracy."""
    recipe = RECIPES[name]
    torch.manual_seed(seed)
    model = recipe.make().to(device, memory_format=torch.channels_last)
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=recipe.rate, momentum=0.9, nesterov=True, weight_decay=recipe.decay)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    steps = -(-len(sets.train[1]) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=epochs * steps, pct_start=recipe.warmup,
                                                   cycle_momentum=recipe.optimizer == "sgd")
    settings = {"name": name, "seed": seed, "epochs": epochs, "images": len(sets.train[1]), "recipe": _settings(recipe),
                "mixed": mixed or device.type == "cuda"}
    path, state = work / f"{name}-{seed}.pt", {"settings": settings, "history": [], "test": None}
    if path.exists():
        state = torch.load(path, map_location=device, weights_only=True)
        if state["settings"] != settings:
            raise SystemExit(f"{path} belongs to a run with {state['settings']}, not {settings}: delete it, or ask for that.")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        say(f"{name}, seed {seed}: goes on after epoch {len(state['history'])}")
    for epoch in range(len(state["history"]), epochs):
        row = _one_epoch(model, optimizer, schedule, recipe, sets, settings["mixed"], seed * 10_000 + epoch)
        if sets.valid is not None and ((epoch + 1) % 5 == 0 or epoch + 1 == epochs):
            row["validation"] = accuracy(model, sets, sets.valid)  # to watch; nothing is chosen by it
        state["history"].append(row)
        state |= {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
        _save(state, path)
        say(f"{name}, seed {seed}, epoch {epoch + 1}/{epochs}: {json.dumps({k: round(v, 4) for k, v in row.items()})}")
    if state["test"] is None:
        state["test"] = accuracy(model, sets, sets.test)
        _save(state, path)
    return state


def _settings(recipe: Recipe) -> dict:
    return {k: v for k, v in vars(recipe).items() if k != "make"}


def _one_epoch(model, optimizer, schedule, recipe: Recipe, sets: Sets, mixed: bool, seed: int) -> dict[str, float]:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # dropout
    started, cpu, total, hits = time.perf_counter(), time.process_time(), 0.0, 0
    images, labels = sets.train
    model.train()
    for rows in torch.randperm(len(labels), generator=generator).to(labels.device).split(recipe.batch):
        x, y = sets.ready(images[rows]), labels[rows]
        if recipe.shift:
            x = augmented(x, recipe.shift, generator).contiguous(memory_format=torch.channels_last)
        with torch.autocast(labels.device.type, dtype=torch.bfloat16, enabled=mixed):
            logits = model(x)
        loss = F.cross_entropy(logits.float(), y, label_smoothing=recipe.smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.detach() * len(y)  # no .item(): a GPU would wait for it
        hits += (logits.argmax(1) == y).sum()
    return {"loss": float(total) / len(labels), "train": int(hits) / len(labels), "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - cpu}


def _save(state: dict, path: Path) -> None:
    beside = path.with_name(path.name + ".part")
    torch.save(state, beside)
    os.replace(beside, path)


# ---------------------------------------------------------------------------------------------- the command

def conditions(device: torch.device) -> str:
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return f"{where}, torch {torch.__version__.split('+')[0]}, Python {platform.python_version()}"


def summary(name: str, states: dict[int, dict], source: str) -> str:
    """One line: network, data, epochs, test accuracy of each seed, seconds."""
    recipe, any_state = RECIPES[name], next(iter(states.values()))
    seconds = [sum(row["seconds"] for row in s["history"]) for s in states.values()]
    tests = ", ".join(f"{100 * s['test']:.2f}" for s in states.values())
    reached = min(s["test"] for s in states.values()) >= recipe.must_reach
    parameters = sum(p.numel() for p in recipe.make().parameters())
    images, epochs = any_state["settings"]["images"], any_state["settings"]["epochs"]
    return (f"{'✓' if reached else '✗'} {name}: {parameters:,} parameters, {images:,} images ({source}), "
            f"{epochs} epochs, batch {recipe.batch}, {recipe.optimizer} up to {recipe.rate:g}: "
            f"test accuracy {tests} % (seeds {', '.join(map(str, states))}; must reach {100 * recipe.must_reach:g} %), "
            f"{sum(seconds) / len(seconds):.0f} s a training")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints, outside the repository")
    parser.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--epochs", type=int, help="another number of epochs than the recipe's")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--mixed", action="store_true", help="bfloat16 on the CPU too")
    options = parser.parse_args(argv)
    options.work.mkdir(parents=True, exist_ok=True)
    device = devices.device()
    print(conditions(device), flush=True)
    lines, loaded, worst = [], {}, True
    for name in options.only:
        recipe = RECIPES[name]
        if recipe.dataset not in loaded:
            loaded = {recipe.dataset: load(recipe.dataset, device)}  # one set in memory at a time
        sets = loaded[recipe.dataset]
        if sets.source == "standin":
            print(f"{name}: the real data are needed: set COURSE_DATA_DIR, or go online.")
            return 1
        epochs = options.epochs or recipe.epochs
        states = {seed: train(name, seed, epochs, sets, device, options.work, options.mixed,
                             lambda text: print(text, flush=True))
                  for seed in options.seeds}
        lines.append(summary(name, states, sets.source))
        worst = worst and lines[-1].startswith("✓")
        print(lines[-1], flush=True)
    print("\n".join(["", conditions(device), *lines]))
    return 0 if worst else 1


if __name__ == "__main__":
    sys.exit(main())
