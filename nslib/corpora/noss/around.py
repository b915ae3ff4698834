"""What is put around TensorFlow Datasets while it works: less chatter, and parts of it exchanged for a time."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def quietly(progress: bool) -> Iterator[None]:
    """Keep warnings of TensorFlow Datasets for its own developers off the terminal.

    Parameters
    ----------
    progress : bool
        Show its progress bars, on stderr, where its messages go too.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is imported
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from absl import logging

    loggers = (logging.get_absl_logger(), tf.get_logger())
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel("ERROR")
    if not progress:
        tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        tfds.enable_progress_bar()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def exchanged(owner: type, name: str, value: Any) -> Iterator[None]:
    """Let a class of another library have another attribute, for as long as this lasts.

    Parameters
    ----------
    owner : type
    name : str
        Of an attribute that the class itself defines.
    value : object
    """
    original = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)
