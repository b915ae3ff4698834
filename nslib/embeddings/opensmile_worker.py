"""The process that runs openSMILE; started by `nslib.embeddings.handmade`, never imported beside TensorFlow.

In a process that has imported TensorFlow first, openSMILE's library crashes (malloc, seen with TensorFlow 2.21 and
opensmile 2.6). So it gets a process of its own, which talks through its standard input and output.

Conventions
-----------
A message is a signed 32-bit count and that many float32, all in the machine's byte order. In go waveforms (16 kHz,
mono), out come vectors. A negative count of -n in front of n bytes of UTF-8 is an error message. The worker ends when
its input does.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

COUNT = struct.Struct("=i")


def send(stream: BinaryIO, values: npt.NDArray[np.float32] | str) -> None:
    """Write an array, or an error message, as one message."""
    if isinstance(values, str):
        data = values.encode() or b"error"
        stream.write(COUNT.pack(-len(data)) + data)
    else:
        stream.write(COUNT.pack(len(values)) + np.ascontiguousarray(values, np.float32).tobytes())
    stream.flush()


def receive(stream: BinaryIO) -> npt.NDArray[np.float32] | str:
    """Read one message, an array or an error message; raises EOFError if the stream ends, also within a message."""
    count = COUNT.unpack(_read_exactly(stream, COUNT.size))[0]
    if count < 0:
        return _read_exactly(stream, -count).decode(errors="replace")
    return np.frombuffer(_read_exactly(stream, 4 * count), np.float32)


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    """Read as many bytes, or raise EOFError."""
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def main(feature_set: str) -> None:
    """Answer waveforms with functionals of a member of ``opensmile.FeatureSet`` until the input ends."""
    # whatever the library prints must not end up between the messages
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    import opensmile

    smile = opensmile.Smile(feature_set=getattr(opensmile.FeatureSet, feature_set),
                            feature_level=opensmile.FeatureLevel.Functionals)
    while True:
        try:
            wave = receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            send(answers, np.asarray(smile(wave, 16_000), np.float32).reshape(-1))
        except Exception as error:  # a bad clip must not cost the others
            send(answers, f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
