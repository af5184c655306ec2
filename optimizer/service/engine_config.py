"""The ``engine`` of a configuration: where the store is, and how many solvers a machine has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from interfaces.errors import UserError
from optimizer.store.database import Database

DATABASE_VARIABLE: Final = "STROOMWACHT_DATABASE"
"""Instead of ``database``: a URL with a password does not belong in a file that is shared."""


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """``database``: ``sqlite:///FILE`` for one machine, ``postgresql://...`` for several. ``processes``: solvers on
    each machine; as many as it has cores where nothing is said.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    database: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    processes: Annotated[int, Field(ge=1, le=256)] | None = None

    @property
    def solvers(self) -> int:
        """How many there are here."""
        return self.processes or os.cpu_count() or 1

    def open(self, environment: Mapping[str, str] = os.environ) -> Database:
        """The store; the environment's word counts more than the file's.

        Raises:
            UserError: nobody says where it is, or it is no database the store works with.
        """
        url = environment.get(DATABASE_VARIABLE) or self.database
        if not url:
            raise UserError(f"the engine needs a 'database', or the environment variable {DATABASE_VARIABLE}")
        return Database(url)
