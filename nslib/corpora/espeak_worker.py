"""Speak jobs with eSpeak NG, in a process of its own: ``python -m nslib.corpora.espeak_worker FOLDER``.

The library is a GPL shared object, called through its C interface (speak_lib.h) and never imported
by the kit itself; a crash in it ends this process only. One JSON job comes in a line of standard input,
``{"name", "text", "language", "variant", "rate", "pitch", "range", "volume"}``; 16-bit PCM goes to
``FOLDER/<name>.pcm`` and one JSON answer, ``{"name", "rate", "error"}``, to standard output.

The library is opened and closed for every clip: it keeps state (noise of breathy voices, pitch)
that no call of it resets, so the same job would give other samples later in the same process.
Every return code is checked, because a voice that does not exist leaves the one before in use.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

_RETRIEVAL, _UTF8, _DONT_EXIT = 1, 1, 0x8000
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def main(folder: Path) -> None:
    """Answer jobs until standard input ends.

    Parameters
    ----------
    folder : Path
        Where samples are written.
    """
    import espeakng_loader  # type: ignore[import-untyped]

    library, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    for line in sys.stdin:
        job = json.loads(line)
        try:
            rate, pcm = _speak(library, str(Path(data).parent), job)
            (folder / f"{job['name']}.pcm").write_bytes(pcm)
            answer = {"name": job["name"], "rate": rate, "error": ""}
        except (RuntimeError, OSError) as error:
            answer = {"name": job["name"], "rate": 0, "error": str(error)}
        print(json.dumps(answer), flush=True)


def _speak(path: str, data: str, job: dict[str, Any]) -> tuple[int, bytes]:
    library = ctypes.CDLL(path)
    try:
        return _synthesise(library, data, job)
    finally:
        _close(library)


def _close(library: ctypes.CDLL) -> None:
    import _ctypes

    handle = library._handle
    close = getattr(_ctypes, "dlclose", None) or _ctypes.FreeLibrary  # type: ignore[attr-defined]
    close(handle)


def _synthesise(library: Any, data: str, job: dict[str, Any]) -> tuple[int, bytes]:
    pieces: list[bytes] = []

    @_CALLBACK
    def collect(samples: Any, count: int, _events: object) -> int:
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, 2 * count))
        return 0

    rate = library.espeak_Initialize(_RETRIEVAL, 0, data.encode(), _DONT_EXIT)
    _check(rate > 0, f"eSpeak NG cannot start with the data in {data} (code {rate})")
    try:
        library.espeak_SetSynthCallback(collect)
        _say(library, job)
    finally:
        library.espeak_Terminate()  # closing the library under its thread would hang
    _check(bool(pieces), f"it gave no sound for {job['text']!r}")
    return int(rate), b"".join(pieces)


def _say(library: Any, job: dict[str, Any]) -> None:
    voice = f"{job['language']}+{job['variant']}"
    _check(library.espeak_SetVoiceByName(voice.encode()) == 0, f"eSpeak NG has no voice {voice!r}")
    for number, name in ((_RATE, "rate"), (_VOLUME, "volume"), (_PITCH, "pitch"), (_RANGE, "range")):
        _check(library.espeak_SetParameter(number, int(job[name]), 0) == 0, f"it refuses {name} {job[name]}")
    text = job["text"].encode() + b"\0"
    code = library.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 1, 0, _UTF8, None, None)
    _check(code == 0, f"it cannot speak {job['text']!r} (code {code})")
    _check(library.espeak_Synchronize() == 0, "it did not end")


def _check(ok: bool, message: str) -> None:
    if not ok:
        raise RuntimeError(message)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
