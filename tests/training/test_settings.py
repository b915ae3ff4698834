"""Every choice is declared, checked by name and value, written and read again."""

import json
from pathlib import Path

import pytest

from nslib.errors import BadParameter, UnknownName
from nslib.training import settings
from nslib.training.settings import make_distillation_settings, make_finetune_settings, make_training_settings

MODELS = Path(__file__).parents[2] / "data" / "models"


@pytest.mark.parametrize("make", [make_training_settings, make_distillation_settings, make_finetune_settings])
def test_every_choice_is_declared_with_what_the_paper_says(make):
    table = settings.tabulate_settings(make({})).set_index("setting")
    assert set(table["paper"]) <= {"known", "believed", "unknown"}
    assert table.index.is_unique and table["remark"].notna().all()
    if make is make_training_settings:
        assert table["paper"][["margin", "tau", "network"]].tolist() == ["unknown", "believed", "known"]


@pytest.mark.parametrize(("make", "values", "error", "said"), [
    (make_training_settings, {"mining": "semihard"}, UnknownName, "semi-hard"),
    (make_training_settings, {"margin": 0}, BadParameter, "at most 4"),
    (make_training_settings, {"short": 2.0}, BadParameter, "from 0 to 1; got 2.0"),
    (make_training_settings, {"batch": 1}, BadParameter, "at least 2"),
    (make_training_settings, {"gap": 11.0}, BadParameter, "gap 11.0"),
    (make_training_settings, {"gain": -1.0}, BadParameter, "not be negative"),
    (make_training_settings, {"weight": "length"}, UnknownName, "seconds"),
    (make_training_settings, {"learning_rate": 2.0}, BadParameter, "got 2.0"),
    (make_distillation_settings, {"stepz": 1}, UnknownName, "Did you mean steps"),
    (make_distillation_settings, {"scale": "some"}, UnknownName, "dimension"),
    (make_distillation_settings, {"student": "mobilenet-9"}, BadParameter, "alpha must be"),
    (make_distillation_settings, {"sample": 0}, BadParameter, "at least 1 batch; got 0"),
    (make_finetune_settings, {"epochs": 0}, BadParameter, "at least 1; got .*epochs=0")])
def test_settings_are_refused_by_name_and_by_value(make, values, error, said):
    with pytest.raises(error, match=said):
        make(values)


def test_settings_survive_their_text():
    changed = make_training_settings({"tau": 3.0, "margin": 0.25, "seed": 7})
    assert make_training_settings(json.loads(changed.json())) == changed
    assert make_distillation_settings({"student": "mobilenet-0.1", "short": 0.2}).pairs.changes == ("short",)
    assert make_finetune_settings({"pool": "netvlad"}) == settings.FinetuneSettings(pool="netvlad")
    text = (MODELS / "trill-mini-distilled" / "settings.json").read_text()
    assert make_distillation_settings(json.loads(text)).json(**json.loads(text)["teacher"]) == text


def test_the_learning_rate_rises_and_falls():
    cosine = make_training_settings({"steps": 100, "warmup": 10, "learning_rate": 0.01}).loop
    rates = [cosine.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.001) and max(rates) == pytest.approx(0.01) == rates[10]
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True) and rates[-1] < 1e-5
    constant = make_distillation_settings({"schedule": "constant", "learning_rate": 0.01, "warmup": 3}).distill
    assert constant.rate(99) == 0.01 and constant.rate(0) == pytest.approx(0.01 / 3)
