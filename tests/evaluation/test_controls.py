"""Controls say what they must of corpora that are made to be told apart by one thing, and embed nothing twice."""

import csv
import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from helpers import tone, write_pitches

from nslib import config, embeddings
from nslib.errors import BadParameter, NslibError
from nslib.evaluation import benchmark, controls, probe, protocols
from nslib.evaluation.controls import measure_controls
from nslib.evaluation.probe import LabelledVectors
from nslib.extraction import extract
from nslib.statistics.scores import select_scores

SMOKE = config.load_params({"smoke": True})
PARTS = ["train"] * 4 + ["validation"] * 2 + ["test"] * 6  # of twelve speakers of each class


def write_corpus(home, *, noise=(1e-3, 1e-3), seconds=(0.4, 0.4), rate=(16_000, 16_000), pause=True, leak=False):
    """Write voices around a pause, and a list; of the two classes, only what is named can tell them apart."""
    home.mkdir()
    rows, rng = [("audio", "label", "speaker", "split")], np.random.default_rng(0)
    for kind in range(2):
        for speaker, part in enumerate(PARTS):
            for take in range(2):
                voice = rng.uniform(0.4, 1) * tone(seconds[kind], 150 + 20 * rng.random(), seed=len(rows))
                wave = np.concatenate([voice, np.zeros(6_400 * pause), voice])
                wave = wave + noise[kind] * rng.normal(size=len(wave))
                path = home / f"{kind}-{speaker}-{take}.wav"
                soundfile.write(path, (wave * 0.5)[:: 16_000 // rate[kind]], rate[kind], "FLOAT")
                who = f"{kind}{speaker}" if not leak else f"{kind}{speaker % 8}"
                rows.append((path.name, f"c{kind}", who, part))
    with (home / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return home / "clips.csv"


def loudness(waves):
    return np.stack([waves.std(1), np.abs(waves).mean(1)], 1).astype(np.float32)


def run(source, which=loudness, params=SMOKE):
    measured = benchmark.benchmark(which, source, params=params, progress=False)
    return measured, measure_controls(measured, which, params, progress=False).set_index("control")


@pytest.mark.parametrize(("differs", "told", "not_told"), [
    ({"noise": (1e-4, 1e-3)}, "silence", "recording"), ({"seconds": (0.4, 0.6)}, "recording", "silence"),
    ({"rate": (16_000, 8_000)}, "recording", ""), ({"pause": False}, "", "silence")])
def test_a_corpus_that_is_told_apart_without_a_voice_is_said_to_be_so(tmp_path, cache, differs, told, not_told):
    _, table = run(write_corpus(tmp_path / "corpus", **differs))
    for control, sentence in (("silence", "from the pauses alone"), ("recording", "rate, length and level")):
        if control == told:
            assert sentence in table.at[control, "says"] and table.at[control, "low"] > 0.5
        elif control == not_told:
            assert "can be told" not in table.at[control, "says"] and table.at[control, "low"] <= 0.5
    assert ("48 of 48 clips have no pause." in table.at["silence", "says"]) == (not differs.get("pause", True))


def test_chance_is_what_counting_gives_and_a_range_of_permutations(tmp_path, cache):
    measured, table = run(write_corpus(tmp_path / "corpus"), params=config.load_params({"smoke": False}))
    majority, permuted = table.loc["majority"], table.loc["permuted-labels"]
    assert (majority["value"], majority["interval_by"], majority["n"]) == (0.5, "speaker", 24)
    assert permuted["level"] == pytest.approx(0.95) and permuted["low"] < 0.5 < permuted["high"]
    assert permuted["low"] <= permuted["value"] <= permuted["high"] and abs(permuted["value"] - 0.5) < 0.15
    chosen = select_scores(measured.rows).iloc[0]
    assert (permuted["probe"], permuted["l2"]) == (chosen["probe"], chosen["l2"])


def test_controls_are_of_the_metric_that_was_asked_for_and_not_of_numbers(tmp_path, cache):
    source = write_corpus(tmp_path / "corpus", noise=(1e-4, 1e-3))
    measured = benchmark.benchmark(loudness, source, params=SMOKE, metric="eer,uar", progress=False)
    table = measure_controls(measured, loudness, SMOKE, progress=False).set_index("control")
    assert set(table["metric"]) == {"equal_error_rate"} and table.at["majority", "value"] == 0.5
    assert table.at["silence", "high"] < 0.5 and "from the pauses alone" in table.at["silence", "says"]
    numbers = dataclasses.replace(measured, rows=measured.rows.assign(metric="mean_absolute_error"))
    with pytest.raises(BadParameter, match="classes"):
        measure_controls(numbers, loudness, SMOKE, progress=False)


def test_where_only_voices_differ_nothing_is_said_or_embedded_twice_and_a_second_run_reads_what_is_stored(
        tmp_path, cache, monkeypatch):
    calls = []

    def counted(waves):
        calls.append(len(waves))
        return loudness(waves)

    own = embeddings.from_callable(counted, name="loudness", revision="1")
    calls.clear()
    measured = benchmark.benchmark(own, write_corpus(tmp_path / "corpus"), params=SMOKE, progress=False)
    embedded = sum(calls)
    first = measure_controls(measured, own, SMOKE, progress=False)
    assert sum(calls) == embedded and list(first) == list(controls.CONTROLS)
    table = first.set_index("control")
    assert list(table.index) == ["majority", "permuted-labels", "silence", "recording", "by-clip"]
    assert "can be told" not in table.at["recording", "says"] and table.at["recording", "low"] <= 0.5
    assert "Clips divided at random change loudness by" in table.at["by-clip", "says"]
    assert "have no pause" not in table.at["silence", "says"]
    assert 0 <= table.at["by-clip", "low"] < table.at["by-clip", "high"] <= 1
    assert set(protocols.load_protocols()[0]["protocol"]) == {"by-speaker", "by-clip", "by-speaker-8-shot",
                                                              "by-clip-8-shot"}
    monkeypatch.setattr(extract, "extract_vectors", lambda *a, **k: pytest.fail("embedded again"))
    monkeypatch.setattr(probe, "fit_probe", lambda *a: pytest.fail("fitted again"))
    pd.testing.assert_frame_equal(first, measure_controls(measured, own, SMOKE, progress=False))


def test_a_split_that_shares_speakers_is_set_beside_one_by_speaker(tmp_path, cache):
    row = run(write_corpus(tmp_path / "corpus", leak=True))[1].loc["by-speaker"]
    assert "The split shares speakers" in row["says"] and 0 <= row["low"] < row["high"] <= 1
    assert set(protocols.load_protocols()[0]["protocol"]) == {"repeated"}


def test_what_cannot_be_measured_says_why(tmp_path, cache, monkeypatch):
    def refuse(*_, **__):
        raise NslibError("no probe today.")

    source = write_pitches(tmp_path / "pitches")
    measured = benchmark.benchmark("logmel", source, params=SMOKE, progress=False)
    measured.clips["speaker"] = ""
    monkeypatch.setattr(benchmark, "fit_grid", refuse)
    table = measure_controls(measured, "logmel", SMOKE, progress=False).set_index("control")
    assert "Not measured: no probe today." in table.at["silence", "says"] and np.isnan(table.at["silence", "value"])
    assert "no clip says who speaks" in table.at["by-clip", "says"]


@pytest.mark.parametrize(("speaker", "label", "together"), [
    (["a", "a", "b", "b", "c", "c"], ["x", "x", "y", "y", "y", "y"], True),
    (["a", "a", "b", "b", "c", "c"], ["x", "y", "y", "x", "y", "x"], False),
    (["a", "a", "b", "b", "c", "c"], ["a", "a", "b", "b", "c", "c"], False),  # the speaker is the label
    (["", "", "", "", "", ""], ["x", "x", "x", "x", "y", "y"], False)])
def test_labels_are_permuted_among_speakers_where_each_has_one(speaker, label, together):
    train = LabelledVectors(np.zeros((6, 1)), *map(np.array, (label, speaker, list("123456"))))
    drawn = [controls.permute(train, np.random.default_rng(seed)) for seed in range(40)]
    assert len({tuple(d) for d in drawn}) > 1
    if together:
        assert all(len({*d[[i, i + 1]]}) == 1 for d in drawn for i in (0, 2, 4))
    else:
        assert all(sorted(d) == sorted(label) for d in drawn) and any(d[0] != d[1] for d in drawn)


def test_in_folds_every_clip_is_answered_by_chance_too(monkeypatch, cache):
    rng, n = np.random.default_rng(0), 120
    fold, label = np.arange(n) % 4, np.char.mod("c%d", np.arange(n) // 4 % 3)
    names = np.char.mod("clip%03d", np.arange(n))
    clips = pd.DataFrame({"clip_id": names, "sha256": names, "label": label, "speaker": np.char.mod("s%d", fold),
                          "fold": fold.astype(str), "text": "", "seconds": 1.0, "sample_rate": 16_000, "audio": "",
                          "source": "made up", "split": np.array(["test", "validation", "train", "train"])[fold]})
    out = extract.Extraction(rng.normal(size=(n, 5)).astype(np.float32), clips, clips[:0], {})
    monkeypatch.setattr(benchmark.EmbeddingSpec, "vectors", lambda *_, **__: out)
    monkeypatch.setattr(benchmark, "load_tasks", lambda *a, **k: (a[3].add_clips(task, data), [(task, data)])[1])
    task, data = benchmark.datasets_tasks.make_own_task("folded", clips), SimpleNamespace(
        clips=clips, notes=(), problems=clips[:0].assign(reason="", remedy=""))
    _, table = run(None, "logmel")
    assert table.at["majority", "n"] == n and 0.2 < table.at["majority", "value"] < 0.45
    assert 0.2 < table.at["permuted-labels", "value"] < 0.5 and table.at["permuted-labels", "probe"] == "chosen-by-fold"


def test_vectors_that_the_z_score_makes_zero_are_counted(tmp_path, cache):
    source = write_corpus(tmp_path / "corpus")
    lines = source.read_text().splitlines()
    source.write_text("\n".join(line for line in lines if "-1.wav" not in line))  # one take of each speaker is left
    said = [note for note in run(source)[0].notes if "become zero" in note]
    assert any("12 of 12 test vectors" in note for note in said) and len(said) == 3
    plain = config.load_params({"smoke": True, "transductive": False})
    measured = benchmark.benchmark(loudness, source, params=plain, progress=False)
    assert not measured.rows["speaker_norm"].any() and not [n for n in measured.notes if "become zero" in n]


@pytest.mark.parametrize(("overlap", "said"), [("savee, clips", True), ("", False), ("other-clips", False)])
def test_known_overlap_with_pre_training_is_said(tmp_path, cache, overlap, said):
    own = embeddings.from_callable(loudness, name="mine", overlap=overlap)
    measured = benchmark.benchmark(own, write_corpus(tmp_path / "corpus"), params=SMOKE, progress=False)
    assert measured.rows["task"].iloc[0] == "clips"
    assert any("mine: It was trained on recordings of this corpus" in note for note in measured.notes) == said
