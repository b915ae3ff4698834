"""What the kit says of the data sets of NOSS before anything is prepared."""

from __future__ import annotations

import subprocess
import sys

import noss_archives
import pytest
from noss_archives import fabricate, zipped

from nslib import config
from nslib.datasets import loading, noss_sources, tasks
from nslib.datasets.noss_sources import SOURCES, get_status
from nslib.errors import Unavailable, UnknownName
from nslib.report import doctor

PAPER = config.load_params({"profile": "paper"})


@pytest.fixture
def manual(tmp_path, monkeypatch):
    """The manual folder of a machine with nothing on it."""
    monkeypatch.setenv("NSLIB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    config.manual_dir().mkdir(parents=True)
    return config.manual_dir()


def test_what_the_kit_can_download_it_says_and_plans(manual, monkeypatch):
    plan = loading.resolve_tasks(PAPER, progress=False)
    assert (plan.tasks, [name for name, _ in plan.not_run]) == ((), list(noss_archives.ALL))
    assert all(str(manual) in error.remedy and error.why for _, error in plan.not_run)
    assert not any("synthetic" in note for note in plan.notes)
    monkeypatch.setenv("NSLIB_OFFLINE", "")
    states = {name: get_status(name).state for name in SOURCES}
    assert states == dict.fromkeys(SOURCES, "manual") | dict.fromkeys(("speech_commands", "crema_d"), "download")
    assert "2.5 GB" in get_status("speech_commands").detail
    plan = loading.resolve_tasks(PAPER, progress=False)
    assert [task.name for task in plan.tasks] == ["speech_commands", "crema_d"]
    fabricate(manual, ("savee",))
    plan = loading.resolve_tasks(config.load_params({"tasks": "savee,masked-speech"}), progress=False)
    assert ([task.name for task in plan.tasks], [name for name, _ in plan.not_run]) == (["savee"], ["masked-speech"])
    with pytest.raises(UnknownName, match="savee"):
        get_status("save")


def test_the_builders_of_the_pinned_versions_exist_and_register_what_the_steps_name(manual):
    import tensorflow_datasets as tfds

    for source in filter(lambda source: source.version, SOURCES.values()):
        cls = tfds.builder_cls(source.name)
        assert str(cls.VERSION) == source.version
        urls = {*(cls.url_infos or {}), *tfds.core.download.checksums.get_all_url_infos()}
        for file in noss_sources.list_registered_files(source.name):
            assert file.url in urls and file.url in source.steps and str(file.manual_path) in source.instructions()


def test_downloads_that_tensorflow_datasets_has_count_and_a_file_that_is_cut_short_does_not(manual):
    downloads = noss_sources.downloads_dir("speech_commands")
    downloads.mkdir(parents=True)
    for number, file in enumerate(noss_sources.list_registered_files("speech_commands")):
        (downloads / f"{number}.tar.gz.INFO").write_text(f'{{"urls": ["{file.url}"]}}')
    assert get_status("speech_commands").state == "archives"
    (manual / "speech_commands_v0.02.tar.gz").write_bytes(b"cut short")
    assert get_status("speech_commands").state == "manual"
    assert "has 9 bytes, 2428923189 are registered" in get_status("speech_commands").remedy


@pytest.mark.parametrize("how", ["cut", "short", "wrong order", "empty", "text"])
def test_an_archive_that_is_not_whole_is_recognised(manual, how):
    names = [f"AudioData/{speaker}/a{n:02d}.wav" for speaker in ("DC", "JE", "JK", "KL") for n in range(30)]
    path = zipped(manual / "AudioData.zip", dict.fromkeys(names, b"sound"))
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


@pytest.mark.parametrize(("name", "file", "inside", "advice"), [
    ("savee", "AudioData.zip", "ALL/DC_a01.wav", "with ALL/DC_a01.wav in it"),
    ("savee", "AudioData.zip", "AudioData/DC/a01.wav", "The folders JE, JK, KL are not in it"),
    ("savee", "savee.zip", "AudioData/DC/a01.wav", "Rename savee.zip to AudioData.zip"),
    ("savee", "AudioData/DC", "", "zip -q -r AudioData.zip AudioData"),
    ("voxceleb", "vox_dev_wav.zip", "id10001/a/00001.wav", "must be wav/id10001/.../00001.wav"),
    ("voxceleb", "vox1_dev_wav.zip", "wav/id10001/a/1.wav", "Rename vox1_dev_wav.zip to vox_dev_wav.zip: mv {}/vox1"),
    ("voxceleb", "vox1_dev_wav_partab", "x", "missing parts (aa, ac, ad). Join the four: cat {}/vox1_dev"),
    ("voxceleb", "vox1_test_wav.zip", "wav/id10270/a/00001.wav", "That is the other archive"),
    ("voxceleb", "wav/id10001", "", "zip -0 -q -r vox_dev_wav.zip wav"),
    ("esc50-human", "master.zip", "ESC-50-master/audio/1.wav", "Rename master.zip to ESC-50-master.zip"),
    ("esc50-human", "ESC-50-master", "", "meta/esc50.csv is missing"),
    ("dementiabank", "dementia/English/Pitt/Control/cookie/001-0.wav", "x", "What is there ends in .wav"),
    ("dementiabank", "dementia/English/Pitt/Control/cookie/003-0-copy.mp3", "x", "elsewhere: 003-0-copy.mp3"),
    ("dementiabank", "Pitt/Control/cookie", "", "It must lie in {}/dementia/English/Pitt"),
    ("voxforge", "www.repository.voxforge1.org", "", "Put the list beside it, as {}/voxforge_urls.txt"),
    ("crema_d", "CREMA-D/AudioWAV", "", "clone the mirror again"),
    ("masked-speech", "ComParE2020_Mask", "", "Its content belongs into {}/masked-speech"),
    ("masked-speech", "masked-speech", "", "lab/labels.csv is missing")])
def test_another_archive_and_misplaced_files_and_folders_are_told_apart(manual, name, file, inside, advice):
    if inside:
        zipped(manual / file, {inside: b"sound"})
    else:
        (manual / file).mkdir(parents=True)
    status = get_status(name)
    assert status.state == "manual" and advice.format(manual) in status.detail + status.remedy


def test_git_lfs_pointers_are_no_sound(manual):
    clone = manual / "CREMA-D"
    for path in (clone / "AudioWAV" / "1001_IEO_NEU_XX.wav", clone / "processedResults" / "summaryTable.csv"):
        config.write_file(path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert f"cd {clone} && git lfs pull" in get_status("crema_d").remedy


def test_status_imports_nothing_heavy_and_says_what_is_not_installed(manual, monkeypatch):
    code = ("import sys; from nslib.datasets.noss_sources import SOURCES, get_status; [get_status(n) for n in SOURCES];"
            "print(sorted({'tensorflow', 'tensorflow_datasets', 'pandas'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=config.root())
    assert done.stdout.strip() == "[]"
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert (get_status("savee").state, get_status("savee").remedy) == ("manual", "make setup")


def test_the_doctor_shows_every_set(manual):
    fabricate(manual, ("masked-speech",))
    findings = {finding.what: finding for finding in doctor.examine_data(PAPER)}
    assert list(findings) == list(SOURCES)
    assert (findings["masked-speech"].state, findings["savee"].state) == ("ok", "no")
    assert findings["esc50-human"].detail.startswith("optional; ")
    assert str(manual / "AudioData.zip") in doctor.format_findings([findings["savee"]])
    params = config.load_params({"profile": "paper", "tasks": "savee"})
    assert [finding.what for finding in doctor.examine_data(params)] == ["savee"]
