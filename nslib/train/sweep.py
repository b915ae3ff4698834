"""Several students of one teacher, side by side: what they keep of it and what they cost.

Conventions
-----------
Each student is a run of `distill` in a folder of its own, so that a sweep which was interrupted goes on. Quality is
the share of variance of held-out targets that the student explains; that of the teacher is 1 by definition. It says how
well a student imitates, not how good it is at a task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib.errors import BadParameter
from nslib.train import compact, distill
from nslib.train.costs import cost
from nslib.train.data import Pairs
from nslib.train.distill_settings import Settings
from nslib.train.loop import HELD_OUT_SEED
from nslib.train.recorded import Recordings
from nslib.train.targets import batches
from nslib.train.teachers import Teacher

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("name", "quality", "low", "high", "steps", "parameters", "multiply_adds", "dim", "latency_ms",
           "latency_tensorflow_ms", "float_bytes", "int8_bytes", "int8_cosine", "machine")
PATCHES = 256
"""Held-out patches by which 8-bit ranges are set and errors are measured, half of them for each."""


def sweep(names: Sequence[str], learn: Recordings, held_out: Recordings, folder: Path, teacher: Teacher,
          settings: Settings | None = None, *, progress: bool = True) -> pd.DataFrame:
    """Train students one after the other and measure them.

    Parameters
    ----------
    names : sequence of str
        As `nslib.train.students.parse` reads them; all different.
    learn, held_out : Recordings
    folder : Path
        Each student's run is a folder in it.
    teacher : Teacher
    settings : Settings, optional
        Its student is replaced by each of `names`.
    progress : bool

    Returns
    -------
    DataFrame
        A row for each student, in order, and one for the teacher if it is a network of the kit: name, quality
        with low and high, steps (at which the student was best), parameters, multiply_adds (of one patch), dim,
        latency_ms (LiteRT float32, one patch, one thread), latency_tensorflow_ms, float_bytes, int8_bytes
        (of the LiteRT files), int8_cosine (median, to the float network), machine.

    Raises
    ------
    BadParameter
        If a name comes twice or there is none; and as `distill.train`.
    """
    import pandas as pd

    if not names or len(set(names)) < len(names):
        raise BadParameter(f"give one or several students, each once; got {', '.join(names) or 'none'}.")
    settings = settings or Settings()
    patches = _held_out_patches(held_out, teacher, settings)
    rows: list[dict[str, Any]] = []
    for name in names:
        chosen = replace(settings, distill=replace(settings.distill, student=name))
        done = distill.train(learn, held_out, folder / name, teacher, chosen, progress=progress)
        rows.append({"name": name, "quality": done.explained, "low": done.low, "high": done.high,
                     "steps": done.best_step, **measured(done.model, patches)})
    if teacher.network is not None:
        rows.append({"name": f"{teacher.name} (teacher)", "quality": 1.0, "low": 1.0, "high": 1.0,
                     **measured(teacher.network, patches)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def measured(model: Any, patches: npt.NDArray[Any]) -> dict[str, Any]:
    """Size a network and time it.

    Parameters
    ----------
    model : keras.Model
        As for `compact.compare`.
    patches : float32 [patches, 96, 64]

    Returns
    -------
    dict
        The columns of `sweep` from parameters on.
    """
    size = cost(model)
    forms = compact.compare(model, patches, forms=("float32", "int8")).set_index("form")
    return {"parameters": size.parameters, "multiply_adds": size.multiply_adds,
            "dim": next(iter(size.outputs.values())), "latency_ms": forms.at["float32", "latency_ms"],
            "latency_tensorflow_ms": forms.at["tensorflow", "latency_ms"],
            "float_bytes": int(forms.at["float32", "bytes"]), "int8_bytes": int(forms.at["int8", "bytes"]),
            "int8_cosine": forms.at["int8", "cosine"], "machine": forms.at["float32", "machine"]}


def _held_out_patches(held_out: Recordings, teacher: Teacher, settings: Settings) -> npt.NDArray[Any]:
    test = Pairs(held_out, settings.pairs, settings.distill.seed + HELD_OUT_SEED)
    several = -(-PATCHES // (2 * settings.pairs.batch))
    drawn = [patches.numpy() for patches, _, _ in batches(test, teacher, 0, several, augment=False)]
    return np.concatenate(drawn)[:PATCHES]
