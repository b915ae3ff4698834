"""Training audio of one's own: any folder, no labels; voices stay on one side."""

import numpy as np
import pytest
import soundfile

from nslib.errors import BadParameter
from nslib.train import own


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["audio,speaker"]
    for k in range(40):
        name = f"clip{k:02d}.wav"
        soundfile.write(tmp_path / name, rng.normal(0, 0.1, 8_000 + 100 * k), 16_000)
        rows.append(f"{name},{f'speaker{k % 20}'}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    return tmp_path


def test_a_folder_without_labels(folder):
    (folder / "broken.wav").write_bytes(b"RIFF")
    learn, held_out = own.recordings(folder, progress=False)
    assert (len(learn.names), len(held_out.names)) == (38, 2)
    assert not set(learn.names) & set(held_out.names)
    assert len(learn.problems) == 1 and learn.problems[0].startswith("broken: ")


def test_speakers_stay_on_one_side(folder):
    learn, held_out = own.recordings(folder / "list.csv", progress=False)
    of = {f"clip{k:02d}": k % 20 for k in range(40)}
    sides = [{of[name.split("/")[-1].removesuffix(".wav")] for name in part.names} for part in (learn, held_out)]
    assert not sides[0] & sides[1] and len(sides[0]) == 19
    joined, _ = own.recordings(folder / "list.csv", join=5.0, progress=False)
    assert len(joined.names) == 19, "two clips of a speaker became one piece"


def test_a_single_clip_is_too_little(tmp_path):
    soundfile.write(tmp_path / "only.wav", np.full(16_000, 0.1), 16_000)
    with pytest.raises(BadParameter, match="two are needed"):
        own.recordings(tmp_path, progress=False)
