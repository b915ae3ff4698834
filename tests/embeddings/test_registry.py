"""The registry: names, facts, fingerprints, extras, and what importing it costs."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest

from nslib import embeddings
from nslib.embeddings import checker, registry
from nslib.embeddings.base import Embedding
from nslib.embeddings.registry import EMBEDDINGS
from nslib.errors import Unavailable, UnknownName


def run(code, environment=None):
    """What a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip()


def test_names():
    both, extra = ["logmel", "mfcc"], ["opensmile-egemaps", "opensmile-compare"]
    kit = ["trill-mini-untrained-top", "trill-mini-untrained-layer19", "trill-mini-top", "trill-mini-layer19",
           "trill-mini-distilled"]
    packaged = ["speech-embedding", "resemblyzer", "ina-events", "ina-gender"]
    hub = ["trill-layer19", "trill-top", "trill-distilled", "frill", *(f"trillsson{k}" for k in range(1, 6)),
           "yamnet-top", "yamnet-scores", "yamnet-layer10", "vggish-top", "vggish-fc1"]
    assert embeddings.names() == [*both, "untrained", *kit, *packaged, *extra, *hub]
    assert embeddings.names("quick") == both + kit + packaged + extra
    assert embeddings.names(profile="paper") == [*both, "untrained", *extra, *hub]
    with pytest.raises(UnknownName, match="profile"):
        embeddings.names("papers")


def test_unknown_name_teaches():
    with pytest.raises(UnknownName, match="Did you mean resemblyzer"):
        embeddings.get("resemblizer")
    with pytest.raises(AttributeError, match="no attribute 'gets'"):
        _ = embeddings.gets


def test_describe_and_logmel_are_light():
    heavy = "sorted({'tensorflow', 'onnxruntime', 'h5py', 'torch', 'sklearn', 'requests'} & sys.modules.keys())"
    code = ("import sys; from nslib import embeddings; t = embeddings.describe(); assert len(t) == 28;"
            "assert t.loc['trill-top', 'profiles'] == 'paper';"
            "assert t.loc['resemblyzer', 'download_mb'] > 10;"
            f"embeddings.get('logmel'); print({heavy}); import nslib.embeddings.files; print({heavy})")
    assert run(code).splitlines() == ["[]", "[]"]
    code = "import sys, nslib.embeddings; print(sorted(n for n in sys.modules if n.startswith('nslib.embeddings.')))"
    assert run(code) == "[]"


def test_gpu_memory_grows_as_needed():
    code = "import os, nslib.embeddings; print(os.environ['TF_FORCE_GPU_ALLOW_GROWTH'])"
    unset = {k: v for k, v in os.environ.items() if k != "TF_FORCE_GPU_ALLOW_GROWTH"}
    assert run(code, unset) == "true"
    assert run(code, {**unset, "TF_FORCE_GPU_ALLOW_GROWTH": "false"}) == "false"


def test_every_record_is_complete():
    table = embeddings.describe()
    assert (table[["licence", "source", "trained_on"]].map(len) >= 3).all(axis=None)
    assert "NON-COMMERCIAL" in table.loc["opensmile-compare", "licence"]
    revisions = [info.revision for info in EMBEDDINGS.values() if not info.hub]
    assert len(set(revisions)) == len(revisions)
    for info in EMBEDDINGS.values():
        if info.weights:
            assert info.kind == "trained"
            assert info.parameters > 100_000
            assert len(info.weights.sha256) == len(info.weights.wheel_sha256) == 64
            assert info.weights.sha256.startswith(info.revision)


def test_missing_library_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="make setup OPENSMILE=1"):
        embeddings.get("opensmile-egemaps")
    assert embeddings.needs_extra("opensmile-egemaps") and not embeddings.needs_extra("logmel")


def test_get_gives_the_record_and_the_same_object():
    logmel = embeddings.get("logmel")
    assert logmel is embeddings.get("logmel") is embeddings.get("logmel@numpy")
    assert isinstance(logmel, Embedding)
    assert (logmel.name, logmel.dim, logmel.hop, logmel.parameters) == ("logmel", 128, 0.0, 0)
    assert logmel.fingerprint == embeddings.fingerprint("logmel")


def test_fingerprint_follows_revision_not_name():
    logmel = embeddings.get("logmel")
    assert dataclasses.replace(logmel, name="x", licence="y", replica=print).fingerprint == logmel.fingerprint
    for change in ({"revision": "z"}, {"wrapper": 2}, {"min_samples": 3}, {"hop": 1.0}):
        assert dataclasses.replace(logmel, **change).fingerprint != logmel.fingerprint


# ---- name@backend --------------------------------------------------------------------------------


def test_every_embedding_says_what_computes_it():
    assert {name: info.engine for name, info in EMBEDDINGS.items() if info.engine != "tensorflow"} == {
        "logmel": "numpy", "mfcc": "numpy", "resemblyzer": "numpy", "speech-embedding": "onnx",
        "opensmile-egemaps": "opensmile", "opensmile-compare": "opensmile"}
    others = ["litert", "litert-dynamic", "litert-int8"]
    assert registry.list_backends("ina-gender") == registry.list_backends("untrained") == ["tensorflow", *others]
    assert registry.list_backends("frill") == ["tensorflow"]
    assert not any("@" in name for name in [*embeddings.names(), *embeddings.describe().index])


def test_every_backend_has_vectors_of_its_own():
    names = [*(f"untrained@{backend}" for backend in registry.list_backends("untrained")), "ina-gender",
             "ina-gender@litert"]
    assert len({embeddings.fingerprint(name) for name in names}) == len(names)
    assert embeddings.fingerprint("untrained@tensorflow") == embeddings.fingerprint("untrained")
    assert embeddings.fingerprint("speech-embedding@onnx") == embeddings.fingerprint("speech-embedding")


def test_converter_and_sounds_are_part_of_the_fingerprint(monkeypatch):
    before = {form: embeddings.fingerprint(f"untrained@{form}") for form in ("litert", "litert-int8")}
    monkeypatch.setattr(checker, "SOUNDS_VERSION", checker.SOUNDS_VERSION + 1)
    assert embeddings.fingerprint("untrained@litert") == before["litert"]
    assert embeddings.fingerprint("untrained@litert-int8") != before["litert-int8"]
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.9")
    assert embeddings.fingerprint("untrained@litert") != before["litert"]


@pytest.mark.parametrize(("name", "words"), [
    ("untrained@litert-int4", r"unknown backend of untrained 'litert-int4'.*Known: litert, litert-dynamic, "
                              "litert-int8, tensorflow"),
    ("speech-embedding@litert", "Known: onnx"),
    ("frill@litert", "Known: tensorflow"),
    ("logmel@tensorflow", "Known: numpy"),
    ("untrained@", "unknown backend of untrained ''"),
    ("untrian@litert", "unknown embedding 'untrian'. Did you mean untrained"),
])
def test_backends_that_do_not_fit(name, words):
    for ask in (embeddings.get, embeddings.fingerprint, embeddings.needs_extra):
        with pytest.raises(UnknownName, match=words):
            ask(name)
