"""Device, mode and seeds, without a GPU and mostly without torch."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers import devices


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("COURSE_DEVICE", "COURSE_MODE"):
        monkeypatch.delenv(name, raising=False)


def test_device_is_what_was_asked_for(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.device() == torch.device("cuda")
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    assert devices.device() == torch.device("cpu")
    monkeypatch.setenv("COURSE_DEVICE", " CUDA:1 ")
    assert devices.device() == torch.device("cuda:1")
    monkeypatch.setenv("COURSE_DEVICE", "cuda:2")
    with pytest.raises(ValueError, match="sees 2 CUDA GPUs"):
        devices.device()


def test_mps_only_on_request(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.device() == torch.device("cpu")
    monkeypatch.setenv("COURSE_DEVICE", "mps")
    assert devices.device() == torch.device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no Apple GPU"):
        devices.device()


def test_cuda_asked_for_and_not_there(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("COURSE_DEVICE", "cuda")
    with pytest.raises(ValueError, match="COURSE_DEVICE=cuda.*use cpu"):
        devices.device()


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cpu0", "tpu"])
def test_bad_device_is_refused_by_both(monkeypatch, text):
    monkeypatch.setenv("COURSE_DEVICE", text)
    with pytest.raises(ValueError, match="COURSE_DEVICE"):
        devices.device()
    with pytest.raises(ValueError, match="COURSE_DEVICE"):
        devices.mode()


@pytest.mark.parametrize(
    ("mode", "device", "expected"),
    [
        ("fast", "cuda", "fast"),
        ("FULL", "cpu", "full"),
        ("", "cuda:0", "full"),
        ("", "cpu", "fast"),
        ("", "mps", "full"),
    ],
)
def test_mode_by_environment(monkeypatch, mode, device, expected):
    monkeypatch.setenv("COURSE_MODE", mode)
    monkeypatch.setenv("COURSE_DEVICE", device)
    monkeypatch.setattr(devices, "_gpu_is_likely", lambda: pytest.fail("the environment decides"))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert devices.mode() == expected


def test_bad_mode(monkeypatch):
    monkeypatch.setenv("COURSE_MODE", "quick")
    with pytest.raises(ValueError, match="COURSE_MODE='quick'.*fast or full"):
        devices.mode()


def test_mode_by_gpu(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.mode() == "full"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.mode() == "fast"


def test_mode_with_a_driver_but_no_torch(monkeypatch):
    monkeypatch.setattr(devices, "_gpu_is_likely", lambda: True)
    monkeypatch.setitem(sys.modules, "torch", None)  # makes `import torch` raise ImportError
    assert devices.mode() == "fast"


def test_driver_rule(monkeypatch, tmp_path):
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    monkeypatch.setattr(devices, "_DRIVER_FILES", (str(tmp_path / "nvidiactl"),))
    assert not devices._gpu_is_likely()
    (tmp_path / "nvidiactl").touch()
    assert devices._gpu_is_likely()


def test_no_torch_without_a_driver():
    code = (
        "import sys; from helpers import devices; devices._gpu_is_likely = lambda: False;"
        "assert devices.budget(fast=2, full=9) == 2; devices.seed_everything(3);"
        "assert 'torch' not in sys.modules and 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


def test_budget(monkeypatch):
    monkeypatch.setenv("COURSE_MODE", "full")
    assert devices.budget(fast=1, full=20) == 20
    monkeypatch.setenv("COURSE_MODE", "fast")
    assert devices.budget(fast=None, full=20) is None
    with pytest.raises(TypeError):
        devices.budget(1, 20)


def test_seed_everything_repeats_all_three():
    torch = pytest.importorskip("torch")

    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    devices.seed_everything(5)
    first = draw()
    devices.seed_everything(np.int64(5))
    assert draw() == first
    devices.seed_everything(6)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True, "7", None])
def test_bad_seed(seed):
    with pytest.raises(ValueError, match="a seed is a whole number"):
        devices.seed_everything(seed)
