"""Train, validate, keep the best: the loop that you wrote by hand in lessons 05 and 06, with what a long training needs.

    history = training.fit(model, train_loader, valid_loader, optimizer=optimizer, epochs=5, path="best.pt")
    training.load_weights(model, "best.pt")
    loss, accuracy = training.evaluate(model, test_loader)

Imports torch only when somebody needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from helpers import weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.utils.data import DataLoader

# ---------------------------------------------------------------------------------------------- batches

def tensor_loader(X: Tensor, y: Tensor, batch_size: int = 256, shuffle: bool = False,
                  generator: torch.Generator | None = None) -> DataLoader:
    """A loader for data that lie in memory as tensors. Each batch is taken out with one index.

    Args:
        X, y: (n, ...) and (n, ...), on any device; the batches come on the same one.
        batch_size: the last batch may be shorter.
        shuffle: a new random order in each epoch, drawn from ``generator`` or, without one, from torch's global one.
    """
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

    dataset = TensorDataset(X, y)
    order = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
    # The sampler yields lists of indices, and batch_size=None hands each list to the data set as it is.
    return DataLoader(dataset, sampler=BatchSampler(order, batch_size, drop_last=False), batch_size=None)


def _device_of(model: nn.Module) -> torch.device:
    """Where the model computes: the device of its first parameter."""
    import torch

    first = next(model.parameters(), None)
    return first.device if first is not None else torch.device("cpu")


def _accuracy_counts(logits: Tensor, y: Tensor) -> bool:
    """Whether "right or wrong" can be said: one row of class scores for each class index."""
    return logits.ndim == 2 and y.ndim == 1 and not y.is_floating_point()


# ---------------------------------------------------------------------------------------------- history

@dataclass
class History:
    """What happened in each epoch: one number per epoch in each list.

    The losses are means per sample, the accuracies lie in 0..1 (NaN where the targets are no class indices). The training
    values were met on the way, during the updates and with dropout on. ``best_epoch`` counts from 0.
    """

    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    valid_loss: list[float] = field(default_factory=list)
    valid_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)  # at the end of the epoch
    best_epoch: int | None = None  # of the lowest validation loss; None without validation
    stopped: str = ""  # why training ended before its last epoch; "" if it did not

    def __len__(self) -> int:
        return len(self.train_loss)

    def __repr__(self) -> str:
        if not len(self):
            return "History: no epoch finished" + (f", {self.stopped}" if self.stopped else "")
        text = f"History: {len(self)} epochs, training loss {self.train_loss[-1]:.4f}"
        if self.best_epoch is not None:
            text += f", best validation loss {self.valid_loss[self.best_epoch]:.4f} in epoch {self.best_epoch + 1}"
        return text + (f", {self.stopped}" if self.stopped else "")


class EarlyStopping:
    """Says when to stop: after ``patience`` epochs in a row in which the loss set no new minimum.

    A new minimum is below the old one by more than ``min_delta``. NaN is never one. Epochs count from 0.
    """

    def __init__(self, patience: int, min_delta: float = 0.0):
        if patience < 1:
            raise ValueError(f"patience is a number of epochs, at least 1, not {patience}")
        self.patience, self.min_delta = patience, min_delta
        self.best_loss, self.best_epoch, self.epoch = float("inf"), -1, -1

    def step(self, loss: float) -> bool:
        """Hand over the loss of the next epoch; True means: stop now."""
        self.epoch += 1
        if loss < self.best_loss - self.min_delta:
            self.best_loss, self.best_epoch = loss, self.epoch
        return self.epoch - self.best_epoch >= self.patience


# ---------------------------------------------------------------------------------------------- checkpoints

def save_weights(model: nn.Module, path: str | Path) -> None:
    """Write the model's ``state_dict`` to ``path``, so that an interrupt leaves no half file."""
    import torch

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    torch.save(model.state_dict(), beside)
    beside.replace(path)


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Read weights that ``save_weights`` or ``fit`` wrote into the model, onto the model's device.

    Raises weights.UnusableWeights, with one clear line, for a file that is damaged, of another kind, or holds program code.
    """
    model.load_state_dict(weights.load_weights(path))


# ---------------------------------------------------------------------------------------------- evaluate and fit

def evaluate(model: nn.Module, loader: Iterable, loss_fn: Callable | None = None) -> tuple[float, float]:
    """Mean loss per sample, and accuracy, without training: in eval mode and without a graph.

    Args:
        model: its mode, training or eval, is restored at the end.
        loader: yields (inputs, targets); they are moved to the model's device.
        loss_fn: (outputs, targets) -> mean over the batch; default: cross-entropy.
    Returns the loss and the accuracy in 0..1, NaN where the targets are no class indices.
    Raises ValueError if the loader is empty.
    """
    import torch

    loss_fn = loss_fn or torch.nn.functional.cross_entropy
    device = _device_of(model)
    was_training = model.training
    model.eval()
    total, hits, seen = 0.0, 0.0, 0
    try:
        with torch.no_grad():
            for x, y in loader:
                x, y = x.to(device), y.to(device)
                logits = model(x)
                total += loss_fn(logits, y).item() * len(y)
                hits += (logits.argmax(1) == y).sum().item() if _accuracy_counts(logits, y) else float("nan")
                seen += len(y)
    finally:
        model.train(was_training)
    if seen == 0:
        raise ValueError("the loader gave no batch, so there is nothing to evaluate")
    return total / seen, hits / seen


def fit(model: nn.Module, train_loader: Iterable, valid_loader: Iterable | None = None, *, optimizer: torch.optim.Optimizer,
        epochs: int, scheduler=None, loss_fn: Callable | None = None, path: str | Path | None = None,
        patience: int | None = None, progress: bool = True) -> History:
    """Train a model; validate after each epoch, keep the best weights in a file, stop early if asked to.

    Args:
        model: trained where it is, on the CPU or a GPU; batches are moved to its device. It ends with the last weights.
        train_loader, valid_loader: yield (inputs, targets).
        optimizer: of the model's parameters.
        epochs: how often to go through the training data.
        scheduler: a schedule of the learning rate that moves once per **batch**, such as OneCycleLR.
        loss_fn: (outputs, targets) -> mean over the batch; default: cross-entropy.
        path: file for the weights with the lowest validation loss; ``load_weights`` reads them back.
        patience: stop after so many epochs in a row without a new minimum of the validation loss.
        progress: show a bar with the loss and the accuracy so far.
    Returns a History. An interrupt (Kernel > Interrupt, or Ctrl-C) ends the training and keeps the history of the epochs that
    were finished. Raises ValueError where path or patience are given without validation, or if the loader is empty.
    """
    import torch

    if valid_loader is None and (path is not None or patience is not None):
        raise ValueError("path and patience need a valid_loader: the best epoch is the one with the lowest validation loss")
    loss_fn = loss_fn or torch.nn.functional.cross_entropy
    stopping = EarlyStopping(patience) if patience is not None else None
    history, best = History(), float("inf")
    try:
        for epoch in range(epochs):
            with _bar(train_loader, f"epoch {epoch + 1}/{epochs}", progress) as bar:
                loss, accuracy = _train_one_epoch(model, train_loader, optimizer, scheduler, loss_fn, bar)
                valid_loss = valid_accuracy = None
                if valid_loader is not None:
                    valid_loss, valid_accuracy = evaluate(model, valid_loader, loss_fn)
                    bar.set_postfix_str(f"{_numbers(loss, accuracy)}, validation {_numbers(valid_loss, valid_accuracy)}")

            history.train_loss.append(loss)
            history.train_accuracy.append(accuracy)
            history.learning_rate.append(optimizer.param_groups[0]["lr"])
            if valid_loader is None:
                continue
            history.valid_loss.append(valid_loss)
            history.valid_accuracy.append(valid_accuracy)
            if valid_loss < best:
                best, history.best_epoch = valid_loss, epoch
                if path is not None:
                    save_weights(model, path)
            if stopping and stopping.step(valid_loss):
                history.stopped = f"stopped early: no new minimum in {patience} epochs"
                break
    except KeyboardInterrupt:
        history.stopped = f"interrupted in epoch {len(history) + 1}"
        print(f"○ {history}")
    return history


def _train_one_epoch(model, loader, optimizer, scheduler, loss_fn, bar) -> tuple[float, float]:
    """One pass over the training data; returns mean loss per sample and accuracy, met on the way."""
    device = _device_of(model)
    model.train()
    total, hits, seen = 0.0, 0.0, 0
    for x, y in loader:
        x, y = x.to(device), y.to(device)
        optimizer.zero_grad()
        logits = model(x)
        loss = loss_fn(logits, y)
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        total += loss.item() * len(y)  # the loss is the mean of a batch, and the last batch may be shorter
        hits += (logits.argmax(1) == y).sum().item() if _accuracy_counts(logits, y) else float("nan")
        seen += len(y)
        bar.set_postfix_str(_numbers(total / seen, hits / seen), refresh=False)
        bar.update()
    if seen == 0:
        raise ValueError("the loader gave no batch, so there is nothing to train on")
    return total / seen, hits / seen


# ---------------------------------------------------------------------------------------------- progress

def _bar(loader, name: str, show: bool):
    """A tqdm bar over the batches: in a notebook the notebook's own, else one of text."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm warns where ipywidgets is missing, and falls back to text
        from tqdm.auto import tqdm

    total = len(loader) if hasattr(loader, "__len__") else None
    return tqdm(total=total, desc=name, unit="batch", disable=not show)


def _numbers(loss: float, accuracy: float) -> str:
    """``loss 0.1234, accuracy 0.967``; without the accuracy where there is none."""
    return f"loss {loss:.4f}" + (f", accuracy {accuracy:.3f}" if accuracy == accuracy else "")
