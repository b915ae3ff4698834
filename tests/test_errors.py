"""Errors come through other processes whole."""

from __future__ import annotations

import pickle

import pytest

from nslib.errors import BadAudio, BadParameter, NslibError, Unavailable, UnknownName


@pytest.mark.parametrize("error", [
    NslibError("what, and what next"), BadParameter("a value"), UnknownName("task", "savvee", ["savee", "crema_d"]),
    BadAudio("a.wav", "it is cut short", "Copy it again."), Unavailable("weights", "no network", "Fetch them.")])
def test_an_error_survives_pickling_with_all_its_words(error):
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error) and str(back) == str(error) and vars(back) == vars(error)
