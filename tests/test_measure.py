"""The two verbs, end to end on small data: right table, nothing computed twice, nothing lost silently."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers import tone

from nslib import audio, extract, measure, params, results
from nslib.errors import BadParameter, UnknownName


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


def run(folder, embedding="logmel", **given):
    return measure.benchmark(embedding, folder, params=params.load({"smoke": True}), progress=False, **given)


def test_own_folder_gives_a_row_in_the_same_table(folder):
    found = run(folder)
    row = results.selected(found.rows).iloc[0]
    assert (row["task"], row["embedding"], row["value"], row["n_speakers"]) == ("pitches", "logmel", 1.0, 2)
    assert row["low"] < 1.0 == row["high"] and row["n"] == len(found.predictions)
    assert "logmel" in found.table().columns
    assert any("Speakers were drawn" in note for note in found.notes)


def test_second_run_reads_what_the_first_one_wrote(folder, monkeypatch):
    first = run(folder)
    monkeypatch.setattr(extract, "vectors", lambda *a, **k: pytest.fail("embedded again"))
    second = run(folder)
    pd.testing.assert_frame_equal(first.rows, second.rows)
    assert first.notes == second.notes


def test_a_function_is_an_embedding(folder):
    def loudness_and_crossings(waves):
        crossings = (np.diff(np.sign(waves), axis=1) != 0).mean(1)
        return np.stack([waves.std(1), crossings], 1).astype(np.float32)

    found = run(folder, loudness_and_crossings, name="crossings")
    row = results.selected(found.rows).iloc[0]
    assert (row["embedding"], row["dim"], row["value"]) == ("crossings", 2, 1.0)


def test_a_broken_embedding_is_not_run_and_the_others_go_on(folder):
    def broken(waves):
        return np.full((len(waves), 3), np.nan if waves.std() > 0.2 else 1.0, np.float32)

    found = measure.benchmark([broken, "logmel"], folder, params=params.load({"smoke": True}), progress=False)
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


@pytest.mark.parametrize(("embedding", "task", "nearest"), [
    ("logmell", "word-synthetic", "logmel"), ("logmel", "word-syntetic", "word-synthetic")])
def test_unknown_names_stop_before_anything_is_computed(folder, embedding, task, nearest):
    with pytest.raises(UnknownName, match=nearest):
        measure.benchmark(embedding, task, progress=False)
    assert not (folder.parent / "cache" / "vectors").exists()


def test_an_empty_list_is_refused():
    with pytest.raises(BadParameter, match="empty list"):
        measure.benchmark([], progress=False)


def test_embed_gives_one_vector_a_clip(folder):
    (folder / "low" / "s0" / "empty.wav").write_bytes(b"")
    table = measure.embed(folder, "logmel", progress=False)
    assert len(table) == 36
    assert np.stack(table["vector"]).shape == (36, 128)
    assert len(table.attrs["problems"]) == 1


def test_extras_are_never_run_unasked():
    chosen = measure.defaults(params.load())
    assert "logmel" in chosen and not any(name.startswith("opensmile") for name in chosen)
    assert set(measure.defaults(params.load({"smoke": True}))) < set(chosen)
