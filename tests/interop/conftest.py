from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def vnc_path() -> Path:
    """A real EM volume that may lie beside the checkout."""
    path = Path(__file__).parents[3] / "shared" / "data" / "vnc" / "vnc.h5"
    if not path.exists():
        pytest.skip("the real volume ../shared/data/vnc/vnc.h5 is not beside the checkout")
    return path
