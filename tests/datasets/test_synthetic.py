"""Synthetic speech: what is spoken, the same each time, and a synthesiser that fails or dies."""

import dataclasses
import hashlib
import itertools
import json
import sys
from pathlib import Path

import pytest

from nslib import audio
from nslib.datasets import synthetic, table
from nslib.datasets.clip_cache import ClipCache
from nslib.datasets.splits import SPLITS
from nslib.errors import Unavailable, UnknownName

NAMES = ("language-synthetic", "speaker-synthetic", "style-synthetic", "word-synthetic")


@pytest.mark.parametrize("language", synthetic.LANGUAGES)
def test_every_language_has_many_sentences_and_no_word_of_the_test_is_in_training(language):
    parts = [synthetic.list_sentences(language, split) for split in SPLITS]
    assert len(set().union(*parts)) == 90 == sum(map(len, parts))
    words = [{word.strip(".").lower() for word in " ".join(part).split()} for part in parts]
    for a, b in itertools.combinations(words, 2):
        assert all(len(word) < 8 for word in a & b), a & b


def test_what_is_spoken_is_what_was_always_spoken_and_by_no_voice_with_unseeded_noise():
    import espeakng_loader

    jobs = [dataclasses.astuple(job) for name in NAMES for job in synthetic.plan_task(name)]
    assert len(jobs) == 1008
    assert hashlib.sha256(json.dumps(jobs).encode()).hexdigest()[:16] == "3b238bf665306701"
    with pytest.raises(UnknownName, match="word-synthetic"):
        synthetic.plan_task("word-sintetic")
    voices = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    assert not any("\nbreath" in (voices / voice).read_text(errors="replace") for voice in synthetic.VOICES)


def test_clips_are_a_clip_table_and_are_spoken_once(cache, monkeypatch):
    got = synthetic.speak_task("style-synthetic", 2, progress=False)
    assert tuple(got.clips.columns) == table.COLUMNS and got.problems.empty
    assert got.clips.groupby(["split", "label"]).size().tolist() == [2] * 12
    clip = got.clips.iloc[0]
    assert audio.sha256(audio.read(clip["audio"]).wave) == clip["sha256"]
    assert got.clips["seconds"].between(0.5, 6).all() and "synthetic" in got.notes[0].lower()
    monkeypatch.setattr(synthetic, "WORKER", ("false",))  # nothing is spoken again
    assert synthetic.speak_task("style-synthetic", 2, progress=False).clips.equals(got.clips)


@pytest.mark.heavy
def test_two_builds_are_the_same_byte_for_byte(tmp_path, monkeypatch):
    builds = []
    for i in range(2):
        monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / str(i)))
        made = [synthetic.speak_task(name, 1, seed=i, progress=False).clips for name in NAMES[::1 if i else -1]]
        builds.append({clip.clip_id: Path(clip.audio).read_bytes() for clips in made for clip in clips.itertuples()})
    common = builds[0].keys() & builds[1].keys()
    assert len(common) >= 5  # and other clips are spoken before each, in another order
    assert all(builds[0][name] == builds[1][name] for name in common)


def job(name, text="Hello.", language="en"):
    return synthetic.Job(name, text, language, "m1", "label", "train", tuple(synthetic.PLAIN.items()))


def test_a_voice_that_does_not_exist_is_a_reason_not_another_voice(cache):
    reasons = synthetic.speak_jobs(ClipCache("x"), [job("a"), job("b", language="fr-fr"), job("c")], progress=False)
    assert list(reasons) == ["b"] and "no voice 'fr-fr+m1'" in reasons["b"]


WORKER = """
import json, os, sys, time
for line in sys.stdin:
    job = json.loads(line)
    if job["text"] != "Hello.":
        exec(job["text"])
    with open(f"{sys.argv[1]}/{job['name']}.pcm", "wb") as file:
        file.write(b"ab" * 8000)
    print(json.dumps({"name": job["name"], "rate": 22050, "error": ""}), flush=True)
"""


def test_a_worker_that_dies_costs_one_clip_and_one_that_cannot_start_is_unavailable(cache, monkeypatch):
    monkeypatch.setattr(synthetic, "WORKER", (sys.executable, "-SE", "-c", WORKER))
    monkeypatch.setattr(synthetic, "PATIENCE", 1.0)
    clips, jobs = ClipCache("x"), [job("a"), job("b", "os.kill(os.getpid(), 11)"), job("c"), job("d", "time.sleep(60)")]
    reasons = synthetic.speak_jobs(clips, jobs, progress=False)
    assert list(reasons) == ["b", "d"] and all("crashed or hung" in reason for reason in reasons.values())
    assert clips.get("a", jobs[0].key) and clips.get("c", jobs[2].key)
    monkeypatch.setattr(synthetic, "WORKER", (sys.executable, "-SE", "-c", "raise SystemExit('no library')"))
    with pytest.raises(Unavailable, match="no library"):
        synthetic.speak_jobs(ClipCache("x"), [job("a")], progress=False)
    monkeypatch.setattr(synthetic, "WORKER", (sys.executable, "-SE", "-c", "import os; os.kill(os.getpid(), 9)"))
    with pytest.raises(Unavailable, match="ended by signal 9") as error:
        synthetic.speak_jobs(ClipCache("x"), [job("a")], progress=False)
    assert "pip install" not in str(error.value)


def test_a_worker_that_is_killed_once_costs_no_clip(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "WORKER", (sys.executable, "-SE", "-c", WORKER))
    marker = str(tmp_path / "once")
    once = f"if not os.path.exists({marker!r}): open({marker!r}, 'w'); os.kill(os.getpid(), 9)"
    jobs = [job("a"), job("b", once), job("c")]
    assert synthetic.speak_jobs(ClipCache("x"), jobs, progress=False) == {}
    assert all(ClipCache("x").get(one.clip_id, one.key) for one in jobs)
