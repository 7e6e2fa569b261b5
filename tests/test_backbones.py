"""load_backbone: torchvision's networks from files where they may lie, bad files, and downloads from a server of our own."""

import functools
import hashlib
import http.server
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from helpers import data, downloads, models
from helpers.weights import UnusableWeights

FILES = {
    "vgg16": "vgg16-397923af.pth",
    "vgg19": "vgg19-dcbb9e9d.pth",
    "densenet121": "densenet121-a639ec97.pth",
    "resnet18": "resnet18-f37072fd.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "squeezenet": "squeezenet1_0-b66bff10.pth",
}
REAL = Path(os.environ.get("COURSE_DATA_DIR") or "none")  # before the fixture below takes it away
CHANNELS = {"vgg16": 512, "vgg19": 512, "densenet121": 1024, "resnet18": 512, "resnet50": 2048, "squeezenet": 512}


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Empty caches, no shared folder, no network."""
    monkeypatch.setattr(data, "_caches", lambda: [tmp_path / "cache"])
    monkeypatch.delenv("COURSE_DATA_DIR", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(downloads, "_open", lambda request: (_ for _ in ()).throw(OSError("no network in this test")))
    return tmp_path


def hollow_state(name: str) -> dict:
    """A state dict of the right shapes in which each tensor is one number, repeated: VGG16 in some kilobytes."""
    with torch.device("meta"):
        model = getattr(torchvision.models, models.LARGE[name])(weights=None)
    return {key: torch.full((), 0.01 if value.is_floating_point() else 7, dtype=value.dtype).expand(value.shape)
            for key, value in model.state_dict().items()}


def save(state: dict, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


@pytest.mark.parametrize("name", models.LARGE)
def test_weights_are_found_where_torchvision_keeps_them(name, places):
    save(hollow_state(name), places / "hub" / "checkpoints" / FILES[name])
    found = models.load_backbone(name)
    assert found.channels == CHANNELS[name]
    assert found.min_size == 224
    assert found.mean == (0.485, 0.456, 0.406)
    assert found.std == (0.229, 0.224, 0.225)
    assert len(found.classes) == 1000
    assert found.source == f"torchvision {models.LARGE[name]} IMAGENET1K_V1"
    assert not found.features.training
    assert not found.classifier.training
    assert not any(m.inplace for m in found.features.modules() if isinstance(m, torch.nn.ReLU))
    assert next(found.features.parameters()).requires_grad  # a lesson freezes it, or does not
    assert bool(found.layer_names) == name.startswith("vgg")


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "squeezenet"])
def test_features_and_classifier_are_the_model(name, places):
    torch.manual_seed(5)
    model = getattr(torchvision.models, models.LARGE[name])(weights=None)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
    model.eval()
    save(model.state_dict(), places / "cache" / "weights" / FILES[name])
    found = models.load_backbone(name)
    x = torch.randn(2, 3, 72, 64)
    with torch.no_grad():
        maps = found.features(x)
        torch.testing.assert_close(found.classifier(maps), model(x))
    assert maps.shape[1] == found.channels


def test_vgg_is_the_model_too(places):
    """VGG16 whole is half a gigabyte: its features in full, its head at a hundredth of the width."""
    torch.manual_seed(6)
    model = torchvision.models.vgg16(weights=None).eval()
    small = torch.nn.Sequential(torch.nn.Linear(25_088, 40), torch.nn.ReLU(True), torch.nn.Dropout(), torch.nn.Linear(40, 10))
    model.classifier = small.eval()
    features, classifier, channels = models._parts("vgg16", model)
    x = torch.randn(1, 3, 64, 72)
    with torch.no_grad():
        torch.testing.assert_close(classifier(features(x)), model(x))
    assert channels == 512


def test_layer_names_of_vgg():
    with torch.device("meta"):
        vgg19 = torchvision.models.vgg19(weights=None).features
    names = {name: index for index, name in models.vgg_layer_names(vgg19).items()}
    wanted = {"conv1_1": 0, "conv2_1": 5, "conv3_1": 10, "conv4_1": 19, "conv4_2": 21, "conv5_1": 28}
    assert {name: names[name] for name in wanted} == wanted
    assert len(names) == 16
    assert models.vgg_layer_names(models.tiny_vgg_features(batch_norm=False)) == models.tiny_vgg_names(batch_norm=False)
    assert models.vgg_layer_names(models.tiny_vgg_features()) == models.tiny_vgg_names()


def test_old_names_of_densenet(places):
    state = hollow_state("densenet121")
    old = {models.re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): value for key, value in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    old = {key: value for key, value in old.items() if not key.endswith("num_batches_tracked")}  # and none of these
    save(old, places / "hub" / "checkpoints" / FILES["densenet121"])
    assert models.load_backbone("densenet121").channels == 1024


def test_the_class_folder_comes_first(places, monkeypatch):
    monkeypatch.setenv("COURSE_DATA_DIR", str(places / "class"))
    save(hollow_state("squeezenet"), places / "class" / "weights" / FILES["squeezenet"])
    (places / "cache" / "weights").mkdir(parents=True)
    (places / "cache" / "weights" / FILES["squeezenet"]).write_bytes(b"damaged")
    assert models.load_backbone("squeezenet").channels == 512


def test_squeezenet_as_npz(places, monkeypatch):
    arrays = {key: np.full(value.shape, 0.02, dtype=np.float16) for key, value in hollow_state("squeezenet").items()}
    path = places / "class" / models.SQUEEZENET_FILE
    path.parent.mkdir(parents=True)
    np.savez(path, **arrays)
    monkeypatch.setenv("COURSE_DATA_DIR", str(places / "class"))
    found = models.load_backbone("squeezenet")
    assert found.source == "squeezenet1_0, weights from squeezenet1_0_imagenet_dc.npz"
    assert next(found.features.parameters()).dtype == torch.float32
    assert models.load_backbone("squeezenet", file=path).channels == 512
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UnusableWeights, match="cannot be read as an .npz"):
        models.load_backbone("squeezenet")


@pytest.mark.parametrize("change, says", [
    (lambda state: state.pop("fc.bias"), "fc.bias is missing"),
    (lambda state: state.update(extra=torch.ones(2)), "it has 'extra'"),
    (lambda state: state.update({"fc.bias": torch.ones(7)}), r"fc.bias has shape \(7,\), not \(1000,\)"),
    (lambda state: state.update({"fc.bias": "text"}), "fc.bias has shape str"),
])
def test_other_weights_are_refused(change, says, places):
    state = hollow_state("resnet18")
    change(state)
    with pytest.raises(UnusableWeights, match=says):
        models.load_backbone("resnet18", file=save(state, places / "own.pt"))


def test_a_damaged_file_and_a_missing_one(places):
    path = save(hollow_state("resnet18"), places / "own.pt")
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(UnusableWeights, match="cut off or damaged"):
        models.load_backbone("resnet18", file=path)
    with pytest.raises(UnusableWeights, match="not here"):
        models.load_backbone("resnet18", file=places / "nowhere.pt")


def test_no_network_is_one_line(places):
    with pytest.raises(UnusableWeights) as caught:
        models.load_backbone("vgg16")
    text = str(caught.value)
    assert "vgg16-397923af.pth was not downloaded" in text
    assert "cannot be reached" in text
    assert 'load_backbone("tiny")' in text
    assert "\n" not in text


def test_offline_asks_nobody(places, monkeypatch):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    with pytest.raises(UnusableWeights, match="COURSE_OFFLINE"):
        models.load_backbone("vgg19")


def test_auto(places, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_MODE", "fast")
    assert models.load_backbone().source.startswith("TinyVGG of the course")
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("COURSE_MODE", "full")
    assert models.load_backbone(prefer="resnet18").source.startswith("TinyVGG of the course")
    assert capsys.readouterr().out.count("\n") == 1  # it says so, and downloads nothing
    path = save(hollow_state("resnet18"), places / "hub" / "checkpoints" / FILES["resnet18"])
    assert models.load_backbone(prefer="resnet18").channels == 512
    path.write_bytes(b"<html>log in</html>")
    assert models.load_backbone(prefer="resnet18").source.startswith("TinyVGG of the course")
    assert "a web page" in capsys.readouterr().out


def test_tiny_and_random():
    assert models.load_backbone("tiny").layer_names[0] == "conv1_1"
    assert models.load_backbone("tiny", fold_bn=False).layer_names[3] == "conv1_2"
    assert models.load_backbone("random").classes is None


@pytest.mark.parametrize("name, says", [("vgg18", "did you mean 'vgg19'"), ("ResNet18", "'resnet18'"), (7, "there are auto")])
def test_unknown_names(name, says):
    with pytest.raises(ValueError, match=says):
        models.load_backbone(name)


def test_the_genuine_squeezenet_sees_a_cat(monkeypatch):
    """The real weights on a real photo, where the class's folder has them."""
    photo, file = REAL / "style_transfer/content/chelsea.png", REAL / models.SQUEEZENET_FILE
    if not photo.is_file() or not file.is_file():
        pytest.skip("no real data here")
    from PIL import Image

    net = models.load_backbone("squeezenet", file=file)
    picture = net.transforms(Image.open(photo).convert("RGB"))[None]
    with torch.no_grad():
        best = net.classifier(net.features(picture)).argmax(1).item()
    assert net.classes[best] == "Egyptian cat"


# --- Downloads, from a server of our own -------------------------------------------------------------------------------


class Entry:
    """torchvision's entry for the weights, published at another address."""

    def __init__(self, name: str, url: str):
        self._entry, self.url = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"], url

    def __getattr__(self, name: str):
        return getattr(self._entry, name)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """(folder that is served, its address); the network of this test ends there."""
    monkeypatch.undo()  # the autouse fixture's closed network too ...
    monkeypatch.setattr(data, "_caches", lambda: [tmp_path / "cache"])  # ... but not its empty places
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.delenv("COURSE_DATA_DIR", raising=False)
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


def publish(folder: Path, address: str, monkeypatch, digits: str = "") -> str:
    save(hollow_state("squeezenet"), folder / "weights.pt")
    content = (folder / "weights.pt").read_bytes()
    file = f"squeezenet1_0-{digits or hashlib.sha256(content).hexdigest()[:8]}.pth"
    (folder / file).write_bytes(content)
    monkeypatch.setattr(models, "_weights_of", lambda name: Entry(models.LARGE[name], address + file))
    return file


def test_a_download_comes_once(server, monkeypatch, places):
    folder, address = server
    file = publish(folder, address, monkeypatch)
    assert models.load_backbone("squeezenet").channels == 512
    assert (places / "cache" / "weights" / file).is_file()
    (folder / file).unlink()
    assert models.load_backbone("squeezenet").channels == 512


def test_a_download_with_a_wrong_checksum_is_not_kept(server, monkeypatch, places):
    folder, address = server
    file = publish(folder, address, monkeypatch, digits="01234567")
    with pytest.raises(UnusableWeights, match="wrong checksum"):
        models.load_backbone("squeezenet")
    assert not (places / "cache" / "weights" / file).exists()


def test_a_file_that_is_gone_from_the_server(server, monkeypatch):
    folder, address = server
    (folder / publish(folder, address, monkeypatch)).unlink()
    with pytest.raises(UnusableWeights, match="answers 404"):
        models.load_backbone("squeezenet")


def test_large_downloads_need_consent(server, monkeypatch):
    folder, address = server
    publish(folder, address, monkeypatch)
    monkeypatch.setattr(downloads, "ASK_ABOVE_MB", 0.001)
    monkeypatch.delenv("COURSE_ALLOW_LARGE", raising=False)
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UnusableWeights, match="need your consent"):
        models.load_backbone("squeezenet")
