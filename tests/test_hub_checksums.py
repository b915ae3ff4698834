"""Published models: their files are recorded on first use and compared ever after."""

from __future__ import annotations

import hashlib
import os

import pytest
from hub_server import FILES, write_model

from nslib import embeddings, params
from nslib.embeddings.cards import CARDS
from nslib.embeddings.hub import checksums
from nslib.errors import Unavailable

pytest_plugins = ["hub_fixtures"]


def test_checksum_is_of_names_sizes_and_contents(tmp_path):
    first = checksums.of(write_model(tmp_path / "a"))
    assert checksums.of(write_model(tmp_path / "b", {**FILES, "keras_metadata.pb": b"not hashed"})) == first
    digest = hashlib.sha256()
    for name in sorted(FILES):
        digest.update(f"{name}\0{len(FILES[name])}\0".encode() + FILES[name])
    assert first == digest.hexdigest()
    moved = {("variables/w" if name.endswith("index") else name): data for name, data in FILES.items()}
    for other in ({**FILES, "assets/map.csv": b"a,c\n"}, {**FILES, "assets/new": b""}, moved):
        assert checksums.of(write_model(tmp_path / f"x{len(list(tmp_path.iterdir()))}", other)) != first


def test_changed_model_is_refused_and_says_what_to_do(models):
    folder = write_model(models / "trill")
    first = checksums.verified("trill", folder)
    assert embeddings.fingerprint("trill-top") == embeddings.fingerprint("trill-top")
    (folder / "variables" / "variables.index").write_bytes(b"other")
    with pytest.raises(Unavailable) as caught:
        checksums.verified("trill", folder)
    text = str(caught.value)
    for word in (first[:16], "was recorded on 20", "UTC", "found on this machine", str(models / "trill.json")):
        assert word in text
    with pytest.raises(Unavailable, match="not the ones used before"):
        embeddings.fingerprint("trill-top")
    (models / "trill.json").unlink()
    assert checksums.verified("trill", folder) != first


def test_same_size_and_time_is_trusted_until_it_is_loaded(models):
    folder = write_model(models / "trill")
    first = checksums.verified("trill", folder)
    graph = folder / "saved_model.pb"
    stat = graph.stat()
    graph.write_bytes(b"grapH")
    os.utime(graph, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert checksums.verified("trill", folder) == first
    with pytest.raises(Unavailable, match="not the ones used before"):
        checksums.verified("trill", folder, fully=True)


def test_touched_and_moved_models_stay_what_they_are(models, monkeypatch):
    hashed = []
    real = checksums.of
    monkeypatch.setattr(checksums, "of", lambda folder: hashed.append(folder) or real(folder))
    folder = write_model(models / "trill")
    first = checksums.verified("trill", folder)
    assert checksums.verified("trill", folder) == first and len(hashed) == 1
    os.utime(folder / "saved_model.pb")
    assert checksums.verified("trill", folder) == first and len(hashed) == 2
    assert checksums.verified("trill", folder) == first and len(hashed) == 2
    when = checksums.read("trill").recorded
    other = write_model(models / "elsewhere")
    assert checksums.verified("trill", other) == first
    assert checksums.read("trill").recorded == when


def test_unreadable_record(models):
    folder = write_model(models / "trill")
    (models / "trill.json").write_text("{")
    with pytest.raises(Unavailable, match="Delete that record"):
        checksums.verified("trill", folder)


def test_record_of_a_read_only_folder_goes_to_the_cache(models, monkeypatch):
    folder = write_model(models / "trill")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    first = checksums.verified("trill", folder)
    assert not (models / "trill.json").exists()
    assert checksums.read("trill").sha256 == first
    assert (params.cache_dir("model-checksums") / "trill.json").is_file()


def test_fingerprints_differ_by_output_and_follow_the_files(hub):
    names = [name for name in embeddings.names("paper") if CARDS[name].hub]
    found = {name: embeddings.fingerprint(name) for name in names}
    # the models of this test have the same files: what is read from them tells them apart
    assert len(set(found.values())) == len({(CARDS[n].dim, CARDS[n].min_samples) for n in names})
    assert len({found[n] for n in ("trill-layer19", "trill-top", "yamnet-top", "yamnet-layer10")}) == 4
