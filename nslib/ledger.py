"""Cost ledger: what computing vectors took on this machine.

Each extraction that computes anything adds one line to ``costs.jsonl`` beside the vectors, so that the
report can tell an embedding's speed also when every vector comes from the store.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nslib import params

FILE = "costs.jsonl"
_HIGHEST = ("peak_memory_gb", "batch_seconds")


@dataclass
class Cost:
    """Sums over one extraction, or over several.

    Attributes
    ----------
    computed, padded : int
        Clips that were embedded, and how many of them did not fill the embedding's window.
    audio_seconds : float
        Of the computed clips.
    samples_real, samples_fed : int
        Samples of the clips, and of the batches that the model saw.
    wall_seconds : float
        From the first file to the last stored vector.
    peak_memory_gb : float
        Highest memory of the process so far.
    busy_seconds : float
        In which the embedding's function ran, summed over devices.
    waiting_seconds : float
        In which a device had nothing to do because clips were still being decoded, summed over devices.
    watched_seconds : float
        Wall seconds of the extractions in which the two above were measured, times devices.
    batch_seconds : float
        Most seconds of audio in a batch.
    devices : list of str
        What the embedding's function ran on; empty where it is not known.
    """

    computed: int = 0
    padded: int = 0
    audio_seconds: float = 0.0
    samples_real: int = 0
    samples_fed: int = 0
    wall_seconds: float = 0.0
    peak_memory_gb: float = 0.0
    busy_seconds: float = 0.0
    waiting_seconds: float = 0.0
    watched_seconds: float = 0.0
    batch_seconds: float = 0.0
    devices: list[str] = field(default_factory=list)

    def add(self, other: Cost) -> None:
        """Add another cost; of memory and batches the higher one counts.

        Parameters
        ----------
        other : Cost
        """
        for name, value in vars(other).items():
            old = getattr(self, name)
            if name == "devices":
                self.devices = list(dict.fromkeys([*old, *value]))
            else:
                setattr(self, name, max(old, value) if name in _HIGHEST else old + value)

    def remember(self, folder: Path, wall_seconds: float) -> None:
        """Complete the cost and write it down.

        Parameters
        ----------
        folder : Path
            Of the embedding's vectors.
        wall_seconds : float
        """
        self.wall_seconds, self.peak_memory_gb = wall_seconds, _peak_memory_gb()
        self.watched_seconds = wall_seconds * max(1, len(self.devices))
        with open(folder / FILE, "a") as file:
            file.write(json.dumps(vars(self)) + "\n")

    def summary(self) -> dict[str, Any]:
        """Cost as the report shows it.

        Returns
        -------
        dict
            computed, padded, audio_seconds, wall_seconds, clips_per_second, times_real_time, padding
            (share of the samples fed to the model), device_busy and decode_wait (shares of the devices' time),
            peak_memory_gb, batch_seconds, devices (one str). Rates are NaN if nothing was computed, shares if
            nothing was watched: the first versions of the kit did not.
        """
        per_second = 1 / self.wall_seconds if self.computed else float("nan")
        per_watched = 1 / self.watched_seconds if self.watched_seconds else float("nan")
        return {
            "computed": self.computed, "padded": self.padded, "audio_seconds": self.audio_seconds,
            "wall_seconds": self.wall_seconds, "clips_per_second": self.computed * per_second,
            "times_real_time": self.audio_seconds * per_second,
            "padding": 1 - self.samples_real / self.samples_fed if self.samples_fed else 0.0,
            "device_busy": self.busy_seconds * per_watched, "decode_wait": self.waiting_seconds * per_watched,
            "peak_memory_gb": self.peak_memory_gb, "batch_seconds": self.batch_seconds,
            "devices": ", ".join(self.devices),
        }


def total(fingerprint: str) -> Cost:
    """Cost of all vectors of an embedding that were ever computed on this machine.

    Parameters
    ----------
    fingerprint : str
        Of the embedding.

    Returns
    -------
    Cost
    """
    path = params.cache_dir("vectors") / fingerprint / FILE
    found = Cost()
    for line in path.read_text().splitlines() if path.exists() else []:
        found.add(Cost(**json.loads(line)))
    return found


def _peak_memory_gb() -> float:
    import psutil

    info = psutil.Process().memory_info()
    # Windows names the peak itself; elsewhere getrusage counts it, in kB (bytes on macOS).
    if hasattr(info, "peak_wset"):
        return float(info.peak_wset) / 1e9
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9
