"""The data sets of NOSS and the two that FRILL added: what is known of each, what to do by hand, where each stands.

To tell where one stands, nothing heavy is imported, and nothing is fetched or unpacked. GB are 10^9 bytes, rounded, of
the whole data set. What is fetched by hand lies in the manual folder (`config.manual_dir`); a file there whose name
TensorFlow Datasets' own list of checksums knows is used instead of a download.

Versions, names and layouts: the builders of TensorFlow Datasets 4.9.10. Sizes: its catalogue where it gives one
(voxceleb 107.98 GiB, crema_d 1.65 GiB, dementiabank 17.71 GiB, savee 259 MiB), else computed from hours of speech: its
TFRecord files hold a sample as a varint, about 3 times its 16 bits. ESC-50: github.com/karolpiczak/ESC-50. Masked
speech: the release of the ComParE 2020 challenge.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nslib import config
from nslib.datasets.table import read_list
from nslib.datasets.tasks import get_task
from nslib.errors import refuse_unknown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare_facts", "get_status"]

REHEARSED_GB = 3.0  # of TensorFlow Datasets' files: what can be prepared, and read through, in two minutes

DIFFERS = "It is not the data set as it is known:"
_MOST_FACTS = 5  # named in a sentence


@dataclass(frozen=True)
class Source:
    """One data set; a size that is 0 is not needed."""

    name: str  # as the task is called, and as TensorFlow Datasets calls it
    homepage: str
    steps: str  # by hand; {manual} stands for the manual folder, {quoted} for it in a command
    version: str = ""  # of its TensorFlow Datasets builder; empty if the kit reads the data set itself
    archive: str = ""  # the file in the manual folder that TensorFlow Datasets unpacks, if there is one
    download_gb: float = 0.0
    unpacked_gb: float = 0.0  # what TensorFlow Datasets unpacks for the time of preparing
    prepared_gb: float = 0.0  # its TFRecord files
    clips_gb: float = 0.0  # the kit's clips, 16 kHz WAV
    by_hand: bool = True  # whether something must be done by hand, whatever the network

    @property
    def disk_gb(self) -> float:
        """What remains on disk, beside the archives: the TFRecord files and the clips."""
        return self.prepared_gb + self.clips_gb

    @property
    def prepared_dir(self) -> Path:
        """Where TensorFlow Datasets keeps the version that the kit uses, if it is prepared."""
        return config.tfds_dir() / self.name / self.version

    @property
    def is_prepared(self) -> bool:
        """Whether TensorFlow Datasets has finished it; its last step writes this file."""
        return bool(self.version) and (self.prepared_dir / "dataset_info.json").is_file()

    @property
    def clip_table(self) -> Path:
        """Where the list of its clips is once all of them are made."""
        return config.cache_dir("corpora") / f"noss-{self.name}" / "clips.parquet"

    def instructions(self) -> str:
        """Numbered steps by hand, one a line, with the folders of this machine."""
        return self.steps.format(manual=config.manual_dir(), quoted=_quote(config.manual_dir()))

    def remedy(self) -> str:
        """The steps by hand, and how to go on then."""
        return (f"{self.instructions()}\nThen run the same command again. Licence: {get_task(self.name).licence}. "
                f"{self.homepage}")


_TO_FETCH = "Downloaded when it is first needed. Where there is no network:\n"

_SOURCES = (
    Source(
        "voxceleb", "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html", version="1.2.1",
        archive="vox_dev_wav.zip", download_gb=33, unpacked_gb=39, prepared_gb=116, clips_gb=39,
        steps="1. Register at https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html and download the four parts of "
              "the audio of VoxCeleb1's development set, vox1_dev_wav_partaa to vox1_dev_wav_partad.\n"
              "2. Join them under the name that TensorFlow Datasets looks for, vox_dev_wav.zip (the project calls "
              "the joined file vox1_dev_wav.zip; its MD5 is ae63e55b951748cc486645f532ba230b):\n"
              "   cat vox1_dev_wav_parta* > {quoted}/vox_dev_wav.zip\n"
              "3. The list of splits is downloaded when it is needed. Where there is no network, save "
              "http://www.robots.ox.ac.uk/~vgg/data/voxceleb/meta/iden_split.txt as {manual}/iden_split.txt"),
    Source(
        "voxforge", "http://www.voxforge.org", version="1.0.0", download_gb=25, prepared_gb=97, clips_gb=33,
        steps="1. Save the list of archives, "
              "https://storage.googleapis.com/tfds-data/downloads/voxforge/voxforge_urls.txt, as "
              "{manual}/voxforge_urls.txt\n"
              "2. Download every archive of the list (TensorFlow Datasets says: about 100 GB are needed while "
              "preparing, 60 GB stay):\n"
              "   cd {quoted} && wget -c -i voxforge_urls.txt -x\n"
              "   They must come to lie in {manual}/www.repository.voxforge1.org/downloads/"),
    Source(
        "speech_commands", "https://arxiv.org/abs/1804.03209", version="0.0.3", by_hand=False,
        download_gb=2.5, prepared_gb=9, clips_gb=3.2,
        steps=_TO_FETCH + "1. Save http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz as "
              "{manual}/speech_commands_v0.02.tar.gz\n"
              "2. Save http://download.tensorflow.org/data/speech_commands_test_set_v0.02.tar.gz as "
              "{manual}/speech_commands_test_set_v0.02.tar.gz"),
    Source(
        "crema_d", "https://github.com/CheyneyComputerScience/CREMA-D", version="1.0.0", by_hand=False,
        download_gb=0.6, prepared_gb=1.8, clips_gb=0.6,
        steps=_TO_FETCH.replace("Downloaded", "Downloaded clip by clip (7,438 requests)").replace(
            "no network", "no network, or GitHub has no more quota for it") +
              "1. Save https://storage.googleapis.com/tfds-data/manual_checksums/crema_d.txt as "
              "{manual}/crema_d.txt\n"
              "2. With git and git-lfs, clone the project's mirror into the folder CREMA-D:\n"
              "   git clone https://gitlab.com/cs-cooper-lab/crema-d-mirror.git {quoted}/CREMA-D\n"
              "   The kit checks each clip of CREMA-D/AudioWAV against that list, and "
              "CREMA-D/processedResults/summaryTable.csv too."),
    Source(
        "savee", "http://kahlan.eps.surrey.ac.uk/savee/", version="1.0.0", archive="AudioData.zip",
        download_gb=0.1, unpacked_gb=0.2, prepared_gb=0.3, clips_gb=0.06,
        steps="1. Register at http://personal.ee.surrey.ac.uk/Personal/P.Jackson/SAVEE/Register.html; the address "
              "of the download comes by e-mail.\n"
              "2. Take Data/Zip/AudioData.zip of the download and put it, as it is, into {manual}/AudioData.zip "
              "(inside it: AudioData/DC, AudioData/JE, AudioData/JK, AudioData/KL)"),
    Source(
        "dementiabank", "https://dementia.talkbank.org", version="1.0.0", download_gb=1, prepared_gb=19, clips_gb=2.3,
        steps="1. Become a member of DementiaBank: https://dementia.talkbank.org\n"
              "2. From https://media.talkbank.org/dementia/English/Pitt/ download the MP3 files of Control/cookie and "
              "of Dementia/cookie.\n"
              "3. Put them into {manual}/dementia/English/Pitt/Control/cookie/ and "
              "{manual}/dementia/English/Pitt/Dementia/cookie/, with names as they are (NNN-N.mp3: participant, "
              "hyphen, visit). FFmpeg is not needed: the kit decodes MP3 itself."),
    Source(
        "esc50-human", "https://github.com/karolpiczak/ESC-50", download_gb=0.65, clips_gb=0.07,
        steps="1. Download https://github.com/karolpiczak/ESC-50/archive/master.zip\n"
              "2. Put it into {manual}/ESC-50-master.zip, or unpack it there, so that "
              "{manual}/ESC-50-master/meta/esc50.csv and {manual}/ESC-50-master/audio/ exist"),
    Source(
        "masked-speech", "http://www.compare.openaudio.eu/compare2020/", download_gb=1.2, clips_gb=1.2,
        steps="1. Ask the organisers of ComParE 2020 for the data of the Mask Sub-Challenge (ComParE2020_Mask).\n"
              "2. Put the folders lab and wav of the release into {manual}/masked-speech/, so that "
              "{manual}/masked-speech/lab/labels.csv (columns file_name,label) and "
              "{manual}/masked-speech/wav/train_00001.wav, devel_..., test_... exist; folders train, devel and test "
              "instead of wav are read too.\n"
              "3. The release has ? for the labels of the test: ask for them too, and put them into labels.csv."))

SOURCES: dict[str, Source] = {source.name: source for source in _SOURCES}  # the six of NOSS, then FRILL's two


def get_source(name: str) -> Source:
    """Look a data set up; `UnknownName` tells the nearest names."""
    refuse_unknown("data set", name, SOURCES)
    return SOURCES[name]


@dataclass(frozen=True)
class Status:
    """Where a data set stands."""

    name: str
    state: str  # "ready", "prepared", "archives", "download" or "manual"; see `_find_state`
    detail: str  # in words, without a full stop
    remedy: str  # what has to be done by hand, in lines; empty if nothing
    download_gb: float  # what must be fetched, by hand or by the kit, if nothing of it is there
    disk_gb: float  # what TensorFlow Datasets' files and the kit's clips take, beside the archives
    licence: str
    homepage: str


def get_status(name: str) -> Status:
    """Say where a data set (a task of the paper profile) stands; `UnknownName` tells the nearest."""
    source = get_source(name)
    return Status(name, *_find_state(source), source.download_gb, round(source.disk_gb, 2), get_task(name).licence,
                  source.homepage)


def find_wait(name: str) -> str:
    """Say why a rehearsal would wait too long for the clips of a data set; empty if it would not."""
    source, state = get_source(name), get_status(name).state
    if state in ("ready", "manual"):
        return ""
    if state == "download":
        return "it is not here; a rehearsal downloads no data set"
    size = (sum(path.stat().st_size for path in source.prepared_dir.iterdir()) / 1e9 if state == "prepared" else
            inspect_manual_files(name).size / 1e9 * source.prepared_gb / source.download_gb)
    return f"its clips are not made yet, of {size:.0f} GB" if size > REHEARSED_GB else ""


def order_labels(name: str, labels: Sequence[str]) -> list[str]:
    """Order the labels of a task as TensorFlow Datasets and the authors number them; of another, as text."""
    known = read_list(config.check_data(config.data_dir() / "noss_tasks.csv")).set_index("dataset")["label"]
    listed = known.get(name, "").split("; ")
    return listed if set(listed) == set(labels) else sorted(labels)


def compare_facts(name: str, clips: pd.DataFrame) -> pd.DataFrame:
    """Set what is known of a data set (``data/noss_facts.csv``) beside what its clips are.

    Parameters
    ----------
    name : str
        A task of the paper profile.
    clips : DataFrame
        Its whole clip table.

    Returns
    -------
    DataFrame
        One row a fact: part (a split, or all), fact, of (a class or speaker), expected, found, agrees, status (what is
        ``recalled-unverified`` decides nothing), source. Lengths agree within one unit of the last digit. Empty if
        nothing is known.

    Raises
    ------
    UnknownName
        If there is no such data set.
    """
    import pandas as pd

    facts = pd.read_csv(config.check_data(config.data_dir() / "noss_facts.csv"), dtype=str, keep_default_na=False)
    facts = facts[facts["dataset"] == get_source(name).name].rename(columns={"value": "expected"})
    rows = []
    for fact in facts.drop(columns="dataset").to_dict("records"):
        part = clips if fact["part"] == "all" else clips[clips["split"] == fact["part"]]
        digits = len(fact["expected"].partition(".")[2])
        found = _FACTS[fact["fact"]](part, fact["of"])
        agrees = abs(found - float(fact["expected"])) <= (1.001 * 10.0**-digits if digits else 0)
        rows.append(fact | {"found": f"{found:.{digits}f}", "agrees": agrees})
    return pd.DataFrame(rows, columns=["part", "fact", "of", "expected", "found", "agrees", "status", "source"])


_FACTS: dict[str, Callable[[pd.DataFrame, str], float]] = {
    "clips": lambda part, of: len(part[part["label"] == of] if of else part),
    "clips of speaker": lambda part, of: (part["speaker"] == of).sum(),
    "speakers": lambda part, _: part["speaker"].nunique(), "classes": lambda part, _: part["label"].nunique(),
    "speakers of one clip": lambda part, _: (part["speaker"].value_counts() == 1).sum(),
    "mean seconds": lambda part, _: part["seconds"].mean(), "shortest seconds": lambda part, _: part["seconds"].min(),
    "longest seconds": lambda part, _: part["seconds"].max(),
    "sample rate": lambda part, _: float("nan") if part["sample_rate"].nunique() != 1 else part["sample_rate"].iloc[0]}


def describe_facts(name: str, clips: pd.DataFrame) -> list[str]:
    """Say in a sentence whether the whole clips of a data set are what is known of it; nothing if nothing is known."""
    facts = compare_facts(name, clips)
    facts = facts[facts["status"] != "recalled-unverified"]
    wrong = facts[~facts["agrees"].astype(bool)].to_dict("records")
    named = [" ".join(filter(None, (row["part"], row["fact"], row["of"], f"{row['found']} instead of",
                                    f"{row['expected']} ({row['source']})"))) for row in wrong]
    if not wrong:
        return [f"All {len(facts)} facts that are known of it agree with its clips."] if len(facts) else []
    more = f"; and {len(wrong) - _MOST_FACTS} more" if len(wrong) > _MOST_FACTS else ""
    return [f"{DIFFERS} {'; '.join(named[:_MOST_FACTS])}{more}. {len(facts) - len(wrong)} of {len(facts)} facts agree "
            "(nslib.datasets.compare_facts has all). It is measured as it is."]


def _find_state(source: Source) -> tuple[str, str, str]:
    """State, detail and remedy."""
    if source.clip_table.is_file():  # neither archives nor TensorFlow Datasets are needed
        return "ready", "clips ready", ""
    if source.is_prepared:
        where = f"prepared in {source.prepared_dir}"
        return "prepared", f"{where}; {source.clips_gb:g} GB of clips will be made of it", ""
    if source.version and not _tfds_folders():
        return "manual", "TensorFlow Datasets is not installed", "make setup"
    manual, missing = inspect_manual_files(source.name), list_missing_files(source.name)
    there, names = manual.description, ", ".join(file.name for file in missing)
    disk = f"{source.disk_gb:.2g} GB of disk" if source.disk_gb < 10 else f"{source.disk_gb:.0f} GB of disk"
    if manual.advice:
        return "manual", f"found {there}, which cannot be used as it is", f"{manual.advice}\n{source.remedy()}"
    if config.offline() and (missing or not (source.by_hand or manual.complete)):
        what = f"{f'found {there}; ' if there else ''}{names or 'the clips'}"
        return ("manual", f"{what} would have to be downloaded, and downloads are forbidden (NSLIB_OFFLINE=1)",
                source.remedy())
    if manual.complete:  # preparing starts when it is needed
        rest = f"; {names} will be downloaded" if missing else ""
        return "archives", f"found {there or 'its downloads'}{rest}; preparing takes {disk}", ""
    if source.by_hand:
        return "manual", f"to be fetched by hand ({source.download_gb:g} GB), then {disk}", source.remedy()
    return "download", f"can be downloaded ({source.download_gb:g} GB), then {disk}", source.remedy()


@dataclass(frozen=True)
class RegisteredFile:
    """One file of a list of checksums."""

    url: str
    size: int  # bytes
    sha256: str
    name: str = ""  # under which it is looked for in the manual folder; empty if the list does not say

    @property
    def manual_path(self) -> Path:
        """Where a copy that was fetched by hand belongs."""
        return config.manual_dir() / self.name


def list_registered_files(dataset: str) -> list[RegisteredFile]:
    """List what TensorFlow Datasets fetches by itself; empty if everything is to be fetched by hand."""
    for folder in _tfds_folders():
        for path in (folder / "datasets" / dataset / "checksums.tsv", folder / "url_checksums" / f"{dataset}.txt"):
            if path.exists():
                return parse_checksums(path.read_text(encoding="utf-8"))
    return []


def parse_checksums(text: str) -> list[RegisteredFile]:
    """Read a list: address, size, SHA-256 and perhaps a name, separated by tabs; or the first three by spaces."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    fields = [line.split("\t") if "\t" in line else line.rsplit(" ", 2) for line in lines]
    return [RegisteredFile(url, int(size), sha, *name[:1]) for url, size, sha, *name in fields]


def list_missing_files(dataset: str) -> list[RegisteredFile]:
    """List the registered files that are neither in the manual folder nor among TensorFlow Datasets' downloads."""
    # single clips of CREMA-D are passed over: there are thousands, and the list that comes with the package has none
    downloads = [path for path in downloads_dir(dataset).glob("*.INFO") if not path.name.endswith(".wav.INFO")]
    urls = {url for path in downloads for url in json.loads(path.read_text(encoding="utf-8")).get("urls", [])}
    return [file for file in list_registered_files(dataset) if not file.manual_path.is_file() and file.url not in urls]


def downloads_dir(dataset: str) -> Path:
    """Where TensorFlow Datasets keeps what it downloaded for a data set; it need not exist."""
    return config.tfds_dir() / "downloads" / dataset


def _tfds_folders() -> list[Path]:
    """Where TensorFlow Datasets is installed, without importing it; empty if it is not."""
    spec = importlib.util.find_spec("tensorflow_datasets")
    return [Path(folder) for folder in spec.submodule_search_locations or ()] if spec else []


@dataclass(frozen=True)
class ManualFiles:
    """What is in the manual folder for one data set."""

    description: str = ""  # of what is there; empty if nothing is
    advice: str = ""  # what to do with what is there, if it is not right yet
    complete: bool = False  # everything that must be fetched by hand is there, as far as a quick look tells
    size: int = 0  # bytes of audio that are there; 0 if it is not known


def inspect_manual_files(name: str) -> ManualFiles:
    """Tell whether what was fetched by hand is the right thing, in the right place; damaged clips show only later."""
    wrong = {file.name: f"{file.manual_path} has {size} bytes, {file.size} are registered"
             for file in list_registered_files(name)
             if file.manual_path.is_file() and (size := file.manual_path.stat().st_size) != file.size}
    if wrong:
        return ManualFiles(", ".join(wrong), f"Cut short, or another file: {'; '.join(wrong.values())}. Download it "
                                             "again, or remove it.")
    return _INSPECTORS[name](config.manual_dir())


def _inspect_voxceleb(manual: Path) -> ManualFiles:
    """One archive, which the project gives in parts and under another name."""
    archive = manual / "vox_dev_wav.zip"
    parts = sorted(manual.glob("vox1_dev_wav_part*"))
    if parts and not archive.is_file() and not (manual / "vox1_dev_wav.zip").is_file():
        missing = [part for part in ("aa", "ab", "ac", "ad") if not (manual / f"vox1_dev_wav_part{part}").is_file()]
        advice = f"Download the missing parts ({', '.join(missing)}). " if missing else ""
        return ManualFiles(", ".join(path.name for path in parts),
                           f"{advice}Join the four: cat {_quote(manual)}/vox1_dev_wav_parta* > {_quote(archive)}")
    there = _inspect_archive(archive, "wav/id", "wav/id10001/.../00001.wav", "wav", "-0 -q -r", ("vox1_dev_wav.zip",))
    if not there.description and (manual / "vox1_test_wav.zip").is_file():
        return ManualFiles("vox1_test_wav.zip", "That is the other archive; the task uses the development set.")
    return there


def _inspect_savee(manual: Path) -> ManualFiles:
    """One archive."""
    near = [path.name for path in sorted(manual.glob("*.zip")) if path.stem.lower() in ("audiodata", "savee")]
    return _inspect_archive(manual / "AudioData.zip", "AudioData/", "AudioData/DC/a01.wav", "AudioData", "-q -r", near,
                            ("DC", "JE", "JK", "KL"))


def _inspect_archive(archive: Path, prefix: str, example: str, unpacked: str = "", options: str = "",
                     near: Sequence[str] = (), folders: Sequence[str] = ()) -> ManualFiles:
    """Whether an archive is there, whole, and has clips below `prefix`, in each of its `folders`; else what is near."""
    manual = archive.parent
    if not archive.is_file():
        for other in (manual / name for name in near if (manual / name).is_file()):
            rename = f"Rename {other.name} to {archive.name}: mv {_quote(other)} {_quote(archive)}"
            return ManualFiles(other.name, f"If it holds {example} and so on: {rename}")
        if unpacked and (manual / unpacked).is_dir():
            pack = f"cd {_quote(manual)} && zip {options} {archive.name} {unpacked}"
            return ManualFiles(f"an unpacked folder {unpacked}",
                               f"TensorFlow Datasets reads the archive itself: {pack}")
        return ManualFiles()
    size = archive.stat().st_size
    try:
        names = list_zip(archive)
    except (ValueError, OSError) as error:
        return ManualFiles(f"{archive.name} ({size / 1e9:.2f} GB)",
                           f"It cannot be used: {error}. Make or download it again.")
    if not any(name.startswith(prefix) and name.endswith(".wav") for name in names):
        inside = names[0] if names else "nothing"
        return ManualFiles(f"{archive.name}, with {inside} in it",
                           "It is another archive, or packed otherwise: inside it the first clip must be "
                           f"{example}. Take the original, or pack it again.")
    missing = [folder for folder in folders if not any(name.startswith(f"{prefix}{folder}/") for name in names)]
    if missing:
        return ManualFiles(archive.name, f"The folders {', '.join(missing)} are not in it; take the original.")
    return ManualFiles(archive.name, complete=True, size=size)


def list_zip(path: Path) -> list[str]:
    """List the files in a ZIP archive by its directory; ValueError if it is not whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise ValueError("it is not a ZIP archive, or cut short, or its parts are joined in the wrong order "
                         f"({error})") from error
    if any(entry.header_offset < 0 for entry in entries[:1]):  # zipfile forgives a beginning that is missing
        raise ValueError("it is cut short, or one of its parts is missing")
    return [entry.filename for entry in entries if not entry.is_dir()]


def _inspect_voxforge(manual: Path) -> ManualFiles:
    """A list of archives, and the archives."""
    urls, folder = manual / "voxforge_urls.txt", manual / "www.repository.voxforge1.org"
    if not urls.is_file():
        if not folder.is_dir():
            return ManualFiles()
        return ManualFiles(f"the folder {folder.name}, but no {urls.name}", f"Put the list beside it, as {urls}")
    lines = urls.read_text(encoding="utf-8").splitlines()
    wanted = [line.strip().strip("\"'") for line in lines if line.strip()]
    # to list a folder is faster than to ask for each of its files
    size_of = {f"{parent}/{entry.name}": entry.stat().st_size for parent in {os.path.dirname(path) for path in wanted}
               for entry in _scan(manual / parent) if entry.is_file()}
    missing = [path for path in wanted if path not in size_of]
    there = f"{urls.name} and {len(wanted) - len(missing)} of its {len(wanted)} archives"
    if missing:
        return ManualFiles(there, f"Download the rest (the first is {missing[0]}): "
                                  f"cd {_quote(manual)} && wget -c -i {urls.name} -x")
    return ManualFiles(there, complete=bool(wanted), size=sum(size_of[path] for path in wanted))


def _inspect_registered(name: str) -> ManualFiles:
    """Files that TensorFlow Datasets would download."""
    there = [file for file in list_registered_files(name) if file.manual_path.is_file()]
    return ManualFiles(", ".join(file.name for file in there), complete=not list_missing_files(name),
                       size=sum(file.size for file in there))


def _inspect_crema_d(manual: Path) -> ManualFiles:
    """The list of checksums, and perhaps a clone of the mirror."""
    lists, clone = _inspect_registered("crema_d"), manual / "CREMA-D"
    if not clone.is_dir():
        return ManualFiles(lists.description)
    clips = [entry for entry in _scan(clone / "AudioWAV") if entry.name.endswith(".wav")]
    summary = clone / "processedResults" / "summaryTable.csv"
    there = ", ".join(filter(None, [lists.description, f"CREMA-D with {len(clips)} clips"]))
    if not clips or not summary.is_file():
        missing = summary if clips else clone / "AudioWAV"
        return ManualFiles(there, f"{missing} is missing; clone the mirror again, with git-lfs installed.")
    for path in (Path(clips[0].path), summary):
        with path.open("rb") as file:
            if file.read(23) == b"version https://git-lfs":
                return ManualFiles(there, "It holds Git LFS pointers instead of sound: "
                                          f"cd {_quote(clone)} && git lfs pull")
    return ManualFiles(there, "" if lists.complete else "The list crema_d.txt is needed too.", lists.complete,
                       sum(entry.stat().st_size for entry in clips))


def _inspect_dementiabank(manual: Path) -> ManualFiles:
    """Two folders of MP3 files."""
    root = manual / "dementia" / "English" / "Pitt"
    entries = {kind: _scan(root / kind / "cookie") for kind in ("Control", "Dementia")}
    clips = {kind: [entry for entry in files if entry.name.endswith(".mp3")] for kind, files in entries.items()}
    there = ", ".join(f"{kind}/cookie with {len(mp3)} MP3 files" for kind, mp3 in clips.items() if entries[kind])
    every = [entry for mp3 in clips.values() for entry in mp3]
    odd = [entry.name for entry in every if entry.name.count("-") != 1 or entry.name.startswith(".")]
    if odd:
        return ManualFiles(there, "Names must have one hyphen (participant-visit.mp3); these have not, so move them "
                                  f"elsewhere: {', '.join(odd[:5])}{', ...' if len(odd) > 5 else ''}")
    if all(clips.values()):
        return ManualFiles(there, complete=True, size=sum(entry.stat().st_size for entry in every))
    if there:
        names = [Path(entry.name) for files in entries.values() for entry in files]
        other = sorted({name.suffix or name.name for name in names} - {".mp3"})
        what = f" What is there ends in {', '.join(other)}; the MP3 files are needed." if other else ""
        return ManualFiles(there, f"Both {root}/Control/cookie and {root}/Dementia/cookie must hold MP3 files.{what}")
    for misplaced in ("Pitt", "English/Pitt", "dementia/Pitt"):
        if (manual / misplaced).is_dir():
            return ManualFiles(f"the folder {misplaced}", f"It must lie in {root}")
    return ManualFiles()


def _inspect_esc50(manual: Path) -> ManualFiles:
    """A folder, or the archive of it."""
    folder = manual / "ESC-50-master"
    if folder.is_dir():
        missing = [path for path in (folder / "meta" / "esc50.csv", folder / "audio") if not path.exists()]
        advice = f"{missing[0]} is missing; unpack the archive again." if missing else ""
        return ManualFiles(folder.name, advice, not missing)
    sounds, near = "ESC-50-master/audio/", ("master.zip", "ESC-50.zip", "ESC-50-main.zip")
    return _inspect_archive(manual / "ESC-50-master.zip", sounds, f"{sounds}1-100032-A-0.wav", near=near)


def _inspect_masked_speech(manual: Path) -> ManualFiles:
    """A folder with labels and clips."""
    root = manual / "masked-speech"
    if not root.is_dir():
        near = next(iter(sorted(manual.glob("ComParE2020_Mask*"))), None)
        return ManualFiles(near.name, f"Its content belongs into {root}") if near else ManualFiles()
    labels = root / "lab" / "labels.csv"
    if not labels.is_file():
        return ManualFiles(root.name, f"{labels} is missing.")
    clips = any(_scan(root / folder) for folder in ("wav", "train", "devel", "test"))
    return ManualFiles(root.name, "" if clips else f"{root / 'wav'} is missing, or empty.", clips)


_INSPECTORS: dict[str, Callable[[Path], ManualFiles]] = {
    "voxceleb": _inspect_voxceleb, "voxforge": _inspect_voxforge,
    "speech_commands": lambda _: _inspect_registered("speech_commands"), "crema_d": _inspect_crema_d,
    "savee": _inspect_savee, "dementiabank": _inspect_dementiabank, "esc50-human": _inspect_esc50,
    "masked-speech": _inspect_masked_speech}


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    """Entries of a folder; none if it is not there."""
    return list(os.scandir(folder)) if folder.is_dir() else []


def _quote(path: Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))
