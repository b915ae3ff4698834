"""Listening: neighbours, vectors over time, pages without scripts, widgets with a fallback, an uploaded voice."""

import base64
import dataclasses
import io
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from helpers import tone

from nslib import audio, embeddings
from nslib.embeddings.base import Embedding
from nslib.errors import BadAudio, BadParameter, UnknownName
from nslib.extraction import extract
from nslib.teaching import listen

RATE = 16_000
PITCHES = {"low": 200.0, "middle": 800.0, "high": 3000.0}


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> pd.DataFrame:
    """Four clips of three speakers; the last of all is a copy of the first, under another name."""
    folder, rows = tmp_path_factory.mktemp("voices"), []
    for number, (speaker, pitch) in enumerate(PITCHES.items()):
        for take in range(4):
            path = audio.write_wav(folder / f"{speaker}{take}.wav", tone(1.2, pitch, 10 * number + take))
            rows.append({"clip_id": f"{speaker}/{take}", "audio": str(path), "speaker": speaker, "split": "test",
                         "label": "loud <b>", "seconds": 1.2, "sha256": audio.sha256(audio.read(path).wave)})
    return pd.DataFrame([*rows, rows[0] | {"clip_id": "copy"}])


@pytest.fixture(scope="module")
def space(clips):
    return listen.build_space(clips, "logmel", progress=False)


def loudness(waves: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loudness and zero crossings of whole seconds, one every half: values that can be worked out by hand."""
    parts = np.lib.stride_tricks.sliding_window_view(waves, RATE, axis=1)[:, ::RATE // 2]
    crossings = np.abs(np.diff(np.sign(parts))).mean(-1)
    return np.stack([parts.std(-1), crossings], -1).astype(np.float32), 1 + (lengths - RATE) // (RATE // 2)


WINDOWS = Embedding("windows", "1", 2, loudness, window=1.0, hop=0.5, min_samples=RATE)


def test_similarities_are_cosines_of_standardised_vectors_and_a_clip_is_not_its_own_neighbour(space, clips):
    vectors = extract.extract_vectors(clips, embeddings.get("logmel"), progress=False).vectors.astype(np.float64)
    scaled = (vectors - vectors.mean(0)) / vectors.std(0)
    a, b = scaled[0], scaled[5]
    near = space.nearest("low/0", 99).set_index("clip_id")["similarity"]
    assert near["middle/1"] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-5)
    assert near.is_monotonic_decreasing
    assert "low/0" not in near and "copy" not in near and len(near) == 11  # not even under another name
    recording = audio.read(clips["audio"][space.row("high/1")])
    assert space.place(recording.wave) @ space.unit[space.row("high/1")] == pytest.approx(1, abs=1e-5)
    assert list(space.nearest(recording)["clip_id"]) == list(space.nearest("high/1")["clip_id"])


def sign(space, speaker):
    """The same clips by other speakers."""
    return dataclasses.replace(space, clips=space.clips.assign(speaker=speaker))


def test_pairs_and_own_first_by_hand(space):
    """Two clips that nobody has signed are not of one person, and such a clip is not asked whose it is."""
    same, other = space.pairs()
    assert len(same) + len(other) == 13 * 12 // 2 - 1  # the copy and its original are no pair
    assert np.median(same) > np.median(other)
    assert space.own_first() == (1.0, pytest.approx(1 / 3))
    unsigned = sign(space, space.clips["speaker"].mask(space.clips["speaker"] == "high", ""))
    assert [len(values) for values in unsigned.pairs()] == [6 + 9, 4 * 5]  # of four and five clips, less the copy
    assert unsigned.own_first() == (1.0, 1 / 2)
    with pytest.raises(BadParameter, match="no known speakers"):
        sign(space, "").own_first()


def test_requests_that_make_no_sense_are_refused_and_clips_that_cannot_be_embedded_counted(space, clips, tmp_path):
    gone = clips.copy()
    gone.loc[0, ["audio", "sha256"]] = str(tmp_path / "gone.wav"), "0" * 64
    with pytest.warns(UserWarning, match="1 of 13 clips cannot be embedded .* the first is low/0"):
        assert len(listen.build_space(gone, "logmel", progress=False).clips) == 12
    with pytest.raises(UnknownName, match=r"Did you mean.*low/0"):
        space.nearest("low/O")
    with pytest.raises(BadParameter, match="0 neighbours were asked for; ask for 1 or more"):
        space.nearest("low/0", 0)
    with pytest.raises(BadParameter, match="3 clips: give 4 to 5000"):
        listen.build_space(clips.head(3), "logmel")
    with pytest.raises(BadParameter, match="fewer than two known speakers"):
        listen.compare_voice(sign(space, ""), tone(1.2))


def test_a_new_take_resembles_its_speaker_and_the_caution_is_said(space, clips):
    resemblance = listen.compare_voice(space, tone(1.2, PITCHES["middle"], 999))
    table = resemblance.speakers
    assert table["speaker"][0] == "middle" and (table["low"] <= table["high"]).all()
    assert resemblance.same > resemblance.other
    assert re.search(r"Nearest of 3 speakers: middle(.|\n)*no identification", resemblance.caution)
    alt = listen.plot_resemblance(resemblance).alt
    assert "the nearest: middle" in alt and f"{resemblance.same:.2f}" in alt
    # a clip of the space, and its copy, are left out of its own comparison
    again = listen.compare_voice(space, clips["audio"][0]).speakers.set_index("speaker")
    assert again["clips"].to_dict() == {"low": 3, "middle": 4, "high": 4}


@pytest.mark.parametrize("wrap", [
    lambda content: ({"name": "me.wav", "content": memoryview(content)},),
    lambda content: {"me.wav": {"metadata": {}, "content": content}}], ids=["ipywidgets 8", "ipywidgets 7"])
def test_an_uploaded_file_is_heard(tmp_path, wrap):
    widget = SimpleNamespace(value=wrap(audio.write_wav(tmp_path / "a.wav", tone(1.2)).read_bytes()))
    assert listen.read_upload(widget).wave == pytest.approx(tone(1.2), abs=1e-4)
    with pytest.raises(BadAudio, match=r"me\.wav"):
        listen.read_upload(SimpleNamespace(value=wrap(b"no sound")))
    assert listen.read_upload(SimpleNamespace(value=type(widget.value)())) is None


def test_windows_padding_and_change_by_hand():
    timeline = listen.embed_over_time(np.concatenate([tone(1.0, 120, 0), tone(1.3, 2000, 1)]), WINDOWS)
    table, (first, second, _) = timeline.table, timeline.vectors
    assert table["start"].tolist() == [0.0, 0.5, 1.0] and table["end"].tolist() == [1.0, 1.5, 2.0]
    assert (table["padding"] == 0).all() and table["change"].isna().tolist() == [True, False, False]
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert table["change"][1] == pytest.approx(1 - cosine, abs=1e-6)
    alt = listen.plot_timeline(timeline).alt
    assert "A clip of 2.30 s" in alt and "3 vectors" in alt and "one every 0.5 s" in alt and "1.00 to 2.00 s" in alt
    timeline = listen.embed_over_time(tone(0.4), WINDOWS)  # shorter than the window
    assert timeline.table["padding"].tolist() == [pytest.approx(0.6)]
    assert "The largest change" not in listen.plot_timeline(timeline).alt


def test_the_page_plays_the_clip_and_its_neighbours_and_describes_every_picture(space, clips, tmp_path):
    page, near = listen.show_neighbours(space, "low/0", 3), space.nearest("low/0", 3)
    players = re.findall(r"data:audio/wav;base64,([^\"]+)", page.html)
    for player, path in zip(players, [clips["audio"][0], *near["audio"]], strict=True):
        heard, rate = soundfile.read(io.BytesIO(base64.b64decode(player)), dtype="int16")
        assert rate == RATE and np.abs(heard / 32767 - audio.read(path).wave).max() < 1e-4
    assert len(re.findall(r'<img alt="Log-mel picture of[^"]*\d', page.html)) == 4
    assert f"similarity {near['similarity'][0]:.2f}" in page.html and page.text.count("\n") == 3
    assert "<script" not in page.html and "loud &lt;b&gt;" in page.html and "loud <b>" not in page.html
    text = page.save(tmp_path / "page.html").read_text()
    assert text.startswith("<!doctype html>") and text.count("<audio") == 4 and "http" not in text.replace("data:", "")
    gone = space.clips.assign(audio=clips["audio"].where(clips.index == 0, "gone.wav"))
    page = listen.show_neighbours(dataclasses.replace(space, clips=gone), "low/0", 2)
    assert page.html.count("gone.wav: there is no such file") == 2


def test_menus_change_what_is_shown_and_a_front_end_gets_the_widget_and_the_page(space):
    browser = listen.browse_clips(space, count=2)
    assert browser.shown.value == listen.show_neighbours(space, "low/0", 2).html
    assert len(browser.clip.options) == len(space.clips) and browser.clip.options[0][0].startswith("loud <b>: ")
    browser.clip.value, browser.count.value = "high/3", 4
    assert browser.shown.value == browser.page.html == listen.show_neighbours(space, "high/3", 4).html
    bundle = browser._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == browser.box.model_id
    assert bundle["text/html"] == browser.page.html and bundle["text/plain"].startswith("high/3")
