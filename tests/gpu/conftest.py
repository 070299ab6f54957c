"""Everything in this folder runs on a GPU, without a way out to the CPU."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


# First, so that `-m gpu` and `-m "not gpu"` see the marker.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    # The hook is given the tests of all folders.
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def gpu_is_visible() -> bool:
    """Whether TensorFlow sees a GPU; asked only once a test of this folder runs."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


@pytest.fixture(autouse=True)
def _no_soft_placement(gpu_is_visible):
    """Makes an op without a GPU kernel an error instead of a detour over the CPU."""
    if not gpu_is_visible:
        pytest.skip("no GPU is visible to TensorFlow")
    import tensorflow as tf

    soft_placement = tf.config.get_soft_device_placement()
    tf.config.set_soft_device_placement(False)
    yield
    tf.config.set_soft_device_placement(soft_placement)
