"""The verbs about networks, as a user types them: train on a folder, export what came out, use it."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import tone
from test_cli import call

from nslib import audio, embeddings
from nslib.train import checkpoint, embedding, models


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    home = tmp_path_factory.mktemp("mine")
    for take in range(40):
        audio.write_wav(home / f"{take:02d}.wav", tone(2.0, 150 + 20 * take, seed=take))
    return home


@pytest.mark.parametrize(("words", "said"), [
    (["triplets", "stepps=3"], "Did you mean steps"),
    (["triplets", "steps"], "name=value"),
    (["triplets", "margin=9"], "at most 4"),
    (["distill", "student=mobilnet-0.25"], "mobilenet"),
    (["finetune", "style-synthetic", "pol=mean"], "Did you mean pool"),
    (["export", "trill-minni", "out"], "Did you mean trill-mini"),
])
def test_wrong_requests_teach(monkeypatch, capsys, words, said):
    code, out, err = call(monkeypatch, capsys, "train", *words)
    assert code == 2
    assert said in err and "Traceback" not in err + out


def test_settings_say_what_is_known_of_the_paper(monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "train", "settings")
    assert code in (0, None)
    assert "unknown" in out and "margin" in out and "2400" in out


@pytest.mark.heavy
def test_train_on_a_folder_and_export_the_weights(recordings, tmp_path, monkeypatch, capsys):
    run, small = tmp_path / "run", ["steps=2", "batch=2", "evaluate_every=1", "held_out=1", "warmup=0", "gap=0.2"]
    words = ["train", "triplets", *small, "--clips", recordings, "--folder", run]
    code, out, err = call(monkeypatch, capsys, *words)
    assert code in (0, None) and "held-out triplets right" in out and "0.02 h to learn from" in err
    again = call(monkeypatch, capsys, *words)
    assert again[1] == out, "a run that has ended is read, not repeated"

    code, out, _ = call(monkeypatch, capsys, "train", "export", run / "best.npz", tmp_path / "model")
    assert code in (0, None)
    exported = embeddings.from_saved_model(tmp_path / "model", key="embedding")
    waves, lengths = tone(1.5, 400)[None], np.array([24_000])
    mine = embedding.as_embedding(models.of_file(run / "best.npz"), "embedding", "mine")
    np.testing.assert_allclose(exported.embed(waves, lengths)[0], mine.embed(waves, lengths)[0], atol=1e-5)


def test_weights_of_a_network_that_is_not_known(tmp_path, monkeypatch, capsys):
    checkpoint.write(tmp_path / "other.npz", {"weights": []}, {"network": "resnet-51"})
    code, _, err = call(monkeypatch, capsys, "train", "export", tmp_path / "other.npz", tmp_path / "out")
    assert code == 2 and "unknown kind of student 'resnet'" in err
