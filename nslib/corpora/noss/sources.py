"""The data sets of NOSS, and the two that FRILL added: where they come from, how large they are, what to do by hand.

References
----------
Versions, names and layouts: the builders of TensorFlow Datasets 4.9.10. Sizes: its catalogue where it
gives one (voxceleb 107.98 GiB, crema_d 1.65 GiB, dementiabank 17.71 GiB, savee 259 MiB), else computed
from hours of speech: its TFRecord files hold a sample as a varint, about 3 times its 16 bits.
ESC-50: github.com/karolpiczak/ESC-50. Masked speech: the release of the ComParE 2020 challenge.

Conventions
-----------
GB are 10^9 bytes, rounded; they are what the whole data set takes.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from nslib import params
from nslib.errors import UnknownName


@dataclass(frozen=True)
class Source:
    """One data set.

    Attributes
    ----------
    name : str
        As the task is called, and as TensorFlow Datasets calls it.
    homepage : str
    steps : str
        What has to be done by hand; ``{manual}`` stands for the manual folder, ``{quoted}`` for it in a command.
    version : str
        Of its TensorFlow Datasets builder; empty if the kit reads the data set itself.
    archive : str
        The file in the manual folder that TensorFlow Datasets unpacks, if there is one.
    download_gb : float
        What is fetched.
    unpacked_gb : float
        What TensorFlow Datasets unpacks for the time of preparing.
    prepared_gb : float
        Its TFRecord files.
    shelf_gb : float
        The kit's clips, 16 kHz WAV.
    by_hand : bool
        Whether something must be done by hand, whatever the network.
    """

    name: str
    homepage: str
    steps: str
    version: str = ""
    archive: str = ""
    download_gb: float = 0.0
    unpacked_gb: float = 0.0
    prepared_gb: float = 0.0
    shelf_gb: float = 0.0
    by_hand: bool = True

    @property
    def disk_gb(self) -> float:
        """float: what remains on disk, beside the archives: the TFRecord files and the clips."""
        return self.prepared_gb + self.shelf_gb

    def instructions(self) -> str:
        """Say what has to be done by hand, with the folders of this machine.

        Returns
        -------
        str
            Numbered steps, one a line.
        """
        folder = params.manual_dir()
        return self.steps.format(manual=folder, quoted=shlex.quote(str(folder)))


_TO_FETCH = "Downloaded when it is first needed. Where there is no network:\n"

_SOURCES = (
    Source(
        "voxceleb", "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html", version="1.2.1",
        archive="vox_dev_wav.zip", download_gb=33, unpacked_gb=39, prepared_gb=116, shelf_gb=39,
        steps="1. Register at https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html and download the four parts of "
              "the audio of VoxCeleb1's development set, vox1_dev_wav_partaa to vox1_dev_wav_partad.\n"
              "2. Join them under the name that TensorFlow Datasets looks for, vox_dev_wav.zip (the project calls "
              "the joined file vox1_dev_wav.zip; its MD5 is ae63e55b951748cc486645f532ba230b):\n"
              "   cat vox1_dev_wav_parta* > {quoted}/vox_dev_wav.zip\n"
              "3. The list of splits is downloaded when it is needed. Where there is no network, save "
              "http://www.robots.ox.ac.uk/~vgg/data/voxceleb/meta/iden_split.txt as {manual}/iden_split.txt",
    ),
    Source(
        "voxforge", "http://www.voxforge.org", version="1.0.0", download_gb=25, prepared_gb=97, shelf_gb=33,
        steps="1. Save the list of archives, "
              "https://storage.googleapis.com/tfds-data/downloads/voxforge/voxforge_urls.txt, as "
              "{manual}/voxforge_urls.txt\n"
              "2. Download every archive of the list (TensorFlow Datasets says: about 100 GB are needed while "
              "preparing, 60 GB stay):\n"
              "   cd {quoted} && wget -c -i voxforge_urls.txt -x\n"
              "   They must come to lie in {manual}/www.repository.voxforge1.org/downloads/",
    ),
    Source(
        "speech_commands", "https://arxiv.org/abs/1804.03209", version="0.0.3", by_hand=False,
        download_gb=2.5, prepared_gb=9, shelf_gb=3.2,
        steps=_TO_FETCH + "1. Save http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz as "
              "{manual}/speech_commands_v0.02.tar.gz\n"
              "2. Save http://download.tensorflow.org/data/speech_commands_test_set_v0.02.tar.gz as "
              "{manual}/speech_commands_test_set_v0.02.tar.gz",
    ),
    Source(
        "crema_d", "https://github.com/CheyneyComputerScience/CREMA-D", version="1.0.0", by_hand=False,
        download_gb=0.6, prepared_gb=1.8, shelf_gb=0.6,
        steps=_TO_FETCH.replace("Downloaded", "Downloaded clip by clip (7,438 requests)").replace(
            "no network", "no network, or GitHub has no more quota for it") +
              "1. Save https://storage.googleapis.com/tfds-data/manual_checksums/crema_d.txt as "
              "{manual}/crema_d.txt\n"
              "2. With git and git-lfs, clone the project's mirror into the folder CREMA-D:\n"
              "   git clone https://gitlab.com/cs-cooper-lab/crema-d-mirror.git {quoted}/CREMA-D\n"
              "   The kit checks each clip of CREMA-D/AudioWAV against that list, and "
              "CREMA-D/processedResults/summaryTable.csv too.",
    ),
    Source(
        "savee", "http://kahlan.eps.surrey.ac.uk/savee/", version="1.0.0", archive="AudioData.zip",
        download_gb=0.1, unpacked_gb=0.2, prepared_gb=0.3, shelf_gb=0.06,
        steps="1. Register at http://personal.ee.surrey.ac.uk/Personal/P.Jackson/SAVEE/Register.html; the address "
              "of the download comes by e-mail.\n"
              "2. Take Data/Zip/AudioData.zip of the download and put it, as it is, into {manual}/AudioData.zip "
              "(inside it: AudioData/DC, AudioData/JE, AudioData/JK, AudioData/KL)",
    ),
    Source(
        "dementiabank", "https://dementia.talkbank.org", version="1.0.0",
        download_gb=1, prepared_gb=19, shelf_gb=2.3,
        steps="1. Become a member of DementiaBank: https://dementia.talkbank.org\n"
              "2. From https://media.talkbank.org/dementia/English/Pitt/ download the MP3 files of Control/cookie and "
              "of Dementia/cookie.\n"
              "3. Put them into {manual}/dementia/English/Pitt/Control/cookie/ and "
              "{manual}/dementia/English/Pitt/Dementia/cookie/, with names as they are (NNN-N.mp3: participant, "
              "hyphen, visit). FFmpeg is not needed: the kit decodes MP3 itself.",
    ),
    Source(
        "esc50-human", "https://github.com/karolpiczak/ESC-50", download_gb=0.65, shelf_gb=0.07,
        steps="1. Download https://github.com/karolpiczak/ESC-50/archive/master.zip\n"
              "2. Put it into {manual}/ESC-50-master.zip, or unpack it there, so that "
              "{manual}/ESC-50-master/meta/esc50.csv and {manual}/ESC-50-master/audio/ exist",
    ),
    Source(
        "masked-speech", "http://www.compare.openaudio.eu/compare2020/", download_gb=1.2, shelf_gb=1.2,
        steps="1. Ask the organisers of ComParE 2020 for the data of the Mask Sub-Challenge (ComParE2020_Mask).\n"
              "2. Put the folders lab and wav of the release into {manual}/masked-speech/, so that "
              "{manual}/masked-speech/lab/labels.csv (columns file_name,label) and "
              "{manual}/masked-speech/wav/train_00001.wav, devel_..., test_... exist; folders train, devel and test "
              "instead of wav are read too.\n"
              "3. The release has ? for the labels of the test: ask for them too, and put them into labels.csv.",
    ),
)

SOURCES: dict[str, Source] = {source.name: source for source in _SOURCES}
"""Every data set of the paper profile, by name."""


def get(name: str) -> Source:
    """Look a data set up.

    Parameters
    ----------
    name : str

    Returns
    -------
    Source

    Raises
    ------
    UnknownName
        With the nearest names.
    """
    if name not in SOURCES:
        raise UnknownName("data set", name, SOURCES)
    return SOURCES[name]
