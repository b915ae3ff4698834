"""Robustness curves: the benchmark's probe, other clips; everything counted, nothing computed twice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers import tone

from nslib import audio, extract, metrics, params, perturb, perturbed, plots, results, robustness
from nslib.errors import BadParameter, UnknownName
from nslib.perturb import CLEAN, GAIN, SHAPED, TELEPHONE, WHITE

FEW = {WHITE: (30.0, -10.0), TELEPHONE: (8000.0,), GAIN: (0.0, -20.0)}
SMOKE = params.load({"smoke": True})
_SHOWN = [c.name for c in robustness.COLUMNS if c.name != "when"]


def pitch(waves):
    """Zero crossings and level: noise spoils the first, gain the second."""
    crossings = (np.diff(np.sign(waves), axis=1) != 0).mean(1)
    return np.stack([crossings, np.sqrt((waves**2).mean(1))], 1).astype(np.float32)


def crossings(waves):
    """Zero crossings alone, which no gain changes."""
    return np.repeat(pitch(waves)[:, :1], 2, axis=1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two pitches by 18 speakers, one of whose test clips is silent."""
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "reports"))
    home, rows = tmp_path / "recordings", []
    home.mkdir()
    for label, hertz in (("low", 300), ("high", 1500)):
        for number in range(18):
            split = ("train", "validation", "test")[number % 3]
            for take in range(2):
                path = home / f"{label}-{number:02d}-{take}.wav"
                wave = tone(0.5 + 0.1 * take, hertz * (1 + 0.01 * number), seed=10 * number + take)
                audio.write_wav(path, wave if (label, number, take) != ("low", 2, 0) else np.zeros(8000))
                rows.append({"audio": path.name, "label": label, "speaker": f"s{number:02d}", "split": split})
    table = home / "pitches.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    return table


def curves(folder, embeddings=(pitch, crossings), conditions=FEW, **given):
    return robustness.curves(folder, embeddings, params=SMOKE, conditions=conditions, progress=False, **given)


def of(table, embedding, condition, level):
    found = table[(table["embedding"] == embedding) & (table["condition"] == condition) & (table["level"] == level)]
    assert len(found) == 1
    return found.iloc[0]


def test_each_condition_does_what_it_must(folder):
    table = curves(folder)
    assert len(table) == 2 * 6 and table.attrs["not_run"] == []
    for embedding in ("pitch", "crossings"):
        clean, control = of(table, embedding, CLEAN, 0), of(table, embedding, GAIN, 0)
        assert clean["value"] > 0.9 and control["value"] == clean["value"]
        assert (clean["change"], control["change"]) == (0, 0) and control["change_low"] < 0 < control["change_high"]
        noisy = of(table, embedding, WHITE, -10)
        assert noisy["value"] < 0.7 and noisy["change_high"] < 0
        assert noisy["low"] <= noisy["value"] <= noisy["high"] and noisy["interval_by"] == "speaker"
    assert of(table, "crossings", GAIN, -20)["value"] == of(table, "crossings", CLEAN, 0)["value"]


def test_the_clean_row_is_the_benchmark(folder):
    table = curves(folder)
    rows, _ = results.load()
    chosen = results.selected(rows).set_index("embedding")
    for row in table[table["condition"] == CLEAN].itertuples():
        known = chosen.loc[row.embedding]
        assert (row.value, row.low, row.high, row.n) == (known["value"], known["low"], known["high"], known["n"])
        assert (row.probe, row.l2, row.split_hash) == (known["probe"], known["l2"], known["split_hash"])


def test_a_silent_clip_is_counted_and_said(folder):
    table = curves(folder)
    noisy, softer = of(table, "pitch", WHITE, 30), of(table, "pitch", GAIN, -20)
    assert (noisy["n"], noisy["left_out"], softer["n"], softer["left_out"]) == (23, 1, 24, 0)
    assert noisy["notes"] == "1 test clips were left out: digital silence has no signal-to-noise ratio."
    assert softer["notes"] == ""


def test_clipping_is_counted(folder):
    table = curves(folder, [pitch], {GAIN: (20.0, -20.0)})
    loud = of(table, "pitch", GAIN, 20)
    assert 0.5 < loud["clipped"] / loud["samples"] < 1
    assert of(table, "pitch", GAIN, -20)["clipped"] == 0


def test_all_embeddings_hear_the_same_bytes(folder, monkeypatch):
    heard: dict[str, list[str]] = {}
    fill = extract.fill

    def listening(clips, embedding, **given):
        heard.setdefault(embedding.name, []).extend(clips["sha256"])
        return fill(clips, embedding, **given)

    monkeypatch.setattr(extract, "fill", listening)
    curves(folder)
    assert heard["pitch"] == heard["crossings"] and len(set(heard["pitch"])) > 3 * 23


def test_nothing_is_computed_twice_and_a_killed_run_goes_on(folder, monkeypatch):
    made, real = [], perturbed.copies

    def counted(clips, condition, level, *rest, **given):
        made.append((condition, level))
        if made == [(WHITE, 30.0), (WHITE, -10.0), (TELEPHONE, 8000.0)]:
            raise KeyboardInterrupt
        return real(clips, condition, level, *rest, **given)

    monkeypatch.setattr(perturbed, "copies", counted)
    with pytest.raises(KeyboardInterrupt):
        curves(folder)
    assert not list(params.cache_dir("perturbed").iterdir())  # the files of the copy are gone
    first = curves(folder)
    made.clear()
    pd.testing.assert_frame_equal(curves(folder), first)
    assert made == []
    curves(folder, conditions=FEW | {GAIN: (6.0,)})  # of what is new, only that
    assert made == [(GAIN, 6.0)]


def test_the_same_again_from_nothing(folder, tmp_path, monkeypatch):
    first = curves(folder)
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "other"))
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "another"))
    pd.testing.assert_frame_equal(curves(folder)[_SHOWN], first[_SHOWN])


def test_one_embedding_alone_gives_the_same_as_with_others(folder, tmp_path, monkeypatch):
    both = curves(folder)
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "another"))
    alone = curves(folder, [crossings], {WHITE: (-10.0,)})
    assert of(alone, "crossings", WHITE, -10)["value"] == of(both, "crossings", WHITE, -10)["value"]


def test_kept_curves_are_read_again_and_a_damaged_file_is_said(folder):
    table = curves(folder, [pitch])
    kept = robustness.load()
    assert sorted(kept["key"].unique()) == sorted(table["key"].unique()) and len(kept) == len(table)
    rows, _ = results.load()
    assert len(robustness.load(rows=rows)) == len(table)
    assert robustness.load(rows=rows.assign(split_hash="another")).empty
    path = next((params.reports_dir() / "results").glob("*.robustness.parquet"))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="cannot be read"):
        assert 0 < len(robustness.load()) < len(table)
    with pytest.warns(UserWarning, match="cannot be read"):
        assert len(curves(folder, [pitch])) == len(table)


def test_nothing_kept_is_an_empty_table(tmp_path):
    table = robustness.load(tmp_path)
    assert table.empty and list(table.columns) == [c.name for c in robustness.COLUMNS]


def test_an_embedding_that_is_not_to_be_had_is_not_run(folder):
    def broken(waves):
        return np.full((len(waves), 3), 1.0 if waves.shape[1] == 16000 else np.nan, np.float32)

    table = curves(folder, [pitch, broken], {GAIN: (0.0,)})
    assert set(table["embedding"]) == {"pitch"}
    assert [row["embedding"] for row in table.attrs["not_run"]] == ["broken"] and table.attrs["not_run"][0]["why"]


def test_other_answers_than_those_kept_are_refused(folder, monkeypatch):
    curves(folder, [pitch], {GAIN: (0.0,)})
    real = results.find

    def changed(key, *rest):
        rows, predictions = real(key, *rest)
        return rows, predictions.assign(y_pred=predictions["y_pred"].replace({"low": "high"}))

    monkeypatch.setattr(results, "find", changed)
    table = curves(folder, [pitch], {GAIN: (6.0,)})
    assert set(table["condition"]) == {CLEAN}  # which was kept before
    assert "not those that were kept" in table.attrs["not_run"][0]["why"]


@pytest.mark.parametrize(("conditions", "error"), [
    ({"noise": (10.0,)}, UnknownName), ({GAIN: ()}, BadParameter), ({GAIN: (1.0, 1.0)}, BadParameter),
    ({TELEPHONE: (16000.0,)}, BadParameter)])
def test_refusals(tmp_path, conditions, error):
    with pytest.raises(error):
        robustness.curves(tmp_path, ["mfcc"], conditions=conditions)


def test_the_cheapest_task_has_enough_speakers():
    def task(name, people, seconds, speaker="s"):
        return [{"task": name, "split": "test", "speaker": f"{speaker}{i}" if speaker else "", "seconds": seconds}
                for i in range(people)]

    clips = pd.DataFrame([*task("few", 4, 1), *task("long", 6, 9), *task("short", 5, 2), *task("unknown", 9, 0.1, "")])
    assert robustness.cheapest(clips) == "short"
    assert robustness.cheapest(clips[clips["task"].isin(["few", "unknown"])]) == "unknown"
    with pytest.raises(BadParameter, match="no test clips"):
        robustness.cheapest(clips[:0])


def test_defaults_are_levels_that_exist():
    for conditions in (robustness.CONDITIONS, robustness.SMOKE):
        for condition, levels in conditions.items():
            for level in levels:
                perturb.refuse_unknown(condition, level)
    assert set(robustness.CONDITIONS) == {WHITE, SHAPED, TELEPHONE, GAIN}


def made_up():
    steps = [(CLEAN, 0.0), (WHITE, 20.0), (WHITE, 0.0), (TELEPHONE, 8000.0), (GAIN, -20.0), (GAIN, 0.0)]
    rows = [{"embedding": name, "condition": c, "level": level, "unit": perturb.UNITS[c], "value": value - 0.1 * i,
             "low": value - 0.1 * i - 0.05, "high": value - 0.1 * i + 0.05}
            for name, value in (("mfcc", 0.7), ("logmel", 0.9)) for i, (c, level) in enumerate(steps)]
    facts = {"task": "t", "corpus_kind": "real", "interval_by": "speaker", "change": 0.0, "change_low": 0.0,
             "change_high": 0.0, "n": 40, "n_speakers": 8, "chance": 0.25, "left_out": 0, "clipped": 0, "samples": 9}
    return pd.DataFrame(rows).assign(**facts)


def test_the_figure_says_what_the_table_says():
    made = plots.robustness(made_up())
    assert made.alt.startswith("Scores on changed test clips of t (40 clips, chance 25 %). Clean: logmel 90 % "
                               "(interval 85 to 95), mfcc 70 % (interval 65 to 75). White noise, lowest: logmel 70 % "
                               "at 0 dB, ")
    assert "Telephone band, lowest: logmel 60 %, mfcc 40 %." in made.alt
    assert "Gain, lowest: logmel 40 % at 0 dB" in made.alt
    assert len(made.table) == 12 and plots.robustness(made_up()).render("svg") == made.render("svg")


def test_the_figure_draws_each_condition_from_clean_to_worst():
    axes = plots.robustness(made_up()).fig.axes
    assert [axis.get_title("left") for axis in axes[:3]] == ["white noise", "telephone band", "gain"]
    ticks = [[label.get_text() for label in axis.get_xticklabels()] for axis in axes[:3]]
    assert ticks == [["clean", "20", "0"], ["clean", "300–3400 Hz"], ["clean", "−20", "0"]]
    lines = {line.get_label(): line for line in axes[0].get_lines()}
    assert list(lines["logmel"].get_ydata()) == pytest.approx([90, 80, 70])
    assert lines["logmel"].get_marker() != lines["mfcc"].get_marker()
    gains = {line.get_label(): line for line in axes[2].get_lines()}
    assert list(gains["logmel"].get_ydata()) == pytest.approx([50, 40])  # the clean end of gains is 0 dB


@pytest.mark.parametrize("curves", [made_up()[:0], made_up().assign(task=list("ab") * 6), made_up()[:1]])
def test_no_figure_of_nothing_or_of_two_tasks(curves):
    with pytest.raises(ValueError, match="curves of one task"):
        plots.robustness(curves)


def test_scores_by_probability_are_possible(folder, monkeypatch):
    """The change is always of right answers; the value is of the task's metric."""
    import dataclasses

    from nslib import corpora

    task, corpus = corpora.own_task(folder, progress=False)
    asked = dataclasses.replace(task, metric="auc")
    monkeypatch.setattr(corpora, "load_clips", lambda *a, **k: corpus)
    table = curves(asked, [pitch], {WHITE: (-10.0,)})
    clean = of(table, "pitch", CLEAN, 0)
    assert (clean["metric"], clean["chance"]) == ("auc", metrics.chance("auc", ["a", "b"]))
    assert clean["value"] > 0.9 > of(table, "pitch", WHITE, -10)["value"]
