"""Open speech: the committed list, archives that are whole, damaged, hostile or not the ones meant, and copies."""

import gzip
import hashlib
import io
import tarfile
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import pytest
import soundfile
from hub_server import Hub, hangs_up, interrupted, send

from nslib import config
from nslib.embeddings import downloads
from nslib.errors import BadAudio, Unavailable, UnknownName
from nslib.training.open_speech import OPEN_SETS, fetch_open_speech, list_open_speech, note_copies, read_open_speech

CHOOSE = "arabic-speech-commands"
FOLDER = "a" * 60 + "-repository-" + "0" * 40  # so long that names need an extended header


def sound(seed, kind="WAV", subtype=None):
    """A file of noise, a quarter of a second long; equal seeds are equal noise."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.random.default_rng(seed).uniform(-0.3, 0.3, 4000), 16_000, subtype, format=kind)
    return buffer.getvalue()


def archive(files, top=f"{FOLDER}/"):
    """An archive as GitHub makes it: a global header, folders, everything below one folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "0" * 40}) as tar:
        for name, data in {"readme.md": b"x", "audio": None, "audio/other.wav": sound(99), **files}.items():
            info = tarfile.TarInfo(f"{top}{name}")
            info.type, info.size = (tarfile.DIRTYPE, 0) if data is None else (tarfile.REGTYPE, len(data))
            tar.addfile(info, io.BytesIO(data or b""))
    return gzip.compress(buffer.getvalue(), mtime=0)


FILES = {"picovoice-wake-word": {f"audio/{word}/{i}.{kind}": sound(7 * i + len(word), kind.upper())
                                 for i in range(300) for word, kind in (("alexa", "flac"), ("view glass", "wav"))},
         "librispeech-subset": {f"audio_data/librispeech_x/{i}/{i}-1-2.wav": sound(1000 + i) for i in range(4)}}
ARCHIVES = {name: archive(files) for name, files in FILES.items()}
GOOD = ARCHIVES["librispeech-subset"]


@pytest.fixture
def github(tmp_path, monkeypatch, cache):
    """A server with the archives of two sets, whose files are listed in tables like the committed ones."""
    monkeypatch.setattr(config, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(downloads, "BACKOFF", 0.001)
    monkeypatch.setenv("NSLIB_OFFLINE", "0")
    monkeypatch.delenv("NSLIB_OPEN_SPEECH", raising=False)
    pd.DataFrame([{"package": name, "member": member, "sha256": hashlib.sha256(data).hexdigest(), "seconds": 0.25,
                   "speaker": PurePosixPath(member).parent.name if "libri" in name else "", "label": "",
                   "part": "validation" if member.endswith("/3.wav") else "train"}
                  for name, files in FILES.items() for member, data in files.items()]).to_csv(
        tmp_path / "open_speech.csv", index=False)
    pd.DataFrame([{"package": name, "version": "f00d", "licence": "CC0-1.0", "homepage": f"https://github.com/a/{name}"}
                  for name in OPEN_SETS]).to_csv(tmp_path / "sources.csv", index=False)
    with Hub({}) as hub:
        hub.archives |= ARCHIVES
        hub.handles |= {f"a/{name}/archive/f00d.tar.gz": name for name in FILES}
        monkeypatch.setenv("NSLIB_GITHUB_URL", f"{hub.url}/")
        yield hub


def read(names=tuple(FILES), part="train"):
    """Waveforms by member, and what is said of the others."""
    clips = list_open_speech(names, part)
    waves = list(zip(clips["member"], read_open_speech(clips, False), strict=True))
    good = {member: wave for member, wave in waves if not isinstance(wave, BadAudio)}
    return good, [str(wave) for _, wave in waves if isinstance(wave, BadAudio)]


def put_copies(folder, files, monkeypatch):
    """A folder of yours with the tar file of a set."""
    for name, members in files.items():
        with tarfile.open(folder / f"{name}.tar", "w") as tar:
            for member, data in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    monkeypatch.setenv("NSLIB_OPEN_SPEECH", str(folder))


def test_the_committed_list_its_parts_and_their_pinned_revisions():
    table = pd.read_csv(config.data_dir() / "open_speech.csv", dtype=str, keep_default_na=False)
    assert table.groupby("package")["part"].agg(lambda part: tuple(sorted(set(part)))).to_dict() == {
        name: ("choose",) if name == CHOOSE else ("train", "validation") for name in OPEN_SETS}
    assert table["sha256"].is_unique and table["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert not table.duplicated(["package", "member"]).any()
    people = table[table["speaker"] != ""].groupby("package")
    assert people["speaker"].nunique().to_dict() == {"librispeech-subset": 261, CHOOSE: 30}
    learn, held_out, choose = (list_open_speech(OPEN_SETS, part) for part in ("train", "validation", "choose"))
    assert (len(learn), len(held_out), len(choose), choose["label"].nunique()) == (3090, 159, 12_000, 40)
    assert not set(held_out["speaker"]) & set(learn["speaker"]) - {""}
    assert pd.concat([learn, held_out, choose])["seconds"].sum() / 3600 == pytest.approx(7.739, abs=1e-3)
    first = learn.iloc[0]
    assert first["clip_id"] == "open/librispeech-subset/audio_data/librispeech_test-other/1688/1688-142285-0000"
    assert (first["speaker"], first["licence"], first["package"]) == ("1688", "CC-BY-4.0", "librispeech-subset")
    assert list_open_speech(OPEN_SETS[2:3], "train")["label"].nunique() == 6
    for names, part in ((["librispeech"], "train"), (OPEN_SETS, "test")):
        with pytest.raises(UnknownName):
            list_open_speech(names, part)
    with pytest.raises(UnknownName, match="Did you mean librispeech-subset"):
        fetch_open_speech(["librispeech-subse"])
    sources = pd.read_csv(config.data_dir() / "sources.csv", keep_default_na=False).query("kind == 'github'")
    assert tuple(sources["package"]) == OPEN_SETS and sources["version"].str.fullmatch("[0-9a-f]{40}").all()
    assert sources["homepage"].str.fullmatch(r"https://github\.com/[\w-]+/[\w-]+").all()


def test_fetched_once_in_any_order_and_to_the_sample(github, monkeypatch, capsys):
    good, bad = read()
    wanted = [member for files in FILES.values() for member in files if not member.endswith("/3.wav")]
    assert list(good) == wanted and not bad and len(github.requests) == 4 and capsys.readouterr().err == ""
    for name, member in (("picovoice-wake-word", "audio/alexa/7.flac"),
                         ("librispeech-subset", "audio_data/librispeech_x/2/2-1-2.wav")):
        there = soundfile.read(io.BytesIO(FILES[name][member]), dtype="int16")[0] / np.float32(32767)
        assert good[member].dtype == np.float32
        np.testing.assert_allclose(good[member], there, atol=1e-6)
    for name, path in fetch_open_speech(FILES).items():
        with tarfile.open(path) as tar:
            assert tar.getnames() == list(FILES[name])  # nothing else of the repository
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    again, _ = read(part="validation")
    assert len(again) == 1 and len(github.requests) == 4
    clips = list_open_speech(tuple(FILES), "train").sample(40, random_state=0)
    waves = list(read_open_speech(clips, False))
    alone = [next(read_open_speech(clips.iloc[[i]], False)) for i in range(5)]
    assert len(waves) == 40 and all(np.array_equal(a, b) for a, b in zip(waves, alone, strict=False))


def test_files_that_are_missing_or_others_are_named_and_the_rest_is_kept(github, capsys):
    files = {**FILES["picovoice-wake-word"], "audio/alexa/5.flac": sound(0, "FLAC"), "audio/alexa/6.flac": b""}
    del files["audio/view glass/9.wav"]
    github.archives["picovoice-wake-word"] = archive(files)
    good, bad = read(["picovoice-wake-word"])
    assert len(good) == 599 - 3 and len(bad) == 3
    assert all("Delete that tar file" in line and "picovoice-wake-word.tar" in line for line in bad)
    assert [line.split(":")[0] for line in bad] == ["audio/alexa/5.flac", "audio/alexa/6.flac",
                                                    "audio/view glass/9.wav"]
    assert "3 of 600 files of picovoice-wake-word" in (said := capsys.readouterr().err)
    assert "2 are others in" in said and "1 missing" in said
    path = fetch_open_speech(["picovoice-wake-word"])["picovoice-wake-word"]
    path.unlink()
    github.archives |= ARCHIVES
    assert len(read(["picovoice-wake-word"])[0]) == 599


@pytest.mark.parametrize(("data", "words"), [
    (archive({**FILES["librispeech-subset"], "../../evil": b"x"}), "unsafe name"),
    (archive(FILES["librispeech-subset"], "/"), "unsafe name"), (GOOD[:-4], "cut short or damaged.*Run again"),
    (GOOD[:9000], "cut short or damaged.*Run again"), (archive({}), "has none of its 4 files.*NSLIB_OPEN_SPEECH")])
def test_archive_that_is_hostile_damaged_or_another_leaves_nothing(github, cache, tmp_path, data, words):
    github.archives["librispeech-subset"] = data
    with pytest.raises(Unavailable, match=words):
        fetch_open_speech(["librispeech-subset"])
    assert not list((cache / "open-speech").iterdir()) and not list(tmp_path.rglob("*evil*"))
    github.archives["librispeech-subset"] = GOOD
    assert len(read(["librispeech-subset"])[0]) == 4


def test_a_download_that_breaks_is_tried_again_and_what_fails_says_what_to_do(github, monkeypatch):
    github.faults = [interrupted, hangs_up]
    assert read(["picovoice-wake-word"])[1] == [] and github.fetched == 3
    github.faults = [lambda request, data: send(request, 404)]
    with pytest.raises(Unavailable, match=r"librispeech-subset \(open speech\).*404.*NSLIB_OPEN_SPEECH"):
        fetch_open_speech(["librispeech-subset"])
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    with pytest.raises(Unavailable, match=r"NSLIB_OFFLINE.*folder with librispeech-subset\.tar"):
        fetch_open_speech(["librispeech-subset"])


def test_copies_are_used_by_name_under_their_own_hash_and_counted(github, tmp_path, monkeypatch, capsys):
    original = list_open_speech(tuple(FILES), "train")
    assert note_copies(original) == []
    copies = {"librispeech-subset": {f"librispeech_x/{i}/{i}-1-2.ogg": sound(1000 + i, "OGG", "OPUS")
                                     for i in range(3)},  # without the outermost folder, and one is missing
              "picovoice-wake-word": dict(list(FILES["picovoice-wake-word"].items())[:10])}  # originals
    put_copies(tmp_path, copies, monkeypatch)
    clips = list_open_speech(tuple(FILES), "train")
    other = clips[clips["sha256"] != original["sha256"]]
    assert list(other["sha256"]) == [hashlib.sha256(data).hexdigest()
                                     for data in copies["librispeech-subset"].values()]
    assert note_copies(clips) == ["3 of 603 clips of open speech are copies in another encoding, not the originals."]
    good, bad = read()
    assert "3 of 603 clips of open speech are copies" in capsys.readouterr().err and github.requests == []
    assert len(good) == 13 - 1 and all(len(wave) == pytest.approx(4000, abs=8) for wave in good.values())
    assert "audio_data/librispeech_x/3/3-1-2.wav: the file in " in bad[-1] and "is missing" in bad[-1]
    # what is replaced after it was listed is not taken for what was listed
    put_copies(tmp_path, {"librispeech-subset": {"librispeech_x/0/0-1-2.ogg": sound(5, "OGG", "OPUS")}}, monkeypatch)
    assert "another one than was listed" in str(next(read_open_speech(other.iloc[:1], False)))


def test_a_folder_of_yours_without_a_set_or_with_a_damaged_one_or_with_no_sound(github, tmp_path, monkeypatch):
    put_copies(tmp_path, {"librispeech-subset": FILES["librispeech-subset"]}, monkeypatch)
    with pytest.raises(Unavailable, match=r"there is no .*picovoice-wake-word\.tar.*unset NSLIB_OPEN_SPEECH"):
        read()
    path = tmp_path / "librispeech-subset.tar"
    for damaged in (b"no tar", path.read_bytes()[:-20_000]):
        path.write_bytes(damaged)
        with pytest.raises(Unavailable, match="cut short or damaged"):
            list_open_speech(["librispeech-subset"], "train")
    put_copies(tmp_path, {"librispeech-subset": {"audio_data/librispeech_x/0/0-1-2.wav": b"no sound"}}, monkeypatch)
    _, bad = read(["librispeech-subset"])
    assert len(bad) == 4 and bad[0].startswith("audio_data/librispeech_x/0/0-1-2.wav: ") and "missing" not in bad[0]
