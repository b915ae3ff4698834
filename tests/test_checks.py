"""check: a tick or a stop."""

from __future__ import annotations

import numpy as np
import pytest

import nslib
from nslib.checks import CheckFailed, check
from nslib.errors import NslibError


def test_a_true_sentence_is_ticked(capsys):
    check(True, "two clips are left")
    check(np.bool_(True), "so they say")
    assert capsys.readouterr().out == "✓ two clips are left\n✓ so they say\n"


def test_a_false_sentence_stops_and_is_shown(capsys):
    with pytest.raises(CheckFailed, match="no speaker is in two splits") as caught:
        check(False, "no speaker is in two splits")
    assert capsys.readouterr().out == ""
    assert caught.value.sentence == "no speaker is in two splits"
    assert isinstance(caught.value, NslibError) and isinstance(caught.value, AssertionError)


@pytest.mark.parametrize("not_one_truth", [1, 0.0, None, "yes", [True], np.array([True, False])])
def test_only_a_single_truth_value_is_accepted(not_one_truth):
    with pytest.raises(TypeError, match="True or False"):
        check(not_one_truth, "whatever")


def test_a_check_without_a_sentence_is_refused():
    with pytest.raises(TypeError, match="sentence"):
        check(True, "  ")


def test_check_is_part_of_the_public_surface():
    assert nslib.check is check
