"""What counts as the same answer."""

from fractions import Fraction

import numpy as np
import pytest

from helpers.comparing import Raised, describe, difference, snapshot


@pytest.mark.parametrize(("asked", "got"), [
    (1.0, 1.0 + 1e-10), (1.0, np.float64(1.0)), (3, np.int64(3)), (0.0, 1e-13), (2.0, 2),
    (np.array([1, 2]), np.array([1, 2], np.int32)), (np.array([1e8, 1.0]), np.array([1e8, 1.0 + 1e-3 * 1e-5])),
    ((1, 2.0), (1, 2.0)), ([1, 2], (1, 2)), ({"a": 1.0}, {"a": 1.0}), ("x", "x"), (True, np.bool_(True)),
    (np.array([np.inf, -np.inf]), np.array([np.inf, -np.inf])), (Fraction(1, 3), Fraction(2, 6)), (None, None),
])
def test_same(asked, got):
    assert difference(asked, got) is None


@pytest.mark.parametrize(("asked", "got"), [
    (1.0, 1.0 + 1e-6), (1.0, True), (3, 3.0), (3, True), (1.0, None), (1.0, "1"), (float("nan"), float("nan")),
    (np.array([1.0, np.nan]), np.array([1.0, np.nan])), (np.array([1, 2]), np.array([True, False])),
    (np.array([1.0]), np.array([1.0], np.float32)), (np.array([1.0, 2.0]), [1.0, 2.0]), (np.zeros((2, 3)), np.zeros((3, 2))),
    ((1, 2), (1, 2, 3)), ({"a": 1}, {"b": 1}), ({"a": 1}, [1]), (True, 1), (Fraction(1, 3), 1 / 3),
    (np.array([1.0, 2.0]), np.array([1.0, np.inf])), (1.0, Raised("ValueError", "")), ([1, 2], 1),
])
def test_different(asked, got):
    found = difference(asked, got)
    assert found is not None and found.asked and found.got


def test_tensors_compare_by_dtype_device_and_kind():
    torch = pytest.importorskip("torch")
    asked = torch.tensor([[1.0, 2.0]])
    assert difference(asked, asked + 1e-7) is None
    for wrong in (asked.double(), asked.numpy(), asked.long(), asked.T, asked[0], asked + 1e-3, asked.to("meta")):
        assert difference(asked, wrong) is not None
    assert difference(asked.bfloat16(), asked.bfloat16()) is None
    assert difference(np.zeros(2), torch.zeros(2, dtype=torch.float64)) is not None


def test_the_first_place_that_differs_is_named():
    asked = np.arange(20.0).reshape(4, 5)
    got = asked.copy()
    got[2, 3] += 1
    assert "at [2, 3]" in difference(asked, got).got
    got[3, 0] = np.nan
    assert difference(asked, got).got == "NaN at [3, 0]"


def test_wrong_answers_are_the_same_when_both_have_nan_in_one_place():
    a = np.array([1.0, np.nan])
    assert difference(a, a.copy(), nan_equal=True) is None
    assert difference(a, np.array([np.nan, 1.0]), nan_equal=True) is not None


def test_descriptions_read_well():
    assert describe(np.float64(0.5)) == "0.5"
    assert describe(np.zeros((7, 2))) == "float64 array (7, 2)"
    assert describe(np.array([1, 2])) == "int64 array (2,): [1, 2]"
    assert describe([1, 2]) == "[1, 2]"
    assert describe((1, "a")) == "(1, 'a')"
    assert describe(x for x in ()) == "a generator"
    assert describe(describe) == "the function describe"


def test_a_snapshot_does_not_follow_later_changes():
    inner = np.zeros(2)
    copy = snapshot({"a": [inner]})
    inner += 1
    assert copy["a"][0].tolist() == [0, 0]


@pytest.mark.parametrize(("asked", "got"), [
    (1.25, 1.25 + 3e-8), (np.array([1.463, -0.7]), np.array([1.463 + 4e-8, -0.7])), (np.arange(9.0), np.arange(9.0) + 1e-7),
    (np.float64(1 / 3), np.float64(1 / 3 + 1e-8)),
])
def test_numbers_that_differ_are_printed_so_that_one_sees_it(asked, got):
    found = difference(asked, got)
    assert found.asked.split(" at ")[0] != found.got.split(" at ")[0]


def test_a_nan_may_come_from_a_root():
    assert "root" in difference(np.array([1.0, 2.0]), np.array([1.0, np.nan])).likely


def test_long_exceptions_are_cut():
    text = describe(Raised("RuntimeError", "Error(s) in loading:\n\t" + "size mismatch\n\t" * 100))
    assert len(text) < 270 and "\n" not in text and text.startswith("raises RuntimeError: Error(s) in loading: size mismatch")


@pytest.mark.parametrize("rtol", [None, 1e-2, 0.1])
def test_every_number_means_every_number(rtol):
    """A pattern has to explain the deviation, not to fit because the tolerance is wide."""
    asked = np.linspace(1.0, 3.0, 12)
    few = asked.copy()
    few[3] += 1.5
    assert difference(asked, few, rtol).likely == ""
    noise = asked + 0.5 * np.random.default_rng(0).standard_normal(12)
    assert difference(asked, noise, rtol).likely == ""
    assert "2 times" in difference(asked, 2 * asked, rtol).likely
    assert "off by the same -1" in difference(asked, asked - 1, rtol).likely
    assert "sign" in difference(asked, -asked, rtol).likely


def test_a_module_is_no_function():
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        pass

    assert describe(torch.nn.LSTM(2, 3)) == "an nn.LSTM" and describe(Net()) == "a Net"
    assert describe(len) == "the function len" and describe(lambda: 0) == "the function <lambda>"
