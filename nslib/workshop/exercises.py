"""Self-checks: what stands below an exercise, and says in words what is wrong with an answer.

Conventions
-----------
A check is a ``with nslib.exercise(...)`` block. Its conditions are asked in order, so that a later one may rely on an
earlier one: first that there is an answer, then its shape, then its values. Whatever goes wrong inside the block,
also an error of Python's that an answer of the wrong kind causes, ends as one `Unsolved` with a sentence and the
hint, not as a traceback through the check's own code.
"""

from __future__ import annotations

from types import TracebackType

from nslib.errors import NslibError


class Unsolved(NslibError, AssertionError):
    """An answer to an exercise that is not there, or not right.

    Parameters
    ----------
    name : str
        Of the exercise.
    wrong : str
        What is wrong, as a sentence.
    hint : str
        What to think of.
    """

    exit_code = 1

    def __init__(self, name: str, wrong: str, hint: str):
        self.name, self.wrong, self.hint = name, wrong, hint
        super().__init__(f"✗ Exercise {name}: {wrong}\nHint: {hint}")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.name, self.wrong, self.hint)

    def _render_traceback_(self) -> list[str]:
        # IPython shows this in place of a traceback, which would be about the check and not about the answer.
        return str(self).splitlines()


class Check:
    """The block below an exercise; made by `exercise`.

    Parameters
    ----------
    name, shows, hint : str
        As of `exercise`.
    """

    def __init__(self, name: str, shows: str, hint: str):
        self.name, self.shows, self.hint = name, shows, hint

    def made(self, **answers: object) -> None:
        """Expect that every answer is there.

        Parameters
        ----------
        **answers
            Name to value; ``...`` and None are what an empty exercise holds.

        Raises
        ------
        Unsolved
            Naming those that are not.
        """
        empty = [f"`{name}`" for name, value in answers.items() if value is None or value is ...]
        if empty:
            verb = "is" if len(empty) == 1 else "are"
            self._fail(f"{', '.join(empty)} {verb} still empty: put your code into the cell above, and run it.")

    def expect(self, condition: object, wrong: str) -> None:
        """Expect something of an answer.

        Parameters
        ----------
        condition : bool or NumPy bool
            A single truth value.
        wrong : str
            What to say where it is false: what was found, and what that usually comes from.

        Raises
        ------
        Unsolved
            If it is false, or no single truth value.
        """
        import numpy as np

        if not isinstance(condition, bool | np.bool_):
            self._fail(f"a single True or False was expected here, not {type(condition).__name__}. {wrong}")
        if not condition:
            self._fail(wrong)

    def _fail(self, wrong: str) -> None:
        raise Unsolved(self.name, wrong, self.hint)

    def __enter__(self) -> Check:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if error is None:
            print(f"✓ Exercise {self.name}: {self.shows}")
        elif isinstance(error, NameError):
            missing = f"there is no `{error.name}` yet; run your cell above first."
            raise Unsolved(self.name, missing, self.hint) from error
        elif isinstance(error, Exception) and not isinstance(error, Unsolved):
            wrong = f"your answer is of a kind that cannot be checked ({type(error).__name__}: {error})."
            raise Unsolved(self.name, wrong, self.hint) from error


def exercise(name: str, shows: str, *, hint: str) -> Check:
    """Check the answer to an exercise.

    Parameters
    ----------
    name : str
        Letter of the exercise.
    shows : str
        What is true of a right answer; printed when it is.
    hint : str
        Printed with every failure.

    Returns
    -------
    Check
        For a ``with`` statement.

    Examples
    --------
    >>> step = 160
    >>> with exercise("A", "10 ms are 160 samples", hint="16,000 samples are a second") as it:
    ...     it.made(step=step)
    ...     it.expect(step == 160, f"`step` is {step}: is that in samples?")
    ✓ Exercise A: 10 ms are 160 samples
    """
    return Check(name, shows, hint)
