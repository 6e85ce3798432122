import sys

import pytest
from hypothesis import HealthCheck, settings

import experiments  # noqa: F401 - sets MKL_CBWR before torch's first operation

# The same cases every time, however slow the machine is.
settings.register_profile(
    "fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def one_torch_thread():
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
