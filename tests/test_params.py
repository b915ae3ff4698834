"""Parameters are declared once; anything else is refused with the nearest known name."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nslib import params
from nslib.errors import BadParameter, UnknownName


def test_defaults_are_the_quick_profile_on_real_speech():
    assert params.load() == params.Params(profile="quick", corpus="real", seed=0, smoke=False)


def test_environment_is_read_and_arguments_win(monkeypatch):
    monkeypatch.setenv("SEED", "7")
    monkeypatch.setenv("TASKS", "a, b,")
    monkeypatch.setenv("SMOKE", "1")
    assert params.load() == params.Params(seed=7, tasks=("a", "b"), smoke=True)
    assert params.load({"seed": 1, "tasks": ["c"], "smoke": False, "corpus": None}) == params.Params(
        seed=1, tasks=("c",))


@pytest.mark.parametrize(("given_", "nearest"), [({"sead": 1}, "seed"), ({"corpus": "reel"}, "real"),
                                                 ({"profile": "quik"}, "quick")])
def test_unknown_names_get_the_nearest_known_one(given_, nearest):
    with pytest.raises(UnknownName, match=f"Did you mean {nearest}"):
        params.load(given_)


@pytest.mark.parametrize("given_", [{"seed": "one"}, {"smoke": "maybe"}])
def test_unreadable_values_are_refused(given_):
    with pytest.raises(BadParameter, match=next(iter(given_))):
        params.load(given_)


@given(st.integers(), st.lists(st.text("abc-", min_size=1), max_size=4), st.booleans())
def test_what_goes_in_comes_out(seed, names, smoke):
    names = [n for n in names if n.strip()]
    out = params.load({"seed": str(seed), "tasks": ",".join(names), "smoke": str(smoke)})
    assert (out.seed, out.tasks, out.smoke) == (seed, tuple(names), smoke)


def test_one_variable_moves_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "there"))
    assert params.cache_dir("vectors") == (tmp_path / "there" / "vectors").resolve()
    assert params.cache_dir("vectors").is_dir()


def test_import_is_light():
    heavy = "import sys, nslib; print([m for m in ('tensorflow', 'pandas', 'numpy', 'sklearn') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_unknown_attribute_names_the_public_surface():
    import nslib

    with pytest.raises(AttributeError, match="audio, benchmark, calibration"):
        _ = nslib.benchmrk
    assert set(nslib.__all__) <= set(dir(nslib))
