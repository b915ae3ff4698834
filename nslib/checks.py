"""One sentence, one condition: how the notebooks back what they claim.

Conventions
-----------
The sentence says what is true when the check holds, with the numbers in it, so that it reads well
both as a tick below a figure and as the message of a failure.
"""

from __future__ import annotations

from nslib.errors import NslibError


class CheckFailed(NslibError, AssertionError):
    """A sentence that a notebook relies on turned out to be false.

    Parameters
    ----------
    sentence : str
        What was expected to hold.
    """

    exit_code = 1

    def __init__(self, sentence: str):
        self.sentence = sentence
        super().__init__(f"this does not hold: {sentence}")


def check(condition: object, sentence: str) -> None:
    """Print ``✓ sentence`` if the condition holds, else stop.

    Parameters
    ----------
    condition : bool or NumPy bool
        A single truth value. An array is refused: say ``.all()`` or ``.any()`` yourself, so that
        the reader sees which of the two is meant.
    sentence : str
        What holds, in words, ending without a full stop or with one.

    Raises
    ------
    CheckFailed
        If the condition is false.
    TypeError
        If the condition is not a single truth value, or the sentence is empty.

    Examples
    --------
    >>> check(1 + 1 == 2, "one and one make two")
    ✓ one and one make two
    """
    import numpy as np

    if not isinstance(condition, bool | np.bool_):
        raise TypeError(
            f"check needs True or False, not {type(condition).__name__}; for arrays use .all() or .any()"
        )
    if not sentence.strip():
        raise TypeError("check needs a sentence that says what holds")
    if not condition:
        raise CheckFailed(sentence)
    print(f"✓ {sentence}")
