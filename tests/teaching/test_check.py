"""check: a tick or a stop. exercise: a tick, or a sentence and a hint."""

import pickle

import numpy as np
import pytest

import nslib
from nslib.errors import NslibError
from nslib.teaching.check import CheckFailed, Unsolved


def test_a_true_sentence_is_ticked_and_a_false_one_stops(capsys):
    nslib.check(np.bool_(True), "two clips are left")
    assert capsys.readouterr().out == "✓ two clips are left\n"
    with pytest.raises(CheckFailed, match="this does not hold: no speaker is in two splits") as caught:
        nslib.check(False, "no speaker is in two splits")
    assert capsys.readouterr().out == "" and isinstance(caught.value, NslibError | AssertionError)
    with nslib.config.environment(REHEARSE=1):
        nslib.check(False, "no speaker is in two splits")
    assert capsys.readouterr().out.startswith("✗ not in this rehearsal, whose numbers mean nothing: no speaker")


@pytest.mark.parametrize(("condition", "sentence", "said"), [
    (1, "whatever", "True or False"), (np.array([True, False]), "whatever", "True or False"), (True, "  ", "sentence")])
def test_only_a_single_truth_value_with_a_sentence_is_accepted(condition, sentence, said):
    with pytest.raises(TypeError, match=said):
        nslib.check(condition, sentence)


def test_a_right_answer_is_told_what_it_shows(capsys):
    with nslib.exercise("B", "two and two are four", hint="add") as it:
        it.made(four=4)
        it.expect(True, "never said")
    assert capsys.readouterr().out == "✓ Exercise B: two and two are four\n"


@pytest.mark.parametrize("ask, message", [
    (lambda it: (it.expect(False, "too small"), it.expect(False, "too large")), "Exercise A: too small\nHint: think"),
    (lambda it: it.made(a=..., b=0, c=None), r"`a`, `c` are still empty.*\nHint: think"),
    (lambda it: it.expect({}["x"], "no"), "KeyError"), (lambda it: it.expect(np.ones(2) > 0, "wrong"), "not ndarray"),
    (lambda it: it.expect(undefined, "wrong"), "no `undefined` yet")])  # noqa: F821
def test_whatever_goes_wrong_is_one_sentence_with_the_hint(capsys, ask, message):
    with pytest.raises(Unsolved, match=message), nslib.exercise("A", "s", hint="think") as it:
        ask(it)
    assert capsys.readouterr().out == ""


def test_errors_survive_a_process_and_are_short_in_a_notebook():
    error = pickle.loads(pickle.dumps(Unsolved("A", "wrong", "hint")))
    assert error._render_traceback_() == ["✗ Exercise A: wrong", "Hint: hint"]
