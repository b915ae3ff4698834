"""The kit beside what pip gives of nkululeko, MTEB and X-ARES: the same clips, features and split.

Each tool gets clips of a second, their ``logmel`` vectors, labels and split by its own door: the kit as a list and a
file of vectors (it reads the clips too: results are named by their sound), nkululeko as imported features, MTEB as a
classification task whose model looks vectors up, X-ARES as tar files of embeddings. Counted is the processor time of a
process with all that it starts, from import to answer. What an answer contains is said beside it: the tools do not do
the same work. They live in an environment of their own, ``peers/bin/pip install nkululeko mteb xares``, because
nkululeko needs older packages than the kit; without it only the kit is measured.

Usage: ``python benchmarks/peers.py [--python peers/bin/python] [--clips N] [--classes N] [--rounds N]``
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import Cost, Figure, report, run_process, write_clips

CONTAINS = {
    "kit": "5 probes x 4 normalisations chosen on validation; accuracy with an interval over speakers; the audit of "
           "the data; every answer, with hashes",
    "nkululeko": "1 SVM (linear, C = 1, no normalisation); UAR with an interval over clips; a confusion matrix",
    "mteb": "10 regressions, each on 8 clips a class; accuracy, F1, precision, recall as means of the ten; validation "
            "is not used; no interval",
    "xares": "1 linear layer trained 10 epochs, best on validation, and kNN; accuracy of each; no interval"}
CONFIG = """[EXP]
root = {folder}
name = peer
[DATA]
databases = ['train', 'test']
train = {folder}/train.csv
train.type = csv
train.split_strategy = train
test = {folder}/test.csv
test.type = csv
test.split_strategy = test
target = label
labels = {labels}
[FEATS]
type = ['import']
import_file = ['{folder}/features.csv']
[MODEL]
type = svm
C_val = 1
kernel = linear
"""


def run_nkululeko(folder: Path, data: dict[str, Any]) -> dict[str, float]:
    """Run an experiment, in the peers' environment as the next two, and read its score off what it says."""
    labels = sorted({str(label) for label in data["label"]})
    (folder / "peer.ini").write_text(CONFIG.format(folder=folder, labels=labels))
    done = subprocess.run([sys.executable, "-m", "nkululeko.nkululeko", "--config", "peer.ini"], cwd=folder,
                          capture_output=True, text=True)
    if not (found := re.findall(r"uar[: ]+(\d*\.\d+)", (done.stdout + done.stderr).lower())):
        raise SystemExit(f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return {"UAR": float(found[0])}


def run_mteb(folder: Path, data: dict[str, Any]) -> dict[str, float]:
    """Evaluate a classification task whose texts are places of vectors."""
    import mteb
    from datasets import Dataset, DatasetDict
    from mteb.abstasks.classification import AbsTaskClassification
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models.abs_encoder import AbsEncoder
    from mteb.models.model_meta import ModelMeta

    class Clips(AbsTaskClassification):
        metadata = TaskMetadata(name="Clips", description="vectors that are given", type="Classification",
                                dataset={"path": "made/here", "revision": "1"}, eval_langs=["eng-Latn"],
                                main_score="accuracy", eval_splits=["test"])

        def load_data(self, *args: object, **kwargs: object) -> None:
            rows = {split: np.flatnonzero(data["split"] == split) for split in ("train", "test")}
            self.dataset = DatasetDict({split: Dataset.from_dict({
                "text": [str(k) for k in places], "label": [int(data["code"][k]) for k in places]})
                for split, places in rows.items()})
            self.data_loaded = True

    class Given(AbsEncoder):
        mteb_model_meta = ModelMeta.create_empty(overwrites={"name": "made/given"})

        def encode(self, inputs: Any, **kwargs: object) -> np.ndarray:
            return data["vectors"][[int(text) for batch in inputs for text in batch["text"]]]

    found = mteb.evaluate(Given(), Clips(), cache=None, show_progress_bar=False)
    scores = found.task_results[0].scores["test"][0]
    return {name: float(scores[name]) for name in ("accuracy", "f1")}


def run_xares(folder: Path, data: dict[str, Any]) -> dict[str, float]:
    """Train and evaluate on tar files of embeddings."""
    import torch
    import webdataset
    from xares.task import TaskConfig, XaresTask

    class Given(torch.nn.Module):
        sampling_rate, hop_size_in_ms, output_dim = 16_000, 1000, data["vectors"].shape[1]

    task = XaresTask(TaskConfig(name="clips", env_root=folder, private=True, encoder=Given(), eval_weight=1,
                                output_dim=len(set(data["code"])), label_processor=lambda sample: sample["label"]))
    for split, name in (("train", "train"), ("validation", "valid"), ("test", "test")):
        path = str(task.encoded_tar_path_of_split[name]).replace("*", "0000000")
        with webdataset.TarWriter(path, encoder=False) as out:
            for k in np.flatnonzero(data["split"] == split):
                file = io.BytesIO()
                np.save(file, data["vectors"][k][None])
                out.write({"__key__": f"{k:06d}", "npy": file.getvalue(),
                           "json": json.dumps({"label": int(data["code"][k])}).encode()})
    task.encoded_ready_path.touch()
    (linear, _), (neighbours, _) = task.run()
    return {"linear": float(linear), "kNN": float(neighbours)}


PEERS: dict[str, Callable[[Path, dict[str, Any]], dict[str, float]]] = {
    "nkululeko": run_nkululeko, "mteb": run_mteb, "xares": run_xares}


def make_material(folder: Path, clips: int, classes: int) -> None:
    """Write clips, the vectors of ``logmel`` and a split by speaker, for every tool in its own way."""
    import pandas as pd

    import nslib

    made = pd.DataFrame(write_clips(folder / "clips", clips, classes, 20), columns=["audio", "label", "speaker"])
    made["audio"] = made["audio"].astype(str)
    made["clip_id"] = [Path(path).stem for path in made["audio"]]
    split = pd.Series(["train"] * 3 + ["validation", "test"])
    made["split"] = split[made["speaker"].str[-2:].astype(int) % 5].to_numpy()
    made.to_csv(folder / "clips.csv", index=False)
    vectors = nslib.embed(folder / "clips.csv", "logmel", progress=False).set_index("clip_id")["vector"]
    x = np.stack(vectors.loc[made["clip_id"]].tolist()).astype(np.float32)
    np.savez(folder / "vectors.npz", vectors=x, clip_id=made["clip_id"].to_numpy(str))
    np.savez(folder / "data.npz", vectors=x, code=pd.factorize(made["label"], sort=True)[0],
             **{c: made[c].to_numpy(str) for c in ("label", "split")})
    table = made.rename(columns={"audio": "file"}).set_index("file")
    for part in ("train", "test"):
        table.loc[table["split"] == part, ["label", "speaker"]].to_csv(folder / f"{part}.csv")
    pd.DataFrame(x, index=table.index).to_csv(folder / "features.csv")


def main() -> None:
    """Measure all tools in turn and print what each answer contains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="of the environment that has the peers")
    parser.add_argument("--clips", type=int, default=3000)
    parser.add_argument("--classes", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("PEER", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    _ = shutil.which(given.python) or parser.error(f"there is no Python {given.python}")
    if given.one:
        folder = Path(given.one[1])
        with np.load(folder / "data.npz") as data:
            print(json.dumps(PEERS[given.one[0]](folder, dict(data))))
        return
    costs: dict[str, list[Cost]] = {}
    said: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        make_material(Path(scratch), given.clips, given.classes)
        asked = [name for name in PEERS if not subprocess.run(
            [given.python, "-c", f"import importlib.util as u; exit(u.find_spec('{name}') is None)"]).returncode]
        print(*(f"  not in {given.python}: pip install {name}" for name in PEERS if name not in asked), sep="\n")
        for turn in range(given.rounds):
            for name in ("kit", *asked):
                folder = Path(scratch) / f"{name}-{turn}"
                folder.mkdir()
                for file in Path(scratch).glob("*.*"):
                    (folder / file.name).symlink_to(file)
                command = [given.python, __file__, "--one", name, folder] if name != "kit" else [
                    sys.executable, "-m", "nslib", "benchmark", "vectors.npz", "--dataset", "clips.csv"]
                environment = {**os.environ, "NSLIB_CACHE": str(folder), "NSLIB_REPORTS": str(folder)}
                costs.setdefault(name, []).append(run_process(command, folder, environment, folder / "said.txt"))
                said[name] = (folder / "said.txt").read_text()
    seconds = {name: statistics.median(cost.processor for cost in taken) for name, taken in costs.items()}
    for name, taken in seconds.items():
        found = [line.strip() for line in said[name].splitlines() if re.search(r'[{]"|[0-9] \[[0-9][.][0-9]+, ', line)]
        print(f"  {name}: {taken:.1f} s of processor, {max(c.memory for c in costs[name]):.0f} MB; {CONTAINS[name]}: "
              f"{found[0 if name == 'kit' else -1]}")
    report([Figure(f"{name} over the kit, processor time, {given.clips} clips", seconds[name] / seconds["kit"], "x",
                   at_least=2.0 if name == "nkululeko" else None, note=CONTAINS[name]) for name in asked]
           + [Figure(f"the kit, {given.clips} clips, {given.classes} classes", seconds["kit"], "s")])


if __name__ == "__main__":
    main()
