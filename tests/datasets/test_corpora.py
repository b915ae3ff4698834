"""Naming schemes of corpora against the counts of their papers, and collections that are fetched first."""

import itertools
import sys
import types
from collections import Counter
from pathlib import Path

import pytest
import soundfile
from helpers import noise

import nslib
from nslib import audio
from nslib.datasets import corpora, layouts
from nslib.datasets.folder import read_recordings
from nslib.errors import BadParameter, Unavailable

EMODB = dict(zip("WLEAFTN", (127, 81, 46, 69, 71, 62, 79), strict=True))  # Burkhardt et al. (2005), its web page
CREMA_D = {"ANG": 1271, "DIS": 1271, "FEA": 1271, "HAP": 1271, "NEU": 1087, "SAD": 1271}  # 7442 clips of 91 actors


def ravdess(kind, emotions, actors):
    for emotion, degree, text, take, actor in itertools.product(emotions, (1, 2), (1, 2), (1, 2), actors):
        if (emotion, degree) != (1, 2):  # neutral has no strong intensity
            yield f"Actor_{actor:02d}/03-{kind}-{emotion:02d}-{degree:02d}-{text:02d}-{take:02d}-{actor:02d}.wav"


def deal(counts, write):
    return [write(code, k) for code, count in counts.items() for k in range(count)]


# recipe, names of a complete copy, clips, speakers, of whom are women; one name and what it says
CORPORA = [
    ("ravdess", [*ravdess("01", range(1, 9), range(1, 25))], 1440, 24, 12,
     "Actor_12/03-01-06-01-02-01-12.wav", ("fearful", "12", "female", "normal")),
    ("ravdess-song", [*ravdess("02", range(1, 7), {*range(1, 25)} - {18})], 1012, 23, 11,
     "Actor_01/03-02-02-02-01-01-01.wav", ("calm", "01", "male", "strong")),
    ("emodb", deal(EMODB, lambda code, k: f"{(3, *range(8, 17))[k % 10]:02d}a{k // 10:02d}{code}a.wav"), 535, 10, 5,
     "08a01Na.wav", ("neutral", "08", "female", None)),
    ("crema-d", deal(CREMA_D, lambda code, k: f"{1001 + k % 91}_{'ABCDEFGHIJKLMN'[k // 91] * 3}_{code}_XX.wav"), 7442,
     91, 43, "1005_AAA_SAD_XX.wav", ("sad", "1005", "male", "unspecified")),
    ("tess", [f"{who}/{'OA' if (who, word, feeling) == ('O', 'aaa', 'sad') else who + 'AF'}_{word}_{feeling}.wav"
              for who in "OY" for word in ("a" * n for n in range(1, 201))
              for feeling in ("angry", "disgust", "fear", "happy", "neutral", "ps", "sad")], 2800, 2, 2,
     "Y/YAF_a_ps.wav", ("surprise", "YAF", "female", None)),
    ("savee", [f"{who}/{code}{k:02d}.wav" for who in ("DC", "JE", "JK", "KL") for code, count in
               {"a": 15, "d": 15, "f": 15, "h": 15, "n": 30, "sa": 15, "su": 15}.items() for k in range(1, count + 1)],
     480, 4, 0, "JK/sa05.wav", ("sadness", "JK", "male", None)),
]


@pytest.mark.parametrize("row", CORPORA, ids=lambda row: row[0])
def test_a_recipe_reads_a_complete_copy_and_says_what_an_incomplete_one_lacks(tmp_path, row):
    recipe, names, clips, speakers, women, one, said = row
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed, notes = layouts.list_clips(f"{tmp_path}?recipe={recipe}&label=sex")
    assert len(listed) == clips and not any(clip.fault for clip in listed)
    assert f"complete, {clips}." in notes[0] and "not complete" not in notes[0]
    sexes = {clip.speaker: clip.label for clip in listed}
    assert len(sexes) == speakers and Counter(sexes.values())["female"] == women
    for column, word in zip(("emotion", "speaker", "sex", "intensity"), said, strict=True):
        assert not word or corpora.read_names(recipe, [Path(one)], column)[0] == [(word, said[1], "")]
    paths = [Path(name.replace(".wav", " (1).wav") if name == one else name) for name in names]
    rows, notes = corpora.read_names(recipe, paths, "emotion")
    assert [path for path, row in zip(paths, rows, strict=True) if row[2]] == [Path(one.replace(".wav", " (1).wav"))]
    with pytest.raises(BadParameter, match=r"none of 2 files is called as those of .*first is a\.wav"):
        corpora.read_names(recipe, [Path("a.wav"), Path("b.wav")], "emotion")
    count = dict(corpora.RECIPES[recipe].counts.values())[said[0]]
    assert f"not complete, {clips - 1} of {clips} clips ({said[0]} {count - 1} of {count})" in notes[0]


def test_collections_are_fetched_or_the_sentence_says_what_brings_them(tmp_path, cache, monkeypatch):
    for kind, package in (("audb", "audb"), ("hf", "huggingface_hub")):
        monkeypatch.setitem(sys.modules, package, None)
        assert layouts.recordings_exist(f"{kind}:calls") and layouts.name_recordings(f"{kind}:calls?label=x") == "calls"
        results = nslib.benchmark("logmel", f"{kind}:calls", progress=False)
        assert f"python -m pip install {package}" in results.not_run["remedy"].tolist()
    asked = [noise(tmp_path / "home" / "x" / "a.wav", 1)]
    home, audb, hub = str(tmp_path / "home"), types.ModuleType("audb"), types.ModuleType("huggingface_hub")
    audb.load = lambda name, **how: asked.append((name, how["version"])) or types.SimpleNamespace(root=home)
    hub.snapshot_download = lambda name, local_dir, **how: (asked.append((name, how)),
                                                            noise(local_dir / "data" / "x" / "b.wav", 2))
    monkeypatch.setitem(sys.modules, "audb", audb)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(Unavailable, match="NSLIB_OFFLINE"):
        read_recordings("audb:calls", progress=False)
    clips = read_recordings("hf:me/calls/data", progress=False).clips
    assert clips[["label", "source"]].to_numpy().tolist() == [["x", "hf:me/calls/data"]]
    assert layouts.name_recordings("hf:me/calls") == "calls"
    monkeypatch.delenv("NSLIB_OFFLINE")
    assert len(read_recordings("audb:calls:1.0.0", progress=False).clips) == 1
    assert asked[1:] == [("me/calls", {"repo_type": "dataset", "local_files_only": True}), ("calls", "1.0.0")]


@pytest.mark.parametrize("subtype", ["PCM_16", "ULAW", "ALAW"])
def test_a_member_of_an_archive_is_heard_as_its_file_is(tmp_path, cache, subtype):
    path = noise(tmp_path / "a.wav", 1)
    soundfile.write(path, audio.read(path).wave, 8000, subtype)
    (tmp_path / "x.ark").write_bytes(b"u " + path.read_bytes() + b"v " + path.read_bytes())
    (tmp_path / "wav.scp").write_text(f"v {tmp_path.name}/x.ark:{4 + path.stat().st_size}\nu x.ark:2\n")
    clips = read_recordings(tmp_path, progress=False).clips
    assert clips["clip_id"].tolist() == ["u", "v"] and clips["sha256"].eq(audio.sha256(audio.read(path).wave)).all()
