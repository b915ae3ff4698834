"""Cost ledger: what computing vectors took on this machine.

Each extraction that computes anything adds one line to ``costs.jsonl`` beside the vectors, so that the
report can tell an embedding's speed also when every vector comes from the store.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nslib import params

FILE = "costs.jsonl"


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
    """

    computed: int = 0
    padded: int = 0
    audio_seconds: float = 0.0
    samples_real: int = 0
    samples_fed: int = 0
    wall_seconds: float = 0.0
    peak_memory_gb: float = 0.0

    def add(self, other: Cost) -> None:
        """Add another cost; of the memory the higher one counts.

        Parameters
        ----------
        other : Cost
        """
        for name, value in vars(other).items():
            old = getattr(self, name)
            setattr(self, name, max(old, value) if name == "peak_memory_gb" else old + value)

    def remember(self, folder: Path, wall_seconds: float) -> None:
        """Complete the cost and write it down.

        Parameters
        ----------
        folder : Path
            Of the embedding's vectors.
        wall_seconds : float
        """
        self.wall_seconds, self.peak_memory_gb = wall_seconds, _peak_memory_gb()
        with open(folder / FILE, "a") as file:
            file.write(json.dumps(vars(self)) + "\n")

    def summary(self) -> dict[str, Any]:
        """Cost as the report shows it.

        Returns
        -------
        dict
            computed, padded, audio_seconds, wall_seconds, clips_per_second, times_real_time, padding
            (share of the samples fed to the model), peak_memory_gb. Rates are NaN if nothing was computed.
        """
        per_second = 1 / self.wall_seconds if self.computed else float("nan")
        return {
            "computed": self.computed, "padded": self.padded, "audio_seconds": self.audio_seconds,
            "wall_seconds": self.wall_seconds, "clips_per_second": self.computed * per_second,
            "times_real_time": self.audio_seconds * per_second,
            "padding": 1 - self.samples_real / self.samples_fed if self.samples_fed else 0.0,
            "peak_memory_gb": self.peak_memory_gb,
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
