"""Fabricated Debian packages, an apt-get that serves them, and a manifest of fabricated speech."""

import gzip
import hashlib
import io
import lzma
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import zstandard

from nslib import audio
from nslib.datasets import debian
from nslib.datasets.clip_cache import write_clip
from nslib.datasets.splits import SPLITS

APT = '''#!{python} -SE
import hashlib, shutil, sys
from pathlib import Path

repo, here, words = Path({repo!r}), Path.cwd(), [w for w in sys.argv[1:] if not w.startswith("-")]
mode = (repo / "mode").read_text()
with (repo / "calls").open("a") as log:
    log.write(words[0] + "\\n")
if words[0] == "update":
    if mode == "network":
        print("W: Failed to fetch http://secret.example/dists/x  Could not resolve 'secret.example'", file=sys.stderr)
    else:
        (repo / "updated").touch()
    sys.exit()
debs = [deb for name in words[1:] for deb in repo.glob(name + "_*.deb")]
if not (repo / "updated").exists() or len(debs) < len(words) - 1:
    sys.exit("E: Unable to locate package x")
if "--print-uris" in sys.argv:
    for deb in debs:
        size = 10 ** 18 if mode == "huge" else deb.stat().st_size
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        print(f"'http://secret.example/{{deb.name}}' {{deb.name}} {{size}} SHA256:{{digest}}")
    sys.exit()
if mode == "lock":
    sys.exit("E: Could not get lock /x/lock - open (11: Resource temporarily unavailable)")
if mode == "half":
    shutil.copy(debs[0], here)
    (here / debs[1].name).write_bytes(debs[1].read_bytes()[:100])
    sys.exit("E: Failed to fetch http://secret.example/x.deb  Connection failed")
for deb in debs:
    (here / deb.name).write_bytes(deb.read_bytes() + b"x" * (mode == "corrupt"))
'''


def ar(members: dict[str, bytes]) -> bytes:
    """An ar archive in Debian's flavour."""
    out = b"!<arch>\n"
    for name, data in members.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n"
        out += header.encode() + data + b"\n" * (len(data) % 2)
    return out


def tar(files: Mapping[str, bytes | str]) -> bytes:
    """A tar file; names are stored as given, and a text is a symbolic link or, if it starts with ./, a hard one."""
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w") as archive:
        for name, content in files.items():
            info, data = tarfile.TarInfo(name), b""
            if isinstance(content, str):
                info.type, info.linkname = tarfile.LNKTYPE if content[:2] == "./" else tarfile.SYMTYPE, content
            else:
                info.size, data = len(content), content
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def deb(path: Path, files: Mapping[str, bytes | str], kind: str = "xz") -> Path:
    """A .deb with these data, in the real layout: names start with ./ and controls come first."""
    data, ending = tar({f"./{name}": content for name, content in files.items()}), f".{kind}" if kind else ""
    compress = {"xz": lzma.compress, "gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress}
    control = lzma.compress(tar({"./control": b"Package: x\n"}))
    path.write_bytes(ar({"debian-binary": b"2.0\n", "control.tar.xz": control,
                         f"data.tar{ending}": compress.get(kind, bytes)(data)}))
    return path


def sound(seed: int) -> bytes:
    """A WAV file of noise."""
    soundfile.write(buffer := io.BytesIO(), np.random.default_rng(seed).uniform(-0.3, 0.3, 6615), 22_050, format="WAV")
    return buffer.getvalue()


def speech_manifest() -> tuple[pd.DataFrame, dict[str, bytes]]:
    """A manifest of twelve clips in the packages pack-0 and pack-1, and the files of both."""
    files = {f"usr/share/speech/{i}.wav": sound(i) for i in range(12)}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for i, (member, data) in enumerate(files.items()):
            clip = write_clip(Path(folder) / "clip.wav", audio.read("clip.wav", data).wave)
            rows.append(debian.ManifestRow(
                f"speech/{i:02}", member, audio.sha256(clip.wave), hashlib.sha256(data).hexdigest(), clip.seconds,
                22_050, "ab"[i % 2], f"s{i % 4}", SPLITS[i % 3], f"pack-{i % 2}", "CC0-1.0"))
    return pd.DataFrame(rows, columns=list(debian.MANIFEST_COLUMNS)), files


def put_packages(manifest: pd.DataFrame, files: dict[str, bytes], version: str = "1.0") -> None:
    """Put the packages of a manifest into the cache, as far as there are files for them."""
    for package, part in manifest.groupby("package"):
        members = {member: files[member] for member in part["member"] if member in files}
        deb(debian.archives_dir() / f"{package}_{version}_all.deb", members)
