"""What the kit says of the data sets of NOSS before anything is prepared."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from pathlib import Path

import noss_archives
import pytest
from noss_archives import fabricate

from nslib import config
from nslib.datasets import loading, noss_sources, tasks
from nslib.datasets.noss_sources import SOURCES, get_status
from nslib.errors import Unavailable, UnknownName
from nslib.report import doctor

PAPER = config.load_params({"profile": "paper"})
ACTORS = ("DC", "JE", "JK", "KL")


@pytest.fixture
def manual(tmp_path, monkeypatch):
    """The manual folder of a machine with nothing on it."""
    monkeypatch.setenv("NSLIB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    folder = config.manual_dir()
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
    status = get_status(name)  # offline, so nothing can be downloaded either
    assert status.state == "manual"
    for part in (*said, status.homepage, status.licence):
        assert part.format(manual) in status.remedy
    assert status.licence == tasks.get_task(name).licence
    assert status.download_gb > 0 < status.disk_gb


def test_what_the_kit_can_download_it_says_and_plans(manual, online):
    states = {name: get_status(name).state for name in SOURCES}
    assert {name for name, state in states.items() if state == "download"} == {"speech_commands", "crema_d"}
    assert set(states.values()) == {"download", "manual"}
    assert "2.5 GB" in get_status("speech_commands").detail
    plan = loading.resolve_tasks(PAPER, progress=False)
    assert [task.name for task in plan.tasks] == ["speech_commands", "crema_d"]
    fabricate(manual, ("savee",))
    plan = loading.resolve_tasks(config.load_params({"tasks": "savee,masked-speech"}), progress=False)
    assert [task.name for task in plan.tasks] == ["savee"]
    assert [name for name, _ in plan.not_run] == ["masked-speech"]


def test_unknown_names_get_the_nearest():
    with pytest.raises(UnknownName, match="savee"):
        get_status("save")


def test_the_builders_of_the_pinned_versions_exist_and_register_what_the_steps_name(manual):
    import tensorflow_datasets as tfds

    for source in SOURCES.values():
        if source.version:
            cls = tfds.builder_cls(source.name)
            assert str(cls.VERSION) == source.version
            urls = {*(cls.url_infos or {}), *tfds.core.download.checksums.get_all_url_infos()}
            for file in noss_sources.list_registered_files(source.name):
                assert file.url in urls and file.url in source.steps
                assert str(file.manual_path) in source.instructions()


def test_a_file_in_the_manual_folder_that_is_cut_short_is_recognised(manual, online):
    (manual / "speech_commands_v0.02.tar.gz").write_bytes(b"cut short")
    status = get_status("speech_commands")
    assert status.state == "manual" and "has 9 bytes, 2428923189 are registered" in status.remedy


def test_downloads_that_tensorflow_datasets_has_kept_count(manual):
    kept = noss_sources.downloads_dir("speech_commands")
    kept.mkdir(parents=True)
    for number, file in enumerate(noss_sources.list_registered_files("speech_commands")):
        (kept / f"{number}.tar.gz.INFO").write_text(f'{{"urls": ["{file.url}"]}}')
    assert get_status("speech_commands").state == "archives"


# --- wrong archives -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cut", "short", "wrong order", "empty", "text"])
def test_an_archive_that_is_not_whole_is_recognised(manual, how):
    path = zipped(manual / "AudioData.zip", *(f"AudioData/{s}/a{n:02d}.wav" for s in ACTORS for n in range(30)))
    data = path.read_bytes()
    assert get_status("savee").state == "archives"
    third = len(data) // 3
    path.write_bytes({"cut": data[:-40], "short": data[third:], "empty": b"", "text": b"<html>" * 99,
                      "wrong order": data[2 * third:] + data[:2 * third]}[how])
    status = get_status("savee")
    assert status.state == "manual"
    assert "It cannot be used: it is" in status.remedy and "Register.html" in status.remedy
    with pytest.raises(Unavailable, match=r"AudioData.zip"):
        loading.load_clips(tasks.get_task("savee"), PAPER, progress=False)


def test_a_large_archive_is_looked_into_at_once(manual):
    path = zipped(manual / "vox_dev_wav.zip", *(f"wav/id1{n % 100:04d}/video/{n:05d}.wav" for n in range(3_000)))
    assert noss_sources.inspect_manual_files("voxceleb").complete
    with path.open("r+b") as file:
        file.truncate(30_000_000_000)  # sparse: 30 GB of nothing behind it
    began = time.perf_counter()
    assert "cut short" in get_status("voxceleb").remedy
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize(("name", "file", "inside", "said"), [
    ("savee", "AudioData.zip", "ALL/DC_a01.wav", "with ALL/DC_a01.wav in it"),
    ("savee", "AudioData.zip", "AudioData/DC/a01.wav", "The folders JE, JK, KL are not in it"),
    ("savee", "savee.zip", "AudioData/DC/a01.wav", "Rename savee.zip to AudioData.zip"),
    ("voxceleb", "vox_dev_wav.zip", "id10001/a/00001.wav", "must be wav/id10001/.../00001.wav"),
    ("voxceleb", "vox1_dev_wav.zip", "wav/id10001/a/1.wav", "Rename vox1_dev_wav.zip to vox_dev_wav.zip: mv {}/vox1"),
    ("voxceleb", "vox1_dev_wav_partab", "x", "missing parts (aa, ac, ad). Join the four: cat {}/vox1_dev"),
    ("voxceleb", "vox1_test_wav.zip", "wav/id10270/a/00001.wav", "That is the other archive"),
    ("esc50-human", "master.zip", "ESC-50-master/audio/1.wav", "Rename master.zip to ESC-50-master.zip"),
    ("dementiabank", "dementia/English/Pitt/Control/cookie/001-0.wav", "x", "What is there ends in .wav"),
    ("dementiabank", "dementia/English/Pitt/Control/cookie/003-0-copy.mp3", "x", "elsewhere: 003-0-copy.mp3"),
])
def test_another_archive_or_file_is_told_apart(manual, name, file, inside, said):
    (manual / file).parent.mkdir(parents=True, exist_ok=True)
    zipped(manual / file, inside)
    status = get_status(name)
    assert status.state == "manual"
    assert said.format(manual) in status.detail + status.remedy


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
    status = get_status(name)
    assert status.state == "manual" and said.format(manual) in status.remedy


def test_voxforge_says_which_archives_are_missing(manual):
    listed = [f"www.repository.voxforge1.org/downloads/en/{name}.tgz" for name in "ab"]
    (manual / "voxforge_urls.txt").write_text("\n".join(listed))
    (manual / listed[0]).parent.mkdir(parents=True)
    (manual / listed[0]).write_bytes(b"x")
    manual_files = noss_sources._inspect_voxforge(manual)
    assert "1 of its 2 archives" in manual_files.description
    assert f"the first is {listed[1]}" in manual_files.advice
    (manual / listed[1]).write_bytes(b"xy")
    assert noss_sources._inspect_voxforge(manual) == noss_sources.ManualFiles(
        "voxforge_urls.txt and 2 of its 2 archives", complete=True, size=3)


def test_git_lfs_pointers_are_no_sound(manual):
    clone = manual / "CREMA-D"
    for path in (clone / "AudioWAV" / "1001_IEO_NEU_XX.wav", clone / "processedResults" / "summaryTable.csv"):
        path.parent.mkdir(parents=True)
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert f"cd {clone} && git lfs pull" in get_status("crema_d").remedy


# --- around it ----------------------------------------------------------------------------------


def test_status_imports_nothing_heavy(manual):
    code = ("import sys; from nslib.datasets.noss_sources import SOURCES, get_status; [get_status(n) for n in SOURCES];"
            "print(sorted({'tensorflow', 'tensorflow_datasets', 'pandas'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=config.root())
    assert done.stdout.strip() == "[]"


def test_without_tensorflow_datasets_the_kit_is_to_be_installed_again(manual, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert (get_status("savee").state, get_status("savee").remedy) == ("manual", "make setup")


def test_a_run_without_data_says_for_each_task_what_to_do(manual):
    plan = loading.resolve_tasks(PAPER, progress=False)
    assert (plan.tasks, [name for name, _ in plan.not_run]) == ((), list(noss_archives.ALL))
    assert all(str(manual) in error.remedy and error.why for _, error in plan.not_run)
    assert not any("synthetic" in note for note in plan.notes)


def test_the_doctor_shows_every_set(manual):
    fabricate(manual, ("masked-speech",))
    found = {finding.what: finding for finding in doctor.examine_data(PAPER)}
    assert list(found) == list(SOURCES)
    assert (found["masked-speech"].state, found["savee"].state) == ("ok", "no")
    assert found["esc50-human"].detail.startswith("optional; ")
    assert str(manual / "AudioData.zip") in doctor.format_findings([found["savee"]])
    assert [f.what for f in doctor.examine_data(config.load_params({"profile": "paper", "tasks": "savee"}))] == ["savee"]
