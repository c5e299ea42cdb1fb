# SPDX-License-Identifier: Apache-2.0
"""[database]: where the rows are."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "database"


@dataclasses.dataclass(frozen=True)
class DatabaseSection:
    """Options of the database connection."""

    connection: str | None = option(
        None, "SQLAlchemy URL; a SQLite file in state_path where not set.", secret=True
    )
    max_pool_size: int = option(10, "Connections kept open.", minimum=1)
