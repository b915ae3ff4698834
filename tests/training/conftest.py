"""What several files of this room share."""

from __future__ import annotations

import pytest


@pytest.fixture
def eager():
    """Run steps without tracing them first, which takes longer than a few steps."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
