"""Worse conditions are what was asked for, the same for everybody; curves are the benchmark's probe on other clips."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from helpers import clip_table, tone
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from nslib import audio, config
from nslib.datasets import loading
from nslib.errors import BadAudio, BadParameter, NslibError, UnknownName
from nslib.evaluation import benchmark, results, robustness
from nslib.evaluation.robustness import CLEAN, GAIN, SHAPED, TELEPHONE, WHITE
from nslib.statistics import scores
from nslib.statistics.scores import select_scores

RATE = 16_000
BLOCK = 320
QUARTER = 13 * BLOCK
SPEECH = tone(4 * QUARTER / RATE, 300.0) * np.repeat([1.0, 0.0, 0.6, 0.02], QUARTER).astype(np.float32)


def decibels(ratio):
    return 10 * np.log10(ratio)


def power(wave, low, high):
    """Energy between two frequencies, over the whole clip."""
    spectrum = np.abs(np.fft.rfft(wave)) ** 2
    hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
    return spectrum[(hertz >= low) & (hertz < high)].sum()


@pytest.mark.parametrize("condition", [WHITE, SHAPED])
@pytest.mark.parametrize("snr", [30.0, 0.0, -5.0])
def test_the_ratio_is_what_was_asked_for(condition, snr):
    taps = robustness.design_noise_filter([tone(0.5, 250), tone(0.5, 800)])
    clip = SPEECH * np.float32(0.1)  # soft enough that nothing is clipped
    changed = robustness.perturb(clip, condition, snr, name="a", taps=taps)
    noise = changed.wave.astype(np.float64) - clip
    loud = np.repeat([True, False, True, False], QUARTER)  # the last lies 34 dB below the first
    assert changed.clipped == 0
    assert decibels(np.mean(clip[loud] ** 2.0) / np.mean(noise[loud] ** 2)) == pytest.approx(snr, abs=0.1)


def test_noise_has_the_spectrum_of_the_training_clips():
    rng = np.random.default_rng(0)
    low = signal.sosfilt(signal.butter(4, 1000, fs=RATE, output="sos"), rng.normal(0, 0.1, 4 * RATE))
    clip = 0.3 * tone(4.0)
    taps = robustness.design_noise_filter([low, 5 * low])
    noise, flat = (robustness.perturb(clip, condition, 0.0, name="a", taps=taps).wave.astype(float) - clip
                   for condition in (SHAPED, WHITE))
    for bottom, top in ((600, 900), (1500, 1900), (2500, 3000)):
        wanted = decibels(power(low, bottom, top) / power(low, 0, 400))
        assert decibels(power(noise, bottom, top) / power(noise, 0, 400)) == pytest.approx(wanted, abs=1.5)
    assert decibels(power(flat, 4000, 4400) / power(flat, 3000, 3400)) == pytest.approx(0, abs=1)


def test_a_telephone_keeps_its_band_and_nothing_else_and_does_not_delay():
    wave = np.random.default_rng(0).normal(0, 0.1, 2 * RATE)
    passed = robustness.perturb(wave, TELEPHONE, 8000.0, name="a").wave
    for low, high in ((400, 1000), (1000, 2000), (2000, 3300)):
        assert decibels(power(passed, low, high) / power(wave, low, high)) == pytest.approx(0, abs=0.2)
    for low, high in ((0, 250), (3500, 4000), (4000, 5000), (5000, 8001)):
        assert decibels(power(passed, low, high) / power(wave, low, high)) < -30
    wave = tone(0.5, 1000.0) * np.hanning(8000)
    passed = robustness.pass_telephone(wave)
    assert np.argmax(np.correlate(passed, wave, "full")) == len(wave) - 1 and np.abs(passed - wave).max() < 0.05


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 900), st.sampled_from([(WHITE, 3.0), (SHAPED, 5.0), (TELEPHONE, 8000.0), (GAIN, -41.0),
                                             (GAIN, 50.0)]))
def test_every_length_comes_back_as_long_and_a_file_is_read_as_it_was_listed(tmp_path_factory, samples, step):
    wave = np.random.default_rng(samples).normal(0, 0.3, samples)
    changed = robustness.perturb(wave, *step, name="a", taps=robustness.design_noise_filter([wave]))
    assert len(changed.wave) == samples
    path = audio.write_wav(tmp_path_factory.mktemp("wav") / "a.wav", changed.wave)
    assert audio.sha256(audio.read(path).wave) == audio.sha256(changed.wave)


def test_a_gain_is_exact_and_clipped_samples_are_counted():
    clip = np.array([0.4, 0.6, -0.4, -0.6, 0.0, 0.49], np.float32)
    loud, soft = (robustness.perturb(clip, GAIN, 20 * np.log10(factor), name="a") for factor in (2, 0.1))
    assert (loud.clipped, soft.clipped) == (2, 0)
    np.testing.assert_allclose(loud.wave, [0.8, 1.0, -0.8, -32768 / 32767, 0.0, 0.98], atol=1e-4)
    np.testing.assert_allclose(soft.wave, clip / 10, atol=0.51 / 32767)


def test_the_same_clip_gives_the_same_bytes_and_another_clip_others():
    def noise(**changes):
        facts = {"condition": WHITE, "level": 10.0, "name": "a", "seed": 0} | changes
        return audio.sha256(robustness.perturb(SPEECH * 0.1, **facts).wave)

    assert noise() == noise()
    assert len({noise(), noise(name="b"), noise(seed=1), noise(level=11.0)}) == 4
    start = robustness.perturb(np.full(1000, 0.25), WHITE, 0.0, name="a").wave[:4] * 32767
    # on any machine; where it moves, so must the version
    assert np.rint(start).astype(int).tolist() == [16327, -3889, -8770, 19056] and robustness.ROBUSTNESS_VERSION == 1


@pytest.mark.parametrize(("condition", "level", "error"), [
    ("whitenoise", 10.0, UnknownName), (WHITE, float("nan"), BadParameter), (WHITE, 1000.0, BadParameter),
    (TELEPHONE, 4000.0, BadParameter), (CLEAN, 1.0, BadParameter)])
def test_conditions_that_are_refused_before_anything_is_computed(tmp_path, condition, level, error):
    with pytest.raises(error, match=r"white-noise|allowed"):
        robustness.perturb(SPEECH, condition, level, name="a")
    for levels in ((level,), (), (level, level)):
        with pytest.raises((error, BadParameter)):
            robustness.measure_curves(tmp_path, ["mfcc"], conditions={condition: levels})


def test_silence_has_no_ratio_and_no_spectrum():
    with pytest.raises(BadAudio, match="digital silence has no signal-to-noise ratio"):
        robustness.perturb(np.zeros(100), WHITE, 10.0, name="a")
    with pytest.raises(BadParameter, match="speech-shaped noise needs taps"):
        robustness.perturb(SPEECH, SHAPED, 10.0, name="a")
    with pytest.raises(NslibError, match="every training clip is silent"):
        robustness.design_noise_filter([np.zeros(1000)])
    alone, loud, soft = (robustness.design_noise_filter(waves) for waves in (
        [SPEECH], [np.zeros(1000), SPEECH, 5 * SPEECH], [np.zeros(1000), SPEECH, 0.01 * SPEECH]))
    np.testing.assert_allclose(loud, alone, rtol=1e-6)
    np.testing.assert_allclose(soft, alone, rtol=1e-6)


def test_copies_keep_who_and_what_and_a_silent_clip_is_named_and_left_out(tmp_path):
    clips = clip_table(tmp_path / "clips", [0.5, 0.6, 0.7], label=["x", "y", "x"], speaker=["p", "q", "p"])
    audio.write_wav(clips.loc[1, "audio"], np.zeros(9600))
    clips.loc[1, "sha256"] = audio.sha256(np.zeros(9600, np.float32))
    noisy = robustness.perturb_clips(clips, WHITE, 10.0, tmp_path)
    same = [column for column in clips.columns if column not in ("audio", "sha256")]
    pd.testing.assert_frame_equal(noisy.clips[same], clips.loc[[0, 2], same].reset_index(drop=True))
    assert set(noisy.clips["sha256"]).isdisjoint(clips["sha256"]) and noisy.samples == 8000 + 11200
    for row in noisy.clips.itertuples():
        assert audio.sha256(audio.read(row.audio).wave) == row.sha256
    assert noisy.problems["clip_id"].tolist() == ["clip001"]
    assert "digital silence" in noisy.problems.loc[0, "reason"] and noisy.problems.loc[0, "remedy"]
    control = robustness.perturb_clips(clips, GAIN, 0.0, tmp_path)  # is the clip itself; silence can be made louder
    assert control.clips["sha256"].tolist() == clips["sha256"].tolist() and control.clipped == 0
    nothing = robustness.perturb_clips(clips[1:2], WHITE, 10.0, tmp_path)
    assert nothing.clips.empty and list(nothing.clips.columns) == list(clips.columns) and len(nothing.problems) == 1


FEW = {WHITE: (30.0, -10.0), TELEPHONE: (8000.0,), GAIN: (0.0, -20.0)}
SMOKE = config.load_params({"smoke": True})
SHOWN = [column.name for column in robustness.CURVES if column.name != "when"]


def pitch(waves):
    """Zero crossings and level: noise spoils the first, gain the second."""
    crossings = (np.diff(np.sign(waves), axis=1) != 0).mean(1)
    return np.stack([crossings, np.sqrt((waves**2).mean(1))], 1).astype(np.float32)


def crossings(waves):
    """Zero crossings alone, which no gain changes."""
    return np.repeat(pitch(waves)[:, :1], 2, axis=1)


def write_pitches(home):
    """Two pitches by 18 speakers, one of whose test clips is silent."""
    rows = []
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


@pytest.fixture(scope="module")
def pitches(tmp_path_factory):
    return write_pitches(tmp_path_factory.mktemp("recordings") / "pitches")


@pytest.fixture
def folder(pitches, tmp_path, monkeypatch):
    """The recordings, with a cache and reports of the test's own."""
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "reports"))
    return pitches


def measure(folder, embeddings=(pitch, crossings), conditions=FEW, **given):
    return robustness.measure_curves(folder, embeddings, params=SMOKE, conditions=conditions, progress=False, **given)


def of(table, embedding, condition, level):
    chosen = (table["embedding"] == embedding) & (table["condition"] == condition) & (table["level"] == level)
    row, = table[chosen].to_dict("records")
    return row


@pytest.fixture(scope="module")
def curves(pitches, tmp_path_factory):
    """Curves of two embeddings, and the scores of their benchmark."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("curves")
        patch.setenv("NSLIB_CACHE", str(home / "cache"))
        patch.setenv("NSLIB_REPORTS", str(home / "reports"))
        return measure(pitches), results.load_results()[0]


def test_each_condition_does_what_it_must(curves):
    table, _ = curves
    assert len(table) == 2 * 6 and table.attrs["not_run"] == []
    for embedding in ("pitch", "crossings"):
        clean, control = of(table, embedding, CLEAN, 0), of(table, embedding, GAIN, 0)
        assert clean["value"] > 0.9 and control["value"] == clean["value"]
        assert (clean["change"], control["change"]) == (0, 0) and control["change_low"] < 0 < control["change_high"]
        noisy = of(table, embedding, WHITE, -10)
        assert noisy["value"] < 0.7 and noisy["change_high"] < 0
        assert noisy["low"] <= noisy["value"] <= noisy["high"] and noisy["interval_by"] == "speaker"
    assert of(table, "crossings", GAIN, -20)["value"] == of(table, "crossings", CLEAN, 0)["value"]


def test_the_clean_row_is_the_benchmark_and_a_silent_clip_is_counted_and_said(curves):
    table, rows = curves
    chosen = select_scores(rows).set_index("embedding")
    for row in table[table["condition"] == CLEAN].itertuples():
        known = chosen.loc[row.embedding]
        assert (row.value, row.low, row.high, row.n) == (known["value"], known["low"], known["high"], known["n"])
        assert (row.probe, row.l2, row.split_hash) == (known["probe"], known["l2"], known["split_hash"])
    noisy, softer = of(table, "pitch", WHITE, 30), of(table, "pitch", GAIN, -20)
    assert (noisy["n"], noisy["left_out"], softer["n"], softer["left_out"]) == (23, 1, 24, 0)
    assert noisy["notes"] == "1 test clips were left out: digital silence has no signal-to-noise ratio."
    assert softer["notes"] == "" and softer["clipped"] == 0


def test_all_embeddings_hear_the_same_bytes_and_one_alone_the_same_as_with_others(folder, curves, monkeypatch):
    heard: dict[str, list[str]] = {}
    fill = robustness.fill_cache

    def listen(clips, embedding, **given):
        heard.setdefault(embedding.name, []).extend(clips["sha256"])
        return fill(clips, embedding, **given)

    monkeypatch.setattr(robustness, "fill_cache", listen)
    again = measure(folder)  # from nothing
    pd.testing.assert_frame_equal(again[SHOWN], curves[0][SHOWN])
    assert heard["pitch"] == heard["crossings"] and len(set(heard["pitch"])) > 3 * 23
    monkeypatch.setenv("NSLIB_REPORTS", str(folder.parent / "another"))
    alone = measure(folder, [crossings], {WHITE: (-10.0,)})
    assert of(alone, "crossings", WHITE, -10)["value"] == of(again, "crossings", WHITE, -10)["value"]


def test_nothing_is_computed_twice_and_a_killed_run_goes_on(folder, monkeypatch):
    made, real = [], robustness.perturb_clips

    def count(clips, condition, level, *rest, **given):
        made.append((condition, level))
        if made == [(WHITE, 30.0), (WHITE, -10.0), (TELEPHONE, 8000.0)]:
            raise KeyboardInterrupt
        return real(clips, condition, level, *rest, **given)

    monkeypatch.setattr(robustness, "perturb_clips", count)
    with pytest.raises(KeyboardInterrupt):
        measure(folder)
    assert not list(config.cache_dir("perturbed").iterdir())  # the files of the copy are gone
    first = measure(folder)
    made.clear()
    pd.testing.assert_frame_equal(measure(folder), first)
    assert made == []
    measure(folder, conditions=FEW | {GAIN: (6.0,)})  # of what is new, only that
    assert made == [(GAIN, 6.0)]


def test_stored_curves_are_read_again_and_a_damaged_file_is_said(folder):
    nothing = robustness.load_curves()
    assert nothing.empty and list(nothing.columns) == [column.name for column in robustness.CURVES]
    table = measure(folder, [pitch])
    stored, (rows, _) = robustness.load_curves(), results.load_results()
    assert sorted(stored["key"].unique()) == sorted(table["key"].unique()) and len(stored) == len(table)
    assert len(robustness.load_curves(rows=rows)) == len(table)
    assert robustness.load_curves(rows=rows.assign(split_hash="another")).empty
    path = next((config.reports_dir() / "results").glob("*.robustness.parquet"))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="cannot be read"):
        assert 0 < len(robustness.load_curves()) < len(table)
    with pytest.warns(UserWarning, match="cannot be read"):
        assert len(measure(folder, [pitch])) == len(table)


def test_an_embedding_that_is_not_to_be_had_is_not_run(folder):
    def broken(waves):
        return np.full((len(waves), 3), 1.0 if waves.shape[1] == 16000 else np.nan, np.float32)

    table = measure(folder, [pitch, broken], {GAIN: (20.0,)})
    assert set(table["embedding"]) == {"pitch"}
    assert [row["embedding"] for row in table.attrs["not_run"]] == ["broken"] and table.attrs["not_run"][0]["why"]
    loud = of(table, "pitch", GAIN, 20)
    assert 0.5 < loud["clipped"] / loud["samples"] < 1


def test_other_answers_than_those_stored_are_refused(folder, monkeypatch):
    measure(folder, [pitch], {GAIN: (0.0,)})
    real = results.find_result

    def change(*key):
        rows, predictions = real(*key)
        return rows, predictions.assign(y_pred=predictions["y_pred"].replace({"low": "high"}))

    monkeypatch.setattr(benchmark.results, "find_result", change)
    table = measure(folder, [pitch], {GAIN: (6.0,)})
    assert set(table["condition"]) == {CLEAN}  # which was kept before
    assert "12 of 24 answers are not those that were kept" in table.attrs["not_run"][0]["why"]


def test_scores_by_probability_are_possible(folder, monkeypatch):
    """The change is always of right answers; the value is of the task's metric."""
    task, corpus = loading.load_own_task(folder, progress=False)
    monkeypatch.setattr(benchmark.loading, "load_clips", lambda *a, **k: corpus)
    table = measure(dataclasses.replace(task, metric="auc"), [pitch], {WHITE: (-10.0,)})
    clean = of(table, "pitch", CLEAN, 0)
    assert (clean["metric"], clean["chance"]) == ("auc", scores.chance("auc", ["a", "b"]))
    assert clean["value"] > 0.9 > of(table, "pitch", WHITE, -10)["value"]


def test_where_no_clip_is_left_there_is_no_score(folder, monkeypatch):
    def lose(clips, condition, level, *rest, **given):
        return robustness.PerturbedClips(condition, level, clips[:0], clips[["clip_id", "audio"]].assign(
            reason="too odd", remedy=""))

    monkeypatch.setattr(robustness, "perturb_clips", lose)
    row = of(measure(folder, [pitch], {GAIN: (6.0,)}), "pitch", GAIN, 6)
    assert (row["n"], row["left_out"], row["notes"]) == (0, 24, "24 test clips were left out: too odd.")
    assert np.isnan([row[name] for name in ("value", "low", "high", "chance", "change", "change_low")]).all()


def test_the_cheapest_task_has_enough_speakers():
    def task(name, people, seconds, speaker="s"):
        return [{"task": name, "split": "test", "speaker": f"{speaker}{i}" if speaker else "", "seconds": seconds}
                for i in range(people)]

    clips = pd.DataFrame([*task("few", 4, 1), *task("long", 6, 9), *task("short", 5, 2), *task("unknown", 9, 0.1, "")])
    assert robustness.choose_cheapest_task(clips) == "short"
    assert robustness.choose_cheapest_task(clips[clips["task"].isin(["few", "unknown"])]) == "unknown"
    assert robustness.choose_cheapest_task(clips[:0]) == ""
    assert robustness.measure_curves("", []).empty  # as for a notebook in which nothing was run


