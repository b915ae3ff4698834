"""One sentence, one condition: how notebooks back what they say, and how exercises tell what is wrong.

`check` stops a notebook whose sentence is false. An `exercise` is about a reader's answer: whatever goes wrong inside
its block, also an error of Python's, ends as one `Unsolved` with a sentence and the hint, not as a traceback.
"""

from __future__ import annotations

from types import TracebackType

import numpy as np

from nslib import config
from nslib.errors import NslibError

__all__ = ["check", "exercise"]


class CheckFailed(NslibError, AssertionError):
    """A sentence that a notebook relies on turned out to be false."""

    exit_code = 1

    def __str__(self) -> str:
        return f"this does not hold: {self.args[0]}"


def check(condition: object, sentence: str) -> None:
    """Print ``✓ sentence`` if the condition holds, else stop (`CheckFailed`), but in a rehearsal, which prints ``✗``.

    The condition is a single truth value (else TypeError); the sentence reads well as a tick and as a failure.

    Examples
    --------
    >>> check(1 + 1 == 2, "one and one make two")
    ✓ one and one make two
    """
    if not isinstance(condition, bool | np.bool_):
        raise TypeError(f"check needs True or False, not {type(condition).__name__}; for arrays use .all() or .any()")
    if not sentence.strip():
        raise TypeError("check needs a sentence that says what holds")
    if not condition and not config.load_params().rehearse:
        raise CheckFailed(sentence)
    print(f"✓ {sentence}" if condition else f"✗ not in this rehearsal, whose numbers mean nothing: {sentence}")


class Unsolved(NslibError, AssertionError):
    """An answer to an exercise that is not there, or not right: made of its letter, what is wrong, and the hint."""

    exit_code = 1

    def __str__(self) -> str:
        name, wrong, hint = self.args
        return f"✗ Exercise {name}: {wrong}\nHint: {hint}"

    def _render_traceback_(self) -> list[str]:
        # IPython shows this in place of a traceback, which would be about the check and not about the answer.
        return str(self).splitlines()


class ExerciseCheck:
    """The ``with`` block below an exercise; `exercise` makes it."""

    def __init__(self, name: str, shows: str, hint: str):
        self.name, self.shows, self.hint = name, shows, hint

    def made(self, **answers: object) -> None:
        """Expect that every answer is there: ``...`` and None are what an empty exercise holds."""
        empty = [f"`{name}`" for name, value in answers.items() if value is None or value is ...]
        verb = "is" if len(empty) == 1 else "are"
        self.expect(not empty, f"{', '.join(empty)} {verb} still empty: put your code into the cell above, and run it.")

    def expect(self, condition: object, wrong: str) -> None:
        """Expect something of an answer; `wrong` is said where it is false."""
        if not isinstance(condition, bool | np.bool_):
            wrong = f"a single True or False was expected here, not {type(condition).__name__}. {wrong}"
        elif condition:
            return
        raise Unsolved(self.name, wrong, self.hint)

    def __enter__(self) -> ExerciseCheck:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if error is None:
            print(f"✓ Exercise {self.name}: {self.shows}")
        elif isinstance(error, Exception) and not isinstance(error, Unsolved):
            wrong = (f"there is no `{error.name}` yet; run your cell above first." if isinstance(error, NameError) else
                     f"your answer is of a kind that cannot be checked ({type(error).__name__}: {error}).")
            raise Unsolved(self.name, wrong, self.hint) from error


def exercise(name: str, shows: str, *, hint: str) -> ExerciseCheck:
    """Check the answer to the exercise with a letter, in a ``with`` statement.

    `shows`, what is true of a right answer, is printed when it is; `hint` with every failure. The block's
    ``made(name=name)`` wants answers to be there, its ``expect(condition, wrong)`` a condition to be true.

    Examples
    --------
    >>> step = 160
    >>> with exercise("A", "10 ms are 160 samples", hint="16,000 samples are a second") as it:
    ...     it.made(step=step)
    ...     it.expect(step == 160, f"`step` is {step}: is that in samples?")
    ✓ Exercise A: 10 ms are 160 samples
    """
    return ExerciseCheck(name, shows, hint)
