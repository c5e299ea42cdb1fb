# SPDX-License-Identifier: Apache-2.0
"""Writes a revision of the schema from the difference between the tables and the last revision.

    python tools/new_migration.py "add the frobs"   the next revision
    python tools/new_migration.py --initial         0001_initial anew, before the first release

Read what it wrote, correct it, set HEAD in nova/db/migrate.py, and run
tests/unit/db/test_migrate.py.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alembic import command
from alembic.script import ScriptDirectory

from nova.db.engine import Database
from nova.db.migrate import alembic_config

VERSIONS = Path(__file__).resolve().parent.parent / "nova" / "db" / "migrations" / "versions"


def main() -> int:
    """Write the revision; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("message", nargs="?", default="Initial schema")
    parser.add_argument("--initial", action="store_true", help="write 0001_initial anew")
    arguments = parser.parse_args()
    if arguments.initial:
        (VERSIONS / "0001_initial.py").unlink(missing_ok=True)
        identifier, slug = "0001", "initial"
    else:
        present = ScriptDirectory.from_config(alembic_config()).get_heads()
        identifier = f"{max((int(each) for each in present), default=0) + 1:04}"
        slug = "_".join(arguments.message.lower().split())[:40]
    with tempfile.TemporaryDirectory() as directory:
        db = Database(f"sqlite:///{directory}/empty.sqlite")
        with db.engine.begin() as connection:
            config = alembic_config(connection)
            config.attributes["alters"] = not arguments.initial
            command.upgrade(config, "head")
            script = command.revision(
                config, message=arguments.message, autogenerate=True, rev_id=identifier
            )
        db.dispose()
    assert script is not None
    assert not isinstance(script, list)
    path = Path(script.path).rename(VERSIONS / f"{identifier}_{slug}.py")
    lines = [line for line in path.read_text().splitlines() if "### " not in line]
    path.write_text("\n".join(lines) + "\n")
    for step in (["check", "--fix", "--exit-zero", "--silent"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *step, str(path)], check=True)  # noqa: S603
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
