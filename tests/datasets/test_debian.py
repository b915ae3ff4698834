"""Debian packages: read, fetched through a fabricated apt-get, and their clips checked against a manifest."""

import io
import os
import random
import struct
import sys
import time
import wave

import numpy as np
import pandas as pd
import pytest
import soundfile
from debs import APT, ar, deb, put_packages, sound, speech_manifest, tar

from nslib import audio, config
from nslib.datasets import clip_cache, debian, table
from nslib.datasets.clip_cache import ClipCache
from nslib.datasets.debian import QUEEN, SKY
from nslib.errors import Unavailable

FILES = {"usr/share/a/one.ogg": b"1" * 1000, "usr/share/a/two.ogg": random.Random(0).randbytes(70_000),
         "usr/share/b/three": b""}
SKY_INDEX = SKY.replace(".dsk", ".dnr")


@pytest.mark.parametrize("kind", ["xz", "gz", "zst", ""])
def test_reads_every_compression_and_refuses_a_cut_archive(tmp_path, kind):
    path = deb(tmp_path / "p.deb", FILES, kind)
    assert dict(debian.read_files(path, FILES)) == FILES
    assert debian.list_files(path) == list(FILES)
    assert dict(debian.read_files(path, ["usr/share/b/three", "usr/share/b/four"])) == {"usr/share/b/three": b""}
    path.write_bytes(path.read_bytes()[:-30_000])
    with pytest.raises(Unavailable, match=r"cut short or damaged.*Delete"):
        list(debian.read_files(path, FILES))


def test_follows_links_to_files_and_folders_inside_the_archive_only(tmp_path):
    links = {"usr/share/alias": "a", "usr/share/b/up.ogg": "../a/one.ogg", "usr/abs.ogg": "/usr/share/a/one.ogg",
             "usr/twice.ogg": "share/b/up.ogg", "out": "../" * 12 + "etc/hostname", "a": "b", "b": "a"}
    path = deb(tmp_path / "p.deb", {**links, **FILES, "usr/hard.ogg": "./usr/share/a/two.ogg"})
    wanted = ["usr/share/alias/one.ogg", "usr/share/b/up.ogg", "usr/abs.ogg", "usr/twice.ogg", "usr/hard.ogg"]
    assert dict(debian.read_files(path, [*wanted, "out", "a"])) == dict.fromkeys(
        wanted[:4], FILES["usr/share/a/one.ogg"]) | {"usr/hard.ogg": FILES["usr/share/a/two.ogg"]}


@pytest.mark.parametrize(("content", "said"), [
    (b"<html>not found</html>", "damaged"), (ar({"data.tar.zst": b"no zst"}), "damaged"), (ar({}), "damaged"),
    (ar({"data.tar.lz4": b"x"}), "lz4 compressed"), (ar({"data.tar": tar({"a": bytes(70_000)})}), "70000 bytes"),
    *((ar({"data.tar": tar({name: b"x"})}), "unsafe name") for name in ("/etc/passwd", "a/../../b", "a\\b"))])
def test_what_is_no_deb_holds_unsafe_names_or_is_too_large_is_refused(tmp_path, monkeypatch, content, said):
    monkeypatch.setattr(debian, "MAX_MEMBER", 60_000)
    (path := tmp_path / "p.deb").write_bytes(content)
    with pytest.raises(Unavailable, match=said):
        list(debian.read_files(path, ["a"]))


@pytest.fixture
def apt(tmp_path, cache, monkeypatch):
    """The folder of a fabricated apt-get, which serves the packages in it and fails in the way that `mode` says."""
    repo, script = tmp_path / "repo", tmp_path / "bin" / "apt-get"
    config.write_file(repo / "mode", "")
    config.write_file(script, APT.format(python=sys.executable, repo=str(repo)))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("NSLIB_OFFLINE", "")
    return repo


def test_fetches_once_and_verifies_and_fetches_lists_again_when_old_or_lacking_a_name(apt, monkeypatch, capsys):
    deb(apt / "one_1.0_all.deb", FILES)
    path, calls = debian.fetch_packages("one")["one"], apt / "calls"
    assert dict(debian.read_files(path, FILES)) == FILES and calls.read_text().count("update") == 1
    out, err = capsys.readouterr()
    assert "Debian packages" in err and out == ""
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        assert debian.fetch_packages("one") == {"one": path}
    with pytest.raises(Unavailable, match="Debian package three is not available: apt knows no package"):
        debian.fetch_packages(["one", "three"], progress=False)
    assert calls.read_text().count("update") == 2
    old = time.time() - (debian.LISTS_DAYS + 1) * 86400
    os.utime(config.cache_dir("packages", "debian") / "lists-fetched", (old, old))
    deb(apt / "three_1.0_all.deb", FILES)
    assert set(debian.fetch_packages(["one", "three"], progress=False)) == {"one", "three"}
    assert calls.read_text().count("update") == 3


def test_every_failure_has_its_own_words_and_what_arrived_before_the_network_broke_is_kept(apt):
    deb(apt / "one_1.0_all.deb", FILES)
    deb(apt / "two_1.0_all.deb", FILES)
    for mode, why in (("network", "cannot be reached"), ("huge", "disk is full"), ("lock", "another run"),
                      ("corrupt", "its sha256 is")):
        (apt / "mode").write_text(mode)
        with pytest.raises(Unavailable, match=why) as error:
            debian.fetch_packages("one", progress=False)
        assert "secret.example" not in str(error.value) and error.value.remedy.endswith("."), mode
        assert not list(debian.archives_dir().iterdir())
    (apt / "mode").write_text("half")
    with pytest.raises(Unavailable, match="package two is not available: the network"):
        debian.fetch_packages(["one", "two"], progress=False)
    assert debian.find_archive("one") and debian.find_archive("two") is None  # its first 100 bytes do not count
    (apt / "mode").write_text("")
    assert dict(debian.read_files(debian.fetch_packages(["one", "two"])["two"], FILES)) == FILES


def test_no_apt_and_offline_are_told_apart_and_a_file_put_there_by_hand_counts(cache, monkeypatch):
    with pytest.raises(Unavailable, match="NSLIB_OFFLINE"):
        debian.fetch_packages("speech")
    monkeypatch.setenv("NSLIB_OFFLINE", "0")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match=f"no apt-get.*{debian.archives_dir()}"):
        debian.fetch_packages("speech")
    path = deb(debian.archives_dir() / "speech_2.0_all.deb", FILES)
    assert debian.fetch_packages("speech") == {"speech": path}


# packed by a program written from the format's description: literals, and copies that overlap what they make
PACKED = bytes.fromhex(
    "524e4301000000ab0000005a73f28ad1000140222222222222222248444444444444440489888888888888880800648468656c6c6f20776f726c64"
    "073063c8c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeefb013080021")
UNPACKED = b"hello worldrldrldrl" + b"d" * 41 + (bytes(range(200, 240)) + b"d" * 17)[:57] + bytes(range(200, 240)) + \
    b"d" * 13 + b"!"


def test_packed_lines_are_unpacked_and_damage_is_noticed_by_the_published_checksum(tmp_path, monkeypatch):
    assert debian.unpack_rnc(PACKED + b"what follows") == UNPACKED
    for bad in (PACKED[:25], b"RNC\x02" + PACKED[4:], PACKED[:-3] + b"xyz"):
        with pytest.raises(ValueError):
            debian.unpack_rnc(bad)
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    for cut in (None, 40, 0):  # of the machine code on disk, the rest of which is lost
        for path in tmp_path.glob("*/*.nb?"):
            path.write_bytes(path.read_bytes()[:cut])
        config.compile_function.cache_clear()
        assert config.compile_function(debian.crc16)(np.frombuffer(b"123456789", np.uint8)) == 0xBB3D
    assert len([*tmp_path.glob("*/*.nb?")]) == 2


def queen(files: dict[str, bytes]) -> bytes:
    """A resource table of MP3 files."""
    head, rows, body = b"QTBLCEM10\0\0\0\1" + struct.pack(">H", len(files)), b"", b""
    for name, data in files.items():
        rows += struct.pack(">12sBII", name.encode(), 1, len(head) + 21 * len(files) + len(body), len(data))
        body += data
    return head + rows + body


def sky(files: dict[int, bytes]) -> tuple[bytes, bytes]:
    """A directory and its disk; every other offset in units of 16 bytes."""
    index, disk = struct.pack("<I", len(files)), b""
    for number, data in files.items():
        disk += bytes(-len(disk) % 16)
        where = len(disk) >> 4 | 1 << 23 if number % 2 else len(disk)
        index += struct.pack("<H", number) + where.to_bytes(3, "little") + len(data).to_bytes(3, "little")
        disk += data
    return index, disk


def test_recordings_in_resource_files_are_listed_and_read_beside_the_others(tmp_path):
    line = random.Random(0).randbytes(900)
    index, disk = sky({100: b"no speech", 50_001: bytes(22) + line, 50_002: bytes(22) + PACKED})
    path = deb(tmp_path / "game_1_all.deb", {
        QUEEN: queen({"020001P2.SB": b"mp3 one", "MUSIC.RL": b"no", "JOE0001.SB": b"mp3 two"}), SKY: disk,
        SKY_INDEX: index, "usr/share/doc/x": b"plain"})
    inside = [f"{QUEEN}#020001P2.SB.mp3", f"{QUEEN}#JOE0001.SB.mp3", f"{SKY}#50001.wav", f"{SKY}#50002.wav"]
    assert set(debian.list_files(path)) == {*inside, "usr/share/doc/x", SKY_INDEX}
    contents = dict(debian.read_files(path, [*inside[1:], f"{SKY}#59999.wav", "usr/share/doc/x"]))
    assert set(contents) == {*inside[1:], "usr/share/doc/x"} and contents[inside[1]] == b"mp3 two"
    for name, expected in ((inside[2], line), (inside[3], UNPACKED)):
        with wave.open(io.BytesIO(contents[name])) as file:
            assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (11_025, 1, 1)
            assert file.readframes(10_000) == expected
    with pytest.raises(Unavailable, match="not in the format that is known"):
        debian.list_files(deb(tmp_path / "game_2_all.deb", {QUEEN: b"QTBLnothing like it"}))


@pytest.fixture
def corpus(cache):
    """Twelve clips in two packages that were put into the cache by hand: their manifest, and their files."""
    manifest, files = speech_manifest()
    put_packages(manifest, files)
    return manifest, files


def load(manifest: pd.DataFrame) -> table.Dataset:
    return debian.load_packaged_clips("x", debian.list_rows(manifest), progress=False)


def test_clips_are_served_with_the_hash_of_what_the_file_gives_and_only_once(corpus, monkeypatch):
    manifest, got = corpus[0], load(corpus[0])
    assert got.problems.empty and got.notes == () and tuple(got.clips.columns) == table.COLUMNS
    assert got.clips["sha256"].tolist() == manifest["sha256"].tolist()
    for clip in got.clips.itertuples():
        read = audio.read(clip.audio)
        assert (audio.sha256(read.wave), read.seconds, read.source_rate) == (clip.sha256, clip.seconds, 16_000)
    assert set(got.clips["sample_rate"]) == {22_050}
    paths = [ClipCache("x").path(name) for name in got.clips["clip_id"]]  # what vanished or shrank is made again
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:-10])
    assert debian.list_unread_packages("x", debian.list_rows(manifest)) == ["pack-0", "pack-1"]
    pd.testing.assert_frame_equal(load(manifest).clips, got.clips)
    assert [audio.sha256(audio.read(path).wave) for path in paths] == got.clips["sha256"].tolist()
    for path in debian.archives_dir().iterdir():
        path.unlink()
    monkeypatch.setattr(audio, "read", lambda path: pytest.fail("it decoded again"))
    pd.testing.assert_frame_equal(load(manifest).clips, got.clips)


def test_each_way_in_which_a_clip_can_differ_is_told_apart(corpus, monkeypatch):
    manifest, files = corpus
    member = manifest["member"].tolist()
    soundfile.write(again := io.BytesIO(), *soundfile.read(io.BytesIO(files[member[4]]), dtype="int16"), format="AIFF")
    changed = files | {member[0]: sound(99), member[4]: again.getvalue(), member[6]: b"RIFF but no audio"}
    del changed[member[2]]
    manifest.loc[8, "sha256"] = "0" * 64  # the same bytes, another decoder
    put_packages(manifest, changed)
    got = load(manifest)
    reasons = got.problems.set_index("clip_id")["reason"].str.partition(":")[0]
    assert reasons.to_dict() == {"speech/00": "changed", "speech/02": "missing", "speech/06": "undecodable"}
    assert got.problems["remedy"].str.len().min() > 20 and len(got.clips) == 9
    assert (got.clips["sha256"] != "0" * 64).all()
    for note in ("3 of 12 clips are not used (1 changed, 1 missing, 1 undecodable)",
                 "1 clip decoded to other samples here", "1 clip came in other bytes"):
        assert note in " ".join(got.notes)
    with monkeypatch.context() as patch:  # failures are remembered until the package is another
        patch.setattr(debian, "read_files", lambda *a: pytest.fail("it read the archive again"))
        assert len(load(manifest).problems) == 3
    with monkeypatch.context() as patch:  # or what decodes it
        patch.setattr(audio, "identify_decoders", lambda: "newer ones")
        patch.setattr(debian, "read_files", lambda archive, names: [(name, files[name]) for name in names])
        assert load(manifest).problems.empty
    put_packages(manifest, files, "1.1")
    (debian.archives_dir() / "pack-0_1.0_all.deb").unlink()
    assert load(manifest).problems.empty


def test_peaks_above_full_scale_are_limited_and_counted(cache):
    clips = ClipCache("x")
    assert clips.add("loud", "k", np.float32([0.5, -1.25, 1.5])).note == clip_cache.LIMITED
    assert audio.read(clips.path("loud")).wave == pytest.approx([0.5, -1, 1], abs=1e-4)


def test_stopped_in_the_middle_it_takes_up_where_it_was(corpus, monkeypatch):
    manifest, _ = corpus
    record, add, done, made = ClipCache.record, ClipCache.add, [], []

    def stop_after_five(self, clip):  # when a sixth file is whole, and the ledger does not know it yet
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(clip)
        return record(self, clip)

    with monkeypatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        patch.setattr(ClipCache, "record", stop_after_five)
        with pytest.raises(KeyboardInterrupt):
            load(manifest)
    with (ClipCache("x").folder / "ledger.jsonl").open("a") as file:
        file.write('{"clip_id": "speech/11", "key"')  # and a line was torn
    monkeypatch.setattr(ClipCache, "add", lambda self, *words: made.append(words) or add(self, *words))
    assert load(manifest).clips["sha256"].tolist() == manifest["sha256"].tolist() and len(made) == 7
