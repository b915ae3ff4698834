"""Faults of disk, memory, files and processes: noticed, said in a sentence that helps, and mended where that can be."""

import errno
import os
import platform
import re
import shutil
import time
import zipfile
import zlib

import numpy as np
import pyarrow as pa
import pytest
from helpers import clip_table, embedding, noise, tone, write_pitches

import nslib
from nslib import audio, config
from nslib.datasets import clip_cache, debian
from nslib.datasets.clip_cache import ClipCache
from nslib.datasets.table import read_parquet
from nslib.errors import BadAudio, NslibError, Unavailable, join_sentences
from nslib.evaluation import benchmark, results
from nslib.extraction.cache import DamagedVectors, VectorCache, list_caches, read_costs
from nslib.extraction.devices import SmallerBatches
from nslib.extraction.extract import extract_vectors, load_clip

HERE, DEAD = re.sub("[^A-Za-z0-9.]", "", platform.node()), 2**22 + 1  # no system has such a process


def flip(path, at, bit=0x40):
    data = bytearray(path.read_bytes())
    for place in at if isinstance(at, range) else [at]:
        data[place] ^= bit
    path.write_bytes(data)


# ---- what is said ------------------------------------------------------------------------------------

def system(code, place="x"):
    return OSError(code, os.strerror(code), place)


@pytest.mark.parametrize(("error", "words"), [
    (system(errno.ENOSPC), "no space left for .*x. Everything stored so far is kept: free some, or choose"),
    (system(errno.EDQUOT), "no space left"), (system(errno.EROFS), "can only be read"),
    (system(errno.EACCES), "may not be read or written.*rights"), (system(errno.ENOENT), "not there"),
    (system(errno.ESTALE), "not there"), (system(errno.EMFILE), "too many files.*ulimit"),
    (system(errno.EIO), "the system refuses .*Input/output error"), (system(errno.ENOMEM), "memory of this machine"),
    (MemoryError(), "memory of this machine does not suffice.*NSLIB_BATCH_SECONDS"), (TimeoutError("slow"), "network"),
    (ConnectionResetError(104, "reset"), "cannot be reached.*connect"), (EOFError(), "cut short or damaged"),
    (zipfile.BadZipFile("no zip"), r"damaged \(no zip\)"), (zlib.error("bits"), r"damaged \(bits\)"),
    (pa.ArrowNotImplementedError("what"), "damaged"), (NslibError("as it is."), "^as it is.$")])
def test_an_error_of_the_system_becomes_a_sentence_that_names_the_remedy(error, words):
    with pytest.raises(NslibError, match=words) as told, config.explain_failures():
        raise error
    assert ".." not in str(told.value)


@pytest.mark.parametrize("error", [KeyError("a bug"), BrokenPipeError(errno.EPIPE, "head has ended"), ValueError("x")])
def test_what_is_not_the_systems_stays_what_it_is(error):
    with pytest.raises(type(error)), config.explain_failures():
        raise error


def test_the_variable_that_is_named_is_the_one_that_decides_where_the_file_lies(tmp_path, monkeypatch):
    for name in ("NSLIB_REPORTS", "NSLIB_MODELS", "NSLIB_DATA_DIR", "NSLIB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
        told = str(config.explain_failure(system(errno.ENOSPC), tmp_path / name / "deep" / "file"))
        assert f"point {name} to a larger disk" in told
    told = str(config.explain_failure(system(errno.ENOSPC), tmp_path / "own.csv"))
    assert "NSLIB" not in told and "choose a larger disk" in told


def test_no_sentence_ends_in_two_full_stops():
    assert join_sentences("It is so.", "Do this.") == join_sentences("It is so", "Do this.") == "It is so. Do this."
    assert str(Unavailable("x", "it is gone.", "Wait.")) == "x is not available: it is gone. Wait."
    assert str(BadAudio("x", "it is gone.", "")) == "x: it is gone."


# ---- what is written ---------------------------------------------------------------------------------

def test_temporary_files_of_dead_runs_go_and_those_of_living_ones_stay(tmp_path):
    names = {f".tmp-{HERE}-{DEAD}-a1": False, f".tmp-{HERE}-{os.getpid()}-a2": True, ".tmp-elsewhere-7-a3": True,
             ".tmp-older4": True, ".tmp-elsewhere-7-longago": False, "mine": True}
    for name in names:
        (tmp_path / name).write_text("half")
    os.utime(tmp_path / ".tmp-elsewhere-7-longago", (time.time() - 9 * 86400,) * 2)
    (tmp_path / f"nslib-notebook-{HERE}-{DEAD}-a5").mkdir()
    config.write_file(tmp_path / "new.txt", "whole")
    with config.scratch_folder("notebook", tmp_path) as folder:
        assert folder.is_dir() and list(tmp_path.glob("nslib-*")) == [folder]
    assert {path.name for path in tmp_path.iterdir()} == {"new.txt", *(name for name, stays in names.items() if stays)}


def test_the_table_that_is_there_stays_if_the_new_one_cannot_be_written(tmp_path, call, cache, monkeypatch):
    pitches, out = write_pitches(tmp_path / "pitches", takes=1), tmp_path / "v.csv"
    out.write_text("precious")
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(system(errno.ENOSPC))
                        if not list(cache.rglob(".tmp-*")) else fsync(handle))
    code, _, told = call("embed", pitches, "--out", out)
    assert (code, out.read_text()) == (2, "precious") and "no space left for" in told and "Traceback" not in told
    assert not list(tmp_path.glob(".tmp-*"))


# ---- vectors -----------------------------------------------------------------------------------------

@pytest.fixture
def stored(tmp_path, cache):
    """Clips, their vectors, and the shard in which these are stored."""
    clips, made = clip_table(tmp_path / "audio", [0.5] * 30), embedding(dim=600, embed=spread)
    out = extract_vectors(clips, made, progress=False)
    (shard,) = VectorCache(made).path.glob("*.arrow")
    return clips, made, out.vectors, shard


def spread(waves, lengths):
    rows = waves[:, :8000].reshape(len(waves), 1, -1)[:, :, :600].copy()
    return rows, np.ones(len(waves), np.int64)


def make_older(shard):
    """Take the checksum away that older kits did not write."""
    table = pa.ipc.open_file(pa.memory_map(str(shard))).read_all()
    table = table.replace_schema_metadata({b"sha256": table.schema.metadata[b"sha256"]})
    with pa.OSFile(str(shard) + "x", "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    os.replace(str(shard) + "x", shard)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("how", ["every 20th number", "one bit", "swapped", "cut", "nan"])
def test_stored_vectors_that_are_not_what_was_written_are_computed_again(stored, how, older):
    clips, made, vectors, shard = stored
    if older:
        make_older(shard)
    first = pa.ipc.open_file(pa.OSFile(str(shard))).read_all()["vector"][0].values.to_numpy()
    start = shard.read_bytes().index(first.tobytes())
    if how == "every 20th number":
        flip(shard, range(start + 3, start + 60_000, 80), 0x02)
    elif how == "one bit":
        flip(shard, start + 2400 * 7 + 1)
    elif how == "swapped":
        data = bytearray(shard.read_bytes())
        data[start:start + 2400], data[start + 2400:start + 4800] = (data[start + 2400:start + 4800],
                                                                     data[start:start + 2400])
        shard.write_bytes(data)
    elif how == "nan":
        data = bytearray(shard.read_bytes())
        data[start:start + 4] = np.float32(np.nan).tobytes()
        shard.write_bytes(data)
    else:
        shard.write_bytes(shard.read_bytes()[:-9000])
    with pytest.warns(UserWarning, match="computed again"):
        again = extract_vectors(clips, made, progress=False)
    np.testing.assert_array_equal(again.vectors, vectors)
    assert again.cost["computed"] == 30 and again.problems.empty
    assert extract_vectors(clips, made, progress=False).cost["computed"] == 0  # and it is mended
    VectorCache(made).prune()
    assert VectorCache(made).verify() == [] and len(VectorCache(made)) == 30


def test_facts_of_a_store_that_are_damaged_cost_no_vector_and_are_written_again(stored, call):
    _, made, _, shard = stored
    facts = shard.parent / "embedding.json"
    whole = facts.read_text()
    for changed in (whole.replace('"dim": ', '"dim": 9'), whole[:20], "[]"):
        facts.write_text(changed)
        assert call("store", "verify")[0] == 1 and call("store", "prune")[1] == "0 files deleted\n" and shard.exists()
        assert [name for name, _ in list_caches()] == [made.fingerprint]
    assert len(VectorCache(made)) == 30 and facts.read_text() == whole


def test_what_the_system_refuses_is_no_damage(stored, monkeypatch):
    clips, made, _, shard = stored
    store = VectorCache(made)
    monkeypatch.setattr(store, "_table", lambda shard: (_ for _ in ()).throw(system(errno.EMFILE)))
    with pytest.raises(OSError, match="Too many open files"):
        store.read(clips["sha256"])
    assert store.prune() == 0 and shard.exists()


def test_who_reads_without_computing_is_told(stored):
    clips, made, _, shard = stored
    store = VectorCache(made)
    flip(shard, len(shard.read_bytes()) // 2)
    with pytest.raises(DamagedVectors, match="30 clips"):
        store.read(clips["sha256"])
    assert store.missing(clips["sha256"]) == list(clips["sha256"])


# ---- ledgers, clips, manifests, tables ---------------------------------------------------------------

def test_torn_lines_of_the_cost_log_are_told_once_and_the_others_count(stored):
    _, made, _, shard = stored
    log = shard.parent / "costs.jsonl"
    with log.open("a") as file:
        file.write('{"computed": 24')
    with pytest.warns(UserWarning, match="1 lines of .*costs.jsonl were torn"):
        assert read_costs(made.fingerprint).computed == 30
    assert read_costs(made.fingerprint).computed == 30 and log.read_text().count("\n") == 1
    log.write_text('{"computed": 3, "audio_seconds": 6.0}\n')  # as an older kit wrote it
    assert read_costs(made.fingerprint).computed == 3


def test_a_prepared_clip_that_was_damaged_is_made_again_and_one_that_was_copied_is_not(cache):
    made = ClipCache("x").add("a/b", "key", tone(0.3))
    path = ClipCache("x").path("a/b")
    os.utime(path, ns=(5, 5))  # a copy has other times
    assert ClipCache("x").get("a/b", "key").sha256 == made.sha256 and ClipCache("x").get("a/b", "key").time == 5
    flip(path, 2000)
    with pytest.warns(UserWarning, match="made again from its source"):
        assert ClipCache("x").get("a/b", "key") is None
    ClipCache("x").add("a/b", "key", tone(0.3))
    ledger = ClipCache("x").folder / "ledger.jsonl"
    text = ledger.read_text()
    ledger.write_text(text.replace(made.sha256[:8], "0123abcd"))  # the hash, in every line
    with pytest.warns(UserWarning, match="torn or changed"):
        assert ClipCache("x").get("a/b", "key") is None
    ledger.write_text("".join(line.partition("\t")[0] + "\n" for line in text.splitlines()))  # of an older kit
    assert ClipCache("x").get("a/b", "key").sha256 == made.sha256


@pytest.mark.parametrize("own", [True, False])
def test_a_file_that_changed_behind_its_times_is_left_out_once_and_then_read_anew(tmp_path, cache, own):
    home = tmp_path / "own" if own else config.cache_dir("corpora", "x", "wav")
    path = noise(home / "a.wav")
    (facts,) = clip_cache.read_audio_facts([path], progress=False)
    times = path.stat().st_mtime_ns
    flip(path, 3000)
    os.utime(path, ns=(times, times))
    clip = benchmark.extract.Clip(facts.sha256, str(path), "a", 3200)
    with pytest.raises(BadAudio, match="Run the same command again"):
        load_clip(clip)
    assert path.exists() == own
    if own:
        assert clip_cache.read_audio_facts([path], progress=False)[0].sha256 == audio.sha256(audio.read(path).wave)


@pytest.mark.parametrize("change", [lambda data: data[: len(data) // 2], lambda data: data.replace(b"test", b"tesu", 1),
                                    lambda data: data[:500] + b"\xff" + data[500:]])
def test_a_manifest_that_is_not_the_committed_one_is_refused(tmp_path, monkeypatch, change):
    shutil.copytree(config.data_dir(), tmp_path / "data", ignore=shutil.ignore_patterns("models"))
    monkeypatch.setattr(config, "data_dir", lambda: tmp_path / "data")
    path = debian.manifest_path("speaker-fillets")
    assert len(debian.read_manifest(path)) == 720
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(NslibError, match=r"speaker-fillets.csv is not the file.*git checkout"):
        debian.read_manifest(path)


def test_every_list_that_the_kit_reads_is_pinned():
    pinned = [line.partition("  ")[2] for line in (config.data_dir() / "SHA256SUMS").read_text().splitlines()]
    assert {f"manifests/{path.name}" for path in (config.data_dir() / "manifests").glob("*.csv")} < set(pinned)
    assert all(config.check_data(config.data_dir() / name).is_file() for name in pinned)


def test_a_changed_byte_anywhere_in_a_table_is_no_traceback(tmp_path):
    path = tmp_path / "t.parquet"
    results.write_table(path, results.join_tables([], results.PREDICTIONS))
    whole, frame, wrong = path.read_bytes(), read_parquet(path), 0
    for place in range(len(whole) // 3, len(whole), 7):
        flip(path, place, 0x02)
        try:
            wrong += not read_parquet(path).equals(frame)
        except NslibError as error:
            assert "t.parquet cannot be read (" in str(error)
        path.write_bytes(whole)


# ---- embeddings of one's own, and exit codes -----------------------------------------------------------

OWN = """
import numpy as np
def good(waves): return np.stack([waves.mean(1), waves.std(1), np.abs(waves).max(1)], 1)
def batch_mean(waves): return good(waves) - good(waves).mean(0)
def random(waves): return good(waves) + np.random.default_rng().normal(size=(len(waves), 3))
def bad(waves): return good(waves) if waves.shape[1] >= 16000 else 1 / 0
def stopped(waves): raise KeyboardInterrupt
"""


@pytest.mark.parametrize(("name", "code", "words"), [
    ("good", 0, ""), ("batch_mean", 2, "batch_mean breaks the contract.*among.*Nothing of it was stored"),
    ("random", 2, "random breaks the contract.*different vectors.*Nothing of it was stored"),
    ("bad", 2, "not run: pitches x bad: .*division by zero"), ("stopped", 130, "the same command goes on from there")])
def test_the_exit_code_tells_what_was_not_measured(tmp_path, cache, call, name, code, words):
    (tmp_path / f"own_{name}.py").write_text(OWN)
    told = call("benchmark", tmp_path / f"own_{name}.py:{name}", "--dataset", write_pitches(tmp_path / "pitches"),
                "--smoke")
    assert told[0] == code and re.search(words, told[2], re.DOTALL), told
    assert ".. " not in told[2] and "Traceback" not in told[2]
    assert bool(list(cache.glob("vectors/*/*.arrow"))) == (name == "good")


def test_a_clip_that_is_left_out_is_in_the_exit_code(tmp_path, cache, call):
    pitches = write_pitches(tmp_path / "pitches")
    (pitches / "low" / "s0" / "cut.wav").write_bytes(b"RIFF")
    code, out, told = call("benchmark", "logmel", "--dataset", pitches, "--smoke")
    assert code == 1 and "logmel" in out and "1 clips left out" in told
    for path in pitches.rglob("*.wav"):
        path.write_bytes(b"RIFF")
    assert call("data", "clips", pitches, "--out", tmp_path / "clips.csv")[0] == 2


@pytest.mark.parametrize("name", ["m.onnx", "m.tflite", "m.csv", "m.npy", "m.parquet", "m/variables/v"])
def test_what_came_in_place_of_a_model_or_of_vectors_is_named(tmp_path, call, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    for content, said in (("version https://git-lfs", "git lfs pull"), ("\ufeff<!-- x -->\n<!DOCTYPE html>", "page")):
        (tmp_path / name).write_text(content)
        code, _, told = call("check", tmp_path / name.partition("/")[0])
        assert code == 2 and said in told


def test_a_smaller_batch_gets_the_sound_as_it_was():
    def careless(waves, lengths):
        waves *= 0.5
        lengths += 0
        if len(waves) > 2:
            raise MemoryError
        return waves[:, None, :3].copy(), np.ones(len(waves), np.int64)

    waves = np.arange(24, dtype=np.float32).reshape(8, 3)
    with pytest.warns(RuntimeWarning, match="smaller"):
        frames, _ = SmallerBatches(careless)(waves, np.full(8, 3))
    np.testing.assert_array_equal(frames[:, 0], waves / 2)


def test_the_doctor_finds_a_cache_that_cannot_be_used(tmp_path, monkeypatch, call):
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "file" / "cache"))
    (tmp_path / "file").write_text("in the way")
    code, out, _ = call("doctor")
    assert code == 0 and "✗ what is there" in out and "file/cache is not there" in out and "apt-get" in out
    with pytest.raises(NslibError, match=r"file/cache.* run the same command again"):
        nslib.embed(write_pitches(tmp_path / "pitches", takes=1), progress=False)
