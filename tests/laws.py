"""How properties are tried. Every conftest that a run of tests may begin with imports this."""

import os

from hypothesis import HealthCheck, settings

# The same examples each time, however slow the machine is, and the same fixture for all of a test.
# HYPOTHESIS_PROFILE=hunt looks for new examples.
_QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=_QUIET)
settings.register_profile("hunt", deadline=None, max_examples=1000, suppress_health_check=_QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
