"""The two verbs, end to end on small data: right table, nothing computed twice, nothing lost silently."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
from helpers import tone

from nslib import audio, config
from nslib.datasets import loading
from nslib.errors import BadParameter, Unavailable, UnknownName
from nslib.evaluation import benchmark, results
from nslib.extraction import extract
from nslib.extraction.cache import VectorCache
from nslib.statistics.scores import select_scores


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two classes of tones from six speakers, so easy that any embedding tells them apart."""
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "reports"))
    home = tmp_path / "pitches"
    for label, hertz in (("low", 200), ("high", 2000)):
        for speaker in range(6):
            (home / label / f"s{speaker}").mkdir(parents=True)
            for take in range(3):
                wave = tone(0.6 + 0.1 * take, hertz * (1 + 0.02 * speaker), seed=10 * speaker + take)
                audio.write_wav(home / label / f"s{speaker}" / f"{take}.wav", wave)
    return home


def run(folder, which="logmel", **given):
    return benchmark.benchmark(which, folder, params=config.load_params({"smoke": True}), progress=False, **given)


def test_own_folder_gives_a_row_in_the_same_table(folder):
    found = run(folder)
    row = select_scores(found.rows).iloc[0]
    assert (row["task"], row["embedding"], row["value"], row["n_speakers"]) == ("pitches", "logmel", 1.0, 2)
    assert row["low"] < 1.0 == row["high"] and row["n"] == len(found.predictions)
    assert "logmel" in found.table().columns
    assert any("Speakers were drawn" in note for note in found.notes)


def test_second_run_reads_what_the_first_one_wrote(folder, monkeypatch):
    first = run(folder)
    monkeypatch.setattr(extract, "extract_vectors", lambda *a, **k: pytest.fail("embedded again"))
    second = run(folder)
    pd.testing.assert_frame_equal(first.rows, second.rows)
    assert first.notes == second.notes


def test_a_function_is_an_embedding(folder):
    def loudness_and_crossings(waves):
        crossings = (np.diff(np.sign(waves), axis=1) != 0).mean(1)
        return np.stack([waves.std(1), crossings], 1).astype(np.float32)

    found = run(folder, loudness_and_crossings, name="crossings")
    row = select_scores(found.rows).iloc[0]
    assert (row["embedding"], row["dim"], row["value"]) == ("crossings", 2, 1.0)


def test_a_broken_embedding_is_not_run_and_the_others_go_on(folder):
    def broken(waves):
        return np.full((len(waves), 3), np.nan if waves.std() > 0.2 else 1.0, np.float32)

    found = benchmark.benchmark([broken, "logmel"], folder, params=config.load_params({"smoke": True}), progress=False)
    assert list(found.not_run["embedding"]) == ["broken"]
    assert "logmel" in found.table().columns


def test_bad_clips_are_left_out_counted_and_named(folder):
    (folder / "low" / "s0" / "empty.wav").write_bytes(b"")
    (folder / "high" / "s1" / "text.wav").write_text("not audio")
    found = run(folder)
    assert sorted(p.rsplit("/", 1)[-1] for p in found.problems["audio"]) == ["empty.wav", "text.wav"]
    assert (found.problems["remedy"] != "").all()


def test_changed_audio_is_a_new_result(folder):
    before = run(folder)
    audio.write_wav(folder / "low" / "s0" / "0.wav", tone(0.7, 250, seed=99))
    after = run(folder)
    assert set(before.rows["data_hash"]).isdisjoint(after.rows["data_hash"])
    assert after.ledger["computed"].sum() == before.ledger["computed"].sum() + 1


@pytest.mark.parametrize(("which", "task", "nearest"), [
    ("logmell", "word-synthetic", "logmel"), ("logmel", "word-syntetic", "word-synthetic")])
def test_unknown_names_stop_before_anything_is_computed(folder, which, task, nearest):
    with pytest.raises(UnknownName, match=nearest):
        benchmark.benchmark(which, task, progress=False)
    assert not (folder.parent / "cache" / "vectors").exists()


def test_an_empty_list_is_refused():
    with pytest.raises(BadParameter, match="empty list"):
        benchmark.benchmark([], progress=False)


def test_embed_gives_one_vector_a_clip(folder):
    (folder / "low" / "s0" / "empty.wav").write_bytes(b"")
    table = benchmark.embed(folder, "logmel", progress=False)
    assert len(table) == 36
    assert np.stack(table["vector"]).shape == (36, 128)
    assert len(table.attrs["problems"]) == 1


def test_extras_are_never_run_unasked():
    chosen = benchmark.default_embeddings(config.load_params())
    assert "logmel" in chosen and not any(name.startswith("opensmile") for name in chosen)
    assert set(benchmark.default_embeddings(config.load_params({"smoke": True}))) < set(chosen)


def test_one_pair_can_be_run_afresh_and_leaves_nothing(folder, tmp_path):
    smoke = config.load_params({"smoke": True})
    task, corpus = loading.load_own_task(folder, seed=0, progress=False)
    spec = benchmark.specify_embedding("logmel")
    store = VectorCache(spec.load(), tmp_path / "fresh")
    fresh = benchmark.run_pair(task, corpus, spec, benchmark.probe_settings(task, smoke), store=store,
                               use_stored=False, progress=False)
    assert len(store) == 36 and results.load_results()[0].empty and fresh.problems.empty
    kept = run(folder)
    drift = ["when", "fit_seconds"]
    pd.testing.assert_frame_equal(fresh.rows.drop(columns=drift), kept.rows.drop(columns=drift))
    pd.testing.assert_frame_equal(fresh.predictions, kept.predictions)
    assert benchmark.run_pair(task, corpus, spec, benchmark.probe_settings(task, smoke)).problems is None


# --- what it takes ----------------------------------------------------------------------------


def test_vectors_that_do_not_fit_are_refused_with_both_numbers(folder, monkeypatch):
    benchmark.check_memory("t", 1000, 700, 128)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=16e9))
    assert benchmark.fits_in_memory(1000, 700, 128) and not benchmark.fits_in_memory(148_642, 134_000, 12_288)
    needed = (148_642 * 12_288 * 16 + 134_000 * 12_288 * 12 + 100 * 2 * 2 * 0.64 * 134_000 * (8 * 2 + 64)) / 1e9
    with pytest.raises(Unavailable, match=f"need about {needed:.1f} GB, and 16.0 GB are free") as caught:
        benchmark.check_memory("voxceleb", 148_642, 134_000, 12_288)
    assert "shorter vectors" in caught.value.remedy and "are kept" in caught.value.remedy
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1.0))
    found = run(folder)
    assert found.rows.empty and "36 vectors of 128 numbers and 2 classes need" in found.not_run["why"].item()
    assert len(VectorCache.at(next((folder.parent / "cache" / "vectors").iterdir()))) == 36  # and the vectors are kept


def test_a_long_run_says_first_what_it_will_take_and_a_short_one_nothing(folder, monkeypatch, capsys):
    probes = {"probes": ("LDA_LSQR_AUTO",), "metric": "accuracy", "speaker_norm": False, "seed": 0}
    monkeypatch.setattr(benchmark, "probe_settings", lambda task, params: probes)
    monkeypatch.setattr(benchmark, "LONG_SECONDS", 0.0)
    benchmark.benchmark("logmel", folder, params=config.load_params({}), progress=True)
    said = capsys.readouterr().err
    assert said.index("estimate: ") < said.index("embed logmel")
    assert "0.0 h of audio to embed, 0.00 GB of vectors to store, up to 0.0 GB of memory" in said
    assert "logmel: 1 min of embedding, 1 min of probes" in said
    monkeypatch.setattr(benchmark, "LONG_SECONDS", 600.0)
    benchmark.benchmark("mfcc", folder, params=config.load_params({}), progress=True)
    assert "estimate" not in capsys.readouterr().err
