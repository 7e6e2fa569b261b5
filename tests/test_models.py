"""The backbone: form, names, folding, the file of weights, and the script that makes it."""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from authoring import train_backbone as training
from helpers import models

ROOT = Path(__file__).resolve().parents[1]


def used_model(seed: int = 3) -> nn.Sequential:
    """The network with BatchNorm statistics and factors that matter, as after training."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = models.tiny_vgg()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            with torch.no_grad():
                layer.weight.uniform_(0.5, 2, generator=generator)
                layer.bias.uniform_(-0.5, 0.5, generator=generator)
            layer.running_mean.uniform_(-0.3, 0.3, generator=generator)
            layer.running_var.uniform_(0.1, 2, generator=generator)
    return model.eval()


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "own.pt"
    path.write_bytes(training.packed(used_model().state_dict()))
    return path


# --- Architecture -----------------------------------------------------------------------------------------------------


def test_importing_needs_no_torch():
    code = "import sys; import helpers.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_size():
    folded = models.tiny_vgg_features(batch_norm=False)
    assert sum(p.numel() for p in folded.parameters()) == 588_688
    # a BatchNorm has two numbers a channel where the folded convolution has one
    assert sum(p.numel() for p in models.tiny_vgg_features().parameters()) == 588_688 + 2 * (16 + 32 + 64 + 128 + 128)


# Where torchvision's vgg13 and vgg13_bn have their convolutions and poolings (without the last one).
VGG13 = {"convolutions": [0, 2, 5, 7, 10, 12, 15, 17, 20, 22], "poolings": [4, 9, 14, 19]}
VGG13_BN = {"convolutions": [0, 3, 7, 10, 14, 17, 21, 24, 28, 31], "poolings": [6, 13, 20, 27]}


@pytest.mark.parametrize(("batch_norm", "places"), [(False, VGG13), (True, VGG13_BN)])
def test_modules_are_numbered_as_in_torchvision(batch_norm, places):
    features = models.tiny_vgg_features(batch_norm)
    assert [i for i, m in enumerate(features) if isinstance(m, nn.Conv2d)] == places["convolutions"]
    assert [i for i, m in enumerate(features) if isinstance(m, nn.MaxPool2d)] == places["poolings"]
    rest = [m for m in features if not isinstance(m, (nn.Conv2d, nn.MaxPool2d, nn.BatchNorm2d))]
    assert len(rest) == 10 and all(isinstance(m, nn.ReLU) and not m.inplace for m in rest)
    assert [m.out_channels for m in features if isinstance(m, nn.Conv2d)] == [16, 16, 32, 32, 64, 64] + [128] * 4


@pytest.mark.parametrize("fold", [True, False])
def test_layer_names(fold):
    b = models.backbone("random", fold_batchnorm=fold)
    assert list(b.layer_names) == [i for i, layer in enumerate(b.features) if isinstance(layer, nn.Conv2d)]
    assert list(b.layer_names.values()) == [f"conv{block}_{i}" for block in range(1, 6) for i in (1, 2)]
    if fold:
        wanted = {0: "conv1_1", 5: "conv2_1", 10: "conv3_1", 15: "conv4_1", 17: "conv4_2", 20: "conv5_1"}
        assert wanted.items() <= b.layer_names.items()


def test_shapes():
    b = models.backbone("random")
    maps = b.features(torch.randn(2, 3, 96, 70))
    assert maps.shape == (2, b.channels, 6, 4)
    assert b.classifier(maps).shape == (2, 10)
    assert b.features(torch.randn(1, 3, b.min_size, b.min_size)).shape == (1, b.channels, 2, 2)


# --- Loader -----------------------------------------------------------------------------------------------------------


def test_random_weights_are_repeatable_and_leave_the_global_state_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b, c = models.backbone("random"), models.backbone("random"), models.backbone("random", seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(a.features(x), b.features(x))
    assert not torch.allclose(a.features(x), c.features(x))
    assert a.classes is None and "random" in a.source
    assert 0.1 < a.features(x).std() < 10  # neither vanishing nor exploding on the way


@pytest.mark.parametrize("fold", [True, False])
def test_own_file(saved, fold):
    b = models.backbone(saved, fold_batchnorm=fold)
    x = torch.randn(4, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    reference = used_model()
    with torch.no_grad():
        for parameter in reference.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.half())  # as stored
        assert torch.allclose(b.features(x), reference.features(x), atol=1e-5, rtol=1e-5)
        assert torch.allclose(b.classifier(b.features(x)), reference(x), atol=1e-5, rtol=1e-5)
    assert not any(m.training for m in (*b.features.modules(), *b.classifier.modules()))
    assert all(p.dtype == torch.float32 and p.requires_grad and p.is_leaf for p in b.features.parameters())
    assert any(isinstance(m, nn.BatchNorm2d) for m in b.features) is not fold
    assert b.classes[:4] == ["airplane", "automobile", "bird", "cat"] and saved.name in b.source
    assert (b.mean, b.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_two_loads_share_nothing(saved):
    a, b = models.backbone(saved), models.backbone(saved)
    with torch.no_grad():
        a.features[0].weight.zero_()
    a.layer_names.clear()
    assert b.features[0].weight.abs().sum() > 0 and b.layer_names and models.backbone(saved).layer_names


def test_missing_file_says_how_to_make_it(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "WEIGHTS_FILE", tmp_path / "backbone.pt")
    with pytest.raises(FileNotFoundError, match="authoring.train_backbone"):
        models.backbone()
    with pytest.raises(FileNotFoundError, match="nothing.pt"):
        models.backbone(tmp_path / "nothing.pt")
    with pytest.raises(FileNotFoundError):
        models.backbone(tmp_path)  # a folder


def test_checksum(monkeypatch, saved):
    import hashlib

    monkeypatch.setattr(models, "WEIGHTS_FILE", saved)
    monkeypatch.setattr(models, "WEIGHTS_SHA256", hashlib.sha256(saved.read_bytes()).hexdigest())
    assert "CIFAR-10" in models.backbone().source
    content = bytearray(saved.read_bytes())
    content[len(content) // 2] ^= 1  # one bit of a weight: torch.load alone would take it
    saved.write_bytes(content)
    with pytest.raises(ValueError, match="SHA-256"):
        models.backbone("course")


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harmful",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("features.3.weight"), r"features\.3\.weight is missing"),
        (lambda s: s.update(extra=torch.zeros(2)), "'extra', which the network lacks"),
        (lambda s: s.update({"features.0.weight": torch.zeros(16, 1, 3, 3)}), r"shape \(16, 1, 3, 3\), not \(16, 3"),
        (lambda s: s.update({"features.0.weight": 3.0}), "no state dict"),
        (lambda s: s.update(harm=Harmful()), "cannot be read"),
        (lambda s: s.update({3: torch.zeros(2)}), "no state dict"),
    ],
)
def test_wrong_content(tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    state = dict(used_model().state_dict())
    change(state)
    torch.save(state, tmp_path / "wrong.pt")
    with pytest.raises(ValueError, match=message):
        models.backbone(tmp_path / "wrong.pt")
    assert not (tmp_path / "harmful").exists()


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut off"])
def test_unreadable_file(tmp_path, content):
    (tmp_path / "broken.pt").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read"):
        models.backbone(tmp_path / "broken.pt")


def test_shipped_weights():
    """Once the weights are there, loader and card speak of the same file, and it is a network that sees something."""
    if not models.WEIGHTS_FILE.exists():
        assert models.WEIGHTS_SHA256 == ""
        pytest.skip("data/backbone.pt has not been trained yet")
    b, whole = models.backbone(), models.backbone(fold_batchnorm=False)
    card = models.WEIGHTS_FILE.with_name("backbone_card.md").read_text(encoding="utf-8")
    assert models.WEIGHTS_SHA256 in card
    assert models.WEIGHTS_FILE.stat().st_size < 2_000_000
    x = torch.randn(8, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert (b.features(x) - whole.features(x)).abs().max() < 1e-5
        assert torch.isfinite(b.classifier(b.features(x))).all()


# --- The script -------------------------------------------------------------------------------------------------------


def little_archive(path: Path) -> None:
    """Six pictures a class in the layout of the archive, each class a color."""
    from PIL import Image

    with tarfile.open(path, "w:gz") as tar:
        for part, count in (("train", 4), ("test", 2)):
            for k, name in enumerate(reversed(models.CLASSES)):
                for i in range(count):
                    file = io.BytesIO()
                    Image.new("RGB", (32, 32), (25 * k, 255 - 25 * k, 40 * i)).save(file, "JPEG", quality=95)
                    info = tarfile.TarInfo(f"{part}/{name}/{i:04d}.jpg")
                    info.size = file.tell()
                    file.seek(0)
                    tar.addfile(info, file)


def test_decoding(tmp_path):
    little_archive(tmp_path / "a.tar.gz")
    training.decode_cifar10(tmp_path / "a.tar.gz", tmp_path / "cifar10.npz")
    with np.load(tmp_path / "cifar10.npz") as arrays:
        assert list(arrays["classes"]) == list(models.CLASSES)
        assert arrays["train_images"].shape == (40, 32, 32, 3) and arrays["test_images"].dtype == np.uint8
        assert np.array_equal(arrays["test_labels"], np.repeat(np.arange(10), 2))
        k = 9 - arrays["train_labels"][17]  # classes were written in reverse
        assert np.abs(arrays["train_images"][17].mean((0, 1)) - [25 * k, 255 - 25 * k, 40]).max() < 4


def test_normalization():
    images = torch.randint(0, 256, (3, 3, 8, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    x = training.to_input(images)
    assert x.dtype == torch.float32 and x.shape == images.shape
    for n, channel, row, column in ((0, 0, 1, 2), (1, 1, 7, 8), (2, 2, 3, 0)):
        value = (int(images[n, channel, row, column]) / 255 - models.MEAN[channel]) / models.STD[channel]
        assert float(x[n, channel, row, column]) == pytest.approx(value, abs=1e-5)


def test_augmentation():
    def augmented(x, seed=1, **view):
        return training.augment(x, training.View(**view), torch.Generator().manual_seed(seed))

    x = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    a = augmented(x)
    assert a.shape == x.shape and torch.equal(a, augmented(x)) and torch.isfinite(a).all()
    assert not torch.equal(a, augmented(x, seed=2))
    assert augmented(x, size=64).shape == (64, 3, 64, 64)
    # a ramp from left to right falls in about half of the pictures: mirrored
    ramp = torch.linspace(-1, 1, 32).expand(400, 3, 32, 32)
    rows = augmented(ramp)[:, :, 8:24, 8:24].mean((1, 2))
    assert 0.4 < (rows[:, -1] < rows[:, 0]).double().mean() < 0.6
    # a larger scale shows more of the picture: the ramp is steeper
    small, large = (augmented(ramp, scales=(s, s))[:, 0, 16].diff().abs().median() for s in (0.5, 1.0))
    assert float(large / small) == pytest.approx(2, rel=0.05)
    # a checkerboard keeps its contrast, but for brightness, in the share of pictures that stay sharp
    board = ((torch.arange(32) + torch.arange(32)[:, None]) % 2 * 2.0 - 1).expand(400, 3, 32, 32)
    for share in (0.0, 0.5, 1.0):
        contrast = augmented(board, sharp=share)[:, 0, 8:24, 8:24].std((1, 2))
        assert abs(float((contrast > 0.79).double().mean()) - share) < 0.1 and contrast.max() < 1.21


def test_learning_rate_is_one_cycle():
    rates = [training.learning_rate(step, 100, 0.5) for step in range(100)]
    assert rates.index(max(rates)) == 20 and max(rates) == pytest.approx(0.5)
    assert rates[0] < 0.05 * 0.5 and 0 < rates[-1] < 0.01 * 0.5
    assert rates[:21] == sorted(rates[:21]) and rates[20:] == sorted(rates[20:], reverse=True)


@pytest.fixture
def little_work(tmp_path, monkeypatch) -> Path:
    little_archive(tmp_path / "a.tar.gz")
    training.decode_cifar10(tmp_path / "a.tar.gz", tmp_path / "cifar10.npz")
    monkeypatch.setattr(training, "BATCH", 16)
    return tmp_path


def test_training_goes_on_from_its_checkpoint(little_work, monkeypatch, capsys):
    threads = torch.get_num_threads()
    whole = training.train(little_work, epochs=[2, 2], seed=0, threads=threads)
    (little_work / "checkpoint.pt").unlink()

    def save_and_stop(obj, path, save=training.save):
        save(obj, path)
        if obj["epoch"] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        training.train(little_work, epochs=[2, 2], seed=0, threads=threads)
    capsys.readouterr()
    resumed = training.train(little_work, epochs=[2, 2], seed=0, threads=threads)
    assert capsys.readouterr().out.count("epoch") == 1
    assert [row["loss"] for row in whole["history"]] == [row["loss"] for row in resumed["history"]]
    for name, value in whole["model"].items():
        assert torch.equal(value, resumed["model"][name]), name
    with pytest.raises(SystemExit, match="belongs to a run"):
        training.train(little_work, epochs=[2, 3], seed=0, threads=threads)


def test_packed_file_is_small_and_repeatable():
    state = used_model().state_dict()
    content = training.packed(state)
    assert content == training.packed(state) and len(content) < 1_300_000
    kept = torch.load(io.BytesIO(content), weights_only=True)
    assert kept["features.0.weight"].dtype == torch.float16
    assert torch.equal(kept["features.1.running_var"], state["features.1.running_var"])


def test_stage_features():
    b = models.backbone("random")
    x = torch.randn(53, 3, 32, 48, generator=torch.Generator().manual_seed(0))  # more than one batch
    stages = training.stage_features(b.features, x)
    assert [tuple(s.shape) for s in stages] == [(53, n) for n in (16, 32, 64, 128, 128)]
    with torch.no_grad():
        assert torch.allclose(stages[-1], b.features(x).mean((2, 3)), atol=1e-6)
        assert torch.allclose(stages[0], b.features[:4](x).mean((2, 3)), atol=1e-6)


def test_probe():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(3).repeat(60)
    x = torch.randn(180, 5, generator=generator)
    easy = x.clone()
    easy[:, 0] += 10 * (y == 1)
    easy[:, 3] += 10 * (y == 2)
    assert min(training.probe_splits(easy, y)) > 0.97
    chance = training.probe_splits(x, y)
    assert len(set(chance)) > 1 and 0.2 < np.mean(chance) < 0.47
    assert training.probe_splits(x, y) == chance


def test_stylize():
    b = models.backbone("random")
    generator = torch.Generator().manual_seed(0)
    content = torch.randn(1, 3, 32, 40, generator=generator)
    style = torch.rand(1, 3, 36, 32, generator=generator) * torch.tensor([2.0, 0.1, -1.0]).view(3, 1, 1)
    picture, content_loss, style_loss = training.stylize(b, content, style, evaluations=15)
    assert picture.shape == content.shape and not picture.requires_grad
    assert 0 < style_loss < 0.5 and content_loss > 0
    same, content_loss, style_loss = training.stylize(b, content, style, evaluations=1, beta=0.0)
    assert torch.equal(same, content) and content_loss == 0 and style_loss == pytest.approx(1)
    assert all(p.grad is None for p in b.features.parameters())


GOOD = {
    "cifar10 test": 0.9,
    "folding error": 1e-6,
    "flowers trained all": 0.75,
    "flowers random all": 0.6,
    "style content loss": 0.3,
    "style style loss": 0.02,
}


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("cifar10 test", 0.8499, "CIFAR"),
        ("folding error", 2e-5, "folding"),
        ("flowers trained all", 0.65, "66 %"),
        ("flowers random all", 0.64, "random"),
        ("style style loss", 0.06, "style"),
    ],
)
def test_marks(name, value, word):
    assert training.missed(GOOD) == []
    assert any(word in words for words in training.missed(GOOD | {name: value}))


def test_card(tmp_path):
    card = tmp_path / "card.md"
    card.write_text("# A\n<!-- figures -->\nold\n<!-- /figures -->\n\nrest\n", encoding="utf-8")
    for _ in range(2):  # writing again changes nothing
        training.write_card(card, "new\nlines")
        assert card.read_bytes() == b"# A\n<!-- figures -->\nnew\nlines\n<!-- /figures -->\n\nrest\n"
    figures = GOOD | {
        f"{a} {b} {c}": 0.5 for a in ("cats and dogs", "flowers") for b in ("trained", "random") for c in ("all", "last")
    }
    state = {
        "history": [{"cpu_seconds": 90.0, "train_accuracy": 0.8}],
        "settings": {"epochs": [3, 1], "seed": 4, "threads": 1},
        "versions": {"python": "3.11", "torch": "2"},
    }
    block = training.card_block(state, figures, "ab" * 32, 1234)
    assert "90.00%" in block and "ab" * 32 in block and "1,234 bytes" in block and "3 + 1 epochs, seed 4" in block
