"""What several files of this room share."""

import pytest
import tensorflow as tf


@pytest.fixture
def eager():
    """Run steps without tracing them first, which takes longer than a few steps."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
