"""One browser for all tests of pages: it takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from report_browser import Browser, browsing


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser, or a reason to skip the test."""
    with browsing(tmp_path_factory.mktemp("profile")) as found:
        yield found
