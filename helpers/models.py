"""Backbones: the course's own small VGG, and the large ones of torchvision. Imports torch only when somebody needs it.

``load_backbone("tiny")`` gives the course's: its weights lie in data/backbone.pt, and data/backbone_card.md says how they came
about and what they are worth. ``load_backbone("vgg16")`` and the like give torchvision's, with weights from ImageNet that are
downloaded once. All of them come as a ``Backbone``, so that the same cells run with each.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers import devices
from helpers.weights import UnusableWeights, load_weights

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
    layer_names: index of each convolution in features -> its name, such as {0: "conv1_1", 2: "conv1_2"}; {} if it is no VGG.
    classes: what the scores of the classifier stand for; None if it was never trained.
    transforms: torchvision's own preprocessing, PIL image or uint8 (N, 3, H, W) -> normalized float32; None for the course's.
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
    transforms: Callable[..., torch.Tensor] | None = None


def load_backbone(name: str = "auto", fold_bn: bool = True, *, prefer: str = "vgg16",
                  file: str | os.PathLike[str] | None = None) -> Backbone:
    """A pretrained network on the CPU, float32, in eval mode; no ReLU of it works in place.

    Args:
        name: "tiny" (the course's own, always there), "random" (the same network, untrained, seed 0), "vgg16", "vgg19",
            "densenet121", "resnet18", "resnet50", "squeezenet" (torchvision's, trained on ImageNet), or "auto": in fast mode
            "tiny", in full mode what the lesson prefers, if its weights are here, else "tiny", with one printed line.
        fold_bn: merge the BatchNorms of "tiny" and "random" into their convolutions; the other networks stay as they are.
        prefer: what "auto" takes in full mode.
        file: weights of your own for this network, a .pt or .pth that torch.save wrote, or an .npz, with torchvision's names.

    Weights of torchvision are looked for in COURSE_DATA_DIR/weights, in the cache of the course, in torchvision's own cache;
    then they are downloaded, once (VGG: more than 500 MB, which needs your consent).

    Raises:
        ValueError: there is no backbone of this name.
        UnusableWeights: the weights cannot be had, or are not those of this network; the message says why in one line.
    """
    if name == "auto":
        return _automatic(fold_bn, prefer)
    if name in ("tiny", "random"):
        weights = "random" if name == "random" else "course" if file is None else file
        return backbone(weights, fold_batchnorm=fold_bn)
    if name not in LARGE:
        raise ValueError(_no_backbone(name))
    return _large(name, Path(file) if file is not None else _found(name) or _downloaded(name))


def _no_backbone(name: object) -> str:
    known = ["auto", "tiny", "random", *LARGE]
    near = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.5)
    return f"there is no backbone {name!r}{f' (did you mean {near[0]!r}?)' if near else ''}; there are {', '.join(known)}"


def _automatic(fold_bn: bool, prefer: str) -> Backbone:
    if prefer not in LARGE:
        raise ValueError(_no_backbone(prefer))
    if devices.mode() == "fast":
        return load_backbone("tiny", fold_bn)
    path = _found(prefer)
    if path is not None:
        try:
            return _large(prefer, path)
        except UnusableWeights as problem:
            print(f"{problem}. The course's own backbone takes its place.", flush=True)
            return load_backbone("tiny", fold_bn)
    print(f"The weights of {prefer} are not here, so the course's own backbone takes its place; "
          f'load_backbone("{prefer}") fetches them.', flush=True)
    return load_backbone("tiny", fold_bn)


# --- torchvision's networks ---

# our name: torchvision's function. The weights are the first that were published: those that papers and lessons speak of.
LARGE = {"vgg16": "vgg16", "vgg19": "vgg19", "densenet121": "densenet121", "resnet18": "resnet18", "resnet50": "resnet50",
         "squeezenet": "squeezenet1_0"}
SQUEEZENET_FILE = "squeezenet_imagenet/squeezenet1_0_imagenet_dc.npz"


def _weights_of(name: str) -> Any:
    """torchvision's entry for the weights: url, transforms, classes."""
    import torchvision

    return torchvision.models.get_model_weights(LARGE[name])["IMAGENET1K_V1"]


def _found(name: str) -> Path | None:
    """The file of the weights, if it is on this machine."""
    import torch

    from helpers import data

    file = _weights_of(name).url.rsplit("/", 1)[-1]
    shared = data._folder()
    places = [folder / "weights" / file for folder in [*([shared] if shared else []), *data._caches()]]
    places.append(Path(torch.hub.get_dir()) / "checkpoints" / file)
    if name == "squeezenet":  # what the data folder of a class holds: the compressed network, decoded
        places += [folder / SQUEEZENET_FILE for folder in [*([shared] if shared else []), *data._caches()]]
    return next((place for place in places if place.is_file()), None)


def _downloaded(name: str) -> Path:
    """Fetch the weights into the cache of the course; UnusableWeights says why that did not work."""
    from helpers import data
    from helpers.downloads import Unusable, fetch, size_of

    url = _weights_of(name).url
    file = url.rsplit("/", 1)[-1]
    sha256 = re.search(r"-([0-9a-f]{8,})\.", file)[1]  # the convention of torchvision's file names
    cache = data._writable_cache()
    advice = f'put {file} into a folder "weights" of your data, or take load_backbone("tiny")'
    if data._offline():
        raise UnusableWeights(f"the weights of {name} are not here, and COURSE_OFFLINE forbids a download: {advice}")
    if cache is None:
        raise UnusableWeights(f"the weights of {name} cannot be kept: no folder for them can be written; {advice}")
    try:
        return fetch([url], cache / "weights" / file, size=size_of(url), sha256=sha256, title=f"weights of {name}")
    except Unusable as problem:
        raise UnusableWeights(f"{problem}. To go on, {advice}") from None


def _large(name: str, path: Path) -> Backbone:
    """One of torchvision's networks with the weights of a file."""
    import torch
    import torchvision

    weights = _weights_of(name)
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
        model = getattr(torchvision.models, LARGE[name])(weights=None)
    state = _arrays(path) if path.suffix == ".npz" else load_weights(path)
    _fill(model, _renamed(state), path.name, name)
    for module in model.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False  # it would overwrite the output of the convolution before it, which lessons look at
    features, classifier, channels = _parts(name, model.eval())
    transforms = weights.transforms()
    own = path.name == weights.url.rsplit("/", 1)[-1]
    return Backbone(
        features=features,
        classifier=classifier,
        channels=channels,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        min_size=transforms.crop_size[0],
        layer_names=vgg_layer_names(features) if name.startswith("vgg") else {},
        classes=list(weights.meta["categories"]),
        source=f"torchvision {LARGE[name]} IMAGENET1K_V1" if own else f"{LARGE[name]}, weights from {path.name}",
        transforms=transforms,
    )


def _parts(name: str, model: nn.Module) -> tuple[nn.Sequential, nn.Module, int]:
    """(features, classifier, channels), so that classifier(features(x)) is what torchvision's model computes."""
    from torch import nn

    if name.startswith("vgg"):
        return model.features, nn.Sequential(model.avgpool, nn.Flatten(), *model.classifier).eval(), 512
    if name == "squeezenet":
        return model.features, nn.Sequential(*model.classifier, nn.Flatten()).eval(), 512
    if name == "densenet121":
        last, body = model.classifier, nn.Sequential(*model.features, nn.ReLU())
    else:
        last, body = model.fc, nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool,
                                             model.layer1, model.layer2, model.layer3, model.layer4)
    return body.eval(), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), last).eval(), last.in_features


def vgg_layer_names(features: nn.Sequential) -> dict[int, str]:
    """Index of each convolution -> "conv{block}_{place}", both from 1; a block ends at a pooling layer."""
    from torch import nn

    names, block, place = {}, 1, 0
    for index, layer in enumerate(features):
        if isinstance(layer, nn.Conv2d):
            place += 1
            names[index] = f"conv{block}_{place}"
        elif isinstance(layer, nn.MaxPool2d):
            block, place = block + 1, 0
    return names


def _arrays(path: Path) -> dict[str, torch.Tensor]:
    """The arrays of an .npz as tensors; nothing is unpickled."""
    import numpy as np
    import torch

    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {key: torch.from_numpy(arrays[key]).float() for key in arrays.files}
    except Exception as problem:  # a damaged zip shows itself in many ways
        raise UnusableWeights(f"{path.name} cannot be read as an .npz of weights ({type(problem).__name__})") from None


def _renamed(state: dict[str, Any]) -> dict[str, Any]:
    """DenseNet's published files write "denselayer1.norm.1.weight" where its modules are called "denselayer1.norm1"."""
    return {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2", key): value for key, value in state.items()}


def _fill(model: nn.Module, state: dict[str, Any], file: str, name: str) -> None:
    import torch

    wanted = model.state_dict()
    optional = {key for key in wanted if key.endswith("num_batches_tracked")}  # files older than PyTorch 0.4.1 lack it
    for key in [*wanted, *state]:
        if key not in state and key not in optional:
            raise UnusableWeights(f"{file} holds no weights of {name}: {key} is missing")
        if key not in wanted:
            raise UnusableWeights(f"{file} holds no weights of {name}: it has {key!r}, which the network lacks")
        if key in state and (not isinstance(state[key], torch.Tensor) or state[key].shape != wanted[key].shape):
            found = tuple(state[key].shape) if isinstance(state[key], torch.Tensor) else type(state[key]).__name__
            raise UnusableWeights(f"{file} holds no weights of {name}: {key} has shape {found}, not {tuple(wanted[key].shape)}")
    for key in optional - set(state):
        state[key] = torch.tensor(0)
    numbers = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    model.load_state_dict(numbers, assign=True)


# --- the course's own ---


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
