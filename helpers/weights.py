"""Read the weights of a network from a file, and nothing else from it.

A ``.pt`` file is a pickle, and a pickle may hold program code that runs when it is loaded. ``load_weights`` takes tensors and
plain values only, and says in one line what is wrong with a file.
"""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any


class UnusableWeights(ValueError):
    """The file does not hold weights; the message says what it holds. Notebooks show the message without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"✗ {self}"]


def load_weights(path: str | Path) -> dict[str, Any]:
    """The ``state_dict`` in a file, or the checkpoint (a dict of such, with plain values), on the CPU.

    ``model.load_state_dict(load_weights("digits.pt"))``

    Raises UnusableWeights with one line: the file is missing, empty, cut off, of another kind, or would run program code. No
    code from the file ever runs (``torch.load(..., weights_only=True)``).
    """
    import torch

    path = Path(path)
    if not path.exists():
        raise UnusableWeights(f"{path.name} is not here: {path}")
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as problem:
        raise UnusableWeights(f"{path.name} cannot be read ({problem.strerror or type(problem).__name__})") from None
    _refuse_other_kinds(path.name, start)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch thinks of a foreign pickle is no news to a student
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        raise UnusableWeights(_refused(path.name, str(problem))) from None
    except MemoryError:
        raise UnusableWeights(f"{path.name} asks for more memory than there is") from None
    except Exception as problem:  # torch reports a damaged file in many ways: RuntimeError, EOFError, KeyError, OSError, ...
        raise UnusableWeights(_damaged(path.name, start, str(problem))) from None
    if not isinstance(found, dict) or not _has_tensor(found):
        what = "an empty dict" if found == {} else f"a {type(found).__name__}"
        raise UnusableWeights(f"{path.name} holds {what}, not a state_dict: save it with torch.save(model.state_dict(), ...)")
    return found


_OTHER_KINDS = {
    b"<": "a web page (the download was answered by a log-in or error page?)",
    b"\x89HDF": "an HDF5 file (Keras?)",
    b"\x93NUMPY": "a NumPy array",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x1f\x8b": "a gzip file: unpack it first",
    b"version https://git-lfs": "a pointer to a file of Git LFS, without the file itself",
    b"{": "a text file",
}


def _refuse_other_kinds(name: str, start: bytes) -> None:
    """Raise UnusableWeights for a file that is plainly something else."""
    if not start:
        raise UnusableWeights(f"{name} is empty: get it again")
    for sign, what in _OTHER_KINDS.items():
        if start.lstrip().startswith(sign):
            raise UnusableWeights(f"{name} is {what}, not weights of PyTorch")
    if start[8:10] == b'{"':  # a length in 8 bytes, then JSON
        raise UnusableWeights(f"{name} is a safetensors file, not one that torch.save wrote")


def _refused(name: str, text: str) -> str:
    """Why the unpickler stopped, from torch's text: a whole model, program code, or no pickle of torch's at all."""
    found = re.search(r"GLOBAL ([\w.]+)", text)
    if not found:
        return f"{name} is damaged, or no file of weights that torch.save wrote"
    if found[1].startswith(("torch.nn", "__main__", "torchvision.models", "torch.fx")):
        return (f"{name} holds a whole model ({found[1]}), not only its weights; loading that would run program code, and none "
                "was run. Whoever has the model saves torch.save(model.state_dict(), ...) instead")
    return f"{name} would run program code when it is loaded ({found[1]}). None of it was run; do not trust this file"


def _damaged(name: str, start: bytes, text: str) -> str:
    if "TorchScript" in text:
        return f"{name} is a TorchScript program, not weights: torch.jit.load reads it"
    if start.startswith(b"PK") and "subdirectory" not in text:
        return f"{name} is cut off or damaged: get it again"
    return f"{name} is damaged, or no file of weights that torch.save wrote"


def _has_tensor(found: Any) -> bool:
    import torch

    if isinstance(found, torch.Tensor):
        return True
    values = found.values() if isinstance(found, dict) else found if isinstance(found, list | tuple) else ()
    return any(_has_tensor(value) for value in values)
