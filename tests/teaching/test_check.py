"""check: a tick or a stop. exercise: a tick, or a sentence and a hint."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import nslib
from nslib.errors import NslibError
from nslib.teaching.check import CheckFailed, Unsolved, check


def test_a_true_sentence_is_ticked_and_a_false_one_stops(capsys):
    nslib.check(True, "two clips are left")
    check(np.bool_(True), "so they say")
    assert capsys.readouterr().out == "✓ two clips are left\n✓ so they say\n"
    with pytest.raises(CheckFailed, match="this does not hold: no speaker is in two splits") as caught:
        check(False, "no speaker is in two splits")
    assert capsys.readouterr().out == "" and isinstance(caught.value, NslibError | AssertionError)


@pytest.mark.parametrize(("condition", "sentence", "said"), [
    *((odd, "whatever", "True or False") for odd in (1, None, "yes", [True], np.array([True, False]))),
    (True, "  ", "sentence")])
def test_only_a_single_truth_value_with_a_sentence_is_accepted(condition, sentence, said):
    with pytest.raises(TypeError, match=said):
        check(condition, sentence)


def test_a_right_answer_is_told_what_it_shows_and_of_wrong_things_the_first_is(capsys):
    with nslib.exercise("B", "two and two are four", hint="add") as it:
        it.made(four=4)
        it.expect(True, "never said")
    assert capsys.readouterr().out == "✓ Exercise B: two and two are four\n"
    with pytest.raises(Unsolved, match="Exercise A: too small\nHint: h"), nslib.exercise("A", "s", hint="h") as it:
        it.expect(False, "too small")
        it.expect(False, "too large")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("empty", [..., None])
def test_an_empty_answer_fails_with_the_names_and_the_hint(empty):
    with pytest.raises(Unsolved, match=r"`a`, `c` are still empty.*\nHint: think"), \
            nslib.exercise("A", "s", hint="think") as it:
        it.made(a=empty, b=0, c=empty)


@pytest.mark.parametrize("odd, message", [
    (lambda: {}["x"], "KeyError"), (lambda: "a" + 1, "TypeError"), (lambda: np.array([True, True]), "not ndarray"),
    (lambda: undefined, "no `undefined` yet")])  # noqa: F821
def test_an_answer_that_breaks_the_check_gets_a_sentence_too(odd, message):
    with pytest.raises(Unsolved, match=message), nslib.exercise("A", "s", hint="h") as it:
        it.expect(odd(), "wrong")


@pytest.mark.parametrize("error", [Unsolved("A", "wrong", "hint"), CheckFailed("all is well")])
def test_errors_survive_a_process_and_are_short_in_a_notebook(error):
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    if isinstance(error, Unsolved):
        assert error._render_traceback_() == ["✗ Exercise A: wrong", "Hint: hint"]
