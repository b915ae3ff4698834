"""Small archives in the layouts of the real data sets of NOSS, filled with speech-like sound, for the real builders.

`fabricate` writes what a user would fetch by hand into a manual folder; `registered` makes TensorFlow Datasets take
these files for the registered ones, whose checksums nothing fabricated can have.
"""

import contextlib
import gzip
import hashlib
import io
import itertools
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile
from debs import tar

from nslib.datasets import noss_sources
from nslib.datasets.noss import HUMAN_SOUNDS
from nslib.datasets.splits import split_by_group

CREMA_LOST = ("1040_ITH_SAD_XX", "1006_TIE_NEU_XX", "1013_WSI_DIS_XX", "1017_IWW_FEA_XX")


def speech(seconds: float, rate: int, label: int, speaker: int, take: int) -> np.ndarray:
    """A buzz with syllables in some noise, int16: the speaker sets the pitch, the label timbre and pace."""
    rng = np.random.default_rng([label, speaker, take])
    t = np.arange(round(seconds * rate)) / rate
    turn, voice = np.exp(2j * np.pi * (90 + 17 * (speaker % 9) + rng.normal(0, 2)) * t), np.zeros(len(t), complex)
    for harmonic in range(12, 0, -1):  # Horner's rule: the k-th power turns k times as fast
        voice = (voice + np.exp(-((harmonic - 2 - label % 7) / 2) ** 2) + 0.02) * turn
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * (2.5 + 0.7 * (label % 4)) * t + rng.uniform(0, 6))
    wave = voice.imag * syllables + rng.normal(0, 0.02, len(t))
    return np.round(wave / np.abs(wave).max() * 32767 * rng.uniform(0.3, 0.7)).astype(np.int16)


def encode(samples: np.ndarray, rate: int = 16_000, kind: str = "WAV", subtype: str | None = None) -> bytes:
    """Samples as a file."""
    soundfile.write(buffer := io.BytesIO(), samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def sound(seconds: float, rate: int, label: int, speaker: int, take: int, kind: str = "WAV") -> bytes:
    """Speech as a file."""
    return encode(speech(seconds, rate, label, speaker, take), rate, kind)


def fabricate(manual: Path, names: tuple[str, ...] = ()) -> None:
    """Write the archives of data sets (without names, of all) into a manual folder; every label is in every split."""
    manual.mkdir(parents=True, exist_ok=True)
    for name in names or _WRITERS:
        _WRITERS[name](manual)


@contextlib.contextmanager
def registered(manual: Path) -> Iterator[None]:
    """Have TensorFlow Datasets, and the kit's look at sizes, accept what lies in a manual folder."""
    from tensorflow_datasets.core.download import checksums
    from tensorflow_datasets.core.download.download_manager import DownloadManager

    made, listed = DownloadManager.__init__, noss_sources.list_registered_files

    def init(self, *args, **kwargs):
        made(self, *args, **kwargs)
        there = {path.name for path in manual.iterdir() if path.is_file()}
        for url, info in self._url_infos.items():
            if info.filename in there:
                self._url_infos[url] = checksums.compute_url_info(manual / info.filename)

    def files(name):
        return [replace(file, size=file.manual_path.stat().st_size) if file.manual_path.is_file() else file
                for file in listed(name)]

    with mock.patch.object(DownloadManager, "__init__", init), \
            mock.patch.object(noss_sources, "list_registered_files", files):
        yield


def _voxceleb(manual: Path) -> None:
    lines, files = [], {}
    speakers, videos = enumerate((10001, 10002, 10003, 11251, 10270)), enumerate((1, 1, 2, 3))
    for (label, speaker), (video, group), take in itertools.product(speakers, videos, range(2)):
        name = f"id{speaker}/video{video}_-x/{take + 1:05d}.wav"
        lines.append(f"{group} {name}\n")
        if speaker != 10270:  # of VoxCeleb1's test set: in the list, not in the archive
            files[f"wav/{name}"] = sound(1.1, 16_000, label, label, 10 * video + take)
    zipped(manual / "vox_dev_wav.zip", files)
    (manual / "iden_split.txt").write_text("".join(lines))


def _voxforge(manual: Path) -> None:
    # eleven speakers, the fewest that leave none of the splits empty; each speaks every language
    speakers, listed = enumerate(["anonymous", *(f"user{n}" for n in range(10))]), []
    languages = enumerate(("de", "en", "es", "fr", "it", "ru"))
    for (number, speaker), (label, language) in itertools.product(speakers, languages):
        name = f"{speaker}-20100101-{language}{number}"
        path = f"www.repository.voxforge1.org/downloads/{language}/Trunk/Audio/Main/16kHz_16bit/{name}.tgz"
        listed.append(path + "\n")
        clip = sound(0.6, 16_000, label, number, 0)
        _write(manual / path, gzip.compress(tar({f"{name}/wav/{language}-0000.wav": clip, f"{name}/etc/README": b""})))
    (manual / "voxforge_urls.txt").write_text("".join(listed))


def _speech_commands(manual: Path) -> None:
    main, test, lists = {}, {}, {"validation": [], "testing": []}
    words = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "bed", "cat")
    for (label, word), speaker in itertools.product(enumerate(words), range(5)):
        name = f"{word}/{speaker:08x}_nohash_0.wav"
        main[f"./{name}"] = sound(1.0, 16_000, label, speaker, 0)
        if speaker > 2:
            lists["validation" if speaker == 3 else "testing"].append(name)
        if speaker == 4:
            test[f"./{word if label < 10 else '_unknown_'}/{word}{speaker:08x}_0.wav"] = main[f"./{name}"]
    for seed, noise in enumerate(("running_tap", "white_noise")):
        main[f"./_background_noise_/{noise}.wav"] = sound(3.1, 16_000, 0, seed, 9)
    test["./README.md"] = b"no audio either"
    test["./_silence_/0.wav"] = sound(1.0, 16_000, 0, 9, 9)
    test["./yes/broken.wav"] = b"RIFF but no audio"  # the builder leaves out what cannot be decoded
    for which, names in lists.items():
        main[f"./{which}_list.txt"] = "\n".join(names).encode()
    for name, files in (("", main), ("_test_set", test)):
        _write(manual / f"speech_commands{name}_v0.02.tar.gz", gzip.compress(tar(files), 1))


def _crema_d(manual: Path) -> None:
    """A clone of the repository, and the list of checksums that TensorFlow Datasets registered."""
    from tensorflow_datasets.audio import crema_d

    folder, names, emotions = manual / "CREMA-D" / "AudioWAV", [], ("NEU", "HAP", "SAD", "ANG", "FEA", "DIS")
    # of 31 actors three validate, the fewest that have all labels
    for number, actor in enumerate(_order_by_split([str(n) for n in range(1001, 1032)])):
        labels = number % 6, (number + 3) % 6
        for label, (take, sentence) in itertools.product(labels, enumerate(("IEO", "TIE", "IOM"))):
            names.append(f"{actor}_{sentence}_{emotions[label]}_XX")
            _write(folder / f"{names[-1]}.wav", sound(0.5, 16_000, label, number, take))
    summary = manual / "CREMA-D" / "processedResults" / "summaryTable.csv"
    rows = [f'"","{name}","N"\n' for name in (*names, *CREMA_LOST)]
    _write(summary, ('"","FileName","VoiceVote"\n' + "".join(rows)).encode())
    files = {f"{crema_d.WAV_DATA_URL}{name}.wav": folder / f"{name}.wav" for name in names}
    (manual / "crema_d.txt").write_text("".join(
        f"{url} {path.stat().st_size} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for url, path in {**files, crema_d.SUMMARY_TABLE_URL: summary}.items()))


def _savee(manual: Path) -> None:
    speakers, labels = enumerate(("DC", "JE", "JK", "KL")), enumerate(("a", "d", "f", "h", "n", "sa", "su"))
    files = {f"AudioData/{speaker}/{letter}{take + 1:02d}.wav": sound(0.9, 44_100, label, number, take)
             for (number, speaker), (label, letter), take in itertools.product(speakers, labels, range(2))}
    zipped(manual / "AudioData.zip", {**files, "AudioData/Info.txt": b"fabricated"})


def _dementiabank(manual: Path) -> None:
    for number, person in enumerate(_order_by_split([f"{n:03d}" for n in range(1, 22)])):
        folder = manual / "dementia" / "English" / "Pitt" / ("Control", "Dementia")[number % 2] / "cookie"
        for take in range(2):
            _write(folder / f"{person}-{take}.mp3", sound(1.5, 44_100, number % 2, number, take, "MP3"))


def _order_by_split(people: list[str]) -> list[str]:
    """Those who share a split one after the other, so that labels in turn are in every split."""
    return sorted(sorted(people), key=split_by_group(people, people).get)


def _esc50(manual: Path) -> None:
    root, rows = manual / "ESC-50-master", ["filename,fold,target,category,esc10,src_file,take"]
    for (label, category), fold in itertools.product(enumerate(("dog", *HUMAN_SOUNDS)), range(1, 6)):
        name = f"{fold}-{1000 + 10 * label}-A-{19 + label}.wav"
        rows.append(f"{name},{fold},{19 + label},{category},False,{1000 + label},A")
        _write(root / "audio" / name, sound(1.2, 44_100, label, fold, 0))
    _write(root / "meta" / "esc50.csv", ("\n".join(rows) + "\n").encode())


def _masked(manual: Path) -> None:
    root, rows = manual / "masked-speech", ["file_name,label"]
    for (take, part), number in itertools.product(enumerate(("train", "devel", "test")), range(4)):
        name = f"{part}_{number:05d}.wav"
        rows.append(f"{name},{('clear', 'mask')[number % 2]}")
        _write(root / "wav" / name, sound(1.0, 16_000, number % 2, number, take))
    _write(root / "lab" / "labels.csv", ("\n".join(rows) + "\n").encode())


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    """Write a ZIP archive."""
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    _write(path, buffer.getvalue())
    return path


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


_WRITERS = {"voxceleb": _voxceleb, "voxforge": _voxforge, "speech_commands": _speech_commands, "crema_d": _crema_d,
            "savee": _savee, "dementiabank": _dementiabank, "esc50-human": _esc50, "masked-speech": _masked}
