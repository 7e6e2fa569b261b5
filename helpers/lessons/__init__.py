"""The list of lessons: the one file, beside its own three, that a new lesson touches."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from helpers import notebooks
from helpers.checking import Exercise


@dataclass(frozen=True)
class Lesson:
    """A lesson of the course: its place, what one can do after it, and what should come before."""

    number: str
    name: str
    title: str
    outcome: str
    minutes: int
    after: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        return f"{self.number}_{self.name}"

    def is_here(self) -> bool:
        """True when the lesson is part of this version of the course (a hand-out may lack its solution).

        Where the helpers are installed as a package there are no notebooks at all, and the lesson's module tells.
        """
        if not any((notebooks.ROOT / folder).is_dir() for folder in ("notebooks", "solutions")):
            return (Path(__file__).parent / f"{self.name}.py").is_file()
        folders = {"notebooks": f"{self.stem}.ipynb", "solutions": f"{self.stem}_solution.ipynb"}
        return any((notebooks.ROOT / folder / name).is_file() for folder, name in folders.items())

    def module(self) -> ModuleType:
        return importlib.import_module(f"helpers.lessons.{self.name}")


LESSONS = (
    Lesson("00", "start_here", "Start here", "set up, check an exercise, find your way", 25),
    Lesson("01", "perceptron", "A line that learns", "write a perceptron, train it on points and on digits", 90, ("00",)),
    Lesson("02", "cross_entropy", "From right or wrong to how sure", "turn scores into probabilities and a loss", 100, ("01",)),
    Lesson("03", "backprop", "Gradients by hand", "differentiate a network and train it with NumPy", 150, ("02",)),
    Lesson("04", "tensors", "Tensors", "compute with PyTorch as with NumPy, and know where it differs", 110, ("03",)),
    Lesson("05", "nn_module", "Networks as modules", "build and train a network with torch.nn", 110, ("04",)),
    Lesson("06", "mnist_mlp", "Read handwritten digits", "train, validate and save a digit reader", 100, ("05",)),
    Lesson("07", "generalization", "From fitting to generalizing", "see overfitting and stop it", 120, ("06",)),
    Lesson("08", "image_data", "Pictures as data", "load, transform and augment folders of pictures", 100, ("05",)),
    Lesson("09", "convolutions", "Convolutions", "write a convolution and read its filters", 120, ("04",)),
    Lesson("10", "cnns", "Convolutional networks", "train a ConvNet on digits and on color photos", 150, ("07", "08", "09")),
    Lesson("11", "transfer_learning", "Transfer learning", "classify your own photos with a pretrained network", 120, ("10",)),
    Lesson("12", "inside_cnns", "Inside a ConvNet", "show what a network looks at", 110, ("11",)),
    Lesson("13", "style_transfer", "Style transfer", "paint a photo in the style of a picture", 110, ("11",)),
    Lesson("14", "recurrent_networks", "Recurrent networks", "write RNN, LSTM and GRU cells", 120, ("07",)),
    Lesson("15", "char_rnn", "A network that writes", "train a network that writes text", 150, ("14",)),
    Lesson("16", "sentiment_rnn", "A network that reads", "judge reviews with an LSTM", 150, ("14",)),
    Lesson("17", "deployment", "Out of the notebook", "export, shrink and serve a model", 120, ("10",)),
)


def exercises(module: ModuleType) -> list[Exercise]:
    """The exercises of a lesson module, in the order of their numbers."""
    found = [value for value in vars(module).values() if isinstance(value, Exercise)]
    return sorted(found, key=lambda e: [int(part) for part in e.id.split(".")])
