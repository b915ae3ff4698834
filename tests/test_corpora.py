from __future__ import annotations

import io
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import soundfile
from debs import Apt, deb, sha256
from hypothesis import given, settings
from hypothesis import strategies as st

from nslib import audio, corpora, packages, params, splits, tasks
from nslib.corpora import debian, manifests, shelf, table
from nslib.errors import Unavailable, UnknownName

FOLDER = "usr/share/speech"


def sound(seed: int, seconds: float = 0.3, rate: int = 22_050, kind: str = "WAV", gain: float = 0.3) -> bytes:
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    soundfile.write(buffer, gain * rng.uniform(-1, 1, int(seconds * rate)), rate, format=kind)
    return buffer.getvalue()


def served(data: bytes, folder) -> audio.Clip:
    return shelf.serve(folder / "clip.wav", debian.decode(data, ".wav").wave)


@pytest.fixture
def corpus(tmp_path, cache):
    """Twelve clips in two packages that were put into the cache by hand, and their manifest."""
    files = {f"{FOLDER}/{i}.wav": sound(i) for i in range(12)}
    rows = []
    for i, (member, data) in enumerate(files.items()):
        clip = served(data, tmp_path)
        rows.append({"clip_id": f"speech/{i:02}", "member": member, "sha256": audio.sha256(clip.wave),
                     "file_sha256": sha256(data), "seconds": clip.seconds, "sample_rate": 22_050,
                     "label": "ab"[i % 2], "speaker": f"s{i % 4}", "split": splits.SPLITS[i % 3],
                     "package": f"pack-{i % 2}", "licence": "CC0-1.0"})
    manifest = pd.DataFrame(rows)[list(manifests.MANIFEST)]
    for package, part in manifest.groupby("package"):
        deb(packages.debian_dir() / f"{package}_1.0_all.deb", {m: files[m] for m in part["member"]})
    return manifest, files


def replace(files: dict[str, bytes], package: str, manifest: pd.DataFrame, version: str = "1.0") -> None:
    members = manifest.loc[manifest["package"] == package, "member"]
    deb(packages.debian_dir() / f"{package}_{version}_all.deb", {m: files[m] for m in members if m in files})


def statuses(manifest: pd.DataFrame) -> dict[str, str]:
    known = shelf.Shelf("x")
    return {row.clip_id: debian._known(known, row).status for row in manifests.rows(manifest)}


# --- recorded speech -------------------------------------------------------------------------


def test_clips_are_served_with_the_hash_of_what_the_file_gives(corpus):
    manifest, _ = corpus
    got = debian.load("x", manifest, progress=False)
    assert got.problems.empty
    assert got.notes == ()
    assert tuple(got.clips.columns) == corpora.COLUMNS
    assert got.clips["sha256"].tolist() == manifest["sha256"].tolist()
    for clip in got.clips.itertuples():
        read = audio.read(clip.audio)
        assert (audio.sha256(read.wave), read.seconds) == (clip.sha256, clip.seconds)
        assert read.source_rate == 16_000
    assert set(got.clips["sample_rate"]) == {22_050}
    assert splits.audit(got.clips).duplicates.empty


def test_a_second_load_decodes_nothing_and_needs_no_archive(corpus, monkeypatch):
    manifest, _ = corpus
    first = debian.load("x", manifest, progress=False)
    for path in packages.debian_dir().iterdir():
        path.unlink()
    monkeypatch.setattr(audio, "read", lambda path: pytest.fail("it decoded again"))
    second = debian.load("x", manifest, progress=False)
    pd.testing.assert_frame_equal(first.clips, second.clips)
    assert debian.packages_needed("x", manifest) == []


def test_each_way_in_which_a_clip_can_differ_is_told_apart(corpus, tmp_path):
    manifest, files = corpus
    manifest = manifest.copy()
    changed = dict(files)
    member = manifest["member"].tolist()
    changed[member[0]] = sound(99)                                       # another recording
    del changed[member[2]]                                               # missing
    samples, rate = soundfile.read(io.BytesIO(files[member[4]]), dtype="int16")
    again = io.BytesIO()
    soundfile.write(again, samples, rate, format="AIFF")                 # other bytes, same samples
    changed[member[4]] = again.getvalue()
    changed[member[6]] = b"RIFF but no audio"                            # not decodable
    manifest.loc[8, "sha256"] = "0" * 64                                 # same bytes, other decoder
    replace(changed, "pack-0", manifest)
    got = debian.load("x", manifest, progress=False)
    found = statuses(manifest)
    assert {k: v for k, v in found.items() if v} == {
        "speech/00": "changed", "speech/02": "missing", "speech/04": "re-encoded", "speech/06": "undecodable",
        "speech/08": "platform"}
    assert got.problems["clip_id"].tolist() == ["speech/00", "speech/02", "speech/06"]
    assert got.problems["remedy"].str.len().min() > 20
    assert len(got.clips) == 9
    own = got.clips.set_index("clip_id").loc["speech/08"]
    assert own["sha256"] == audio.sha256(audio.read(own["audio"]).wave) != "0" * 64
    said = " ".join(got.notes)
    assert "3 of 12 clips are not used (1 changed, 1 missing, 1 undecodable)" in said
    assert "1 clip decoded to other samples here" in said
    assert "1 clip came in other bytes" in said


def test_failures_are_remembered_until_the_package_is_another(corpus, monkeypatch):
    manifest, files = corpus
    less = {m: data for m, data in files.items() if m != manifest["member"][0]}
    replace(less, "pack-0", manifest)
    assert len(debian.load("x", manifest, progress=False).problems) == 1
    with monkeypatch.context() as patch:
        patch.setattr("nslib.archives.read_deb", lambda *a: pytest.fail("it read the archive again"))
        assert len(debian.load("x", manifest, progress=False).problems) == 1
    replace(files, "pack-0", manifest, version="1.1")
    (packages.debian_dir() / "pack-0_1.0_all.deb").unlink()
    assert debian.load("x", manifest, progress=False).problems.empty


def test_a_wav_that_vanished_or_shrank_is_made_again(corpus):
    manifest, _ = corpus
    first = debian.load("x", manifest, progress=False).clips
    paths = [shelf.Shelf("x").path(name) for name in first["clip_id"]]
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:-10])
    assert debian.packages_needed("x", manifest) == ["pack-0", "pack-1"]
    pd.testing.assert_frame_equal(debian.load("x", manifest, progress=False).clips, first)
    assert all(audio.sha256(audio.read(p).wave) == h for p, h in zip(paths, first["sha256"], strict=True))


def test_verify_finds_damage_of_equal_size(corpus):
    manifest, _ = corpus
    first = debian.load("x", manifest, progress=False).clips
    path = shelf.Shelf("x").path("speech/03")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert debian.verify("x", manifest) == ["speech/03"]
    pd.testing.assert_frame_equal(debian.load("x", manifest, progress=False).clips, first)
    assert debian.verify("x", manifest) == []


def test_another_manifest_makes_the_clip_again(corpus):
    manifest, _ = corpus
    debian.load("x", manifest, progress=False)
    manifest = manifest.copy()
    what = ["member", "file_sha256", "sha256"]
    manifest.loc[0, what] = manifest.loc[2, what]
    got = debian.load("x", manifest.drop(2), progress=False)
    assert got.problems.empty
    assert got.clips["sha256"][0] == manifest["sha256"][2]


def test_peaks_above_full_scale_are_limited_and_counted(tmp_path, cache):
    square = np.sign(np.sin(np.arange(22_050) / 9.0))  # resampling overshoots its edges
    buffer = io.BytesIO()
    soundfile.write(buffer, square, 22_050, format="WAV")
    assert np.abs(debian.decode(buffer.getvalue(), ".wav").wave).max() > 1
    entry = shelf.Shelf("x").add("loud", "k", debian.decode(buffer.getvalue(), ".wav").wave)
    assert entry.note == shelf.LIMITED
    assert np.abs(audio.read(shelf.Shelf("x").path("loud")).wave).max() == 1


def test_killed_in_the_middle_it_takes_up_where_it_was(corpus, tmp_path, monkeypatch):
    manifest, _ = corpus
    path = tmp_path / "manifest.csv"
    manifest.to_csv(path, index=False)
    script = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from nslib.corpora import debian, manifests, shelf
        add, done = shelf.Shelf.add, []
        def dying(self, *words):
            if len(done) == 5:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(words)
            return add(self, *words)
        shelf.Shelf.add = dying
        os.cpu_count = lambda: 1
        debian.load("x", manifests.read_manifest(Path({str(path)!r})), progress=False)
    """)
    assert subprocess.run([sys.executable, "-c", script]).returncode == -signal.SIGKILL
    ledger = shelf.Shelf("x").folder / "ledger.jsonl"
    with ledger.open("a") as file:
        file.write('{"clip_id": "speech/11", "key"')  # and a line was torn
    made = []
    add = shelf.Shelf.add
    monkeypatch.setattr(shelf.Shelf, "add", lambda self, *words: made.append(words) or add(self, *words))
    got = debian.load("x", manifest, progress=False)
    assert len(made) == 7
    assert got.clips["sha256"].tolist() == manifest["sha256"].tolist()
    monkeypatch.setattr(audio, "read", lambda path: pytest.fail("it decoded again"))
    assert len(debian.load("x", manifest, progress=False).clips) == 12


def test_a_damaged_archive_keeps_what_was_read(corpus):
    manifest, _ = corpus
    path = packages.debian_dir() / "pack-1_1.0_all.deb"
    whole = path.read_bytes()
    path.write_bytes(whole[:-12_000])
    with pytest.raises(Unavailable, match="damaged"):
        debian.load("x", manifest, progress=False)
    assert debian.packages_needed("x", manifest) == ["pack-1"]
    path.write_bytes(whole)
    assert len(debian.load("x", manifest, progress=False).clips) == 12


def test_packages_come_through_apt(corpus, tmp_path, monkeypatch, capsys):
    manifest, files = corpus
    for path in packages.debian_dir().iterdir():
        path.unlink()
    apt = Apt(tmp_path / "apt", monkeypatch)
    for package, part in manifest.groupby("package"):
        apt.serve(package, {m: files[m] for m in part["member"]})
    assert len(debian.load("x", manifest).clips) == 12
    assert "preparing x" in capsys.readouterr().err


# --- limit -----------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(1, 5), st.integers(0, 3), st.randoms(use_true_random=False))
def test_limit_is_a_cap_whatever_the_order(cap, seed, random):
    rows = [(f"c{i}", "ab"[i % 2], f"s{i % 5}", splits.SPLITS[i % 3]) for i in range(40)]
    clips = pd.DataFrame(rows, columns=["clip_id", "label", "speaker", "split"])
    kept = corpora.limit(clips, cap, seed)
    assert kept.groupby(["split", "label"]).size().eq(cap).all()
    order = list(range(40))
    random.shuffle(order)
    again = corpora.limit(clips.iloc[order], cap, seed)
    assert set(again["clip_id"]) == set(kept["clip_id"])
    assert set(kept["clip_id"]) <= set(corpora.limit(clips, cap + 1, seed)["clip_id"])
    assert kept.groupby(["split", "label"])["speaker"].nunique().eq(min(cap, 5)).all()


def test_limit_none_keeps_all_and_seeds_differ():
    clips = pd.DataFrame([(f"c{i}", "a", "s", "train") for i in range(40)],
                         columns=["clip_id", "label", "speaker", "split"])
    assert corpora.limit(clips, None) is clips
    assert set(corpora.limit(clips, 5, 0)["clip_id"]) != set(corpora.limit(clips, 5, 1)["clip_id"])


# --- what can be run ---------------------------------------------------------------------------


@pytest.fixture
def registry(corpus, tmp_path, monkeypatch):
    """One real task whose manifest is that of the fabricated corpus, beside the synthetic ones."""
    manifest, files = corpus
    folder = tmp_path / "data" / "manifests"
    folder.mkdir(parents=True)
    manifest.to_csv(folder / "speaker-fillets.csv", index=False)
    monkeypatch.setattr(params, "data_dir", lambda: tmp_path / "data")
    kept = {n: t for n, t in tasks.REGISTRY.items() if t.kind == "synthetic" or n == "speaker-fillets"}
    monkeypatch.setattr(tasks, "REGISTRY", kept)
    monkeypatch.setattr(tasks, "_TASKS", tuple(kept.values()))
    return manifest, files


def test_real_tasks_and_the_style_stand_in_are_run(registry):
    plan = corpora.resolve(params.load({}), progress=False)
    assert [t.name for t in plan.tasks] == ["speaker-fillets", "style-synthetic"]
    assert (plan.not_run, plan.notes) == ((), ())
    got = corpora.load_clips(plan.tasks[0], params.load({}), progress=False)
    assert len(got.clips) == 12
    assert len(corpora.load_clips(plan.tasks[0], params.load({"smoke": 1}), progress=False).clips) == 12


def test_without_packages_the_synthetic_tasks_take_over_and_say_so(registry, monkeypatch):
    for path in packages.debian_dir().iterdir():
        path.unlink()
    monkeypatch.setenv("NSLIB_OFFLINE", "")
    monkeypatch.setenv("PATH", "")
    plan = corpora.resolve(params.load({}), progress=False)
    assert {t.kind for t in plan.tasks} == {"synthetic"}
    assert len(plan.tasks) == 4
    assert [name for name, _ in plan.not_run] == ["speaker-fillets"]
    assert "no apt-get" in plan.notes[0]
    assert corpora.packages_needed(tasks.get("speaker-fillets"), params.load({})) == ["pack-0", "pack-1"]


def test_a_task_asked_for_by_name_is_not_replaced(registry, monkeypatch):
    for path in packages.debian_dir().iterdir():
        path.unlink()
    plan = corpora.resolve(params.load({"tasks": "speaker-fillets,word-synthetic"}), progress=False)
    assert [t.name for t in plan.tasks] == ["word-synthetic"]
    assert "speaker-fillets" in plan.notes[0]
    with pytest.raises(UnknownName, match="word-synthetic"):
        corpora.resolve(params.load({"tasks": "word-syntetic"}))


def test_prepared_clips_need_no_packages_to_be_run(registry):
    corpora.load_clips(tasks.get("speaker-fillets"), params.load({}), progress=False)
    for path in packages.debian_dir().iterdir():
        path.unlink()
    plan = corpora.resolve(params.load({}), progress=False)
    assert plan.not_run == ()


def test_an_empty_corpus_has_the_columns():
    empty = table.make([])
    assert tuple(empty.clips.columns) == corpora.COLUMNS
    assert tuple(empty.problems.columns) == corpora.PROBLEM_COLUMNS
