"""Training, evaluation, history, early stopping and checkpoints."""

from __future__ import annotations

import copy
import math
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from authoring import bench_training
from helpers import data, standins, training
from helpers.weights import UnusableWeights


class Spy(nn.Module):
    """A linear classifier with dropout that notes its mode in each forward pass."""

    def __init__(self, features: int = 5, classes: int = 3, seed: int = 0):
        super().__init__()
        self.drop, self.linear = nn.Dropout(0.5), nn.Linear(features, classes)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator))
        self.passes: list = []

    def forward(self, x):
        self.passes.append((self.training, torch.is_grad_enabled(), len(x)))
        return self.linear(self.drop(x))


def _data(n: int = 11, seed: int = 1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 5, generator=generator), torch.randint(0, 3, (n,), generator=generator)


def _sgd(model, lr=0.1):
    return torch.optim.SGD(model.parameters(), lr=lr)


# ---------------------------------------------------------------------------------------------- loader

def test_batches_are_taken_out_with_one_index_each():
    X, y = _data()
    batches = list(training.tensor_loader(X, y, batch_size=4))
    assert [len(b[1]) for b in batches] == [4, 4, 3]
    assert torch.equal(torch.cat([b[0] for b in batches]), X) and torch.equal(torch.cat([b[1] for b in batches]), y)
    loader = training.tensor_loader(X, y, batch_size=4)
    assert loader.batch_size is None and len(loader) == 3


def test_shuffled_batches_hold_every_sample_once_in_a_new_order_each_epoch():
    X, y = torch.arange(50).float(), torch.arange(50)
    loader = training.tensor_loader(X, y, batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(3))
    orders = [torch.cat([labels for _, labels in loader]).tolist() for _ in range(2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(50)) and orders[0] != orders[1]
    assert all((images == labels).all() for images, labels in loader)
    again = training.tensor_loader(X, y, batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(3))
    assert torch.cat([labels for _, labels in again]).tolist() == orders[0]


# ---------------------------------------------------------------------------------------------- evaluate

@pytest.mark.parametrize("was_training", [True, False])
def test_evaluate_divides_by_the_samples_seen_and_restores_the_mode(was_training):
    model, (X, y) = Spy().train(was_training), _data()
    loss, accuracy = training.evaluate(model, training.tensor_loader(X, y, batch_size=4))
    assert model.training is was_training
    assert set((m, g) for m, g, _ in model.passes) == {(False, False)} and torch.is_grad_enabled()
    scores = model.linear(X).detach()
    assert math.isclose(loss, F.cross_entropy(scores, y).item(), rel_tol=1e-6)
    assert math.isclose(accuracy, (scores.argmax(1) == y).double().mean().item(), rel_tol=1e-9)
    assert type(loss) is type(accuracy) is float


def test_evaluate_restores_the_mode_when_the_model_fails():
    model = Spy().train()
    with pytest.raises(RuntimeError):
        training.evaluate(model, [(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64))])
    assert model.training


def test_evaluate_with_another_loss_has_no_accuracy():
    model, X, t = nn.Linear(5, 1), _data()[0], torch.randn(11, 1)
    loss, accuracy = training.evaluate(model, [(X[:6], t[:6]), (X[6:], t[6:])], F.mse_loss)
    assert math.isclose(loss, F.mse_loss(model(X), t).item(), rel_tol=1e-6) and math.isnan(accuracy)


def test_an_empty_loader_is_an_error_with_a_clear_text():
    with pytest.raises(ValueError, match="no batch"):
        training.evaluate(Spy(), [])
    with pytest.raises(ValueError, match="no batch"):
        training.fit(Spy(), [], optimizer=_sgd(Spy()), epochs=1, progress=False)


# ---------------------------------------------------------------------------------------------- fit

def test_fit_does_what_the_loop_by_hand_does(tmp_path):
    X, y = _data(23)
    X_valid, y_valid = _data(7, seed=2)
    train, valid = [(X[:9], y[:9]), (X[9:18], y[9:18]), (X[18:], y[18:])], [(X_valid, y_valid)]
    model, by_hand = nn.Linear(5, 3), nn.Linear(5, 3)
    by_hand.load_state_dict(model.state_dict())
    history = training.fit(model, train, valid, optimizer=_sgd(model), epochs=3, path=tmp_path / "best.pt", progress=False)

    optimizer = _sgd(by_hand)
    losses, accuracies, valid_losses = [], [], []
    for _ in range(3):
        total = hits = 0
        for x, t in train:
            optimizer.zero_grad()
            loss = F.cross_entropy(by_hand(x), t)
            hits += (by_hand(x).argmax(1) == t).sum().item()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(t)
        losses.append(total / 23)
        accuracies.append(hits / 23)
        valid_losses.append(F.cross_entropy(by_hand(X_valid), y_valid).item())
    assert history.train_loss == pytest.approx(losses) and history.train_accuracy == pytest.approx(accuracies)
    assert history.valid_loss == pytest.approx(valid_losses)
    assert torch.allclose(model.weight, by_hand.weight)
    assert history.best_epoch == min(range(3), key=valid_losses.__getitem__)
    assert len(history) == 3 and history.stopped == "" and history.learning_rate == [0.1] * 3


def test_fit_trains_in_training_mode_and_validates_in_eval_mode():
    model, (X, y) = Spy().eval(), _data()
    training.fit(model, [(X[:4], y[:4])] * 2, [(X[4:], y[4:])], optimizer=_sgd(model), epochs=2, progress=False)
    assert model.passes == [(True, True, 4), (True, True, 4), (False, False, 7)] * 2


class Scripted(nn.Module):
    """Its validation losses are those of a script: one weight counts the epochs."""

    def __init__(self, losses):
        super().__init__()
        self.epoch, self.losses = nn.Parameter(torch.zeros(1)), losses

    def forward(self, x):
        if self.training:
            return self.epoch * x
        return torch.full_like(x, self.losses[round(self.epoch.item()) - 1])


def _scripted(losses, **options):
    """Each epoch moves the weight by exactly 1; the loss is what the model returns."""
    model = Scripted(losses)
    one = torch.ones(1, 1)
    history = training.fit(model, [(one, one)], [(one, one)], optimizer=_sgd(model, lr=1.0), epochs=len(losses), progress=False,
                           loss_fn=lambda out, t: -out.mean() if model.training else out.mean(), **options)
    return model, history


def test_the_file_holds_the_best_epoch_and_the_model_the_last(tmp_path):
    path = tmp_path / "deep" / "best.pt"
    model, history = _scripted([0.9, 0.5, 0.7, 0.6], path=path)
    assert history.best_epoch == 1 and model.epoch.item() == 4
    assert torch.load(path, weights_only=True)["epoch"].item() == 2
    training.load_weights(model, path)
    assert model.epoch.item() == 2
    assert [p.name for p in path.parent.iterdir()] == ["best.pt"]


def test_of_equal_epochs_the_first_is_kept_and_nan_never(tmp_path):
    _, history = _scripted([0.5, 0.5, math.nan, 0.5], path=tmp_path / "best.pt")
    assert history.best_epoch == 0 and torch.load(tmp_path / "best.pt", weights_only=True)["epoch"].item() == 1
    _, history = _scripted([math.nan, math.nan], path=tmp_path / "never.pt")
    assert history.best_epoch is None and not (tmp_path / "never.pt").exists()


def test_patience_stops_early_and_says_so():
    _, history = _scripted([1, 0.8, 0.9, 0.7, 0.75, 0.72, 0.1], patience=2)
    assert len(history) == 6 and history.best_epoch == 3 and "2 epochs" in history.stopped
    assert "stopped early" in repr(history) and "epoch 4" in repr(history)


@pytest.mark.parametrize(("losses", "patience", "min_delta", "stops_at", "best"), [
    ([1, 0.8, 0.9, 0.7, 0.75, 0.72], 2, 0.0, 5, 3),
    ([1, 0.95, 0.85, 0.88, 0.84], 2, 0.1, 4, 2),
    ([math.nan, math.nan], 2, 0.0, 1, -1),
    ([3, 2, 1], 1, 0.0, None, 2),
])
def test_early_stopping_by_a_script(losses, patience, min_delta, stops_at, best):
    stopping = training.EarlyStopping(patience, min_delta)
    stops = [stopping.step(loss) for loss in losses]
    assert (stops.index(True) if True in stops else None) == stops_at
    assert stopping.best_epoch == best


def test_bad_arguments_get_one_clear_text(tmp_path):
    model, (X, y) = Spy(), _data()
    with pytest.raises(ValueError, match="need a valid_loader"):
        training.fit(model, [(X, y)], optimizer=_sgd(model), epochs=1, path=tmp_path / "best.pt")
    with pytest.raises(ValueError, match="need a valid_loader"):
        training.fit(model, [(X, y)], optimizer=_sgd(model), epochs=1, patience=2)
    with pytest.raises(ValueError, match="patience"):
        training.EarlyStopping(0)


def test_the_schedule_moves_once_per_batch():
    model, (X, y) = Spy(), _data()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    loader = training.tensor_loader(X, y, batch_size=4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=2 * len(loader))
    history = training.fit(model, loader, optimizer=optimizer, scheduler=schedule, epochs=2, progress=False)
    assert schedule.last_epoch == 6 and len(history.learning_rate) == 2 and history.best_epoch is None
    assert history.valid_loss == history.valid_accuracy == []


# ---------------------------------------------------------------------------------------------- interrupts and bars

class Interrupted(nn.Linear):
    """Ctrl-C comes in its forward pass number ``at``."""

    def __init__(self, at: int):
        super().__init__(5, 3)
        self.left = at

    def forward(self, x):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().forward(x)


@pytest.mark.parametrize(("at", "finished"), [(2, 0), (3, 0), (8, 2), (9, 2)])
def test_an_interrupt_keeps_the_epochs_that_were_finished(at, finished, tmp_path, capsys):
    model, (X, y) = Interrupted(at), _data()  # three forward passes an epoch, the third one validates
    history = training.fit(model, [(X[:4], y[:4]), (X[4:8], y[4:8])], [(X[8:], y[8:])], optimizer=_sgd(model), epochs=5,
                           path=tmp_path / "best.pt", progress=False)
    assert len(history) == finished == len(history.valid_loss) == len(history.train_accuracy) == len(history.learning_rate)
    assert history.stopped == f"interrupted in epoch {finished + 1}"
    assert capsys.readouterr().out.startswith("○ History: ")
    assert (tmp_path / "best.pt").exists() == bool(finished)


def test_a_real_signal_interrupts(tmp_path):
    if os.name == "nt":
        pytest.skip("no SIGINT to a process of its own on Windows")
    program = tmp_path / "train.py"
    program.write_text("""
import os, signal, torch
from authoring import bench_training
from helpers import data, standins, training
model = torch.nn.Linear(5, 3)
class Batches:
    def __init__(self): self.epochs = 0
    def __len__(self): return 1
    def __iter__(self):
        self.epochs += 1
        if self.epochs == 3: os.kill(os.getpid(), signal.SIGINT)
        yield torch.zeros(4, 5), torch.zeros(4, dtype=torch.int64)
history = training.fit(model, Batches(), optimizer=torch.optim.SGD(model.parameters(), lr=0.1), epochs=9)
print(len(history), history.stopped)
""", encoding="utf-8")
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])})
    assert done.stdout.splitlines()[-1] == "2 interrupted in epoch 3", done.stdout + done.stderr


def test_the_bar_shows_loss_and_accuracy(capsys):
    model, (X, y) = Spy(), _data()
    training.fit(model, training.tensor_loader(X, y, 4), [(X, y)], optimizer=_sgd(model), epochs=2)
    text = capsys.readouterr().err
    assert "epoch 1/2" in text and "epoch 2/2" in text and "3/3" in text
    assert text.count("loss") >= 4 and "accuracy 0." in text and text.count("validation loss") >= 2


def test_without_progress_nothing_is_printed(capsys):
    model, (X, y) = Spy(), _data()
    training.fit(model, [(X, y)], optimizer=_sgd(model), epochs=1, progress=False)
    assert capsys.readouterr() == ("", "")


# ---------------------------------------------------------------------------------------------- checkpoints

def test_weights_with_code_in_them_are_refused(tmp_path):
    torch.save(Spy(), tmp_path / "whole.pt")
    with pytest.raises(UnusableWeights, match="would run program code"):
        training.load_weights(Spy(), tmp_path / "whole.pt")


def test_weights_of_another_size_are_refused(tmp_path):
    training.save_weights(nn.Linear(5, 4), tmp_path / "other.pt")
    model = nn.Linear(5, 3)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match="size mismatch"):
        training.load_weights(model, tmp_path / "other.pt")
    assert torch.equal(model.weight, before["weight"])


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "best.pt"
    model = nn.Linear(5, 3)
    training.save_weights(model, path)
    old = path.read_bytes()

    def full_disk(state, file):
        file.write_bytes(old[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        training.save_weights(model, path)
    assert path.read_bytes() == old


def test_the_module_starts_without_torch():
    program = "import sys; import helpers.training; assert 'torch' not in sys.modules and 'tqdm' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_same_on_a_gpu(tmp_path):
    X, y = _data(23)
    loader = training.tensor_loader(X, y, batch_size=9)  # on the CPU: batches move to the model
    histories = []
    for device in ("cpu", "cuda"):
        model = nn.Linear(5, 3)
        with torch.no_grad():
            model.weight.copy_(torch.linspace(-1, 1, 15).view(3, 5))
            model.bias.zero_()
        model = model.to(device)
        histories.append(training.fit(model, loader, [(X, y)], optimizer=_sgd(model), epochs=3, path=tmp_path / f"{device}.pt",
                                      progress=False))
    assert histories[0].valid_loss == pytest.approx(histories[1].valid_loss, rel=1e-4)
    training.load_weights(nn.Linear(5, 3), tmp_path / "cuda.pt")


# ---------------------------------------------------------------------------------------------- the benchmark

@pytest.fixture
def few_digits():
    return data.Images(*standins.digits(60, 20), "few digits", "standin", "")


def test_the_benchmark_gives_both_recipes_the_same_images(few_digits):
    old, new = bench_training.classic(few_digits, 0), bench_training.ours(few_digits, 0)
    images, labels = zip(*(old.loader.dataset[i] for i in range(60)), strict=True)
    pixels = torch.stack(images)
    assert torch.allclose((pixels - 0.1307) / 0.3081, new.loader.dataset.tensors[0], atol=1e-5)
    assert torch.allclose(pixels, bench_training.classic(few_digits, 0, per_image=False).loader.dataset.tensors[0])
    assert list(labels) == few_digits.train_labels.tolist()
    assert len(old.loader) == 3 and sum(p.numel() for p in old.model.parameters()) == 669_706
    assert old.model[1].weight.equal(new.model[1].weight)  # the same start


def test_the_benchmark_times_both_in_turn(few_digits):
    lines: list = []
    old, new = bench_training.interleaved(few_digits, 7, lines.append)  # more rounds than a cycle has epochs
    assert len(lines) == 7 and old > 0 and new > 0
    assert bench_training.ratios({0: (20, 5), 1: (10, 5)}, 3.0, 0.5) == {0: 24.0, 1: 12.0}
