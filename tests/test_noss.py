"""What the kit says of the data sets of NOSS before anything is prepared, and the two sets that it reads itself."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import noss_archives
import pandas as pd
import pytest
from noss_archives import fabricate, registered, sound

from nslib import audio, corpora, doctor, params, splits, tasks
from nslib.corpora import noss
from nslib.corpora.noss import manual as by_hand
from nslib.corpora.noss import peek, registry, sources, state
from nslib.errors import Unavailable, UnknownName

PAPER = params.load({"profile": "paper"})


@pytest.fixture
def manual(tmp_path, monkeypatch):
    """The manual folder of a machine with nothing on it."""
    monkeypatch.setenv("NSLIB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    folder = params.manual_dir()
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def online(monkeypatch):
    monkeypatch.setenv("NSLIB_OFFLINE", "")


def zipped(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"sound")
    return path


# --- the state of each set ------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "said"), [
    ("voxceleb", ("vox1_dev_wav_parta* > {}/vox_dev_wav.zip", "{}/iden_split.txt", "Register")),
    ("voxforge", ("{}/voxforge_urls.txt", "wget -c -i voxforge_urls.txt -x", "100 GB", "60 GB")),
    ("speech_commands", ("{}/speech_commands_v0.02.tar.gz", "{}/speech_commands_test_set_v0.02.tar.gz")),
    ("crema_d", ("{}/crema_d.txt", "crema-d-mirror.git {}/CREMA-D", "git-lfs")),
    ("savee", ("{}/AudioData.zip", "Register.html")),
    ("dementiabank", ("member", "{}/dementia/English/Pitt/Control/cookie/", "FFmpeg is not needed")),
    ("esc50-human", ("{}/ESC-50-master.zip",)),
    ("masked-speech", ("{}/masked-speech/lab/labels.csv",)),
])
def test_the_steps_name_files_and_folders(manual, name, said):
    found = noss.status(name)  # offline, so nothing can be downloaded either
    assert found.state == "manual"
    for part in said:
        assert part.format(manual) in found.remedy
    assert found.homepage in found.remedy
    assert found.licence == tasks.get(name).licence
    assert found.download_gb > 0 < found.disk_gb


def test_what_the_kit_can_download_it_says(manual, online):
    states = {name: noss.status(name).state for name in noss.NAMES}
    assert {name for name, value in states.items() if value == "download"} == {"speech_commands", "crema_d"}
    assert set(states.values()) == {"download", "manual"}
    assert "2.5 GB" in noss.status("speech_commands").detail


def test_unknown_names_get_the_nearest():
    with pytest.raises(UnknownName, match="savee"):
        noss.status("save")


def test_the_builders_of_the_pinned_versions_exist_and_register_what_the_steps_name(manual):
    import tensorflow_datasets as tfds

    for source in sources.SOURCES.values():
        if source.version:
            cls = tfds.builder_cls(source.name)
            assert str(cls.VERSION) == source.version
            urls = {url for info in (cls.url_infos or {}, tfds.core.download.checksums.get_all_url_infos())
                    for url in info}
            for file in registry.files(source.name):
                assert file.url in urls
                assert file.url in source.steps
                assert str(file.manual()) in source.instructions()


@pytest.mark.parametrize("name", (*noss_archives.ALL, *noss_archives.EXTRA))
def test_archives_are_recognised(manual, name):
    fabricate(manual, (name,))
    with registered(manual):
        found = noss.status(name)
    assert (found.state, found.remedy) == ("archives", "")
    assert found.detail.startswith("found ")


def test_a_file_in_the_manual_folder_that_is_cut_short_is_recognised(manual, online):
    (manual / "speech_commands_v0.02.tar.gz").write_bytes(b"cut short")
    found = noss.status("speech_commands")
    assert found.state == "manual"
    assert "has 9 bytes, 2428923189 are registered" in found.remedy


def test_downloads_that_tensorflow_datasets_has_kept_count(manual):
    kept = registry.downloads("speech_commands")
    kept.mkdir(parents=True)
    for number, file in enumerate(registry.files("speech_commands")):
        (kept / f"{number}.tar.gz.INFO").write_text(f'{{"urls": ["{file.url}"]}}')
    assert noss.status("speech_commands").state == "archives"


# --- wrong archives ---------------------------------------------------------------------------------------


def test_voxceleb_under_its_official_name_is_to_be_renamed(manual):
    zipped(manual / "vox1_dev_wav.zip", "wav/id10001/a/00001.wav")
    found = noss.status("voxceleb")
    assert found.detail == "found vox1_dev_wav.zip, which cannot be used as it is"
    assert found.remedy.startswith("Rename vox1_dev_wav.zip to vox_dev_wav.zip: mv ")


def test_voxceleb_in_parts_is_to_be_joined(manual):
    for part in ("aa", "ab", "ad"):
        (manual / f"vox1_dev_wav_part{part}").write_bytes(b"x")
    remedy = noss.status("voxceleb").remedy
    assert remedy.startswith(f"Download the missing parts (ac). Join the four: cat {manual}/vox1_dev_wav_parta* > ")


def spoil(path: Path, how: str) -> None:
    data = path.read_bytes()
    path.write_bytes({"cut": data[:-40], "short": data[len(data) // 3:], "empty": b"", "text": b"<html>" * 99}[how])


@pytest.mark.parametrize("how", ["cut", "short", "empty", "text"])
def test_an_archive_that_is_not_whole_is_recognised(manual, how):
    path = zipped(manual / "AudioData.zip", *(f"AudioData/{s}/a01.wav" for s in ("DC", "JE", "JK", "KL")))
    assert by_hand.look("savee").complete
    spoil(path, how)
    found = noss.status("savee")
    assert found.state == "manual"
    assert "It cannot be used: it is" in found.remedy
    assert "Register.html" in found.remedy
    with pytest.raises(Unavailable, match=r"AudioData.zip"):
        corpora.load_clips(tasks.get("savee"), PAPER, progress=False)


@pytest.mark.parametrize(("name", "file", "inside", "said"), [
    ("savee", "AudioData.zip", "ALL/DC_a01.wav", "with ALL/DC_a01.wav in it"),
    ("savee", "AudioData.zip", "AudioData/DC/a01.wav", "The folders JE, JK, KL are not in it"),
    ("savee", "savee.zip", "AudioData/DC/a01.wav", "Rename savee.zip to AudioData.zip"),
    ("voxceleb", "vox_dev_wav.zip", "id10001/a/00001.wav", "must be wav/id10001/.../00001.wav"),
    ("voxceleb", "vox1_test_wav.zip", "wav/id10270/a/00001.wav", "That is the other archive"),
    ("esc50-human", "master.zip", "ESC-50-master/audio/1.wav", "Rename master.zip to ESC-50-master.zip"),
])
def test_another_archive_is_told_apart(manual, name, file, inside, said):
    zipped(manual / file, inside)
    found = noss.status(name)
    assert found.state == "manual"
    assert said in found.detail + found.remedy


@pytest.mark.parametrize(("name", "folder", "said"), [
    ("voxceleb", "wav/id10001", "zip -0 -q -r vox_dev_wav.zip wav"),
    ("savee", "AudioData/DC", "zip -q -r AudioData.zip AudioData"),
    ("dementiabank", "Pitt/Control/cookie", "It must lie in {}/dementia/English/Pitt"),
    ("dementiabank", "dementia/English/Pitt/Control/cookie", ""),
    ("voxforge", "www.repository.voxforge1.org", "Put the list beside it, as {}/voxforge_urls.txt"),
    ("crema_d", "CREMA-D/AudioWAV", "clone the mirror again"),
    ("esc50-human", "ESC-50-master", "meta/esc50.csv is missing"),
    ("masked-speech", "ComParE2020_Mask", "Its content belongs into {}/masked-speech"),
    ("masked-speech", "masked-speech", "lab/labels.csv is missing"),
])
def test_unpacked_and_misplaced_folders_are_recognised(manual, name, folder, said):
    (manual / folder).mkdir(parents=True)
    found = noss.status(name)
    assert found.state == "manual"
    assert said.format(manual) in found.remedy


def test_voxforge_says_which_archives_are_missing(manual):
    fabricate(manual, ("voxforge",))
    victim = next(manual.rglob("user3-*.tgz"))
    victim.unlink()
    with registered(manual):
        found = noss.status("voxforge")
    assert "65 of its 66 archives" in found.detail
    assert f"the first is {victim.relative_to(manual)}" in found.remedy


def test_dementiabank_names_what_does_not_belong_there(manual):
    pitt = manual / "dementia" / "English" / "Pitt"
    for kind, name in (("Control", "001-0.wav"), ("Dementia", "002-0.mp3")):
        (pitt / kind / "cookie").mkdir(parents=True)
        (pitt / kind / "cookie" / name).write_bytes(b"x")
    assert "What is there ends in .wav" in noss.status("dementiabank").remedy
    (pitt / "Control" / "cookie" / "003-0-copy.mp3").write_bytes(b"x")
    assert "003-0-copy.mp3" in noss.status("dementiabank").remedy


def test_git_lfs_pointers_are_no_sound(manual):
    clone = manual / "CREMA-D"
    for path in (clone / "AudioWAV" / "1001_IEO_NEU_XX.wav", clone / "processedResults" / "summaryTable.csv"):
        path.parent.mkdir(parents=True)
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert f"cd {clone} && git lfs pull" in noss.status("crema_d").remedy


# --- fast -----------------------------------------------------------------------------------------------------


def test_a_large_archive_is_looked_into_at_once(manual, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 100)  # the format for more members than the old one counts
    path = zipped(manual / "vox_dev_wav.zip", *(f"wav/id1{n % 100:04d}/video/{n:05d}.wav" for n in range(9_000)))
    data = path.read_bytes()
    assert data[-98:-94] == b"PK\x06\x06"
    path.write_bytes(data[:-12] + b"\xff" * 8 + data[-4:-2] + b"\x00\x00")  # size and place only in the new record
    assert by_hand.look("voxceleb").complete
    assert 2_000 < len(peek.names(path)) < 9_000
    with path.open("r+b") as file:
        file.truncate(30_000_000_000)  # sparse: 30 GB of nothing behind it
    began = time.perf_counter()
    assert "it is cut short" in noss.status("voxceleb").remedy
    assert time.perf_counter() - began < 0.5


def test_names_come_as_they_are_in_the_archive(tmp_path):
    names = ["a/", "a/ü.wav", *(f"a/{n}.wav" for n in range(50))]
    path = zipped(tmp_path / "x.zip", *names)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"PK\x05\x06 in a comment, which is long enough to look like the last record"
    assert peek.names(path) == names
    assert peek.names(zipped(tmp_path / "none.zip")) == []


def test_parts_joined_in_the_wrong_order_are_noticed(tmp_path):
    path = zipped(tmp_path / "x.zip", *(f"a/{n}.wav" for n in range(500)))
    data = path.read_bytes()
    third = len(data) // 3
    for wrong in (data[third:2 * third] + data[:third] + data[2 * third:], data[2 * third:] + data[:2 * third]):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"cut short|joined"):
            peek.names(path)


def test_status_imports_nothing_heavy(manual):
    code = ("import sys; from nslib.corpora import noss; [noss.status(n) for n in noss.NAMES];"
            "print(sorted({'tensorflow', 'tensorflow_datasets', 'pandas', 'apache_beam'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=params.root())
    assert done.stdout.strip() == "[]"


# --- the run's plan, and the doctor --------------------------------------------------------------------------


def test_a_run_without_data_says_for_each_task_what_to_do(manual):
    began = time.perf_counter()
    plan = corpora.resolve(PAPER, progress=False)
    assert time.perf_counter() - began < 1
    assert plan.tasks == ()
    assert [name for name, _ in plan.not_run] == list(noss_archives.ALL)
    assert all(str(manual) in error.remedy and error.why for _, error in plan.not_run)
    assert not any("synthetic" in note for note in plan.notes)


def test_without_tensorflow_datasets_the_kit_is_to_be_installed_again(manual, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert (noss.status("savee").state, noss.status("savee").remedy) == ("manual", "make setup")


def test_tasks_that_can_be_downloaded_stay_in_the_plan(manual, online):
    plan = corpora.resolve(PAPER, progress=False)
    assert [task.name for task in plan.tasks] == ["speech_commands", "crema_d"]
    fabricate(manual, ("savee",))
    plan = corpora.resolve(params.load({"tasks": "savee,masked-speech"}), progress=False)
    assert [task.name for task in plan.tasks] == ["savee"]
    assert [name for name, _ in plan.not_run] == ["masked-speech"]


def test_the_doctor_shows_every_set(manual):
    fabricate(manual, ("masked-speech",))
    found = {finding.what: finding for finding in doctor.data_findings(PAPER)}
    assert list(found) == list(noss.NAMES)
    assert (found["masked-speech"].state, found["savee"].state) == ("ok", "no")
    assert found["esc50-human"].detail.startswith("optional; ")
    assert str(manual / "AudioData.zip") in doctor.text([found["savee"]])
    assert [f.what for f in doctor.data_findings(params.load({"profile": "paper", "tasks": "savee"}))] == ["savee"]


# --- ESC-50 and masked speech ------------------------------------------------------------------------------------


def load(name: str, settings: params.Params = PAPER) -> corpora.Corpus:
    return corpora.load_clips(tasks.get(name), settings, progress=False)


def test_esc50_has_ten_human_sounds_split_by_fold(manual):
    fabricate(manual, ("esc50-human",))
    corpus = load("esc50-human")
    table = corpus.clips
    assert set(table["label"]) == set(noss_archives.ESC_HUMAN)
    assert len(table) == 50
    of_fold = table["clip_id"].str.extract(r"/(\d)-")[0].map({"4": "validation", "5": "test"}).fillna("train")
    assert table["split"].tolist() == of_fold.tolist()
    assert (set(table["speaker"]), set(table["sample_rate"])) == ({""}, {44_100})
    assert table["seconds"].to_numpy() == pytest.approx(1.2, abs=1e-4)
    assert splits.audit(table).problems == ()
    for clip in table.head(3).itertuples():
        assert audio.sha256(audio.read(clip.audio).wave) == clip.sha256


def test_esc50_is_the_same_from_the_archive_and_needs_neither_afterwards(manual, monkeypatch, tmp_path):
    fabricate(manual, ("esc50-human",))
    first = load("esc50-human")
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "other"))
    shutil.make_archive(str(manual / "ESC-50-master"), "zip", manual, "ESC-50-master")
    shutil.rmtree(manual / "ESC-50-master")
    assert noss.status("esc50-human").detail.startswith("found ESC-50-master.zip")
    second = load("esc50-human")
    pd.testing.assert_frame_equal(first.clips.drop(columns="audio"), second.clips.drop(columns="audio"))
    (manual / "ESC-50-master.zip").unlink()
    pd.testing.assert_frame_equal(load("esc50-human").clips, second.clips)
    assert noss.status("esc50-human").state == "ready"


def test_masked_speech_is_read_as_released(manual):
    fabricate(manual, ("masked-speech",))
    table = load("masked-speech").clips
    assert table.groupby("split")["label"].value_counts().to_dict() == {
        pair: 2 for pair in itertools.product(("test", "train", "validation"), ("clear", "mask"))}
    for part in ("train", "devel", "test"):  # folders instead of wav
        (manual / "masked-speech" / part).mkdir()
        for path in (manual / "masked-speech" / "wav").glob(f"{part}_*.wav"):
            path.rename(manual / "masked-speech" / part / path.name)
    again = load("masked-speech")
    assert set(again.clips["sha256"]) == set(table["sha256"])


def test_a_test_without_labels_is_asked_for(manual):
    fabricate(manual, ("masked-speech",))
    labels = manual / "masked-speech" / "lab" / "labels.csv"
    rows = [row if not row.startswith("test") else row.rpartition(",")[0] + ",?"
            for row in labels.read_text().splitlines()]
    labels.write_text("\n".join(rows))
    with pytest.raises(Unavailable, match="no labelled clip is in test") as error:
        load("masked-speech")
    assert "ask for them too" in error.value.remedy


@pytest.mark.parametrize("spoilt", ["labels", "column", "name"])
def test_a_list_that_cannot_be_read_is_said(manual, spoilt):
    fabricate(manual, ("masked-speech",))
    labels = manual / "masked-speech" / "lab" / "labels.csv"
    text = labels.read_text()
    labels.write_bytes({"labels": b"\xff\xfe\x00", "column": text.replace("file_name", "file").encode(),
                        "name": text.replace("devel_00001", "dev_00001").encode()}[spoilt])
    with pytest.raises(Unavailable, match=r"data set masked-speech is not available: it cannot be read"):
        load("masked-speech")


def test_clips_that_are_missing_or_broken_are_problems_and_the_rest_is_used(manual):
    fabricate(manual, ("masked-speech",))
    wav = manual / "masked-speech" / "wav"
    (wav / "train_00000.wav").unlink()
    (wav / "train_00001.wav").write_bytes(b"RIFF but no audio")
    (wav / "train_00002.wav").write_bytes(sound(0.5, 44_100, 0, 0, 0))
    corpus = load("masked-speech")
    assert corpus.problems["clip_id"].tolist() == ["masked-speech/train_00000", "masked-speech/train_00001"]
    assert corpus.problems["reason"].str.len().min() > 5
    assert len(corpus.clips) == 10
    assert corpus.clips.set_index("clip_id").loc["masked-speech/train_00002", "sample_rate"] == 44_100
    assert any("2 of 12 clips cannot be used" in note for note in corpus.notes)


def test_without_its_folder_a_set_says_the_steps(manual):
    with pytest.raises(Unavailable) as error:
        load("esc50-human")
    assert error.value.remedy == state.steps(sources.get("esc50-human"))
