from __future__ import annotations

import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nslib import audio, corpora, params, splits, tasks
from nslib.corpora import espeak, synthetic, texts
from nslib.corpora.shelf import Shelf
from nslib.errors import Unavailable, UnknownName

NAMES = ("language-synthetic", "speaker-synthetic", "style-synthetic", "word-synthetic")


def test_every_language_has_many_sentences_and_no_word_of_the_test_is_in_training():
    for language in texts.LANGUAGES:
        per_split = {split: texts.sentences(language, split) for split in splits.SPLITS}
        every = [text for part in per_split.values() for text in part]
        assert len(every) == len(set(every)) >= 30
        words = {split: {word.strip(".").lower() for text in part for word in text.split()}
                 for split, part in per_split.items()}
        for a, b in (("train", "test"), ("train", "validation"), ("validation", "test")):
            assert all(len(word) < 8 for word in words[a] & words[b]), words[a] & words[b]
        verbs = {split: set(texts._VERBS[language][i].split(", ")) for i, split in enumerate(splits.SPLITS)}
        assert not set.intersection(*verbs.values())
    assert sum(len(texts.sentences("ru", split)) for split in splits.SPLITS) == 90


@pytest.mark.parametrize("name", NAMES)
def test_plans_keep_their_promise(name):
    jobs = synthetic.plan(name)
    assert len({job.clip_id for job in jobs}) == len(jobs)
    assert {job.split for job in jobs} == set(splits.SPLITS)
    labels = {split: Counter(j.label for j in jobs if j.split == split) for split in splits.SPLITS}
    assert labels["train"].keys() == labels["validation"].keys() == labels["test"].keys()
    assert all(len(set(count.values())) == 1 for count in labels.values())  # balanced
    task = tasks.get(name)
    for what, disjoint in (("voice", not task.speaker_is_label), ("text", name != "word-synthetic")):
        parts = [{(j.language, getattr(j, what)) if what == "text" else getattr(j, what)
                  for j in jobs if j.split == split} for split in splits.SPLITS]
        assert (sum(map(len, parts)) == len(set.union(*parts))) == disjoint


def test_the_whole_corpus_has_the_size_that_was_planned():
    assert 600 <= sum(len(synthetic.plan(name)) for name in NAMES) <= 1010


def test_unknown_tasks_are_refused_with_the_nearest():
    with pytest.raises(UnknownName, match="word-synthetic"):
        synthetic.plan("word-sintetic")


@pytest.mark.heavy
def test_two_builds_are_the_same_byte_for_byte(tmp_path, monkeypatch):
    builds = []
    for i in range(2):
        monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / str(i)))
        found = [synthetic.load(name, 1, seed=i, progress=False) for name in NAMES[::1 if i else -1]]
        assert all(corpus.problems.empty for corpus in found)
        builds.append({clip.clip_id: (clip.sha256, Path(clip.audio).read_bytes())
                       for corpus in found for clip in corpus.clips.itertuples()})
    common = builds[0].keys() & builds[1].keys()
    assert len(common) >= 5  # and other clips are spoken before each, in another order
    assert all(builds[0][name] == builds[1][name] for name in common)


def test_no_voice_is_one_of_those_with_unseeded_noise():
    import espeakng_loader

    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    for voice in synthetic.VOICES:
        text = (folder / voice).read_text(errors="replace")
        assert not any(line.startswith("breath") for line in text.splitlines()), voice


def test_clips_are_a_clip_table_and_smoke_speaks_few(cache):
    smoke = params.load({"corpus": "synthetic", "smoke": 1})
    got = corpora.load_clips(tasks.get("style-synthetic"), smoke, progress=False)
    assert tuple(got.clips.columns) == corpora.COLUMNS
    assert got.clips.groupby(["split", "label"]).size().max() == smoke.clips_per_class
    assert len(list((cache / "corpora" / "espeak" / "wav").rglob("*.wav"))) == len(got.clips) == 96
    clip = got.clips.iloc[0]
    read = audio.read(clip["audio"])
    assert (audio.sha256(read.wave), read.seconds) == (clip["sha256"], clip["seconds"])
    assert got.clips["seconds"].between(0.5, 6).all()
    assert "synthetic" in got.notes[0].lower()
    start = time.perf_counter()
    corpora.load_clips(tasks.get("style-synthetic"), smoke, progress=False)
    assert time.perf_counter() - start < 0.5


def test_labels_are_audible_parameters_of_the_styles():
    jobs = synthetic.plan("style-synthetic")
    rates = {style: [dict(j.manner)["rate"] for j in jobs if j.label == style] for style in synthetic.STYLES}
    means = [np.mean(rates[style]) for style in ("weary", "calm", "lively", "urgent")]
    assert means == sorted(means)
    assert np.diff(means).min() > 15
    assert all(len(set(values)) > 5 for values in rates.values())  # takes differ


# --- the worker --------------------------------------------------------------------------------


def job(name: str, **changes) -> espeak.Utterance:
    made = {"clip_id": name, "key": "k", "text": "Hello.", "language": "en", "voice": "m1",
            "manner": synthetic.PLAIN}
    return espeak.Utterance(**{**made, **changes})


def test_a_voice_that_does_not_exist_is_a_reason_not_another_voice(cache):
    shelf = Shelf("x")
    reasons = espeak.speak(shelf, [job("a"), job("b", language="fr-fr"), job("c")], progress=False)
    assert list(reasons) == ["b"]
    assert "no voice 'fr-fr+m1'" in reasons["b"]
    assert shelf.get("a", "k").sha256 == shelf.get("c", "k").sha256


WORKERS = {
    "crashes": "os.kill(os.getpid(), 11)",
    "hangs": "time.sleep(60)",
    "exits": "sys.exit(3)",
}


@pytest.mark.parametrize("how", WORKERS)
def test_a_worker_that_dies_costs_one_clip(cache, tmp_path, monkeypatch, how):
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(f"""
        import json, os, sys, time
        for line in sys.stdin:
            job = json.loads(line)
            if job["text"] == "bad":
                {WORKERS[how]}
            with open(f"{{sys.argv[1]}}/{{job['name']}}.pcm", "wb") as file:
                file.write(b"ab" * 8000)
            print(json.dumps({{"name": job["name"], "rate": 22050, "error": ""}}), flush=True)
    """))
    monkeypatch.setattr(espeak, "WORKER", (sys.executable, str(script)))
    monkeypatch.setattr(espeak, "PATIENCE", 2.0)
    shelf = Shelf("x")
    jobs = [job("a"), job("b", text="bad"), job("c"), job("d", text="bad")]
    reasons = espeak.speak(shelf, jobs, progress=False)
    assert list(reasons) == ["b", "d"]
    assert "crashed or hung" in reasons["b"]
    assert shelf.get("a", "k") and shelf.get("c", "k")


def test_a_worker_that_cannot_start_is_unavailable(cache, monkeypatch):
    monkeypatch.setattr(espeak, "WORKER", (sys.executable, "-c", "raise SystemExit('no library')"))
    with pytest.raises(Unavailable, match="no library"):
        espeak.speak(Shelf("x"), [job("a")], progress=False)
