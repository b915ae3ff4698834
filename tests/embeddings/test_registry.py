"""The registry: names, facts, fingerprints, extras, and what importing it costs."""

import dataclasses
import os
import subprocess
import sys

import cloudpickle
import numpy as np
import pytest

from nslib import embeddings
from nslib.embeddings import backends, registry
from nslib.embeddings.hub import ADAPTERS
from nslib.embeddings.registry import EMBEDDINGS
from nslib.errors import UnknownName


def test_names():
    both, extra = ["logmel", "mfcc"], ["opensmile-egemaps", "opensmile-compare"]
    kit = ["trill-mini-untrained-top", "trill-mini-untrained-layer19", "trill-mini-top", "trill-mini-layer19",
           "trill-mini-distilled", "speech-embedding", "resemblyzer", "ina-events", "ina-gender"]
    assert embeddings.names() == [*both, "untrained", *kit, *extra, *ADAPTERS]
    assert embeddings.names("quick") == both + kit + extra
    assert embeddings.names(profile="paper") == [*both, "untrained", *extra, *ADAPTERS]
    with pytest.raises(UnknownName, match="profile"):
        embeddings.names("papers")
    with pytest.raises(AttributeError, match="no attribute 'gets'"):
        _ = embeddings.gets


def test_what_is_built_in_can_be_sent_to_a_worker_also_within_a_function_of_somebody():
    sent = cloudpickle.loads(cloudpickle.dumps(embeddings.get("logmel")))
    waves, lengths = np.ones((1, 16_000), np.float32), np.array([16_000])
    assert np.array_equal(sent.embed(waves, lengths)[0], embeddings.get("logmel").embed(waves, lengths)[0])


def test_importing_and_describing_is_light():
    heavy = ("sorted({'tensorflow', 'keras', 'onnxruntime', 'h5py', 'torch', 'sklearn', 'requests', 'kagglehub', "
             "'ssl', 'http.client', 'urllib.request', 'multiprocessing'} & sys.modules.keys())")
    code = ("import sys, nslib.embeddings; print(sorted(n for n in sys.modules if n.startswith('nslib.embeddings.')));"
            f"import nslib.embeddings.files, nslib.embeddings.registry as registry; print({heavy});"
            "nslib.embeddings.describe(); nslib.embeddings.get('logmel'); registry.outline('trill-mini-top');"
            "print({'tensorflow', 'keras'} & sys.modules.keys());"
            "import importlib, os; key = 'TF_FORCE_GPU_ALLOW_GROWTH'; print(os.environ[key]);"
            "os.environ[key] = 'false'; importlib.reload(nslib.embeddings); print(os.environ[key])")
    unset = {k: v for k, v in os.environ.items() if k != "TF_FORCE_GPU_ALLOW_GROWTH"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=unset)
    assert done.stdout.splitlines() == ["[]", "[]", "set()", "true", "false"]


def test_every_record_is_complete():
    table = embeddings.describe()
    assert embeddings.needs_extra("opensmile-egemaps") and not embeddings.needs_extra("logmel")
    assert (table[["licence", "source", "trained_on"]].map(len) >= 3).all(axis=None)
    assert "NON-COMMERCIAL" in table.loc["opensmile-compare", "licence"]
    revisions = [info.revision for info in EMBEDDINGS.values() if not info.hub]
    assert len(set(revisions)) == len(revisions)
    assert all(info.weights.sha256.startswith(info.revision) for info in EMBEDDINGS.values() if info.weights)
    published = {name: info.hub for name, info in EMBEDDINGS.items() if info.hub}
    assert published == {name: adapter.model for name, adapter in ADAPTERS.items()}
    assert set(published.values()) == set(registry.SOURCES)


def test_get_gives_the_same_record_and_its_fingerprint_follows_the_vectors_not_the_name():
    logmel = embeddings.get("logmel")
    assert logmel is embeddings.get("logmel") is embeddings.get("logmel@numpy")
    assert logmel.fingerprint == embeddings.fingerprint("logmel")
    assert dataclasses.replace(logmel, name="x", licence="y", replica=print).fingerprint == logmel.fingerprint
    for change in ({"revision": "z"}, {"wrapper": 2}, {"min_samples": 3}, {"hop": 1.0}):
        assert dataclasses.replace(logmel, **change).fingerprint != logmel.fingerprint


def test_every_embedding_says_what_computes_it_and_every_backend_has_a_fingerprint(monkeypatch):
    """Which holds the converter and, of 8 bits, the sounds by which ranges are set."""
    assert {name: registry.list_backends(name)[0] for name in EMBEDDINGS
            if registry.list_backends(name) != ["tensorflow", *backends.BACKEND_FORMS]} == {
        "logmel": "numpy", "mfcc": "numpy", "resemblyzer": "numpy", "speech-embedding": "onnx",
        "opensmile-egemaps": "opensmile", "opensmile-compare": "opensmile", **dict.fromkeys(ADAPTERS, "tensorflow")}
    names = [*(f"untrained@{backend}" for backend in registry.list_backends("untrained")), "ina-gender@litert"]
    before = {name: embeddings.fingerprint(name) for name in names}
    assert len(set(before.values())) == len(names)
    assert before["untrained@tensorflow"] == embeddings.fingerprint("untrained")
    monkeypatch.setattr(backends, "SOUNDS_VERSION", backends.SOUNDS_VERSION + 1)
    assert embeddings.fingerprint("untrained@litert") == before["untrained@litert"]
    assert embeddings.fingerprint("untrained@litert-int8") != before["untrained@litert-int8"]
    monkeypatch.setattr(registry, "version", lambda name: "9.9")
    assert embeddings.fingerprint("untrained@litert") != before["untrained@litert"]


@pytest.mark.parametrize(("name", "words"), [
    ("untrained@litert-int4", r"unknown backend of untrained 'litert-int4'.*Known: litert, litert-dynamic, "
                              "litert-int8, tensorflow"),
    ("frill@litert", "Known: tensorflow"), ("untrained@", "unknown backend of untrained ''"),
    ("untrian@litert", "unknown embedding 'untrian'. Did you mean untrained")])
def test_names_that_do_not_fit(name, words):
    for ask in (embeddings.get, embeddings.fingerprint, embeddings.needs_extra):
        with pytest.raises(UnknownName, match=words):
            ask(name)


def test_a_function_that_was_let_go_is_loaded_again_and_gives_the_same():
    embedding, clip = embeddings.get("mfcc"), (np.ones((1, 16_000), np.float32), np.array([16_000]))
    before = embedding.embed(*clip)[0]
    registry.unload_functions()
    np.testing.assert_array_equal(embedding.embed(*clip)[0], before)
