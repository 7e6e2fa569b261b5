"""The checks of lesson 16: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import collections
import copy
import itertools
import math
import random
import re
import string
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers import texts
from helpers.lessons import exercises
from helpers.lessons import sentiment_rnn as lesson
from tests.lessons import common

EXERCISES = exercises(lesson)
FUNCTIONS = [e for e in EXERCISES if e.kind == "function"]
ARITY = {"16.1": 2, "16.2": 1, "16.3": 2, "16.4": 2, "16.5": 3, "16.7": 4}


# ---------------------------------------------------------------------------------------------- right answers

def _vocab_with_counter(reviews, min_count=1):
    count = collections.Counter(itertools.chain.from_iterable(reviews))
    words = sorted((w for w, n in count.items() if n >= min_count), key=lambda w: (-count[w], w))
    return dict(zip(words, range(1, len(words) + 1), strict=True))


def _vocab_with_two_stable_sorts(reviews, min_count=1):
    count = collections.Counter(w for review in reviews for w in review)
    words = sorted(count)
    words.sort(key=count.__getitem__, reverse=True)
    result = {}
    for word in words:
        if count[word] >= min_count:
            result[word] = len(result) + 1
    return result


def _labels_with_a_dictionary(text):
    table = {"positive": 1.0, "negative": 0.0}
    try:
        return torch.tensor([table[word] for word in text.strip().split("\n")], dtype=torch.float32)
    except KeyError as problem:
        raise ValueError(f"no label: {problem}") from None


def _labels_with_list_index(text):
    return torch.FloatTensor([["negative", "positive"].index(word) for word in text.split()])


def _labels_line_by_line(text):
    labels = torch.empty(len(text.splitlines()), dtype=torch.float32)
    for n, line in enumerate(text.splitlines()):
        if line not in ("positive", "negative"):
            raise ValueError(line)
        labels[n] = line == "positive"
    return labels


def _drop_with_a_mask(reviews_ints, labels):
    mask = torch.tensor([len(review) > 0 for review in reviews_ints], device=labels.device)
    return [review for review in reviews_ints if len(review) > 0], labels[mask]


def _drop_with_zip(reviews_ints, labels):
    pairs = [(review, label) for review, label in zip(reviews_ints, labels, strict=True) if review != []]
    kept, numbers = zip(*pairs, strict=True)
    return list(kept), torch.stack(numbers)


def _drop_as_a_list(reviews_ints, labels):
    return list(_drop_with_a_mask(reviews_ints, labels))


def _pad_with_lists(reviews_ints, seq_length):
    rows = []
    for review in reviews_ints:
        review = list(review)[:seq_length]
        rows.append([0] * (seq_length - len(review)) + review)
    return torch.LongTensor(rows)


def _pad_with_f_pad(reviews_ints, seq_length):
    rows = [torch.tensor(review[:seq_length], dtype=torch.long) for review in reviews_ints]
    return torch.stack([F.pad(row, (seq_length - len(row), 0)) for row in rows])


def _pad_with_if(reviews_ints, seq_length):
    features = torch.zeros((len(reviews_ints), seq_length), dtype=torch.long)
    for i, row in enumerate(reviews_ints):
        row = row[:seq_length]
        if row:
            features[i, -len(row):] = torch.tensor(row)
    return features


def _split_with_random(n, train_frac=0.8, seed=0):
    order = list(range(n))
    random.Random(seed).shuffle(order)
    a = int(n * train_frac)
    b = (n - a) // 2
    return torch.tensor(order[:a]), torch.tensor(order[a:a + b]), torch.tensor(order[a + b:])


def _split_with_argsort(n, train_frac=0.8, seed=0):
    g = torch.Generator()
    g.manual_seed(seed)
    order, a = torch.argsort(torch.rand(n, generator=g)), int(train_frac * n)
    return order[:a], *torch.tensor_split(order[a:], [(n - a) // 2])


class _WithTheLastState(nn.Module):
    def __init__(self, vocab_size, embedding_dim, hidden_dim, n_layers=1, drop_prob=0.5):
        super().__init__()
        self.fc = nn.Linear(hidden_dim, 1)
        self.dropout = nn.Dropout(p=drop_prob)
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=0)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, num_layers=n_layers, batch_first=True, dropout=drop_prob if n_layers > 1 else 0.0)

    def forward(self, x):
        _, (h, _) = self.lstm(self.embedding(x))
        return self.fc(self.dropout(h[-1]))[:, 0]


class _ScoresEveryStep(_WithTheLastState):
    def forward(self, x):
        out, _ = self.lstm(self.embedding(x))
        return self.fc(self.dropout(out)).squeeze(-1)[:, -1]


class _WithZerosAndOneColumn(_WithTheLastState):
    def forward(self, x):
        zeros = torch.zeros(self.lstm.num_layers, len(x), self.lstm.hidden_size, device=x.device, dtype=self.fc.weight.dtype)
        out, _ = self.lstm(self.embedding(x), (zeros, zeros))
        return F.linear(self.dropout(out.transpose(0, 1)[-1]), self.fc.weight, self.fc.bias).flatten()


class _TimeFirst(nn.Module):
    """Right scores, but a layer that later cells of the lesson would feed in the wrong order."""

    def __init__(self, vocab_size, embedding_dim, hidden_dim, n_layers=1, drop_prob=0.5):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim, 0)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, n_layers)
        self.dropout = nn.Dropout(drop_prob)
        self.fc = nn.Linear(hidden_dim, 1)

    def forward(self, x):
        return self.fc(self.dropout(self.lstm(self.embedding(x.T))[0][-1])).flatten()


def _predict_with_re(model, vocab, text, seq_length):
    words = re.sub(f"[{re.escape(string.punctuation)}]", "", text).lower().split()
    ids = [vocab[w] for w in words if w in vocab][:seq_length]
    x = torch.tensor([0] * (seq_length - len(ids)) + ids, device=next(model.parameters()).device).unsqueeze(0)
    training = model.training
    try:
        model.eval()
        with torch.inference_mode():
            return 1 / (1 + math.exp(-model(x).item()))
    finally:
        model.train(training)


@torch.no_grad()
def _predict_word_by_word(model, vocab, text, seq_length):
    ids = []
    for word in "".join(c for c in text if c not in string.punctuation).lower().split():
        if word in vocab and len(ids) < seq_length:
            ids.append(vocab[word])
    x = torch.zeros(1, seq_length, dtype=torch.long)
    if ids:
        x[0, -len(ids):] = torch.tensor(ids)
    was = model.training
    score = model.eval()(x.to(next(model.parameters()).device))[0]
    if was:
        model.train()
    return float(torch.sigmoid(score))


def _predict_with_a_copy(model, vocab, text, seq_length):
    """Cleans as the lesson does, takes the first (only) line, and leaves the model itself alone."""
    words = [line.split() for line in text.lower().translate(str.maketrans("", "", string.punctuation)).strip("\n").split("\n")][0]
    ids = [vocab[w] for w in words if w in vocab][:seq_length]
    twin = copy.deepcopy(model).eval()
    with torch.no_grad():
        x = torch.tensor([[0] * (seq_length - len(ids)) + ids], device=next(model.parameters()).device)
        return torch.sigmoid(twin(x)).item()


RIGHT = {
    "16.1": [_vocab_with_counter, _vocab_with_two_stable_sorts],
    "16.2": [_labels_with_a_dictionary, _labels_with_list_index, _labels_line_by_line],
    "16.3": [_drop_with_a_mask, _drop_with_zip, _drop_as_a_list],
    "16.4": [_pad_with_lists, _pad_with_f_pad, _pad_with_if],
    "16.5": [_split_with_random, _split_with_argsort],
    "16.6": [_WithTheLastState, _ScoresEveryStep, _WithZerosAndOneColumn],
    "16.7": [_predict_with_re, _predict_word_by_word, _predict_with_a_copy],
}
EQUIVALENT = {}
ACCEPTED_IMPOSTORS = {}
LEAKS_ALLOWED = {}


# ---------------------------------------------------------------------------------------------- all exercises

@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_right_answers_in_other_styles_pass(exercise):
    common.right_answers_pass(exercise, RIGHT[exercise.id])


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.title)
def test_each_mistake_is_refused_with_its_own_message(exercise):
    common.mistakes_are_named(exercise)
    common.mistakes_differ(exercise)


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda e: e.title)
def test_odd_objects_get_one_clear_message(exercise):
    common.hostile_objects_get_a_message(exercise, ARITY[exercise.id])


@pytest.mark.parametrize("exercise", FUNCTIONS, ids=lambda e: e.title)
def test_an_endless_loop_is_stopped(exercise, monkeypatch):
    common.endless_loop_is_stopped(exercise, monkeypatch)


def test_the_lesson_is_complete():
    assert [e.id for e in EXERCISES] == [f"16.{n}" for n in range(1, 8)]
    assert all(len(e.mistakes) >= 6 and len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 8


def test_the_quiz_has_right_letters_in_several_places():
    letters = [lesson.quiz[n].right_letter for n in range(1, 9)]
    assert len(set(letters)) >= 3, letters


def test_the_lesson_module_starts_without_torch():
    program = "import sys; import helpers.lessons.sentiment_rnn; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_right_answers_leave_the_random_state_alone():
    for exercise in EXERCISES:
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        exercise.examine(RIGHT[exercise.id][0])
        assert torch.equal(torch.random.get_rng_state(), before), exercise.title


# ---------------------------------------------------------------------------------------------- single exercises

def test_most_common_is_recognized_as_unsorted_ties():
    def most_common(reviews, min_count=1):
        counted = collections.Counter(w for r in reviews for w in r).most_common()
        return {w: n for n, (w, count) in enumerate(counted, 1) if count >= min_count}

    common.refused(lesson.build_vocab, most_common, saying="alphabetical")


def test_a_set_is_recognized():
    def numbered_set(reviews, min_count=1):
        words = sorted({w for r in reviews for w in r}, key=lambda w: (len(w), w[::-1]))
        return {w: n for n, w in enumerate(words, 1)}

    common.refused(lesson.build_vocab, numbered_set, saying="without regard to how frequent")


@pytest.mark.parametrize(("kind", "saying"), [("reversed ties", "alphabetical order"), ("rare words", "got the number 0"), ("pad", "no word")])
def test_vocabularies_get_a_message_that_is_true(kind, saying):
    def answer(reviews, min_count=1):
        right = _vocab_with_counter(reviews, min_count)
        count = collections.Counter(w for r in reviews for w in r)
        if kind == "reversed ties":
            words = sorted(right, key=lambda w: (count[w], w), reverse=True)
            return {w: n for n, w in enumerate(words, 1)}
        return {"<pad>": 0, **right} if kind == "pad" else {w: right.get(w, 0) for w in count}

    common.refused(lesson.build_vocab, answer, saying=saying)


def test_labels_get_a_message_that_is_true():
    def starts(text):
        return _labels_with_a_dictionary("\n".join({"p": "positive", "n": "negative"}[w[0]] if w[:3] in ("pos", "neg") else w for w in text.split()))

    common.refused(lesson.encode_labels, lambda text: torch.tensor([{"positive": 1.0, "negative": 0.0}[w] for w in text.lower().split()]),
                   saying="Capitals are let through")
    common.refused(lesson.encode_labels, starts, saying="compare the whole word")


def test_the_last_empty_review_and_repeated_ones_are_told_apart():
    def only_the_last(reviews_ints, labels):
        return (reviews_ints[:-1], labels[:-1]) if not reviews_ints[-1] else (list(reviews_ints), labels)

    def as_a_set(reviews_ints, labels):
        pairs = {tuple(row): label for row, label in zip(reviews_ints, labels, strict=True) if row}
        return [list(row) for row in pairs], torch.stack(list(pairs.values()))

    common.refused(lesson.drop_empty, only_the_last, saying="at the end was removed")
    common.refused(lesson.drop_empty, as_a_set)


def test_a_table_that_is_not_cut_and_a_rounded_split_are_recognized():
    common.refused(lesson.pad_features, lambda rows, n: torch.tensor([[0] * (n - len(row)) + row for row in rows]), saying="not cut")

    def rounded(n, train_frac=0.8, seed=0):
        order, a = torch.randperm(n, generator=torch.Generator().manual_seed(seed)), round(n * train_frac)
        return order[:a], *torch.tensor_split(order[a:], [(n - a) // 2])

    common.refused(lesson.split_indices, rounded, saying="rounds down")


def test_a_changed_vocabulary_does_no_harm_to_the_next_answer():
    def learns(model, vocab, text, seq_length):
        for word in text.lower().split():
            vocab.setdefault(word, len(vocab) + 1)
        return _predict_with_re(model, vocab, text, seq_length)

    common.refused(lesson.predict_review, learns)
    assert lesson.predict_review.examine(_predict_with_re).outcome == "passed"


def test_a_tensor_is_called_a_tensor():
    def tensor(model, vocab, text, seq_length):
        return torch.tensor([_predict_with_re(model, vocab, text, seq_length)])

    common.refused(lesson.predict_review, tensor, saying="a plain number")


def test_a_loose_set_of_labels_is_refused():
    common.refused(lesson.encode_labels, lambda text: _labels_with_a_dictionary(text.lower()), saying="Positive")
    common.refused(lesson.encode_labels, lambda text: _labels_with_a_dictionary(text).unsqueeze(1), saying="dimension")


def test_dropping_with_a_forward_loop_on_the_callers_list_is_refused():
    def removes(reviews_ints, labels):
        for review in reviews_ints:
            if not review:
                reviews_ints.remove(review)
        return reviews_ints, labels[:len(reviews_ints)]

    common.refused(lesson.drop_empty, removes)


def test_the_same_list_is_not_a_new_list():
    def lazy(reviews_ints, labels):
        return (reviews_ints, labels) if all(reviews_ints) else _drop_with_a_mask(reviews_ints, labels)

    common.refused(lesson.drop_empty, lazy, saying="a new list")


@pytest.mark.parametrize(("change", "saying"), [
    (lambda p: tuple(part.float() for part in p), "three rows of whole numbers"),
    (lambda p: (p[0], torch.cat(p[1:])), "three rows of whole numbers"),
    (lambda p: (p[0][:-1], p[1], p[2]), "how many"),
    (lambda p: (torch.cat([p[0][1:], p[0][-1:]]), p[1], p[2]), "twice"),
])
def test_splits_of_another_form_are_refused(change, saying):
    common.refused(lesson.split_indices, lambda n, train_frac=0.8, seed=0: change(_split_with_random(n, train_frac, seed)), saying=saying)


def test_a_split_that_rotates_is_refused():
    def rotated(n, train_frac=0.8, seed=0):
        order, a = torch.arange(n).roll(7 * seed + 3), int(n * train_frac)
        return order[:a], order[a:a + (n - a) // 2], order[a + (n - a) // 2:]

    common.refused(lesson.split_indices, rotated, saying="sorted by class")


def test_odd_networks_get_a_message():
    common.refused(lesson.SentimentRNN, ..., outcome="not attempted")
    common.refused(lesson.SentimentRNN, nn.Linear(3, 4), saying="a class")

    class WithGru(_WithTheLastState):
        def __init__(self, *sizes, **options):
            super().__init__(*sizes, **options)
            self.lstm = nn.GRU(sizes[1], sizes[2], batch_first=True)

    class ReadsBothEnds(_WithTheLastState):
        def forward(self, x):
            out, _ = self.lstm(self.embedding(x))
            return self.fc(self.dropout(out[:, -1] + out[:, 0])).squeeze(1)

    class DropsWords(_WithTheLastState):
        def forward(self, x):
            _, (h, _) = self.lstm(self.dropout(self.embedding(x)))
            return self.fc(h[-1]).squeeze(1)

    class Detached(_WithTheLastState):
        def forward(self, x):
            return super().forward(x).detach()

    class IgnoresDropProb(_WithTheLastState):
        def __init__(self, vocab_size, embedding_dim, hidden_dim, n_layers=1, drop_prob=0.5):
            super().__init__(vocab_size, embedding_dim, hidden_dim, n_layers)

    common.refused(lesson.SentimentRNN, WithGru, saying="lstm is a GRU")
    common.refused(lesson.SentimentRNN, _TimeFirst, saying="batch_first=True is missing")
    common.refused(lesson.SentimentRNN, ReadsBothEnds)
    common.refused(lesson.SentimentRNN, DropsWords)
    common.refused(lesson.SentimentRNN, Detached, saying="gradient")
    common.refused(lesson.SentimentRNN, IgnoresDropProb, saying="dropout")


def test_axes_exchanged_by_view_is_recognized():
    class Viewed(_WithTheLastState):
        def forward(self, x):
            out, _ = self.lstm(self.embedding(x))
            B, T = x.shape
            scores = self.fc(out.contiguous()).view(T, B)
            return scores[0]

    common.refused(lesson.SentimentRNN, Viewed)


def test_a_prediction_for_the_wrong_device_state_or_text_is_refused():
    def detaches(model, vocab, text, seq_length):
        return _predict_with_grad(model, vocab, text, seq_length)

    def asks_twice(model, vocab, text, seq_length):
        _predict_with_re(model, vocab, text, seq_length)
        return _predict_with_re(model, vocab, text, seq_length)

    def switches_off(model, vocab, text, seq_length):
        torch.set_grad_enabled(False)
        return _predict_word_by_word(model, vocab, text, seq_length)

    common.refused(lesson.predict_review, detaches, saying="graph")
    common.refused(lesson.predict_review, asks_twice, saying="calls of the model")
    common.refused(lesson.predict_review, lambda *a: round(_predict_with_re(*a), 1))
    try:
        common.refused(lesson.predict_review, switches_off)
    finally:
        torch.set_grad_enabled(True)


def _predict_with_grad(model, vocab, text, seq_length):
    ids = [vocab[w] for w in "".join(c for c in text.lower() if c not in string.punctuation).split() if w in vocab][:seq_length]
    was = model.training
    model.eval()
    device = next(model.parameters()).device
    p = model(torch.tensor([[0] * (seq_length - len(ids)) + ids], device=device)).sigmoid().detach().item()
    model.train(was)
    return p


# ---------------------------------------------------------------------------------------------- what the story stands on

def test_the_best_by_counting_is_what_the_lesson_says():
    """Enumerate three opinions, each good or bad and said plainly or as "not" and its opposite; who sees only counts guesses best."""
    shares = collections.defaultdict(lambda: [0.0, 0.0])
    for case in itertools.product((True, False), repeat=6):
        opinions, negated = case[:3], case[3:]
        words = tuple(sorted(["not"] * sum(negated) + ["good" if o != n else "bad" for o, n in zip(opinions, negated, strict=True)]))
        majority = sum(opinions) >= 2
        weight = math.prod(0.3 if n else 0.7 for n in negated) / 8
        shares[words][majority] += weight
    best = sum(max(pair) for pair in shares.values()) / sum(sum(pair) for pair in shares.values())
    assert round(best, 4) == 0.8425
    assert round(0.95 * best + 0.05 * (1 - best), 4) == texts.BEST_BY_COUNTING == 0.8082


def test_made_up_reviews_come_in_the_two_file_form():
    reviews, labels = lesson.made_up(7, seed=2)
    assert reviews.endswith("\n") and labels.split() == ["positive", "negative"] * 3 + ["positive"]
    assert len(reviews.strip("\n").split("\n")) == 7
    assert lesson.made_up(7, seed=3) != (reviews, labels)


def test_the_folder_of_the_large_set_becomes_two_files(tmp_path):
    for name, words in (("pos", ("Fine.<br /><br />Really!", "Good\nfilm", "Three")), ("neg", ("Bad.", "Dull"))):
        (tmp_path / "train" / name).mkdir(parents=True)
        for n, text in enumerate(words):
            (tmp_path / "train" / name / f"{n}_7.txt").write_text(text, encoding="utf-8")
    reviews, labels = lesson.read_imdb(tmp_path)
    assert reviews == "Fine. Really!\nBad.\nGood film\nDull\n"
    assert labels == "positive\nnegative\npositive\nnegative\n"
    assert lesson.read_imdb(tmp_path, most=3) == ("Fine. Really!\nBad.\nGood film\n", "positive\nnegative\npositive\n")


def test_the_two_files_are_read_as_they_are(tmp_path):
    (tmp_path / "reviews.txt").write_text("fine\ndull\n", encoding="utf-8")
    (tmp_path / "labels.txt").write_text("positive\nnegative\n", encoding="utf-8")
    assert lesson.read_imdb(tmp_path) == ("fine\ndull\n", "positive\nnegative\n")


def test_another_folder_gets_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="aclImdb"):
        lesson.read_imdb(tmp_path)


def test_every_figure_can_be_drawn(monkeypatch):
    shown = []
    monkeypatch.setattr("helpers.plots.show", lambda fig, alt, **options: shown.append(alt))
    reviews, labels = lesson.made_up(60)
    rows = [line.split() for line in reviews.strip("\n").split("\n")]
    vocab = _vocab_with_counter(rows)
    y = _labels_with_list_index(labels)
    lesson.show_files(reviews, labels)
    lesson.show_rank_frequency({"these": rows})
    lesson.show_lengths([len(row) for row in rows], 20)
    lesson.length_slider([3, 4, 9], 5)
    lesson.show_padding()
    lesson.show_states(torch.rand(12), torch.rand(12), words=4)
    lesson.show_split(y)
    lesson.show_network()
    lesson.show_parameters({"embedding": 90, "LSTM": 9, "linear": 1})
    lesson.show_training({"LSTM": [0.5, 0.7, 0.9]}, ceiling=0.95)
    lesson.show_embedding(torch.rand(len(vocab) + 1, 5), torch.rand(len(vocab) + 1, 5), vocab)
    lesson.show_pooling()
    lesson.show_word_dropout("one two three four five")
    lesson.show_overfitting([0.7, 0.4, 0.1], [0.7, 0.5, 0.9])
    lesson.show_exchanged()
    lesson.show_fake([0.7, 0.4, 0.3133], 0.3133)
    lesson.show_floor()
    lesson.show_results()
    lesson.show_reading([(["not", "bad"], [0.3, 0.8]), (["so", "bad"], [0.4, 0.1])])
    assert len(shown) == 18 and len(set(shown)) == 18 and all(len(alt) > 60 for alt in shown)


def test_the_authors_script_pads_and_packs_alike():
    from authoring import train_sentiment as script

    recipe = script.Recipe("standin", "mean", 9, 5, 6, dropout=0.0)
    features, size = script.encode([["a", "b", "a"], [], ["b", "c", "d", "a"]], torch.tensor([0, 2]), recipe)
    assert features[:, -4:].tolist() == [[0, 1, 2, 1], [0, 0, 0, 0], [2, 3, 4, 1]] and size == 5
    torch.manual_seed(0)
    net = script.Reader(size, recipe).eval()
    scores = net(features)
    assert scores.shape == (3,)
    alone = net.lstm(net.embedding(features[2:, -4:]))[0].mean(1)
    assert torch.allclose(scores[2], net.fc(alone)[0, 0], atol=1e-6)
    parts = script.split(50, 2, 5)
    assert [len(p) for p in parts] == [35, 5, 10] and torch.cat(parts).sort().values.tolist() == list(range(50))
