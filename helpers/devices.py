"""Which device computes, how large a lesson runs, and seeds. Imports torch only when somebody needs it."""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

# One of these exists wherever torch could see an NVIDIA or AMD GPU: native Linux, WSL, ROCm.
_DRIVER_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")


def _wanted_device() -> str:
    """COURSE_DEVICE, checked for its form; "" if unset."""
    wanted = os.environ.get("COURSE_DEVICE", "").strip().lower()
    if wanted and not re.fullmatch(r"cpu|mps|cuda(:\d+)?", wanted):
        raise ValueError(f"COURSE_DEVICE={wanted!r} is no device: use cpu, cuda, cuda:1 or mps, or unset it.")
    return wanted


def device() -> torch.device:
    """The device to compute on: COURSE_DEVICE if set, else a GPU that torch sees through CUDA, else the CPU.

    Apple's MPS is taken only on request (COURSE_DEVICE=mps): results there differ beyond the last digits.

    Raises:
        ValueError: COURSE_DEVICE names no device, or one that this machine does not have.
    """
    wanted = _wanted_device()
    import torch

    if not wanted:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = torch.device(wanted)
    if found.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (found.index or 0) >= count:
            raise ValueError(
                f"COURSE_DEVICE={wanted}, but torch sees {count} CUDA GPUs: use cpu, or unset it."
            )
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("COURSE_DEVICE=mps, but torch sees no Apple GPU: use cpu, or unset it.")
    return found


def _gpu_is_likely() -> bool:
    """Whether a driver that torch could use is there. Takes microseconds; importing torch takes seconds."""
    return shutil.which("nvidia-smi") is not None or any(Path(p).exists() for p in _DRIVER_FILES)


def mode() -> str:
    """How large the lessons run: "fast" or "full".

    COURSE_MODE decides; without it a GPU means full and a CPU means fast. COURSE_DEVICE is believed as it is.
    The lessons that need only NumPy ask too, so torch is not imported to find out, unless it is loaded
    already or there is a GPU driver: without a driver torch could see no GPU, whatever build it is.

    Raises:
        ValueError: COURSE_MODE is neither fast nor full, or COURSE_DEVICE names no device.
    """
    wanted = os.environ.get("COURSE_MODE", "").strip().lower()
    if wanted in ("fast", "full"):
        return wanted
    if wanted:
        raise ValueError(f"COURSE_MODE={wanted!r} is no mode: use fast or full, or unset it.")
    named = _wanted_device()
    if named:
        return "fast" if named == "cpu" else "full"
    if "torch" not in sys.modules and not _gpu_is_likely():
        return "fast"
    try:
        import torch

        return "full" if torch.cuda.is_available() else "fast"
    except (
        ImportError,
        OSError,
    ):  # a torch that cannot be loaded uses no GPU either; doctor says how to repair it
        return "fast"


def budget(*, fast: T, full: T) -> T:
    """The one of two sizes that fits the mode: `epochs = budget(fast=3, full=20)`."""
    return fast if mode() == "fast" else full


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and, if it is loaded, torch's global generators (the CPU's and every GPU's).

    Args:
        seed: a whole number from 0 to 2**32 - 1. Call it after `import torch`.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise ValueError(f"a seed is a whole number from 0 to 2**32 - 1, not {seed!r}")
    seed = int(seed)
    random.seed(seed)
    np.random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
