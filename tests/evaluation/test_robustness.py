"""Worse conditions are what was asked for, the same for everybody; curves are the benchmark's probe on other clips."""

import numpy as np
import pandas as pd
import pytest
from helpers import clip_table, tone
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from nslib import audio, config
from nslib.errors import BadAudio, BadParameter, NslibError, UnknownName
from nslib.evaluation import benchmark, results, robustness
from nslib.evaluation.robustness import CLEAN, GAIN, SHAPED, TELEPHONE, WHITE
from nslib.statistics.scores import select_scores

RATE = 16_000
QUARTER = 13 * 320
SPEECH = tone(4 * QUARTER / RATE, 300.0) * np.repeat([1.0, 0.0, 0.6, 0.02], QUARTER).astype(np.float32)


def decibels(ratio):
    return 10 * np.log10(ratio)


def power(wave, low, high):
    """Energy between two frequencies, over the whole clip."""
    spectrum = np.abs(np.fft.rfft(wave)) ** 2
    hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
    return spectrum[(hertz >= low) & (hertz < high)].sum()


@pytest.mark.parametrize(("condition", "snr"), [(WHITE, 30.0), (SHAPED, -5.0)])
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
    noise = robustness.perturb(clip, SHAPED, 0.0, name="a", taps=taps).wave.astype(float) - clip
    for bottom, top in ((600, 900), (1500, 1900), (2500, 3000)):
        wanted = decibels(power(low, bottom, top) / power(low, 0, 400))
        assert decibels(power(noise, bottom, top) / power(noise, 0, 400)) == pytest.approx(wanted, abs=1.5)


def test_a_telephone_keeps_its_band_and_nothing_else_and_does_not_delay():
    wave = np.random.default_rng(0).normal(0, 0.1, 2 * RATE)
    passed = robustness.perturb(wave, TELEPHONE, 8000.0, name="a").wave
    assert decibels(power(passed, 400, 3300) / power(wave, 400, 3300)) == pytest.approx(0, abs=0.2)
    for low, high in ((0, 250), (3500, 4000), (4000, 8001)):
        assert decibels(power(passed, low, high) / power(wave, low, high)) < -30
    wave = tone(0.5, 1000.0) * np.hanning(8000)
    passed = robustness.pass_telephone(wave)
    assert np.argmax(np.correlate(passed, wave, "full")) == len(wave) - 1 and np.abs(passed - wave).max() < 0.05


@settings(max_examples=20)
@given(st.integers(1, 900), st.sampled_from([(WHITE, 3.0), (SHAPED, 5.0), (TELEPHONE, 8000.0), (GAIN, 50.0)]))
def test_every_length_comes_back_as_long_and_a_file_is_read_as_it_was_listed(tmp_path_factory, samples, step):
    wave = np.random.default_rng(samples).normal(0, 0.3, samples)
    changed = robustness.perturb(wave, *step, name="a", taps=robustness.design_noise_filter([wave]))
    assert len(changed.wave) == samples
    path = audio.write_wav(tmp_path_factory.mktemp("wav") / "a.wav", changed.wave)
    assert audio.sha256(audio.read(path).wave) == audio.sha256(changed.wave)


def test_a_gain_is_exact_clipped_samples_are_counted_and_silence_has_no_ratio_and_no_spectrum():
    clip = np.array([0.4, 0.6, -0.4, -0.6, 0.0, 0.49], np.float32)
    loud, soft = (robustness.perturb(clip, GAIN, 20 * np.log10(factor), name="a") for factor in (2, 0.1))
    assert (loud.clipped, soft.clipped) == (2, 0)
    np.testing.assert_allclose(loud.wave, np.clip(2 * clip, -32768 / 32767, 1), atol=1e-4)
    np.testing.assert_allclose(soft.wave, clip / 10, atol=0.51 / 32767)
    with pytest.raises(BadAudio, match="digital silence has no signal-to-noise ratio"):
        robustness.perturb(np.zeros(100), WHITE, 10.0, name="a")
    with pytest.raises(BadParameter, match="speech-shaped noise needs taps"):
        robustness.perturb(SPEECH, SHAPED, 10.0, name="a")
    with pytest.raises(NslibError, match="every training clip is silent"):
        robustness.design_noise_filter([np.zeros(1000)])
    several = robustness.design_noise_filter([np.zeros(1000), SPEECH, 5 * SPEECH])
    np.testing.assert_allclose(several, robustness.design_noise_filter([SPEECH]), rtol=1e-6)


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
    ("whitenoise", 10.0, UnknownName), (WHITE, float("nan"), BadParameter), (TELEPHONE, 4000.0, BadParameter)])
def test_conditions_that_are_refused_before_anything_is_computed(tmp_path, condition, level, error):
    with pytest.raises(error, match=r"white-noise|allowed"):
        robustness.perturb(SPEECH, condition, level, name="a")
    with pytest.raises(error):
        robustness.measure_curves(tmp_path, ["mfcc"], conditions={condition: (level,)})


def test_copies_keep_who_and_what_and_a_silent_clip_is_named_and_left_out(tmp_path):
    clips = clip_table(tmp_path / "clips", [0.5, 0.6, 0.7], label=["x", "y", "x"], speaker=["p", "q", "p"])
    clips.loc[1, "sha256"] = audio.sha256(audio.read(audio.write_wav(clips.loc[1, "audio"], np.zeros(9600))).wave)
    noisy = robustness.perturb_clips(clips, WHITE, 10.0, tmp_path)
    same = [column for column in clips.columns if column not in ("audio", "sha256")]
    pd.testing.assert_frame_equal(noisy.clips[same], clips.loc[[0, 2], same].reset_index(drop=True))
    assert set(noisy.clips["sha256"]).isdisjoint(clips["sha256"]) and noisy.samples == 8000 + 11200
    assert [audio.sha256(audio.read(path).wave) for path in noisy.clips["audio"]] == noisy.clips["sha256"].tolist()
    assert noisy.problems["clip_id"].tolist() == ["clip001"] and "digital silence" in noisy.problems["reason"][0]
    control = robustness.perturb_clips(clips, GAIN, 0.0, tmp_path)  # is the clip itself; silence can be made louder
    assert control.clips["sha256"].tolist() == clips["sha256"].tolist() and control.clipped == 0
    nothing = robustness.perturb_clips(clips[1:2], WHITE, 10.0, tmp_path)
    assert nothing.clips.empty and list(nothing.clips.columns) == list(clips.columns)


FEW = {WHITE: (30.0, -10.0), TELEPHONE: (8000.0,), GAIN: (0.0, -20.0)}
SMOKE = config.load_params({"smoke": True})
SHOWN = [name for name in robustness.CURVES if name != "when"]


def pitch(waves):
    """Zero crossings and level: noise spoils the first, gain the second."""
    crossings = (np.diff(np.sign(waves), axis=1) != 0).mean(1)
    return np.stack([crossings, np.sqrt((waves**2).mean(1))], 1).astype(np.float32)


def crossings(waves):
    """Zero crossings alone, which no gain changes."""
    return np.repeat(pitch(waves)[:, :1], 2, axis=1)


@pytest.fixture(scope="module")
def pitches(tmp_path_factory):
    """Two pitches by 18 speakers, one of whose test clips is silent."""
    home = tmp_path_factory.mktemp("pitches")
    rows = [{"audio": f"{k}-{take}.wav", "label": ("low", "high")[k // 18], "speaker": f"s{k % 18:02d}",
             "split": ("train", "validation", "test")[k % 3]} for k in range(36) for take in range(2)]
    for number, row in enumerate(rows):
        hertz = {"low": 300, "high": 1500}[row["label"]] * (1 + 0.005 * (number % 36))
        audio.write_wav(home / row["audio"], tone(0.5 + 0.1 * (number % 2), hertz, seed=number) * (number != 4))
    pd.DataFrame(rows).to_csv(home / "pitches.csv", index=False)
    return home / "pitches.csv"


@pytest.fixture
def folder(pitches, cache):
    """The recordings, with a cache and reports of the test's own."""
    return pitches


def measure(folder, embeddings=(pitch, crossings), conditions=FEW):
    return robustness.measure_curves(folder, embeddings, params=SMOKE, conditions=conditions, progress=False)


def of(table, embedding, condition, level):
    row, = table.query("embedding == @embedding and condition == @condition and level == @level").to_dict("records")
    return row


@pytest.fixture(scope="module")
def curves(pitches, tmp_path_factory):
    """Curves of two embeddings, and the scores of their benchmark."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("NSLIB_CACHE", "NSLIB_REPORTS"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name)))
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
    same = ["value", "low", "high", "n", "probe", "l2", "split_hash"]
    clean = table[table["condition"] == CLEAN].set_index("embedding")
    pd.testing.assert_frame_equal(clean[same], chosen.loc[clean.index, same], check_dtype=False)
    noisy, softer = of(table, "pitch", WHITE, 30), of(table, "pitch", GAIN, -20)
    assert (noisy["n"], noisy["left_out"], softer["n"], softer["left_out"], softer["notes"]) == (23, 1, 24, 0, "")
    assert noisy["notes"] == "1 test clips were left out: digital silence has no signal-to-noise ratio."


def test_all_embeddings_hear_the_same_bytes_and_one_alone_the_same_as_with_others(folder, curves, monkeypatch):
    heard, fill = {"pitch": [], "crossings": []}, robustness.fill_cache

    def listen(clips, embedding, **given):
        heard[embedding.name].extend(clips["sha256"])
        return fill(clips, embedding, **given)

    monkeypatch.setattr(robustness, "fill_cache", listen)
    alone = measure(folder, [crossings], {WHITE: (-10.0,)})
    assert of(alone, "crossings", WHITE, -10)["value"] == of(curves[0], "crossings", WHITE, -10)["value"]
    heard["crossings"].clear()
    measure(folder, conditions={GAIN: (-20.0,), TELEPHONE: (8000.0,)})
    assert heard["pitch"] == heard["crossings"] and len(set(heard["pitch"])) > 23


def test_nothing_is_computed_twice_a_killed_run_goes_on_and_a_damaged_file_is_said(folder, curves, monkeypatch):
    made, real = [], robustness.perturb_clips

    def count(clips, *step, **given):
        made.append(step[:2])
        if made == [(WHITE, 30.0), (WHITE, -10.0)]:
            raise KeyboardInterrupt
        return real(clips, *step, **given)

    monkeypatch.setattr(robustness, "perturb_clips", count)
    assert list(robustness.load_curves()) == list(robustness.CURVES)
    with pytest.raises(KeyboardInterrupt):
        measure(folder)
    assert not list(config.cache_dir("perturbed").iterdir())  # the files of the copy are gone
    first, (rows, _) = measure(folder), results.load_results()
    pd.testing.assert_frame_equal(first[SHOWN], curves[0][SHOWN])
    made.clear()
    pd.testing.assert_frame_equal(measure(folder), first)
    assert len(robustness.load_curves()) == len(robustness.load_curves(rows=rows)) == len(first)
    assert robustness.load_curves(rows=rows.assign(split_hash="another")).empty
    measure(folder, conditions=FEW | {GAIN: (6.0,)})  # of what is new, only that
    assert made == [(GAIN, 6.0)]
    stored = len(robustness.load_curves())
    path = next((config.reports_dir() / "results").glob("*.robustness.parquet"))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="cannot be read"):
        assert 0 < len(robustness.load_curves()) < stored
    with pytest.warns(UserWarning, match="cannot be read"):
        assert len(measure(folder)) == len(first)


def test_other_answers_than_those_stored_are_refused(folder, monkeypatch):
    measure(folder, [pitch], {GAIN: (0.0,)})
    rows, answers = results.load_results()
    monkeypatch.setattr(benchmark.results, "find_result", lambda *_: (rows, answers.assign(y_pred="high")))
    table = measure(folder, [pitch], {GAIN: (6.0,)})
    assert set(table["condition"]) == {CLEAN}  # which was kept before
    assert "12 of 24 answers are not those that were kept" in table.attrs["not_run"][0]["why"]


def test_the_cheapest_task_has_enough_speakers():
    clips = pd.DataFrame([{"task": name, "split": "test", "speaker": str(i), "seconds": seconds}
                          for name, count, seconds in (("few", 4, 1), ("long", 6, 9), ("short", 5, 2))
                          for i in range(count)])
    assert robustness.choose_cheapest_task(clips) == "short"
    assert robustness.choose_cheapest_task(clips[:0]) == ""
    assert robustness.measure_curves("", []).empty  # as for a notebook in which nothing was run
