"""Shared by all tests: threads, paths, the folder of real pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """Real pictures, which not every machine has."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data on this machine")
    return SHARED
