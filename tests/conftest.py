import pytest

import experiments  # noqa: F401 - sets MKL_CBWR before torch's first operation


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread():
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
