"""Listening: neighbours, vectors over time, pages without scripts, widgets with a fallback, an uploaded voice."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import wave as wave_module
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from nslib import audio, embeddings
from nslib.embeddings.base import Embedding
from nslib.errors import BadAudio, BadParameter, UnknownName
from nslib.extraction import extract
from nslib.teaching import listen

RATE = 16_000
PITCHES = {"low": 120.0, "middle": 230.0, "high": 410.0}


def voice(pitch: float, seed: int, seconds: float = 1.2) -> np.ndarray:
    """Harmonics of a pitch, as a speaker has them, and noise that differs from clip to clip."""
    time = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 8))
    noise = np.random.default_rng(seed).normal(0, 0.05, len(time))
    return (0.2 * tone + noise).astype(np.float32).clip(-1, 1)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> pd.DataFrame:
    """Four clips of three speakers; the last of all is a copy of the first, under another name."""
    folder, rows = tmp_path_factory.mktemp("voices"), []
    for number, (speaker, pitch) in enumerate(PITCHES.items()):
        for take in range(4):
            path = audio.write_wav(folder / f"{speaker}{take}.wav", voice(pitch, 10 * number + take))
            rows.append((f"{speaker}/{take}", path, "calm" if take % 2 else "loud <b>", speaker))
    rows.append(("copy", rows[0][1], "calm", "low"))
    table = pd.DataFrame(rows, columns=["clip_id", "audio", "label", "speaker"])
    waves = [audio.read(path).wave for path in table["audio"]]
    return table.assign(audio=table["audio"].astype(str), sha256=[audio.sha256(w) for w in waves],
                        seconds=[len(w) / RATE for w in waves], split="test")


@pytest.fixture(scope="module")
def space(clips):
    return listen.build_space(clips, "logmel", progress=False)


def windows(hop: float = 0.5, window: float = 1.0) -> Embedding:
    """Loudness and zero crossings of windows, so that a frame's value can be worked out by hand."""
    def embed(waves, lengths):
        size, step = round(window * RATE), round(hop * RATE)
        counts = [1 + max(0, (n - size) // step) for n in lengths]
        out = np.zeros((len(waves), max(counts), 2), np.float32)
        for row, (wave, count) in enumerate(zip(waves, counts, strict=True)):
            for at in range(count):
                part = wave[at * step:at * step + size]
                out[row, at] = part.std(), np.abs(np.diff(np.sign(part))).mean()
        return out, np.asarray(counts)

    return Embedding("windows", "1", 2, embed, window=window, hop=hop, min_samples=round(window * RATE))


# --- neighbours --------------------------------------------------------------------------------------------------


def test_similarities_are_cosines_of_standardised_vectors(space, clips):
    vectors = extract.extract_vectors(clips, embeddings.get("logmel"), progress=False).vectors.astype(np.float64)
    scaled = (vectors - vectors.mean(0)) / vectors.std(0)
    a, b = scaled[0], scaled[5]
    found = space.nearest("low/0", 99).set_index("clip_id")["similarity"]
    assert found[clips["clip_id"][5]] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-5)
    assert found.between(-1, 1).all() and found.is_monotonic_decreasing


def test_a_clip_is_not_its_own_neighbour_not_even_under_another_name(space):
    found = list(space.nearest("low/0", 99)["clip_id"])
    assert "low/0" not in found and "copy" not in found and len(found) == 11
    assert list(space.nearest("low/0", 3)["speaker"]) == ["low"] * 3


def test_a_recording_is_placed_where_its_clip_is(space, clips):
    row = space.row("high/1")
    assert space.place(audio.read(clips["audio"][row]).wave) @ space.unit[row] == pytest.approx(1, abs=1e-5)
    by_file, by_name = space.nearest(audio.read(clips["audio"][row])), space.nearest("high/1")
    assert by_file["clip_id"].tolist() == by_name["clip_id"].tolist()


def test_pairs_and_own_first_by_hand(space):
    same, other = space.pairs()
    assert len(same) + len(other) == 13 * 12 // 2 - 1  # the copy and its original are no pair
    assert np.median(same) > np.median(other)
    assert space.own_first() == (1.0, pytest.approx(1 / 3))


def test_clips_of_unknown_speakers_are_no_speaker_of_their_own(space):
    """Two clips that nobody has signed are not of one person, and such a clip is not asked whose it is."""
    unsigned = space.clips.assign(speaker=space.clips["speaker"].mask(space.clips["speaker"] == "high", ""))
    found = dataclasses.replace(space, clips=unsigned)
    same, other = found.pairs()
    assert len(same) == 6 + 9 and len(other) == 4 * 5  # of four and five clips; the copy and its original are no pair
    assert found.own_first() == (1.0, 1 / 2)
    lonely = dataclasses.replace(space, clips=space.clips.assign(speaker=["low", "low", *["middle"] * 2, *[""] * 9]))
    assert lonely.own_first()[1] == 1 / 2 and len(lonely.pairs()[0]) == 2
    nobody = dataclasses.replace(space, clips=space.clips.assign(speaker=""))
    with pytest.raises(BadParameter, match="no known speakers"):
        nobody.own_first()


def test_clips_that_cannot_be_embedded_are_counted(clips, tmp_path):
    first = clips["clip_id"] == "low/0"
    gone = clips.assign(audio=clips["audio"].mask(first, str(tmp_path / "gone.wav")),
                        sha256=clips["sha256"].mask(first, "0" * 64))
    with pytest.warns(UserWarning, match="1 of 13 clips cannot be embedded .* the first is low/0"):
        assert len(listen.build_space(gone, "logmel", progress=False).clips) == 12


def test_own_first_is_chance_where_vectors_know_nothing(clips):
    table = pd.concat([clips] * 20, ignore_index=True)
    table["sha256"] = [f"{i:064x}" for i in range(len(table))]
    unit = np.random.default_rng(0).normal(size=(len(table), 30))
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
    nothing = listen.Space(embeddings.get("logmel"), table, unit, np.zeros(30, np.float32), np.ones(30, np.float32))
    assert nothing.own_first()[0] == pytest.approx(1 / 3, abs=0.12)


@pytest.mark.parametrize("count", [0, -1])
def test_requests_that_make_no_sense(space, clips, count):
    with pytest.raises(UnknownName, match=r"Did you mean.*low/0"):
        space.nearest("low/O")
    with pytest.raises(BadParameter, match="ask for 1 or more"):
        space.nearest("low/0", count)
    with pytest.raises(BadParameter, match="3 clips: give 4 to 5000"):
        listen.build_space(clips.head(3), "logmel")


# --- whom a voice resembles --------------------------------------------------------------------------------------


def test_a_new_take_resembles_its_speaker_and_the_caution_is_said(space):
    found = listen.compare_voice(space, voice(PITCHES["middle"], 999))
    assert found.speakers["speaker"][0] == "middle"
    assert found.speakers.set_index("speaker")["clips"].to_dict() == {"low": 5, "middle": 4, "high": 4}
    assert (found.speakers["low"] <= found.speakers["high"]).all() and found.same > found.other
    assert re.search(r"Nearest of 3 speakers: middle(.|\n)*no identification", found.caution)


def test_a_clip_of_the_space_is_left_out_of_its_own_comparison(space, clips):
    found = listen.compare_voice(space, clips["audio"][0]).speakers.set_index("speaker")
    assert found["clips"].to_dict() == {"low": 3, "middle": 4, "high": 4}


def test_without_speakers_there_is_nothing_to_resemble(clips):
    nobody = listen.build_space(clips.assign(speaker=None), "logmel", progress=False)
    with pytest.raises(BadParameter, match="fewer than two known speakers"):
        listen.compare_voice(nobody, voice(200, 0))


def test_the_figure_of_resemblance_says_its_numbers(space):
    found = listen.compare_voice(space, voice(PITCHES["low"], 5))
    figure = listen.plot_resemblance(found)
    assert figure.alt.count("low") >= 1 and f"{found.same:.2f}" in figure.alt and len(figure.table) == 3


# --- frames over time --------------------------------------------------------------------------------------------


def test_windows_and_padding_by_hand():
    wave = np.concatenate([voice(120, 0, 1.0), voice(2000, 1, 1.3)])
    found = listen.embed_over_time(wave, windows())
    assert found.table["start"].tolist() == [0.0, 0.5, 1.0] and found.table["end"].tolist() == [1.0, 1.5, 2.0]
    assert (found.table["padding"] == 0).all()
    assert found.table["change"].isna().tolist() == [True, False, False] and found.seconds == pytest.approx(2.3)
    first, second = found.vectors[0], found.vectors[1]
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert found.table["change"][1] == pytest.approx(1 - cosine, abs=1e-6)


def test_a_clip_shorter_than_the_window_says_how_much_is_padding():
    found = listen.embed_over_time(voice(120, 0, 0.4), windows())
    assert len(found.table) == 1 and found.table["padding"][0] == pytest.approx(0.6)
    assert "The largest change" not in listen.plot_timeline(found).alt


def test_an_embedding_without_hop_has_one_frame_that_sees_all():
    found = listen.embed_over_time(voice(120, 0, 0.8), "logmel")
    assert found.table[["start", "end"]].values.tolist() == [[0.0, pytest.approx(0.8)]]


def test_the_mean_of_the_frames_is_the_vector_of_the_clip(clips):
    model = windows(hop=0.1, window=0.3)
    stored = extract.extract_vectors(clips.head(1), model, progress=False).vectors[0]
    assert listen.embed_over_time(clips["audio"][0], model).vectors.mean(0) == pytest.approx(stored, rel=1e-5)


def test_the_figure_of_frames_says_where_the_windows_are():
    figure = listen.plot_timeline(listen.embed_over_time(voice(120, 0, 2.0), windows()))
    assert "3 vectors" in figure.alt and "one every 0.5 s" in figure.alt and "from 1.00 to 2.00 s" in figure.alt
    tiny = listen.plot_timeline(listen.embed_over_time(voice(120, 0, 0.01), windows()))
    assert "of 1 vector of windows" in tiny.alt


# --- the page ----------------------------------------------------------------------------------------------------


def sounds(html: str) -> list[np.ndarray]:
    found = []
    for text in re.findall(r"data:audio/wav;base64,([^\"]+)", html):
        with wave_module.open(io.BytesIO(base64.b64decode(text))) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
            found.append(np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767)
    return found


def test_the_page_plays_the_clip_and_its_neighbours_and_describes_every_picture(space, clips):
    page = listen.show_neighbours(space, "low/0", 3)
    heard = sounds(page.html)
    near = space.nearest("low/0", 3)
    wanted = [clips["audio"][0], *near["audio"]]
    assert len(heard) == 4
    for got, path in zip(heard, wanted, strict=True):
        assert np.abs(got - audio.read(path).wave).max() < 1e-4
    alts = re.findall(r'<img alt="([^"]+)"', page.html)
    assert len(alts) == 4 and all("Log-mel picture of" in alt and re.search(r"\d", alt) for alt in alts)
    assert f"similarity {near['similarity'][0]:.2f}" in page.html and page.text.count("\n") == 3
    assert "<script" not in page.html and "loud &lt;b&gt;" in page.html and "loud <b>" not in page.html


def test_a_page_is_saved_whole(space, tmp_path):
    text = listen.show_neighbours(space, "low/1", 1).save(tmp_path / "page.html").read_text()
    assert text.startswith("<!doctype html>") and text.count("<audio") == 2 and "http" not in text.replace("data:", "")


def test_a_long_recording_is_cut_and_the_page_says_so(space):
    page = listen.show_neighbours(space, audio.from_array(voice(120, 3, 11.0)), 1)
    assert len(sounds(page.html)[0]) == 10 * RATE and "the first 10 s are shown" in page.html


def test_a_neighbour_whose_file_is_gone_is_named_with_what_is_wrong(space, tmp_path):
    paths = [space.clips["audio"][0], *[str(tmp_path / "gone.wav")] * (len(space.clips) - 1)]
    page = listen.show_neighbours(dataclasses.replace(space, clips=space.clips.assign(audio=paths)), "low/0", 2)
    assert page.html.count("<audio") == 1 and page.html.count("gone.wav") >= 2


def test_what_is_too_loud_for_a_file_is_scaled_for_the_ear(space):
    wave = voice(120, 0) * np.float32(4)
    heard = sounds(listen.show_neighbours(space, wave, 1).html)[0]
    assert heard == pytest.approx(wave / np.abs(wave).max(), abs=1e-4)


# --- widgets -----------------------------------------------------------------------------------------------------


def test_menus_change_what_is_shown(space):
    browser = listen.browse_clips(space, "low/1", 2)
    assert browser.shown.value == listen.show_neighbours(space, "low/1", 2).html
    assert len(browser.clip.options) == len(space.clips) and browser.clip.options[0][0].startswith("calm: ")
    browser.clip.value, browser.count.value = "high/3", 4
    assert browser.shown.value == listen.show_neighbours(space, "high/3", 4).html
    assert browser.page.text.startswith("high/3")


def test_a_front_end_gets_the_widget_and_the_page(space):
    browser = listen.browse_clips(space)
    bundle = browser._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == browser.box.model_id
    assert bundle["text/html"] == browser.page.html and bundle["text/plain"] == browser.page.text


@pytest.mark.parametrize("value", [
    lambda content: ({"name": "me.wav", "content": memoryview(content)},),
    lambda content: {"me.wav": {"metadata": {}, "content": content}}], ids=["ipywidgets 8", "ipywidgets 7"])
def test_an_uploaded_file_is_heard(tmp_path, value):
    content = audio.write_wav(tmp_path / "a.wav", voice(200, 0)).read_bytes()
    heard = listen.read_upload(SimpleNamespace(value=value(content)))
    assert heard.wave == pytest.approx(voice(200, 0), abs=1e-4)
    with pytest.raises(BadAudio, match=r"me\.wav"):
        listen.read_upload(SimpleNamespace(value=value(b"no sound")))


@pytest.mark.parametrize("nothing", [(), {}], ids=["ipywidgets 8", "ipywidgets 7"])
def test_without_an_upload_there_is_no_clip(nothing):
    assert listen.read_upload(SimpleNamespace(value=nothing)) is None
