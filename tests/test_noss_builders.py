"""The real builders of TensorFlow Datasets on fabricated archives, end to end: from archives to clips."""

from __future__ import annotations

import http.server
import io
import itertools
import os
import shutil
import sys
import threading
import time
import zipfile
from pathlib import Path

import noss_archives
import numpy as np
import pandas as pd
import pytest
import soundfile
from noss_archives import fabricate, registered, speech

from nslib import audio, corpora, params, splits, tasks
from nslib.corpora import noss, shelf
from nslib.corpora.noss import builders, clips, network, prepared, registry, room, sources, state
from nslib.errors import Unavailable

PAPER = params.load({"profile": "paper"})
SMOKE = params.load({"profile": "paper", "smoke": True})
VALIDATION = "1015 1020 1021 1030 1050 1070 1079 1089 1090"
TEST = ("1010 1013 1022 1026 1037 1038 1040 1045 1047 1048 1059 1065 1066 1068 1071 1073 1084 1086 1088")


def load(name: str, settings: params.Params = PAPER) -> corpora.Corpus:
    return corpora.load_clips(tasks.get(name), settings, progress=False)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """All six data sets, prepared and loaded once, on a machine without network, programs and Apache Beam."""
    root = tmp_path_factory.mktemp("noss")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSLIB_DATA_DIR", str(root / "data"))
        patch.setenv("NSLIB_CACHE", str(root / "cache"))
        patch.setenv("PATH", "")
        for name in [name for name in sys.modules if name.split(".")[0] == "apache_beam"]:
            patch.delitem(sys.modules, name)
        patch.setitem(sys.modules, "apache_beam", None)
        fabricate(params.manual_dir())
        with registered(params.manual_dir()):
            loaded = {name: load(name) for name in noss_archives.ALL}
    return root, loaded


@pytest.fixture
def here(world, monkeypatch):
    """The same machine, for one test."""
    root, loaded = world
    monkeypatch.setenv("NSLIB_DATA_DIR", str(root / "data"))
    monkeypatch.setenv("NSLIB_CACHE", str(root / "cache"))
    return loaded


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine with nothing on it."""
    monkeypatch.setenv("NSLIB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    return params.manual_dir()


def served(samples: np.ndarray, rate: int, folder: Path) -> str:
    """Hash of what the kit serves of samples."""
    return audio.sha256(shelf.serve(folder / "clip.wav", audio.from_array(samples, rate).wave).wave)


def facts(table: pd.DataFrame) -> dict[str, tuple[str, str, str]]:
    return {row.sha256: (row.label, row.speaker, row.split) for row in table.itertuples()}


# --- each data set --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", noss_archives.ALL)
def test_every_set_is_a_whole_clip_table_without_a_program(here, name):
    corpus = here[name]
    assert corpus.problems.empty
    assert tuple(corpus.clips.columns) == corpora.COLUMNS
    assert corpus.clips["clip_id"].is_unique
    assert corpus.clips["clip_id"].tolist() == sorted(corpus.clips["clip_id"])
    assert corpus.clips["clip_id"].str.fullmatch(rf"{name}/(train|validation|test)/\d{{5}}").all()
    assert set(corpus.clips["source"]) == {f"{name} {sources.get(name).version}"}
    assert splits.audit(corpus.clips).problems == ()
    per_split = corpus.clips.groupby("split")["label"].nunique()
    assert set(per_split.index) == set(splits.SPLITS)
    assert per_split.nunique() == 1, "every label is in every split"
    for clip in corpus.clips.itertuples():
        read = audio.read(clip.audio)
        assert (audio.sha256(read.wave), read.seconds, read.source_rate) == (clip.sha256, clip.seconds, 16_000)


@pytest.mark.parametrize(("name", "classes", "rate", "seconds", "count"), [
    ("voxceleb", 4, 16_000, 1.1, 32), ("voxforge", 6, 16_000, 0.6, 66), ("speech_commands", 12, 16_000, 1.0, 71),
    ("crema_d", 6, 16_000, 0.5, 546), ("savee", 7, 44_100, 0.9, 56), ("dementiabank", 2, 44_100, 1.5, 42),
])
def test_rates_durations_and_counts_are_those_of_the_archives(here, name, classes, rate, seconds, count):
    table = here[name].clips
    assert table["label"].nunique() == classes
    assert set(table["sample_rate"]) == {rate}
    assert table["seconds"].to_numpy() == pytest.approx(seconds, abs=1 / 16_000)
    assert len(table) == count


def test_voxceleb_follows_the_official_list_and_counts_what_the_archive_lacks(here, tmp_path):
    expected = {}
    for label, speaker in enumerate(noss_archives.VOXCELEB_SPEAKERS):
        for (video, split), take in itertools.product(enumerate(("train", "train", "validation", "test")), range(2)):
            sha = served(speech(1.1, 16_000, label, label, 10 * video + take), 16_000, tmp_path)
            expected[sha] = (str(speaker - 10_000), str(speaker - 10_000), split)
    assert facts(here["voxceleb"].clips) == expected
    assert any("8 of the 40 recordings in iden_split.txt are not in the archive" in n for n in here["voxceleb"].notes)


def test_voxforge_has_one_speaker_for_everybody_without_a_name(here, tmp_path):
    table = here["voxforge"].clips
    assert table.groupby("speaker")["split"].nunique().eq(1).all()
    assert set(table.loc[table["speaker"] == "anonymous", "label"]) == set(noss_archives.LANGUAGES)
    found = facts(table)
    for label, language in enumerate(noss_archives.LANGUAGES):
        sha = served(speech(0.6, 16_000, label, 3, 0), 16_000, tmp_path)
        assert found[sha][:2] == (language, "user2")
    users = sorted(table["speaker"].unique())
    assert table.groupby("speaker")["split"].first().to_dict() == splits.by_group(users, users, (0.7, 0.1, 0.2))


def test_speech_commands_has_the_official_lists_silence_and_unknown_words(here, tmp_path):
    table = here["speech_commands"].clips
    assert set(table["label"]) == {*noss_archives.WORDS, "_silence_", "_unknown_"}
    assert set(table["speaker"]) == {""}
    found = facts(table)
    for speaker, split in enumerate(("train", "train", "train", "validation", "test")):
        yes = served(speech(1.0, 16_000, 9, speaker, 0), 16_000, tmp_path)
        bed = served(speech(1.0, 16_000, 10, speaker, 0), 16_000, tmp_path)
        assert (found[yes], found[bed]) == (("yes", "", split), ("_unknown_", "", split))
    silence = table[table["label"] == "_silence_"]["split"].value_counts().to_dict()
    assert silence == {"train": 5, "validation": 5, "test": 1}  # pieces of 1 s, every 0.5 s


def test_crema_d_splits_its_actors_as_the_authors_do(here):
    actors = here["crema_d"].clips.groupby("split")["speaker"].agg(lambda names: " ".join(sorted(set(names))))
    assert (actors["validation"], actors["test"]) == (VALIDATION, TEST)
    rest = set(noss_archives.CREMA_ACTORS) - {*VALIDATION.split(), *TEST.split()}
    assert set(actors["train"].split()) == rest
    assert len(rest) == 63
    per_actor = here["crema_d"].clips.groupby("speaker")
    assert (per_actor.size().min(), per_actor["label"].nunique().min()) == (6, 2)


def test_savee_trains_on_two_actors_and_is_resampled(here, tmp_path):
    table = here["savee"].clips
    of = {split: set(part["speaker"]) for split, part in table.groupby("split")}
    assert of == {"train": {"JK", "KL"}, "validation": {"JE"}, "test": {"DC"}}
    found = facts(table)
    for number, speaker in enumerate(("DC", "JE", "JK", "KL")):
        sha = served(speech(0.9, 44_100, 4, number, 1), 44_100, tmp_path)
        assert found[sha][:2] == ("neutral", speaker)
    assert set(table["label"]) == {"anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"}
    assert any("resampled from 44100 to 16000 Hz" in note for note in here["savee"].notes)


def test_dementiabank_decodes_mp3_here_and_says_so(here, world):
    table, manual = here["dementiabank"].clips, world[0] / "data" / "downloads" / "manual"
    assert any("42 clips were decoded by the kit's own decoders" in note for note in here["dementiabank"].notes)
    assert table.groupby("speaker").size().eq(2).all()
    originals = {}
    for path in sorted((manual / "dementia" / "English" / "Pitt").rglob("*.mp3")):
        label = {"Control": "control", "Dementia": "dementia"}[path.parts[-3]]
        originals.setdefault((label, path.name[:3]), []).append(audio.read(path).wave)
    for (label, speaker), part in table.groupby(["label", "speaker"]):
        waves = [audio.read(name).wave for name in part["audio"]]
        for original in originals.pop((label, speaker)):
            assert min(np.abs(original - wave).max() for wave in waves) < 3 / 32_767
    assert not originals


# --- loads after the first --------------------------------------------------------------------------


def test_a_finished_table_needs_neither_tensorflow_nor_the_data_set(here, monkeypatch, tmp_path):
    for name in ("tensorflow", "tensorflow_datasets"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setenv("NSLIB_DATA_DIR", str(tmp_path / "gone"))
    for name, first in here.items():
        assert noss.status(name).state == "ready"
        again = load(name)
        pd.testing.assert_frame_equal(first.clips, again.clips)
        assert again.notes == first.notes
    few = load("speech_commands", SMOKE).clips
    assert few.groupby(["split", "label"]).size().max() <= 8


def test_vanished_clips_are_made_again(here):
    first = here["savee"].clips
    Path(first["audio"][3]).unlink()
    again = load("savee")
    pd.testing.assert_frame_equal(first, again.clips)
    assert Path(first["audio"][3]).is_file()


def test_a_stopped_run_goes_on_with_the_next_clip(here, monkeypatch, tmp_path):
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    made, decode = [], prepared._clip

    def counted(name, *args):
        if len(made) == 20:
            raise KeyboardInterrupt
        made.append(name)
        return decode(name, *args)

    monkeypatch.setattr(prepared, "_clip", counted)
    with pytest.raises(KeyboardInterrupt):
        load("savee")
    assert noss.status("savee").state == "prepared"
    monkeypatch.setattr(prepared, "_index", lambda *_: pytest.fail("it listed the clips again"))
    monkeypatch.setattr(prepared, "_clip", lambda name, *args: made.append(name) or decode(name, *args))
    corpus = load("savee")
    assert len(made) == len(set(made)) == 56
    pd.testing.assert_frame_equal(corpus.clips.drop(columns="audio"), here["savee"].clips.drop(columns="audio"))
    assert "savee was prepared outside the kit" in corpus.notes[0]


def test_a_smoke_run_makes_only_its_clips_and_the_full_run_the_rest(here, monkeypatch, tmp_path):
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    few = load("crema_d", SMOKE)
    assert few.clips.groupby(["split", "label"]).size().max() == 8
    wavs = list((tmp_path / "cache").rglob("*.wav"))
    assert len(wavs) == len(few.clips) < 546
    assert noss.status("crema_d").state == "prepared"
    assert set(few.clips["sha256"]) <= set(here["crema_d"].clips["sha256"])


def test_another_version_of_the_data_set_is_another_key(here, tmp_path):
    copy = shutil.copytree(state.prepared_dir("savee"), tmp_path / "savee" / "1.0.0")
    assert prepared.key(copy) == prepared.key(state.prepared_dir("savee"))
    shard = next(copy.glob("*train.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    changed = prepared.key(copy)
    assert changed != prepared.key(state.prepared_dir("savee"))
    assert clips.load_finished(sources.get("savee"), PAPER, changed) is None
    assert clips.load_finished(sources.get("savee"), PAPER, prepared.key(state.prepared_dir("savee"))) is not None


def test_damaged_prepared_files_are_named(here, monkeypatch, tmp_path):
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NSLIB_DATA_DIR", str(tmp_path))
    here_dir = state.prepared_dir("savee")
    shutil.copytree(Path(here["savee"].clips["audio"][0]).parents[6] / "data" / "savee" / "1.0.0", here_dir)
    shard = next(here_dir.glob("*train.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(Unavailable, match=f"cannot read {here_dir}.*Remove that folder"):
        load("savee")
    (here_dir / "features.json").write_text("{")
    with pytest.raises(Unavailable, match="cannot read"):
        load("savee")


# --- VoxForge without Beam -------------------------------------------------------------------------


@pytest.mark.heavy
def test_voxforge_is_the_same_as_beam_makes_it(here, world, tmp_path, monkeypatch):
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    manual = world[0] / "data" / "downloads" / "manual"
    config = tfds.download.DownloadConfig(manual_dir=manual, beam_runner=FnApiRunner(), try_download_gcs=False)
    builder = tfds.builder("voxforge", data_dir=tmp_path)
    with registered(manual):
        builder.download_and_prepare(download_config=config)
    for split in splits.SPLITS:
        ours, beams = ([tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(
            [str(p) for p in sorted(folder.glob(f"*-{split}.tfrecord*"))])]
            for folder in (state.prepared_dir("voxforge"), builder.data_path))
        assert ours == beams, "the same records in the same order"


# --- failures --------------------------------------------------------------------------------------


def test_an_archive_that_is_not_the_registered_one_is_refused(bare):
    fabricate(bare, ("voxceleb",))
    assert "iden_split.txt has" in noss.status("voxceleb").remedy  # another size is seen at once
    (bare / "iden_split.txt").write_bytes(bytes(registry.files("voxceleb")[0].size))
    began = time.perf_counter()
    with pytest.raises(Unavailable, match=r"iden_split.txt is not the file that TensorFlow") as error:
        builders.prepare(sources.get("voxceleb"), progress=False)
    assert time.perf_counter() - began < 30
    assert f"{bare}/iden_split.txt" in error.value.remedy
    assert not (params.tfds_dir() / "downloads" / "extracted" / "ZIP.vox_dev_wav.zip").exists()


def _wav(samples: np.ndarray, rate: int = 44_100, subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype=subtype)
    return buffer.getvalue()


def _savee(manual: Path, **more: bytes) -> Path:
    """The smallest SAVEE, and recordings of DC with the names of `more`."""
    manual.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(manual / "AudioData.zip", "w") as archive:
        for number, speaker in enumerate(("DC", "JE", "JK", "KL")):
            archive.writestr(f"AudioData/{speaker}/a01.wav", _wav(speech(0.2, 44_100, 0, number, 0)))
        for name, data in more.items():
            archive.writestr(f"AudioData/DC/{name}.wav", data)
    return manual / "AudioData.zip"


def test_damage_inside_an_archive_is_said_and_a_good_copy_is_taken_afterwards(bare):
    archive = _savee(bare)
    good = archive.read_bytes()
    archive.write_bytes(good[:2000] + bytes(4000) + good[6000:])
    with pytest.raises(Unavailable, match=r"archive cannot be unpacked.*(?s:.)*AudioData.zip"):
        load("savee")
    _savee(bare, a02=b"RIFF but no audio")
    with pytest.raises(Unavailable, match=r"AudioData/DC/a02.wav cannot be decoded"):
        load("savee")
    sound = speech(0.5, 44_100, 1, 1, 1)
    _savee(bare, a90=_wav(sound[:0]), a91=_wav(sound, subtype="PCM_24"), a92=_wav(sound, 22_050),
           a93=_wav(sound, subtype="IMA_ADPCM"))
    corpus = load("savee")  # odd recordings are used or named
    assert (len(corpus.clips), len(corpus.problems)) == (6, 2)
    assert sorted(corpus.problems["reason"].str.extract(r"(0 samples|16 bits)")[0]) == ["0 samples", "16 bits"]
    said = " ".join(corpus.notes)
    assert "1 clips were decoded by the kit's own decoders" in said
    assert "1 clips have another sample rate than TensorFlow Datasets says" in said
    assert "2 of 8 clips cannot be used" in said
    pd.testing.assert_frame_equal(corpus.problems, load("savee").problems)


def test_a_recording_that_cannot_be_decoded_is_named(bare):
    for number, kind in enumerate(3 * ("Control", "Dementia")):
        folder = bare / "dementia" / "English" / "Pitt" / kind / "cookie"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:03d}-0.mp3").write_bytes(b"no MP3 at all" * 100)
    with pytest.raises(Unavailable, match=r"/cookie/00\d-0.mp3 cannot be decoded") as error:
        load("dementiabank")
    assert "Pitt/Dementia/cookie" in error.value.remedy


def test_a_voxforge_archive_that_is_cut_short_is_said(bare):
    fabricate(bare, ("voxforge",))
    victim = next(bare.rglob("*.tgz"))
    victim.write_bytes(victim.read_bytes()[:300])
    with registered(bare), pytest.raises(Unavailable, match="cut short or damaged"):
        load("voxforge")


def test_a_disk_that_is_too_small_is_found_out_before_anything_starts(here, monkeypatch, tmp_path):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage._replace(free=1_000))
    monkeypatch.setattr(builders, "_prepare", lambda *_: pytest.fail("it started"))
    (params.tfds_dir() / "savee" / "1.0.0.incompleteABC").mkdir()
    with pytest.raises(Unavailable, match=r"about \d+\.\d GB are needed.*0\.0 GB are free") as error:
        builders.prepare(sources.get("savee"), progress=False)
    assert "1.0.0.incompleteABC" in error.value.remedy
    (params.tfds_dir() / "savee" / "1.0.0.incompleteABC").rmdir()
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(Unavailable, match="room for the data set savee"):
        load("savee")  # it is prepared; its clips do not fit


def test_a_disk_that_fills_up_is_said(bare, monkeypatch):
    import tensorflow_datasets as tfds

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    _savee(bare)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", full)
    with pytest.raises(Unavailable, match=r"the disk of .* is full"):
        load("savee")


@pytest.mark.parametrize(("error", "said", "remedy"), [
    (ImportError("No module named 'x'"), "a package is missing", "make setup"),
    (MemoryError(), "memory", "Close other programs"),
    (AssertionError("No examples were yielded."), "No examples were yielded", "AudioData.zip"),
])
def test_other_failures_are_explained(bare, monkeypatch, error, said, remedy):
    _savee(bare)

    def fail(*_):
        raise error

    monkeypatch.setattr(builders, "_prepare", fail)
    with pytest.raises(Unavailable, match=said) as got:
        load("savee")
    assert remedy in got.value.remedy


# --- the network -----------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch, bare):
    """A host on this machine that has iden_split.txt, an archive without it, and the address in the builder."""
    from tensorflow_datasets.audio import voxceleb

    fabricate(bare, ("voxceleb",))
    lists = (bare / "iden_split.txt").read_bytes()
    (bare / "iden_split.txt").unlink()
    answers = {"code": 200, "asked": 0}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answers["asked"] += 1
            if answers["code"] == 0:
                time.sleep(3)
                return
            self.send_response(answers["code"])
            self.send_header("Content-Disposition", 'attachment; filename="iden_split.txt"')
            self.end_headers()
            self.wfile.write(lists)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{running.server_port}/iden_split.txt"
        file = registry.Registered(url, len(lists), "0" * 64, "iden_split.txt")
        monkeypatch.setattr(voxceleb, "IDEN_SPLITS_URL", url)
        monkeypatch.setattr(registry, "files", lambda name: (file,) if name == "voxceleb" else ())
        monkeypatch.setattr(network, "SECONDS", 0.5)
        monkeypatch.setenv("NSLIB_OFFLINE", "")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield answers
        running.shutdown()


def test_what_is_missing_is_downloaded_once(server, bare):
    assert noss.status("voxceleb").state == "archives"
    assert "iden_split.txt will be downloaded" in noss.status("voxceleb").detail
    assert len(load("voxceleb", SMOKE).clips) == 32
    assert server["asked"] == 2  # whether it answers, and the file
    assert registry.missing("voxceleb") == ()


@pytest.mark.parametrize(("code", "said"), [(0, "127.0.0.1:\\d+ does not answer"), (403, "answers with error 403")])
def test_a_host_that_does_not_serve_is_found_out_in_seconds(server, bare, code, said):
    server["code"] = code
    began = time.perf_counter()
    with pytest.raises(Unavailable, match=said) as error:
        load("voxceleb")
    assert time.perf_counter() - began < 15
    assert f"as {bare}/iden_split.txt" in error.value.remedy
    assert not (params.tfds_dir() / "downloads" / "extracted" / "ZIP.vox_dev_wav.zip").exists()
    assert not list((params.tfds_dir() / "downloads").rglob("*.tmp.*"))


def test_nothing_is_downloaded_when_that_is_forbidden(server, bare, monkeypatch):
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    with pytest.raises(Unavailable, match=r"iden_split.txt would have to be downloaded, and downloads are forbidden"):
        load("voxceleb")
    assert server["asked"] == 0


# --- CREMA-D from its mirror ------------------------------------------------------------------------


def test_a_clip_of_the_mirror_that_differs_is_not_taken(bare, world):
    original = world[0] / "data" / "downloads" / "manual"
    shutil.copytree(original / "CREMA-D", bare / "CREMA-D", copy_function=os.link)
    shutil.copy(original / "crema_d.txt", bare)
    clips_of = bare / "CREMA-D" / "AudioWAV"
    (clips_of / "1001_IEO_NEU_XX.wav").unlink()
    (clips_of / "1001_IEO_NEU_XX.wav").write_bytes((clips_of / "1001_TIE_NEU_XX.wav").read_bytes())
    with registered(bare), pytest.raises(Unavailable, match=r"1001_IEO_NEU_XX.wav would have to be downloaded"):
        load("crema_d")
    adopted = list(registry.downloads("crema_d").glob("*.wav"))
    assert len(adopted) == 545
    assert any(path.samefile(clips_of / "1001_TIE_NEU_XX.wav") for path in adopted), "no second copy"


def test_archives_are_small_enough_for_a_quick_test(world):
    size = sum(p.stat().st_size for p in (world[0] / "data" / "downloads" / "manual").rglob("*") if p.is_file())
    assert size < 20e6
    assert os.environ["PATH"]
