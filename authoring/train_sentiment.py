"""Train the classifiers of lesson 16 as far as they go, once, and print the figures that the lesson and the README quote.

    python -m authoring.train_sentiment                                  all recipes, one line each
    python -m authoring.train_sentiment --device cuda --only sentences-mean long-mean
    python -m authoring.train_sentiment --imdb FOLDER --only imdb        25,000 reviews: the unpacked folder aclImdb
    python -m authoring.train_sentiment --folds 1 --epochs 1             a quick look that everything runs

    name            data                     network                                                    must reach (test)
    standin-last    5,000 made-up reviews    LSTM 16 to 32, last step                                   90 % (95 % is the best)
    standin-mean    the same                 mean of word vectors                                       -   (at most 80.82 %)
    standin-lstm    the same                 LSTM 16 to 32, mean over time                              -
    sentences-mean  10,662 real sentences    mean of word vectors, word dropout 0.2                     75 %
    sentences-last  the same                 LSTM 64 to 64, last step, dropout 0.5, word dropout 0.2    75 %
    sentences-lstm  the same                 LSTM 64 to 64, mean over time, word dropout 0.2            -
    long-last       2,000 long reviews       LSTM 32 to 32, last step of the first 200 words            -   (chance)
    long-mean       the same                 mean of word vectors, 1,000 words, word dropout 0.3        78 %
    long-lstm       the same                 LSTM 64 to 64, packed, last 400 words, mean over time      78 %
    imdb            25,000 reviews           mean of word vectors, 400 words, word dropout 0.3          80 %

Each recipe is trained on several splits (folds): a tenth, or for the long reviews a fifth, is the test set, another tenth is
for validation. The weights with the best validation accuracy are kept; the test set is looked at once, with these. Words are
counted in the training part only. The data come from helpers.data: COURSE_DATA_DIR, cache or download; where a set is not at
hand, the line says so and the recipe is left out. It takes a GPU if there is one, else the CPU.

Measured on a CPU, five folds each, in the order above: 93.9, 61.5, 90.9; 76.5, 75.8, 75.2; 52.1, 84.7, 78.4 % (imdb: not yet).
"""

from __future__ import annotations

import argparse
import collections
import copy
import platform
import string
import sys
import time
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from helpers import data, devices
from helpers.lessons import sentiment_rnn as lesson


@dataclass(frozen=True)
class Recipe:
    """How one network is made, fed and trained. ``keep`` is "first" or "last" of ``length`` words."""

    data: str
    read: str                   # "last" step of an LSTM, "mean" of its states, or mean of the word "vectors"
    length: int
    embedding: int = 64
    hidden: int = 64
    keep: str = "first"
    min_count: int = 1
    embedding_dropout: float = 0.0
    dropout: float = 0.5
    word_dropout: float = 0.0
    rate: float = 3e-3
    epochs: int = 8
    folds: int = 5
    parts: int = 10             # one of so many parts is the test set
    goal: float = 0.0


RECIPES = {
    "standin-last": Recipe("standin", "last", 40, 16, 32, dropout=0.3, rate=1e-2, epochs=12, goal=0.90),
    "standin-mean": Recipe("standin", "vectors", 40, 16, dropout=0.3, rate=1e-2, epochs=12),
    "standin-lstm": Recipe("standin", "mean", 40, 16, 32, dropout=0.3, rate=1e-2, epochs=12),
    "sentences-mean": Recipe("sentences", "vectors", 60, 64, word_dropout=0.2, rate=1e-2, goal=0.75),
    "sentences-last": Recipe("sentences", "last", 60, min_count=2, embedding_dropout=0.5, word_dropout=0.2, goal=0.75),
    "sentences-lstm": Recipe("sentences", "mean", 60, min_count=2, embedding_dropout=0.5, word_dropout=0.2),
    "long-last": Recipe("long", "last", 200, 32, 32, min_count=2, rate=5e-3, parts=5),
    "long-mean": Recipe("long", "vectors", 1000, 64, word_dropout=0.3, rate=1e-2, epochs=10, parts=5, goal=0.78),
    "long-lstm": Recipe("long", "mean", 400, keep="last", min_count=2, word_dropout=0.3, epochs=10, parts=5, goal=0.78),
    "imdb": Recipe("imdb", "vectors", 400, 64, min_count=2, word_dropout=0.3, epochs=6, folds=2, goal=0.80),
}


# ---------------------------------------------------------------------------------------------- data

def read(name: str, imdb: str) -> tuple[str, str] | None:
    """Reviews and labels in the two-file form; None where the real data are not at hand."""
    if name == "standin":
        return lesson.made_up()
    if name == "imdb":
        return lesson.read_imdb(imdb) if imdb else None
    found = data.sentences() if name == "sentences" else data.reviews()
    return None if found.source == "standin" else (found.reviews, found.labels)


def clean(text: str) -> list[list[str]]:
    """The words of each line, in lower case and without punctuation."""
    text = text.lower().translate(str.maketrans("", "", string.punctuation))
    return [line.split() for line in text.strip("\n").split("\n")]


def split(n: int, fold: int, parts: int) -> tuple[Tensor, Tensor, Tensor]:
    """Training, validation, test: every ``parts``-th review is a test, a tenth of all is for validation."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    is_test = torch.arange(n) % parts == fold
    rest = order[~is_test]
    return rest[n // 10:], rest[: n // 10], order[is_test]


def encode(rows: list[list[str]], train: Tensor, recipe: Recipe) -> tuple[Tensor, int]:
    """Left-padded features (n, length) and the number of rows that the embedding needs. Words are counted in ``train`` only."""
    count = collections.Counter(word for i in train.tolist() for word in rows[i])
    kept = sorted((w for w in count if count[w] >= recipe.min_count), key=lambda w: (-count[w], w))
    vocab = {word: n for n, word in enumerate(kept, 1)}
    features = torch.zeros(len(rows), recipe.length, dtype=torch.int64)
    for target, row in zip(features, rows, strict=True):
        ids = [vocab[word] for word in row if word in vocab]
        ids = ids[: recipe.length] if recipe.keep == "first" else ids[-recipe.length:]
        if ids:
            target[-len(ids):] = torch.tensor(ids)
    return features, len(vocab) + 1


# ---------------------------------------------------------------------------------------------- network

class Reader(nn.Module):
    """Word numbers (B, T), 0 for padding, to scores (B,)."""

    def __init__(self, rows: int, recipe: Recipe):
        super().__init__()
        self.read = recipe.read
        self.embedding = nn.Embedding(rows, recipe.embedding, padding_idx=0)
        self.embedding_dropout = nn.Dropout(recipe.embedding_dropout)
        width = recipe.embedding if recipe.read == "vectors" else recipe.hidden
        self.lstm = None if recipe.read == "vectors" else nn.LSTM(recipe.embedding, recipe.hidden, batch_first=True)
        self.dropout, self.fc = nn.Dropout(recipe.dropout), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.read == "vectors":
            states, words = self.embedding_dropout(self.embedding(x)), x > 0
        elif self.read == "last":
            return self._score(self.lstm(self.embedding_dropout(self.embedding(x)))[0][:, -1])
        else:
            states, words = self._packed(x)
        mean = (states * words[..., None]).sum(1) / words.sum(1, keepdim=True).clamp(min=1)
        return self._score(mean)

    def _packed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The LSTM over the words alone: the padding moves to the right, and a packed sequence leaves it out."""
        x = x.gather(1, (x == 0).long().argsort(dim=1, stable=True))  # words first, in their order
        lengths = (x > 0).sum(1).clamp(min=1)
        x = x[:, : int(lengths.max())]
        rows = self.embedding_dropout(self.embedding(x))
        packed = pack_padded_sequence(rows, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return states, x > 0

    def _score(self, state: Tensor) -> Tensor:
        return self.fc(self.dropout(state)).squeeze(1)


@torch.no_grad()
def accuracy(net: nn.Module, X: Tensor, y: Tensor) -> float:
    net.eval()
    hits = sum(((net(x) > 0) == (t > 0.5)).sum().item() for x, t in zip(X.split(500), y.split(500), strict=True))
    return hits / len(y)


def train(features: Tensor, labels: Tensor, parts, rows: int, recipe: Recipe, seed: int,
          device: torch.device) -> tuple[float, float]:
    """One fold: returns validation accuracy, the best of all epochs, and test accuracy with its weights."""
    (X, y), valid, test = ((features[p].to(device), labels[p].to(device)) for p in parts)
    torch.manual_seed(seed)
    net = Reader(rows, recipe).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=recipe.rate)
    best, kept = -1.0, None
    for _ in range(recipe.epochs):
        net.train()
        for batch in torch.randperm(len(X)).to(device).split(50):
            x = X[batch] * (torch.rand(len(batch), X.shape[1], device=device) >= recipe.word_dropout)
            loss = F.binary_cross_entropy_with_logits(net(x), y[batch])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5)
            optimizer.step()
        found = accuracy(net, *valid)
        if found > best:
            best, kept = found, copy.deepcopy(net.state_dict())
    net.load_state_dict(kept)
    return best, accuracy(net, *test)


def run(name: str, recipe: Recipe, texts: tuple[str, str], device: torch.device) -> bool:
    """Train all folds and print one line; returns whether the mean test accuracy reaches the goal."""
    start, rows = time.time(), clean(texts[0])
    labels = torch.tensor([float(word == "positive") for word in texts[1].split()])
    results = []
    for fold in range(recipe.folds):
        parts = split(len(rows), fold, recipe.parts)
        features, words = encode(rows, parts[0], recipe)
        results.append(train(features, labels, parts, words, recipe, fold, device))
    tests = [test for _, test in results]
    mean, valid = sum(tests) / len(tests), sum(v for v, _ in results) / len(results)
    verdict = "" if not recipe.goal else f"   goal {100 * recipe.goal:g} %: {'reached' if mean >= recipe.goal else 'MISSED'}"
    each = ", ".join(f"{100 * test:.1f}" for test in tests)
    print(f"{name:15} test {100 * mean:.1f} % ({each})   validation {100 * valid:.1f} %   "
          f"{recipe.epochs} epochs, {recipe.folds} folds, {time.time() - start:.0f} s{verdict}", flush=True)
    return mean >= recipe.goal


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train the classifiers of lesson 16 and print their figures.")
    parser.add_argument("--device", default="", help="cpu, cuda, cuda:1, mps; default: a GPU if there is one")
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--folds", type=int, default=0, help="so many splits, instead of the recipe's")
    parser.add_argument("--epochs", type=int, default=0, help="so many epochs, instead of the recipe's")
    parser.add_argument("--imdb", default="", help="the unpacked folder aclImdb, or one with reviews.txt and labels.txt")
    chosen = parser.parse_args(arguments)
    device = torch.device(chosen.device) if chosen.device else devices.device()
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    print(f"torch {torch.__version__}, {device} ({card})", flush=True)
    texts, fine = {}, True
    for name in chosen.only:
        recipe = RECIPES[name]
        if recipe.data not in texts:
            texts[recipe.data] = read(recipe.data, chosen.imdb)
        if texts[recipe.data] is None:
            print(f"{name:15} left out: the data are not at hand", flush=True)
            continue
        recipe = replace(recipe, folds=chosen.folds or recipe.folds, epochs=chosen.epochs or recipe.epochs)
        fine &= run(name, recipe, texts[recipe.data], device)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
