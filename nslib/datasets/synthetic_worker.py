"""Speak jobs with eSpeak NG, in a process of its own: ``python -m nslib.datasets.synthetic_worker FOLDER``.

The library is a GPL shared object, called through its C interface (speak_lib.h) and never imported by the kit itself.
One JSON job comes in a line of standard input, ``{"name", "text", "language", "voice", "rate", "pitch", "range",
"volume"}``; 16-bit PCM goes to ``FOLDER/<name>.pcm`` and one JSON answer, ``{"name", "rate", "error"}``, to standard
output. The library is opened and closed for every clip: it keeps state (noise of breathy voices, pitch) that no call
of it resets. Every return code is checked, because a voice that does not exist leaves the one before in use.
"""

from __future__ import annotations

import _ctypes
import ctypes
import json
import sys
from pathlib import Path
from typing import Any

__all__: list[str] = []

_RETRIEVAL, _UTF8, _DONT_EXIT = 1, 1, 0x8000
_MANNER = {"rate": 1, "pitch": 3, "range": 4, "volume": 2}  # numbers of the library's parameters
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def main(folder: Path) -> None:
    """Answer jobs until standard input ends."""
    import espeakng_loader  # type: ignore[import-untyped]

    path, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    close = getattr(_ctypes, "dlclose", None) or _ctypes.FreeLibrary  # type: ignore[attr-defined]
    for line in sys.stdin:
        job = json.loads(line)
        answer = {"name": job["name"], "rate": 0, "error": ""}
        try:
            library = ctypes.CDLL(path)
            try:
                answer["rate"], pcm = _synthesise(library, str(Path(data).parent), job)
            finally:
                close(library._handle)
            (folder / f"{job['name']}.pcm").write_bytes(pcm)
        except (RuntimeError, OSError) as error:
            answer["error"] = str(error)
        print(json.dumps(answer), flush=True)


def _synthesise(library: Any, data: str, job: dict[str, Any]) -> tuple[int, bytes]:
    """Sample rate and samples of one job."""
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
        voice, text = f"{job['language']}+{job['voice']}", job["text"].encode() + b"\0"
        _check(library.espeak_SetVoiceByName(voice.encode()) == 0, f"eSpeak NG has no voice {voice!r}")
        for name, number in _MANNER.items():
            _check(library.espeak_SetParameter(number, int(job[name]), 0) == 0, f"it refuses {name} {job[name]}")
        code = library.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 1, 0, _UTF8, None, None)
        _check(code == 0, f"it cannot speak {job['text']!r} (code {code})")
        _check(library.espeak_Synchronize() == 0, "it did not end")
    finally:
        library.espeak_Terminate()  # closing the library under its thread would hang
    _check(bool(pieces), f"it gave no sound for {job['text']!r}")
    return int(rate), b"".join(pieces)


def _check(ok: bool, message: str) -> None:
    """Report a return code that is not success."""
    if not ok:
        raise RuntimeError(message)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
