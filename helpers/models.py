"""The course's own backbone: a small VGG, its layer names and its weights. Imports torch only when somebody needs it.

The weights lie in data/backbone.pt; data/backbone_card.md says how they came about and what they are worth.
"""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

# Widths of the 3x3 convolutions, "M" is a 2x2 max pooling: VGG13 at a quarter of its width, without the last pooling.
LAYOUT = (16, 16, "M", 32, 32, "M", 64, 64, "M", 128, 128, "M", 128, 128)
CHANNELS = 128
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's: every backbone of the course takes the same input
MIN_SIZE = 32  # pixels a side: the size of the pictures that it was trained on
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

WEIGHTS_FILE = Path(__file__).resolve().parents[1] / "data" / "backbone.pt"
WEIGHTS_SHA256 = "14a522fcdba0e04db228b96945226174ae16f50a2d0bddf5d60cba9512c88197"
HOW_TO_TRAIN = "python -m authoring.train_backbone --work FOLDER"


@dataclass
class Backbone:
    """A convolutional network, its head, and all that a lesson must know to use it.

    features: modules 0, 1, 2, ...; images (N, 3, H, W) -> maps (N, channels, h, w). In eval mode; not frozen.
    classifier: the head it was trained with, maps -> raw scores (N, number of classes); None if there is none.
    mean, std: for RGB values in 0..1; min_size: smallest side of a picture, in pixels.
    layer_names: index of each convolution in features -> its name, such as {0: "conv1_1", 2: "conv1_2"}.
    """

    features: nn.Sequential
    classifier: nn.Module | None
    channels: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    min_size: int
    layer_names: dict[int, str]
    classes: list[str] | None
    source: str


def tiny_vgg_features(batch_norm: bool = True) -> nn.Sequential:
    """The convolutional part: images (N, 3, H, W) -> maps (N, 128, H // 16, W // 16); H and W at least 16.

    With batch_norm the modules are numbered like torchvision's vgg13_bn (convolutions without bias), else like vgg13.
    """
    from torch import nn

    layers: list[nn.Module] = []
    channels = 3
    for width in LAYOUT:
        if width == "M":
            layers.append(nn.MaxPool2d(2))
            continue
        layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm2d(width))
        layers.append(nn.ReLU())  # not in-place: later lessons keep the output of the convolution itself
        channels = width
    return nn.Sequential(*layers)


def tiny_vgg_names(batch_norm: bool = True) -> dict[int, str]:
    """Index in `tiny_vgg_features(batch_norm)` -> name, from conv1_1 to conv5_2."""
    names: dict[int, str] = {}
    index = 0
    for number, block in enumerate(" ".join(map(str, LAYOUT)).split("M"), start=1):
        for position in range(1, len(block.split()) + 1):
            names[index] = f"conv{number}_{position}"
            index += 3 if batch_norm else 2
        index += 1  # the pooling
    return names


def tiny_vgg(batch_norm: bool = True, classes: int = len(CLASSES)) -> nn.Sequential:
    """The complete classifier, with the parts `features` and `classifier`: images (N, 3, H, W) -> scores (N, classes)."""
    from torch import nn

    model = nn.Sequential()
    model.add_module("features", tiny_vgg_features(batch_norm))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, classes))
    model.add_module("classifier", head)
    return model


def backbone(weights: str | os.PathLike[str] = "course", fold_batchnorm: bool = True, seed: int = 0) -> Backbone:
    """The course's small VGG ("TinyVGG"), on the CPU, float32, in eval mode.

    Args:
        weights: "course" for the trained weights that come with the course, "random" for none (He initialization,
            drawn from seed; the global random state stays as it is), or the path of a file with a state dict of `tiny_vgg`.
        fold_batchnorm: merge each BatchNorm into the convolution before it (module indices of VGG13, convolutions with
            bias); in eval mode the results are the same. False keeps BatchNorm (module indices of VGG13 with BatchNorm).
        seed: for weights="random" only.

    Raises:
        FileNotFoundError: there is no file of weights; the message says how to make one.
        ValueError: the file is not the one that the course ships, or holds no weights of this network.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        model = tiny_vgg()
    if weights == "random":
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
        source = f"TinyVGG, random weights (seed {seed})"
    elif weights == "course":
        _load(model, WEIGHTS_FILE, WEIGHTS_SHA256)
        source = "TinyVGG of the course, trained on CIFAR-10"
    else:
        _load(model, Path(weights), None)
        source = f"TinyVGG, weights from {Path(weights).name}"
    model.eval()
    return Backbone(
        features=_folded(model.features) if fold_batchnorm else model.features,
        classifier=model.classifier,
        channels=CHANNELS,
        mean=MEAN,
        std=STD,
        min_size=MIN_SIZE,
        layer_names=tiny_vgg_names(batch_norm=not fold_batchnorm),
        classes=None if weights == "random" else list(CLASSES),
        source=source,
    )


def _folded(features: nn.Sequential) -> nn.Sequential:
    """The same function without BatchNorm; features must be in eval mode and stay as they are."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    layers: list[nn.Module] = []
    for layer in features:
        if isinstance(layer, nn.BatchNorm2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer).requires_grad_()  # its new bias comes without
        else:
            layers.append(layer)
    return nn.Sequential(*layers).eval()


def _load(model: nn.Module, path: Path, sha256: str | None) -> None:
    """Fill the model from the file, whose numbers may be float16; None checks no sum."""
    if not path.is_file():
        raise FileNotFoundError(f"There are no weights at {path}. Make them with: {HOW_TO_TRAIN}")
    content = path.read_bytes()
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(
            f"{path} is not the file that belongs to this version of the course (its SHA-256 differs). "
            f"Get it again from the course, or load your own file by its path."
        )
    state = _state_dict(content, path)
    wanted = model.state_dict()
    for name in sorted(set(wanted) | set(state)):
        if name not in state:
            raise ValueError(f"{path} holds no weights of this network: {name} is missing.")
        if name not in wanted:
            raise ValueError(f"{path} holds no weights of this network: it has {name!r}, which the network lacks.")
        if state[name].shape != wanted[name].shape:
            raise ValueError(
                f"{path} holds no weights of this network: {name} has shape {tuple(state[name].shape)}, "
                f"not {tuple(wanted[name].shape)}."
            )
    model.load_state_dict(state)  # copies into float32


def _state_dict(content: bytes, path: Path) -> dict[str, torch.Tensor]:
    """The tensors in a file written by torch.save; nothing but tensors is unpickled."""
    import pickle

    import torch

    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ValueError(f"{path} cannot be read as a state dict ({type(error).__name__}).") from error
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items()):
        raise ValueError(f"{path} holds no state dict: expected names with tensors.")
    return state
