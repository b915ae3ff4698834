"""Faults injected into runs through the kit's commands, and what came of each: mended, said, or wrong without a word.

Each fault has a folder of its own with recordings, a cache and reports. A command is run, something is broken, and the
command is run again (or during it something is killed). Wrong is: another result without a word, a traceback, exit
code 0 where something is not there, and a command that does not end. What needs a file system of its own is tried where
this process may mount one. Fast faults are in ``tests/foundation/test_faults.py``.

Usage: ``python benchmarks/faults.py [--only WORD]``
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import soundfile
from common import Figure, report

from nslib import config

LIMIT = 900
SYNTHETIC = ("benchmark", "logmel", "--tasks", "style-synthetic", "--corpus", "synthetic", "--smoke")
OWN = """
import os, time
import numpy as np

def good(waves):
    return np.stack([waves.mean(1), waves.std(1), np.abs(waves).max(1)], 1)

def batch_mean(waves):
    return good(waves) - good(waves).mean(0)

def late(waves):
    return good(waves) if len(waves) < 4 else 1 / 0

def bad(waves):
    return good(waves) if waves.shape[1] >= 16000 else 1 / 0

def halves(waves):
    waves *= 0.5
    if len(waves) > 16:
        raise MemoryError
    return good(waves)

def halves_well(waves):
    return good(waves * 0.5)

def slow(waves):
    if waves.shape[1] < 16000 and not os.path.exists(os.environ["WHO"]):
        with open(os.environ["WHO"], "w") as file:
            file.write(str(os.getpid()))
        time.sleep(float(os.environ["SLEEP"]))
    return good(waves)
"""


@dataclass
class Ended:
    """How a command ended."""

    code: int
    said: str  # on both streams


@dataclass
class Room:
    """Where a fault happens; `about` keeps what a reader should see of it."""

    home: Path
    kit: Path = field(default_factory=config.root)
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """dict: variables of the commands."""
        return {**os.environ, "NSLIB_CACHE": str(self.home / "cache"), "NSLIB_REPORTS": str(self.home / "reports"),
                "NSLIB_OFFLINE": "1", "PYTHONPATH": str(self.kit), "TMPDIR": str(self.home / "tmp"),
                "WHO": str(self.home / "who"), "SLEEP": "3", **self.more}

    def start(self, *words: object, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start a command of the kit."""
        (self.home / "tmp").mkdir(exist_ok=True)
        return subprocess.Popen([*before, sys.executable, "-m", "nslib", *map(str, words)], env=self.environment,
                                cwd=self.home, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def end(self, running: subprocess.Popen[str], limit: float = LIMIT) -> Ended:
        """Wait until it ends, or end it."""
        try:
            said = running.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            for child in psutil.Process(running.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.kill()
            running.kill()
            return Ended(-1, "it did not end\n" + running.communicate()[0])
        return Ended(running.returncode, said)

    def run(self, *words: object, before: tuple[str, ...] = ()) -> Ended:
        """Run a command of the kit."""
        return self.end(self.start(*words, before=before))

    def write_recordings(self, takes: int = 2) -> Path:
        """Write two classes of tones from six speakers."""
        for label, hertz in (("low", 200), ("high", 2000)):
            for number in range(6 * takes):
                path = self.home / "d" / label / f"s{number % 6}" / f"{number}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                t = np.arange(8000 + 400 * number) / 16000
                wave = 0.4 * np.sin(2 * np.pi * hertz * t) + np.random.default_rng(number).normal(0, 0.01, len(t))
                soundfile.write(path, wave, 16000)
        (self.home / "own.py").write_text(OWN)
        return self.home / "d"

    def find(self, pattern: str) -> list[Path]:
        """Find files of the cache or the reports."""
        return sorted([*(self.home / "cache").glob(pattern), *(self.home / "reports").glob(pattern)])


def flip(path: Path, places: range | list[int], bit: int = 0x02) -> None:
    """Change bits of a file where it lies."""
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= bit
    path.write_bytes(data)


def read_scores(said: str) -> list[str]:
    """Find the scores of a table."""
    return re.findall(r"\d\.\d\d \[\d\.\d\d, \d\.\d\d\]", said)


Fault = Callable[[Room], tuple[bool, Ended]]
FAULTS: dict[str, Fault] = {}


def fault(name: str) -> Callable[[Fault], Fault]:
    """Put a fault into the table."""
    def keep(function: Fault) -> Fault:
        FAULTS[name] = function
        return function
    return keep


def again(room: Room, command: tuple[object, ...], harm: Callable[[], object], word: str) -> tuple[bool, Ended]:
    """Run, do harm, run again without the results: the same scores, told with a word, and then no word any more."""
    first = room.run(*command)
    harm()
    shutil.rmtree(room.home / "reports" / "results")
    second = room.run(*command)
    shutil.rmtree(room.home / "reports" / "results")
    third = room.run(*command)
    fine = first.code == second.code == third.code == 0 and word in second.said and word not in third.said
    scores = [read_scores(one.said) for one in (first, second, third)]
    return bool(fine and scores[0] and scores[0] == scores[1] == scores[2]), second


@fault("F1 bits of stored vectors")
def vectors(room: Room) -> tuple[bool, Ended]:
    """Every 20th number of every shard."""
    def harm() -> None:
        for shard in room.find("vectors/*/*.arrow"):
            flip(shard, range(shard.stat().st_size // 2 // 80 * 80 + 3, shard.stat().st_size - 4000, 80))
    return again(room, SYNTHETIC, harm, "damaged")


@fault("F9 byte of a prepared clip")
def clip(room: Room) -> tuple[bool, Ended]:
    """And its vector is gone too."""
    def harm() -> None:
        flip(room.find("corpora/espeak/wav/**/*.wav")[3], [5000])
        shutil.rmtree(room.home / "cache" / "vectors")
    return again(room, SYNTHETIC, harm, "made again")


@fault("F9 hash in a ledger of clips")
def ledger(room: Room) -> tuple[bool, Ended]:
    """A digit of one hash."""
    def harm() -> None:
        path = room.find("corpora/espeak/ledger.jsonl")[0]
        text = path.read_text()
        at = text.index('"sha256": "') + 11
        path.write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1:])
        shutil.rmtree(room.home / "cache" / "vectors")
    return again(room, SYNTHETIC, harm, "torn or changed")


@fault("F9 hash in decoded.jsonl")
def decoded(room: Room) -> tuple[bool, Ended]:
    """Of recordings of one's own."""
    def harm() -> None:
        path = room.find("corpora/decoded.jsonl")[0]
        text = path.read_text()
        at = text.index('"sha256": "') + 11
        path.write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1:])
        shutil.rmtree(room.home / "cache" / "vectors")
    command = ("benchmark", "logmel", "--dataset", room.write_recordings(), "--smoke")
    return again(room, command, harm, "torn or changed")


@fault("F10 embedding.json changed, then prune")
def facts(room: Room) -> tuple[bool, Ended]:
    """No shard may go."""
    room.run("embed", room.write_recordings())
    path = room.find("vectors/*/embedding.json")[0]
    path.write_text(path.read_text().replace('"dim": ', '"dim": 9'))
    verified, pruned = room.run("store", "verify"), room.run("store", "prune")
    kept, back = room.find("vectors/*/*.arrow"), room.run("embed", room.home / "d")
    return verified.code == 1 and bool(kept) and pruned.code == back.code == 0, verified


@fault("F11 torn line of costs.jsonl")
def costs(room: Room) -> tuple[bool, Ended]:
    """As a full disk leaves it."""
    def harm() -> None:
        with room.find("vectors/*/costs.jsonl")[0].open("a") as file:
            file.write('{"computed": 24')
    return again(room, SYNTHETIC, harm, "torn or changed")


@fault("F12 bits in the schema of a table")
def table(room: Room) -> tuple[bool, Ended]:
    """Of rows.parquet, in several places; a table that was changed is named and made again."""
    first, fine, ended = room.run(*SYNTHETIC), True, Ended(0, "")
    for share in (0.80, 0.90):
        path = room.find("results/*.rows.parquet")[0]
        flip(path, [int(share * path.stat().st_size)])
        ended = room.run(*SYNTHETIC)
        checked = room.run("report", "--verify")
        fine = fine and ended.code == 0 and read_scores(ended.said) == read_scores(first.said)
        fine = fine and "Traceback" not in checked.said
    return fine, ended


def copy_kit(room: Room) -> Path:
    """Copy the code and the lists, not the recordings or reports."""
    room.kit = room.home / "kit"
    for part in ("nslib", "data"):
        shutil.copytree(config.root() / part, room.kit / part)
    return room.kit


@fault("F2 half a manifest")
def manifest(room: Room) -> tuple[bool, Ended]:
    """It is refused, with what brings it back."""
    path = copy_kit(room) / "data" / "manifests" / "speaker-fillets.csv"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    ended = room.run("benchmark", "logmel", "--tasks", "speaker-fillets")
    return ended.code == 2 and "git checkout" in ended.said, ended


@fault("F20 other weights")
def weights(room: Room) -> tuple[bool, Ended]:
    """The file of a network of the kit."""
    flip(copy_kit(room) / "data" / "models" / "trill-mini" / "weights.npz", [9000])
    ended = room.run("embed", room.write_recordings(), "--embedding", "trill-mini-top")
    return ended.code == 3 and "cut or changed" in ended.said, ended


@fault("F20 damaged wheel, offline")
def wheel(room: Room) -> tuple[bool, Ended]:
    """It is said to be damaged."""
    from nslib.embeddings.registry import find_info

    file = find_info("resemblyzer").weights
    assert file is not None
    path = room.home / "cache" / "packages" / "pypi" / f"{file.package}-{file.version}-py3-none-any.whl"
    config.write_file(path, b"half")
    ended = room.run("embed", room.write_recordings(), "--embedding", "resemblyzer")
    return ended.code == 3 and "is damaged" in ended.said, ended


@fault("F6 page and notebook edited or gone")
def notebook(room: Room) -> tuple[bool, Ended]:
    """A record says what was written; report --verify compares."""
    room.run(*SYNTHETIC)
    home, made = room.home / "reports" / "notebooks", {}
    for name in ("a.ipynb", "a.html"):
        config.write_file(home / name, "{}" * 50)
        made[name] = config.hash_file(home / name)
    run = {"notebook": "a", "title": "a", "status": "ran", "seconds": 1.0, "why": "", "stamp": "s", "made": made}
    config.write_file(home / "a.json", json.dumps(run))
    right = room.run("report", "--verify").said.count("WRONG notebooks/")
    (home / "a.html").write_text("cut")
    (home / "a.ipynb").unlink()
    ended = room.run("report", "--verify")
    return right == 0 and ended.code == 1 and ended.said.count("WRONG notebooks/") == 2, ended


@fault("F8 a batch that fails half-way")
def retry(room: Room) -> tuple[bool, Ended]:
    """The vectors are those of a function that never fails."""
    source, tables = room.write_recordings(takes=4), []
    for name in ("halves", "halves_well"):
        ended = room.run("embed", source, "--embedding", f"own.py:{name}", "--out", f"{name}.parquet")
        tables.append(pd.read_parquet(room.home / f"{name}.parquet").sort_values("clip_id")["vector"])
    return bool(np.allclose(np.stack(tables[0]), np.stack(tables[1]), atol=1e-6)), ended


@fault("F21 a function that mixes its batch")
def contract(room: Room) -> tuple[bool, Ended]:
    """Nothing of it is stored."""
    ended = room.run("benchmark", "own.py:batch_mean", "--dataset", room.write_recordings(), "--smoke")
    return ended.code == 2 and "contract" in ended.said and not room.find("vectors/*/*.arrow"), ended


@fault("F19 a function that fails on every clip")
def failing(room: Room) -> tuple[bool, Ended]:
    """The exit code says so."""
    ended = room.run("benchmark", "own.py:bad", "--dataset", room.write_recordings(), "--smoke")
    return ended.code == 2 and "division by zero" in ended.said and ".. " not in ended.said, ended


@fault("F20 Ctrl-C")
def interrupted(room: Room) -> tuple[bool, Ended]:
    """It says that the same command goes on, which it does."""
    room.more["SLEEP"] = "60"
    running = room.start("embed", room.write_recordings(), "--embedding", "own.py:slow")
    wait_for(room.home / "who")
    running.send_signal(signal.SIGINT)
    ended = room.end(running)
    return ended.code == 130 and "goes on" in ended.said and room.run(
        "embed", room.home / "d", "--embedding", "own.py:slow").code == 0, ended


@fault("F20 litter of a killed run")
def litter(room: Room) -> tuple[bool, Ended]:
    """Another run removes it."""
    room.run("embed", room.write_recordings())
    sign = re.sub("[^A-Za-z0-9.]", "", platform.node())
    for place in room.find("vectors/*"):
        (place / f".tmp-{sign}-{2**22 + 1}-abc").write_text("half")
        (place / f".tmp-{sign}-{os.getpid()}-abc").write_text("living")
    room.run("store", "prune")
    left = [path.name for path in room.find("vectors/*/.tmp-*")]
    return left == [f".tmp-{sign}-{os.getpid()}-abc"], Ended(0, ", ".join(left))


def wait_for(path: Path, seconds: float = LIMIT) -> None:
    """Wait until a file is there."""
    until = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(0.5)


def find_workers(running: subprocess.Popen[str], words: tuple[str, ...]) -> list[psutil.Process]:
    """Find the processes that a command has started."""
    found = []
    for child in psutil.Process(running.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(word in " ".join(child.cmdline()) for word in words):
                found.append(child)
    return found


@fault("F17b all workers killed")
def killed(room: Room) -> tuple[bool, Ended]:
    """The cluster is given up within a minute."""
    room.more["SLEEP"] = "600"
    running = room.start("embed", room.write_recordings(), "--embedding", "own.py:slow", "--cluster", "local:2")
    wait_for(room.home / "who")
    began = time.monotonic()
    for process in find_workers(running, ("dask spec", "spawn_main")):
        process.kill()
    ended = room.end(running, 300)
    return ended.code == 2 and "given up" in ended.said and time.monotonic() - began < 90, ended


@fault("F17b one of two workers stopped")
def stopped(room: Room) -> tuple[bool, Ended]:
    """The other does its work."""
    room.more["SLEEP"] = "5"
    running = room.start("embed", room.write_recordings(), "--embedding", "own.py:slow", "--cluster", "local:2")
    wait_for(room.home / "who")
    who = int((room.home / "who").read_text())
    os.kill(who, signal.SIGSTOP)
    ended = room.end(running, 300)
    with contextlib.suppress(ProcessLookupError):
        os.kill(who, signal.SIGKILL)
    return ended.code == 0 and "24 clips" in ended.said, ended


@fault("F17 scheduler killed")
def scheduler(room: Room) -> tuple[bool, Ended]:
    """And workers of the user's own."""
    room.more["SLEEP"] = "600"
    dask, address = [sys.executable, "-m", "dask"], "tcp://127.0.0.1:18786"
    room.write_recordings()
    commands = ([*dask, "scheduler", "--host", "127.0.0.1", "--port", "18786", "--no-dashboard"],
                [*dask, "worker", address, "--nthreads", "1", "--no-dashboard"])
    servers = [subprocess.Popen(command, env=room.environment, cwd=room.home, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL) for command in commands]
    try:
        running = room.start("embed", "d", "--embedding", "own.py:slow", "--cluster", address)
        wait_for(room.home / "who")
        servers[0].kill()
        began = time.monotonic()
        ended = room.end(running, 300)
    finally:
        for server in servers:
            for child in psutil.Process(server.pid).children(recursive=True) if server.poll() is None else ():
                child.kill()
            server.kill()
    return ended.code == 2 and "given up" in ended.said and time.monotonic() - began < 90, ended


@contextlib.contextmanager
def mounted(place: Path, options: str) -> Iterator[bool]:
    """Mount a small file system; false if that is not allowed."""
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True).returncode
    try:
        yield done == 0
    finally:
        if done == 0:
            subprocess.run(["umount", "-l", str(place)], check=False)


def on_disk(room: Room, place: str, options: str, command: tuple[object, ...]) -> tuple[bool, Ended]:
    """Run a command with cache, reports or output on a file system of its own."""
    with mounted(room.home / place, options) as there:
        if not there:
            return True, Ended(0, "not tried: nothing may be mounted here")
        ended = room.run(*command)
    return ended.code in (1, 2, 3) and "Traceback" not in ended.said, ended


for _place, _options in (("cache", "size=16k"), ("cache", "ro"), ("reports", "size=16k"), ("reports", "ro")):
    FAULTS[f"F14 {_place} on a disk with {_options}"] = (
        lambda room, place=_place, options=_options: on_disk(
            room, place, options, ("benchmark", "logmel", "--dataset", room.write_recordings(), "--smoke")))


@fault("F15 embed --out on a full disk")
def output(room: Room) -> tuple[bool, Ended]:
    """What was there stays."""
    source = room.write_recordings()
    with mounted(room.home / "o", "size=16k") as there:
        (room.home / "o" / "v.csv").write_text("precious")
        ended = room.run("embed", source, "--out", "o/v.csv")
        kept = (room.home / "o" / "v.csv").read_text() == "precious"
    return not there or (ended.code == 2 and kept), ended


@fault("F20 killed synthesiser")
def synthesiser(room: Room) -> tuple[bool, Ended]:
    """Once, in the middle: its clip is spoken again."""
    running = room.start(*SYNTHETIC)
    until = time.monotonic() + LIMIT
    while not room.find("corpora/espeak/wav/**/*.wav") and time.monotonic() < until:
        time.sleep(0.02)
    for process in find_workers(running, ("synthetic_worker",)):
        process.kill()
    ended = room.end(running)
    return ended.code == 0 and "pip install" not in ended.said and "left out" not in ended.said, ended


@fault("F18 too little memory")
def memory(room: Room) -> tuple[bool, Ended]:
    """No traceback, whatever is short first."""
    ended = room.run("embed", room.write_recordings(), before=("prlimit", "--as=1000000000"))
    return "Traceback" not in ended.said and ended.code in (0, 2, 3), ended


def measure_check() -> Figure:
    """Compare reading shards that the system has in memory with the same reading whose sums are known beforehand.

    In processor time, in turn, with opening the cache. Nothing is remembered of a shard that was found whole, so the
    first read of a process and all later ones cost the same; shards that come from the disk first take longer to read,
    of which the comparison is a smaller share.
    """
    from unittest import mock

    from nslib.embeddings.base import Embedding
    from nslib.extraction import cache

    made, sums = Embedding("x", "x", 1024, lambda waves, lengths: (waves, lengths)), dict[int, bytes]()
    with tempfile.TemporaryDirectory() as home:
        store, keys = cache.VectorCache(made, Path(home)), [f"{i:064d}" for i in range(4000)]
        for start in range(0, len(keys), 80):
            part = keys[start:start + 80]
            vectors = np.random.default_rng(start).random((len(part), 1024), np.float32)
            sums[hash(vectors[0, 0])] = cache.sum_vectors(vectors)
            store.write(f"u{start}", part, vectors)

        def read() -> float:
            began = time.process_time()
            cache.VectorCache(made, Path(home)).read(keys)
            return time.process_time() - began

        pairs = []
        for _ in range(60):
            checked = read()
            with mock.patch.object(cache, "sum_vectors", lambda vectors: sums[hash(vectors[0, 0])]):
                pairs.append((checked, read()))
    checked, alone = np.median(pairs, axis=0)
    return Figure("comparing the checksums of shards in memory, of each read", checked / alone - 1, at_most=0.05)


def main() -> int:
    """Try every fault, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="words of the names of faults, with commas between")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it, and its children
    chosen = {name: one for name, one in FAULTS.items() if any(word in name for word in given.only.split(","))}
    wrong = 0
    for name, one in chosen.items():
        with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as home:
            try:
                fine, ended = one(Room(Path(home)))
            except Exception as error:  # a fault that breaks this script is one that was not survived
                fine, ended = False, Ended(-2, f"{type(error).__name__}: {error}")
        fine = fine and "Traceback" not in ended.said
        wrong += not fine
        lines = [line for line in ended.said.splitlines() if re.search(r"nslib:|Warning|not run|WRONG|left out", line)]
        said = (lines or ended.said.strip().splitlines() or [""])[-1].replace(str(home), "...")
        print(f"{'fine ' if fine else 'WRONG'} {name:<42} exit {ended.code:>3}  {said[:150]}", flush=True)
        if not fine:
            print(ended.said[-1500:], flush=True)
    report([Figure("faults tried", len(chosen)), Figure("faults that were wrong", wrong, at_most=0), measure_check()])
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
