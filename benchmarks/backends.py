"""Other ways to compute an embedding: how fast, and how far from the embedding itself; ratios in one run.

whole     waveform in, vectors out: `nslib.embeddings.backends`, front end and all; its time over that of TensorFlow
network   the network alone on patches that lie ready, 64 a call

Backends are taken in turn, several rounds. Errors are relative to the largest number; cosines are the median and the
least over clips, among them digital silence and noise at full scale. The sounds are made by rule
(`nslib.embeddings.sounds`), and their voices are not those that set the ranges of networks in 8 bits. A backend that
this machine does not have is named with its reason. What is converted for the first time takes some seconds each,
and is kept.

Usage: ``python benchmarks/backends.py [--embeddings NAME,NAME] [--rounds K]``
"""

from __future__ import annotations

import argparse
import importlib

import numpy as np
from common import Figure, in_turn, report

from nslib import embeddings
from nslib.embeddings import backend, backend_error, bfloat16, graphs, litert, sounds
from nslib.embeddings.cards import CARDS

EMBEDDINGS = "trill-mini-top,trill-mini-layer19,untrained,ina-gender"
AT_ONCE, CALLS = 64, 2


def networks(name: str, available: list[str], rounds: int) -> dict[str, float]:
    """Milliseconds a patch of the network alone, for each backend that is available."""
    card = CARDS[name]
    parts = importlib.import_module(f"nslib.embeddings.{card.module}").parts(card)
    patches = np.concatenate([parts.cut(wave) for wave in sounds.several(12, 1_000)])[: AT_ONCE * CALLS]
    made = {"tensorflow": graphs.frozen(parts.function, parts.shape)}
    for other in available:
        if other in litert.FORMS:
            key = backend.card(f"{name}@{other}").revision
            made[other] = litert.network(parts, litert.FORMS[other], key)
        elif other == "bf16":
            made[other] = bfloat16.network(parts)
    pieces = [patches[i : i + AT_ONCE] for i in range(0, len(patches), AT_ONCE)]
    for network in made.values():
        network(pieces[0])
    times = in_turn({key: lambda network=network: [network(piece) for piece in pieces]
                     for key, network in made.items()}, rounds)
    return {key: 1000 * seconds / len(patches) for key, seconds in times.items()}


def figures(name: str, rounds: int) -> list[Figure]:
    """All figures of one embedding."""
    table = embeddings.backends(name, rounds)
    print(f"\n{name}\n{backend_error.text(table)}", flush=True)
    there = table[table["available"]].set_index("backend")
    alone = networks(name, list(there.index), rounds)
    found = []
    for key in there.index[1:]:
        row = there.loc[key]
        wanted = {"at_most": 1e-5} if key == "litert" else {}
        found += [Figure(f"{name}@{key}: time over TensorFlow's, whole", row["time_ratio"]),
                  Figure(f"{name}@{key}: time over TensorFlow's, network", alone[key] / alone["tensorflow"],
                         note=f"{alone[key]:.2f} against {alone['tensorflow']:.2f} ms a patch"),
                  Figure(f"{name}@{key}: largest error", row["largest_error"], **wanted),
                  Figure(f"{name}@{key}: cosine of vectors", row["cosine"], at_least=0.999,
                         note=f"least {row['least_cosine']:.4f}")]
    return found


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embeddings", default=EMBEDDINGS)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for name in given.embeddings.split(","):
        report(figures(name, given.rounds))


if __name__ == "__main__":
    main()
