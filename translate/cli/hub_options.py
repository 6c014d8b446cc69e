"""The flags that ``gantk push`` and ``gantk pull`` share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from translate.errors import UsageError
from translate.fields import Spelling


@dataclass(frozen=True, kw_only=True)
class HubOptions:
    """Which hub, and as whom."""

    endpoint: Annotated[str | None, "address of the hub [HF_ENDPOINT, or the public one]", Spelling(metavar="URL")] = (
        None
    )
    token: Annotated[
        Path | None, "file that holds the hub's token [the one that hf auth login stored]", Spelling(metavar="FILE")
    ] = None

    def secret(self) -> str | None:
        """The token in the file, which keeps it out of the list of processes; None where the hub's own is taken."""
        if self.token is None:
            return None
        try:
            text = self.token.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            text = ""
        if not text:
            raise UsageError(f"--token {self.token}: cannot be read; expected a file that holds a token")
        return text
