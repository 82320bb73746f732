"""The schema, as numbered steps forward. A step is never edited after a release.

`PRAGMA user_version` holds the number of the last step that was applied.
"""

from __future__ import annotations

import sqlite3

from banger.errors import HostNotReady

MIGRATIONS: tuple[str, ...] = (
    # 1: VMs, their momentary handles, operations and their journal.
    """
    CREATE TABLE vms (
        id         TEXT PRIMARY KEY,
        name       TEXT NOT NULL UNIQUE,   -- two creates cannot get one name (hazard C6)
        spec       BLOB NOT NULL,          -- JSON of model.vm.VmSpec
        state      TEXT NOT NULL,
        created_at REAL NOT NULL,
        error      TEXT,
        workspace  BLOB                    -- JSON of model.vm.WorkspaceRecord
    ) STRICT;

    -- What is true only while a process lives; written before it is used (hazard B4).
    CREATE TABLE handles (
        vm_id   TEXT NOT NULL REFERENCES vms(id) ON DELETE CASCADE,
        kind    TEXT NOT NULL,             -- vmm, network, lifetime, restart
        payload BLOB NOT NULL,             -- JSON
        PRIMARY KEY (vm_id, kind)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE operations (
        id         TEXT PRIMARY KEY,
        method     TEXT NOT NULL,
        vm_id      TEXT NOT NULL,
        started_at REAL NOT NULL
    ) STRICT;

    CREATE TABLE journal (
        operation_id TEXT NOT NULL REFERENCES operations(id) ON DELETE CASCADE,
        number       INTEGER NOT NULL,
        step         BLOB NOT NULL,        -- JSON of a plan.steps.Step
        status       TEXT NOT NULL,        -- started, done, undone
        PRIMARY KEY (operation_id, number)
    ) STRICT, WITHOUT ROWID;
    """,
    # 2: what a VM starts from is named by `origin`, templates/KEY or snapshots/ID, no longer by
    # `template`. Without it a snapshot of a clone that runs would lack what the clone has not
    # written itself. What is no JSON stays as it is: it concerns its own VM (hazard B9).
    """
    UPDATE vms SET spec = CAST(json_set(
        json_remove(CAST(spec AS TEXT), '$.template'),
        '$.origin', 'templates/' || json_extract(CAST(spec AS TEXT), '$.template')
    ) AS BLOB)
    WHERE CASE WHEN json_valid(CAST(spec AS TEXT))
        THEN json_extract(CAST(spec AS TEXT), '$.template') END IS NOT NULL;
    UPDATE journal SET step = CAST(json_set(
        json_remove(CAST(step AS TEXT), '$.template'),
        '$.origin', 'templates/' || json_extract(CAST(step AS TEXT), '$.template')
    ) AS BLOB)
    WHERE CASE WHEN json_valid(CAST(step AS TEXT))
        THEN json_extract(CAST(step AS TEXT), '$.template') END IS NOT NULL;
    """,
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema to the newest version, each step in a transaction of its own.

    Raises:
        HostNotReady: the database was written by a newer banger.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise HostNotReady(
            f"The database has schema {version}; this banger knows {len(MIGRATIONS)}.",
            hint="pipx upgrade banger",
        )
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;"
        )
