"""The checks of lesson 15: right answers in other styles pass, wrong and odd ones get a message of their own."""

from __future__ import annotations

import bisect
import math
import signal
import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers import devices
from helpers.lessons import char_rnn as lesson
from helpers.lessons import exercises
from helpers.texts import UnusableText
from helpers.weights import UnusableWeights
from tests.lessons import common

EXERCISES = exercises(lesson)
ARITY = {"15.1": 1, "15.2": 2, "15.3": 2, "15.4": 3, "15.6": 2, "15.7": 3, "15.8": 5}
FUNCTIONS = [e for e in EXERCISES if e.id in ARITY and e.id != "15.4"]  # 15.4 is a generator and has a test of its own


# ---------------------------------------------------------------------------------------------- right answers

def _encode_with_numpy(text):
    chars, codes = np.unique(list(text), return_inverse=True)
    return chars.tolist(), torch.from_numpy(codes.astype(np.int64).reshape(-1))


def _encode_with_bisect(text):
    chars = sorted(dict.fromkeys(text))
    return chars, torch.LongTensor([bisect.bisect_left(chars, c) for c in text])


def _one_hot_with_eye(ids, n_labels):
    return torch.eye(n_labels, dtype=torch.float32, device=ids.device)[ids]


def _one_hot_with_scatter(ids, n_labels):
    result = torch.zeros(*ids.shape, n_labels, dtype=torch.float32, device=ids.device)
    return result.scatter_(-1, ids.unsqueeze(-1), 1.0)


def _entropy_by_context(text, order):
    followers = defaultdict(Counter)
    for start in range(len(text) - order + 1):
        followers[text[start:start + order - 1]][text[start + order - 1]] += 1
    surprise = sum(-n * math.log(n / sum(counts.values())) for counts in followers.values() for n in counts.values())
    return surprise / (len(text) - order + 1)


def _entropy_as_a_difference(text, order):
    def joint(length):
        if length == 0:
            return 0.0
        counts = Counter(text[i:i + length] for i in range(len(text) - length + 1))
        n = sum(counts.values())
        return -sum(c / n * math.log(c / n) for c in counts.values())

    return joint(order) - joint(order - 1)


def _batches_with_split(arr, batch_size, seq_length):
    n = (len(arr) - 1) // (batch_size * seq_length)
    if n == 0:
        return iter(())
    keep = n * batch_size * seq_length
    x, y = arr[:keep].reshape(batch_size, -1), arr[1:keep + 1].reshape(batch_size, -1)
    return zip(x.split(seq_length, dim=1), y.split(seq_length, dim=1), strict=True)


def _batches_by_index(arr, batch_size, seq_length):
    steps = (len(arr) - 1) // (batch_size * seq_length)
    starts = [row * steps * seq_length for row in range(batch_size)]
    return [(torch.stack([arr[s + k * seq_length:s + (k + 1) * seq_length] for s in starts]),
             torch.stack([arr[s + k * seq_length + 1:s + (k + 1) * seq_length + 1] for s in starts])) for k in range(steps)]


class _Flattened(nn.Module):
    """Scores a flat batch, and folds it again."""

    def __init__(self, chars, n_hidden=128, n_layers=1, drop_prob=0.0, embedding_dim=32):
        super().__init__()
        self.chars, V = tuple(chars), len(chars)
        options = {"dropout": drop_prob} if n_layers >= 2 else {}
        self.fc, self.dropout = nn.Linear(n_hidden, V), nn.Dropout(p=drop_prob)
        self.lstm = nn.LSTM(input_size=embedding_dim, hidden_size=n_hidden, num_layers=n_layers, batch_first=True, **options)
        self.embedding = nn.Embedding(V, embedding_dim)

    def forward(self, x, state=None):
        B, T = x.shape
        out, state = self.lstm(self.embedding(x), state)
        return self.fc(self.dropout(out).flatten(0, 1)).unflatten(0, (B, T)), state


class _FromZeros(nn.Module):
    """Makes its first state itself."""

    def __init__(self, chars, n_hidden=128, n_layers=1, drop_prob=0.0, embedding_dim=32):
        nn.Module.__init__(self)
        self.chars = list(chars)
        self.embedding = nn.Embedding(len(self.chars), embedding_dim)
        self.lstm = nn.LSTM(embedding_dim, n_hidden, n_layers, True, True, 0.0 if n_layers == 1 else drop_prob)
        self.dropout = nn.Dropout(drop_prob)
        self.fc = nn.Linear(n_hidden, len(self.chars))

    def forward(self, x, state=None):
        if state is None:
            zeros = torch.zeros(self.lstm.num_layers, len(x), self.lstm.hidden_size, device=x.device, dtype=self.fc.weight.dtype)
            state = (zeros, zeros.clone())
        out, (h, c) = self.lstm(F.embedding(x, self.embedding.weight), state)
        return F.linear(self.dropout(out), self.fc.weight, self.fc.bias), (h, c)


def _clip_one_vector(parameters, max_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = torch.cat([g.flatten() for g in grads]).norm().item()
    if norm > max_norm:
        for g in grads:
            g *= max_norm / norm
    return norm


def _clip_norm_of_norms(parameters, max_norm):
    kept = [p for p in parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad) for p in kept]))
    factor = (max_norm / norm).clamp(max=1.0)
    for p in kept:
        p.grad.copy_(p.grad * factor)
    return float(norm)


def _next_by_dividing(logits, top_k=None, temperature=1.0):
    p = torch.softmax(logits / temperature, dim=-1)
    if top_k:
        kept = torch.zeros_like(p)
        best = p.topk(top_k)
        kept[best.indices] = best.values
        p = kept / kept.sum()
    return p


def _next_with_scatter(logits, top_k=None, temperature=1.0):
    k = len(logits) if top_k is None else top_k
    best = logits.topk(k)
    return torch.zeros_like(logits).scatter(0, best.indices, (best.values / temperature).softmax(0))


def _sample_char_by_char(model, size, prime="The", top_k=None, generator=None):
    was = model.training
    model.eval()
    place = next(model.parameters()).device
    state, text = None, prime
    try:
        with torch.no_grad():
            for c in prime:
                scores, state = model(torch.tensor([[model.chars.index(c)]], device=place), state)
            while len(text) < len(prime) + size:
                i = torch.multinomial(_next_by_dividing(scores[0, 0], top_k), 1, generator=generator).item()
                text += model.chars[i]
                scores, state = model(torch.tensor([[i]], device=place), state)
    finally:
        model.train(was)
    return text


@torch.no_grad()
def _sample_whole_prime(model, size, prime="The", top_k=None, generator=None):
    mode, number = model.training, dict(zip(model.chars, range(len(model.chars)), strict=True))
    model.eval()
    ids = [number[c] for c in prime]
    out, memory = model(torch.tensor(ids, device=next(model.parameters()).device).view(1, -1))
    for _ in range(size):
        pick = torch.multinomial(_next_with_scatter(out[0, -1], top_k), 1, generator=generator)
        ids.append(int(pick))
        out, memory = model(pick.view(1, 1), memory)
    model.train(mode)
    return "".join(model.chars[i] for i in ids)


RIGHT = {
    "15.1": [_encode_with_numpy, _encode_with_bisect],
    "15.2": [_one_hot_with_eye, _one_hot_with_scatter],
    "15.3": [_entropy_by_context, _entropy_as_a_difference],
    "15.4": [_batches_with_split, _batches_by_index],
    "15.5": [_Flattened, _FromZeros],
    "15.6": [_clip_one_vector, _clip_norm_of_norms],
    "15.7": [_next_by_dividing, _next_with_scatter],
    "15.8": [_sample_char_by_char, _sample_whole_prime],
}
EQUIVALENT = {
    "15.8": {
        "x, state, text = torch.tensor([[index[c] for c in prime]], device=device), None, prime | torch.tensor: device=device dropped":
            "the same on a CPU",
        "p = next_char_probabilities(scores[0, -1], top_k) | 0 -> -1": "there is one row only",
    },
}
ACCEPTED_IMPOSTORS: dict[str, dict[str, str]] = {}
LEAKS_ALLOWED = {"with torch.no_grad():": "known from lesson 05, and needed for every prediction"}


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
    assert [e.id for e in EXERCISES] == [f"15.{n}" for n in range(1, 9)]
    assert all(len(e.mistakes) >= 4 and len(e.hints) == 3 for e in EXERCISES)
    assert len(lesson.quiz) == 8


def test_the_quiz_has_right_letters_in_several_places():
    assert len({lesson.quiz[n].right_letter for n in range(1, 9)}) >= 3


def test_the_lesson_module_starts_without_torch():
    program = "import sys; import helpers.lessons.char_rnn; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_right_answers_leave_the_random_state_alone():
    for exercise in EXERCISES:
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        exercise.examine(RIGHT[exercise.id][0])
        assert torch.equal(torch.random.get_rng_state(), before), exercise.title


# ---------------------------------------------------------------------------------------------- single exercises

def test_odd_batches_get_a_message(monkeypatch):
    check = lesson.get_batches
    common.refused(check, ..., outcome="not attempted")
    common.refused(check, None, saying="None")
    common.refused(check, "batches", saying="'batches'")
    common.refused(check, lambda arr, B, T: None, saying="None")
    common.refused(check, lambda arr, B, T: 7, outcome="error")
    common.refused(check, lambda arr, B, T: iter([arr, arr]))
    common.refused(check, lambda arr, B, T: iter([(arr, "y")]))
    common.refused(check, lambda arr: arr, saying="positional", outcome="error")
    common.refused(check, lambda arr, B, T: 1 / 0, saying="ZeroDivisionError", outcome="error")

    def endless(arr, B, T):
        while True:
            yield arr[:B * T].view(B, T), arr[:B * T].view(B, T)

    common.refused(check, endless, saying="no end")
    monkeypatch.setattr(check, "seconds", 0.2)
    common.refused(check, common._sleeps, saying="endless loop", outcome="error")


def test_batches_may_be_a_list_or_lists_of_two():
    common.passes(lesson.get_batches, lambda *a: [list(pair) for pair in _batches_by_index(*a)])


def test_odd_networks_get_a_message():
    check = lesson.CharRNN
    common.refused(check, ..., outcome="not attempted")
    common.refused(check, None, saying="None")
    common.refused(check, nn.LSTM, outcome="error")
    common.refused(check, lambda *a, **k: "network")
    common.refused(check, lambda *a, **k: nn.Linear(3, 4))

    class Empty(nn.Module):
        def __init__(self, chars, n_hidden=128, n_layers=1, drop_prob=0.0, embedding_dim=32):
            super().__init__()

    common.refused(check, Empty, saying="embedding")
    common.refused(check, lesson.network(lambda net, x, state: None))
    common.refused(check, lesson.network(lambda net, x, state: 1 / 0), saying="ZeroDivisionError", outcome="error")


def test_a_half_state_is_refused():
    def only_h(net, x, state):
        scores, (h, c) = lesson.usual_forward(net, x, state)
        return scores, h

    common.refused(lesson.CharRNN, lesson.network(only_h), saying="An LSTM's state is the pair")


def test_a_state_in_a_list_is_a_pair_too():
    common.passes(lesson.CharRNN, lesson.network(lambda net, x, state: (lambda scores, s: (scores, list(s)))(*lesson.usual_forward(net, x, state))))


def _sampled(change_scores=lambda scores: scores, sampler=_sample_char_by_char):
    """A sampler that draws from changed scores."""
    def sample(model, size, prime="The", top_k=None, generator=None):
        forward = model.forward
        model.forward = lambda x, state=None: (lambda scores, s: (change_scores(scores), s))(*forward(x, state))
        try:
            return sampler(model, size, prime, top_k, generator)
        finally:
            del model.forward
    return sample


@pytest.mark.parametrize("exercise, answer, says", [
    ("15.1", lambda text: (lambda chars: (chars, torch.tensor([ord(c) for c in text])))(sorted(set(text))), "ord"),
    ("15.1", lambda text: _encode_with_numpy("".join(c for c in text if c != "\n")), "Characters are missing"),
    ("15.3", lambda text, order: 0.0 if order == 1 else _entropy_by_context(text, order), ""),
    ("15.4", lambda arr, B, T: [p for p in _batches_by_index(arr, B, T)][0] if len(arr) > 6 else [], "What comes is no pair"),
    ("15.4", lambda arr, B, T: [(y, x) for x, y in _batches_by_index(arr, B, T)], "changed places"),
    ("15.7", lambda logits, top_k=None, temperature=1.0: _next_by_dividing(logits, top_k, temperature).clamp(min=1e-9 if top_k else 0),
     "exactly 0"),
    ("15.8", _sampled(lambda scores: scores / 0.5), "too often"),
    ("15.8", _sampled(lambda scores: scores * 0.6), "too seldom"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_wrong_answers_of_a_beginner(exercise, answer, says):
    common.refused(next(e for e in EXERCISES if e.id == exercise), answer, saying=says)


@pytest.mark.parametrize("change, says", [
    (lambda net, sizes: setattr(net, "chars", sorted(net.chars)), "sort the alphabet"),
    (lambda net, sizes: setattr(net, "lstm", nn.GRU(sizes[4], sizes[1], sizes[2], batch_first=True)), "An LSTM is asked for"),
    (lambda net, sizes: setattr(net, "lstm", nn.LSTM(sizes[4], sizes[1], dropout=sizes[3], batch_first=True)), "n_layers does not reach"),
], ids=["alphabet", "GRU", "one layer"])
def test_networks_with_other_parts(change, says):
    common.refused(lesson.CharRNN, lesson.network(lesson.usual_forward, make=change), saying=says)


@pytest.mark.parametrize("forward, says", [
    (lambda net, x, s: (net.fc(F.dropout(net.lstm(net.embedding(x), s)[0], 0.4)), net.lstm(net.embedding(x), s)[1]), "eval mode"),
    (lambda net, x, s: (net.dropout(net.fc(net.lstm(net.embedding(x), s)[0])), net.lstm(net.embedding(x), s)[1]), "behind fc"),
    (lambda net, x, s: (lambda out, state: (net.fc(net.dropout(out)), state))(*net.lstm(net.dropout(net.embedding(x)), s)), "before the LSTM"),
    (lambda net, x, s: (lambda scores, state: (scores, tuple(v.detach() for v in state)))(*lesson.usual_forward(net, x, s)), "detached"),
], ids=["always on", "behind fc", "twice", "detached"])
def test_networks_that_drop_or_cut_in_the_wrong_place(forward, says):
    common.refused(lesson.CharRNN, lesson.network(forward), saying=says)


# ---------------------------------------------------------------------------------------------- texts and batches

def test_entropies_of_a_worked_example():
    for entropy in (_entropy_by_context, lesson.conditional_entropy):
        assert round(entropy("abracadabra", 1), 4) == 1.4143
        assert round(entropy("abracadabra", 2), 4) == 0.4159
        assert abs(entropy("abracadabra", 3)) < 1e-12
    assert round(_entropy_as_a_difference("abracadabra", 2), 4) == 0.4724


def test_rows_run_on():
    arr = torch.arange(59)
    rows = torch.cat([x for x, _ in lesson._reference_batches(arr, 3, 4)], 1)
    assert torch.equal(rows.flatten(), arr[:rows.numel()])


@pytest.mark.parametrize("text, says", [("", "empty"), ("aaaaaaaa" * 99, "nothing but 'a'"), ("ab" * 30, "needs 61")])
def test_unusable_texts_get_one_line(text, says):
    with pytest.raises(UnusableText, match=says) as problem:
        lesson.check_text(text, 6, 10)
    assert "\n" not in str(problem.value)


def test_a_text_of_exactly_one_batch_is_long_enough():
    lesson.check_text("ab" * 30 + "a", 6, 10)


def test_unknown_characters_are_named():
    with pytest.raises(UnusableText, match="lacks 'x', 'y'"):
        lesson.codes_of("axay", ["a", "b"])
    assert lesson.codes_of("ba", ["a", "b"]).tolist() == [1, 0]


# ---------------------------------------------------------------------------------------------- checkpoints, long training

def _small(seed=0, hidden=6):
    torch.manual_seed(seed)
    return lesson.network(lesson.usual_forward)(list("abcd"), n_hidden=hidden, drop_prob=0.2, n_layers=2,
                                                embedding_dim=3).to(devices.device())


def _text(n, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 4, n)).to(devices.device())


def _trained(path, model, epochs=3):
    return lesson.train_with_checkpoints(model, _text(401), _text(90, 1), path, epochs=epochs, batch_size=5, seq_length=8,
                                         every=4, progress=False)


def _same_training(whole, again, history, resumed):
    """Number for number on a CPU; on a GPU, cuDNN draws other dropout after the interruption."""
    gpu = devices.device().type == "cuda"
    assert np.allclose(resumed["valid"], history["valid"], rtol=0.2 if gpu else 1e-5)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(whole.parameters(), again.parameters(), strict=True)) or gpu


def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(tmp_path, capsys):
    whole = _small()
    history = _trained(tmp_path / "whole.pt", whole)
    assert len(history["train"]) == len(history["valid"]) == 3

    with lesson._stopped_after(17), pytest.raises(lesson.TrainingStopped, match="stopped after 17 of 30 steps: run the same cell again"):
        _trained(tmp_path / "cut.pt", _small())
    again = _small(seed=9)  # a new kernel: other weights, other random numbers
    resumed = _trained(tmp_path / "cut.pt", again)
    assert "Going on after 17 of 30 steps" in capsys.readouterr().out
    _same_training(whole, again, history, resumed)


@pytest.mark.parametrize("place", ["step", "mean_loss", "save"])
def test_a_real_interrupt_in_an_awkward_moment_loses_nothing(tmp_path, monkeypatch, place):
    whole = _small()
    history = _trained(tmp_path / "whole.pt", whole)
    owner, name = {"step": (torch.optim.Adam, "step"), "mean_loss": (lesson, "mean_loss"), "save": (lesson, "_save_whole")}[place]
    original, calls = getattr(owner, name), []

    def interrupted(*args, **kwargs):
        calls.append(0)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return original(*args, **kwargs)

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(owner, name, interrupted)
    with pytest.raises(lesson.TrainingStopped, match={"step": "after 2 of 30", "mean_loss": "after 20 of", "save": "after 8 of"}[place]):
        _trained(tmp_path / "cut.pt", _small())
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is handler
    again = _small(seed=9)
    _same_training(whole, again, history, _trained(tmp_path / "cut.pt", again))


def test_the_message_of_an_interruption_has_one_line():
    assert lesson.TrainingStopped("stopped")._render_traceback_() == ["\u25cb stopped"]


def test_a_full_disk_does_not_end_a_training(tmp_path, monkeypatch, capsys):
    def full(content, part):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        history = _trained(tmp_path / "t.pt", _small())
        with lesson._stopped_after(3), pytest.raises(lesson.TrainingStopped, match="could not be written"):
            _trained(tmp_path / "t.pt", _small())
    assert len(history["valid"]) == 3
    assert capsys.readouterr().out.count("No space") == 2


def test_a_long_training_needs_one_batch(tmp_path):
    with pytest.raises(UnusableText, match="has 40 characters; one batch of 5 rows of 8 needs 41"):
        lesson.train_with_checkpoints(_small(), _text(40), _text(90, 1), tmp_path / "t.pt", epochs=1, batch_size=5, seq_length=8)


def test_a_finished_training_is_not_repeated(tmp_path):
    first = _trained(tmp_path / "t.pt", _small())
    with lesson._stopped_after(0):  # a single further step would stop it
        assert _trained(tmp_path / "t.pt", _small(seed=1)) == first


def test_a_damaged_training_file_is_named(tmp_path):
    (tmp_path / "t.pt").write_bytes(b"half of it")
    with pytest.raises(UnusableWeights, match="t.pt"):
        _trained(tmp_path / "t.pt", _small())


def test_a_training_file_carries_the_alphabet(tmp_path):
    _trained(tmp_path / "t.pt", _small())
    assert torch.load(tmp_path / "t.pt", weights_only=True)["chars"] == list("abcd")


def test_a_training_file_of_other_settings_or_another_network(tmp_path):
    _trained(tmp_path / "t.pt", _small())
    with pytest.raises(UnusableWeights, match="another setting .epochs.:"):
        _trained(tmp_path / "t.pt", _small(), epochs=4)
    with pytest.raises(UnusableWeights, match="another setting .text.:"):
        lesson.train_with_checkpoints(_small(), _text(401, 8), _text(90, 1), tmp_path / "t.pt", epochs=3, batch_size=5, seq_length=8)
    with pytest.raises(UnusableWeights, match="another network"):
        _trained(tmp_path / "t.pt", _small(hidden=7))


def test_a_killed_kernel_leaves_the_last_whole_file(tmp_path, monkeypatch):
    path = tmp_path / "t.pt"
    lesson._save_whole(path, {"step": torch.tensor(1)})

    def broken(content, part):
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OSError, match="No space"):
        lesson._save_whole(path, {"step": torch.tensor(2)})
    assert torch.load(path, weights_only=True)["step"] == 1


def test_a_checkpoint_brings_its_alphabet(tmp_path):
    build = lesson.network(lesson.usual_forward)
    model = _small()
    sizes = {"n_hidden": 6, "n_layers": 2, "drop_prob": 0.2, "embedding_dim": 3}
    torch.save({"sizes": sizes, "chars": list("abcd"), "state_dict": model.state_dict()}, tmp_path / "m.pt")
    again = lesson.load_char_rnn(tmp_path / "m.pt", build).to(devices.device())
    assert again.chars == list("abcd") and not again.training
    assert lesson.greedy(again, "ab", 9) == lesson.greedy(model, "ab", 9)

    torch.save({"sizes": {**sizes, "n_hidden": 5}, "chars": list("abcd"), "state_dict": model.state_dict()}, tmp_path / "o.pt")
    with pytest.raises(UnusableWeights, match="another network"):
        lesson.load_char_rnn(tmp_path / "o.pt", build)
    torch.save({"chars": list("abcd"), "state_dict": model.state_dict()}, tmp_path / "p.pt")
    with pytest.raises(UnusableWeights, match="has no sizes"):
        lesson.load_char_rnn(tmp_path / "p.pt", build)
    with pytest.raises(UnusableWeights, match="not here"):
        lesson.load_char_rnn(tmp_path / "q.pt", build)


def test_mean_loss_of_a_short_text_and_the_mode_afterwards():
    model = _small().train()
    codes = _text(13)
    scores, _ = model.eval()(codes[None, :-1])
    model.train()
    assert math.isnan(lesson.mean_loss(model, codes[:1]))
    assert abs(lesson.mean_loss(model, codes) - F.cross_entropy(scores[0], codes[1:]).item()) < 1e-5
    assert model.training


def test_streaming_writes_what_was_asked(capsys):
    model = _small().train()
    lesson.stream(model, 25, "ab", top_k=2, temperature=0.7)
    written = capsys.readouterr().out
    assert written.startswith("ab") and len(written.rstrip("\n")) == 27 and model.training
    with pytest.raises(UnusableText, match="'x'"):
        lesson.stream(model, 5, "x")


def test_the_file_of_a_long_training_is_named_after_the_text(tmp_path, monkeypatch):
    from helpers import data

    monkeypatch.setattr(data, "_writable_cache", lambda: tmp_path)
    assert lesson.training_file("Anna Karenina") == tmp_path / "lesson15" / "char_rnn_anna_karenina.pt"
    monkeypatch.setattr(data, "_writable_cache", lambda: None)
    assert lesson.training_file("Anna Karenina").name == "char_rnn_anna_karenina.pt"
