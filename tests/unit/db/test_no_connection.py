# SPDX-License-Identifier: Apache-2.0
"""All connections are in use, as where the database is slow: the request hears that it may try again."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine

from nova.db.engine import Database
from nova.errors import DatabaseAway


def test_a_request_that_gets_no_connection_in_time_is_told_to_try_again(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/n.sqlite")
    db.dispose()
    db.engine = create_engine(db.url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    db._writing = db.engine.execution_options(nova_write=True)
    with db.read():
        with pytest.raises(DatabaseAway), db.read():
            pass
        with pytest.raises(DatabaseAway), db.write():
            pass
    with db.read():
        pass
    db.dispose()
