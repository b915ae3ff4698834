"""Errors that teach: what was given, what is allowed, what to do next.

Conventions
-----------
Every message is complete by itself. The command line prints it without a traceback and exits
with the class's `exit_code`. Errors can be pickled: they come from other processes too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from pathlib import Path

__all__ = ["NETWORK", "BadAudio", "BadParameter", "NslibError", "Unavailable", "UnknownName", "failed_download",
           "join_sentences", "refuse_unknown"]


def join_sentences(why: object, remedy: object) -> str:
    """Put a remedy behind a reason, which may end in a full stop or not."""
    return f"{str(why).rstrip(' .')}. {remedy}".rstrip()


class NslibError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 2


class BadParameter(NslibError, ValueError):
    """A parameter has a value that is not allowed."""


class UnknownName(BadParameter):
    """A task, embedding, parameter or other name that does not exist; the message names the nearest."""

    def __init__(self, kind: str, given: object, allowed: Iterable[str]):
        self.kind, self.given, self.allowed = kind, given, sorted(allowed)
        self.nearest = difflib.get_close_matches(str(given), self.allowed, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(self.nearest)}?" if self.nearest else ""
        known = ", ".join(self.allowed if len(self.allowed) < 99 else [*self.allowed[:60], "..."]) or "none"
        super().__init__(f"unknown {kind} {str(given)!r}.{hint} Known: {known}.")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.kind, self.given, self.allowed)


def refuse_unknown(kind: str, given: object, allowed: Collection[str]) -> None:
    """Raise UnknownName for the first name that is given, alone or in a collection, and is not allowed."""
    for name in given if isinstance(given, Iterable) and not isinstance(given, str) else (given,):
        if name not in allowed:
            raise UnknownName(kind, name, allowed)


class BadAudio(NslibError):
    """A clip that cannot be used.

    Parameters
    ----------
    path : path-like or str
        The file, or a name for audio that came from memory.
    reason, remedy : str
        What is wrong with it, and what the user can do about it; the remedy is a sentence.
    """

    def __init__(self, path: str | Path, reason: str, remedy: str):
        self.path, self.reason, self.remedy = str(path), reason, remedy
        super().__init__(join_sentences(f"{path}: {reason}", remedy))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.path, self.reason, self.remedy)


class Unavailable(NslibError):
    """Something that cannot be had on this machine now: a package, weights, a program.

    The run goes on and the report says *not run* with this reason.

    Parameters
    ----------
    what, why, remedy : str
        What is missing, why it cannot be had, and what would make it available.
    """

    exit_code = 3

    def __init__(self, what: str, why: str, remedy: str):
        self.what, self.why, self.remedy = what, why, remedy
        super().__init__(join_sentences(f"{what} is not available: {why}", remedy))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.why, self.remedy)


NETWORK = re.compile(
    r"Could(n't| not) (resolve|connect)|Unable to connect|Temporary failure|Failed to fetch|Connection failed|timed out"
    r"|(URL|Connect(ion)?)Error|Name(Resol| or serv)|ProxyError|getaddrinfo|unreachable|Max retries|LocalEntry", re.I)
"""What apt, pip and libraries of models print when there is no network."""

_FULL = re.compile(r"No space left|enough free space|Disk quota", re.IGNORECASE)
_ADDRESS = re.compile(r"\S+://\S+")


def failed_download(what: str, client: str, output: str, otherwise: str = "") -> Unavailable:
    """Explain by its messages why a program failed to download something, and say what else the user can do."""
    # addresses belong to the machine's configuration
    last = _ADDRESS.sub("<address>", (output.strip().splitlines() or ["it gave no message"])[-1])
    if _FULL.search(output):
        return Unavailable(what, "the disk is full", f"Free some space, or set NSLIB_CACHE. {otherwise}".strip())
    if NETWORK.search(output):
        why = f"the network, or the server that {client} is set up for, cannot be reached"
        return Unavailable(what, why, f"Connect and run again; what has arrived is kept. {otherwise}".strip())
    return Unavailable(what, f"{client} failed: {last}", f"Try it by hand. {otherwise}".strip())
