"""The schema, as numbered steps forward. A step is never edited after a release.

`PRAGMA user_version` holds the number of the last step that was applied.
"""

from __future__ import annotations

import sqlite3

from banger.errors import HostNotReady

MIGRATIONS: tuple[str, ...] = (
    # 1: VMs, their runtime handles, operations and their journal.
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
    # 2: `origin`, templates/KEY or snapshots/ID, replaces `template` as the name of a VM's saved
    # machine. Without it a snapshot of a running clone would lack the pages that the clone has
    # not written itself. Invalid JSON stays unchanged: it affects only its own VM (hazard B9).
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
    # 3: the origin, the role and the pending shape leave the spec for columns of their own. The
    # spec is divided into shape, program and ending. Invalid JSON stays unchanged.
    """
    ALTER TABLE vms ADD COLUMN origin TEXT;
    ALTER TABLE vms ADD COLUMN role BLOB NOT NULL  -- JSON of model.vm.Role; here: a user's
        DEFAULT X'7B2274797065223A2275736572227D';
    ALTER TABLE vms ADD COLUMN pending BLOB;  -- JSON of model.vm.Shape
    UPDATE vms SET
        origin = CAST(spec AS TEXT) ->> '$.origin',
        pending = CAST(CAST(spec AS TEXT) -> '$.pending' AS BLOB),
        role = CAST(CASE
            WHEN CAST(spec AS TEXT) ->> '$.builds' IS NOT NULL THEN
                json_object('type', 'template-build', 'key', CAST(spec AS TEXT) ->> '$.builds')
            WHEN CAST(spec AS TEXT) ->> '$.pooled' IS NOT NULL THEN
                json_object('type', 'pooled', 'hostname', CAST(spec AS TEXT) ->> '$.pooled')
            ELSE json_object('type', 'user') END AS BLOB),
        spec = CAST(json_object(
            'name', CAST(spec AS TEXT) ->> '$.name',
            'image', CAST(spec AS TEXT) ->> '$.image',
            'image_name', CAST(spec AS TEXT) ->> '$.image_name',
            'kernel', CAST(spec AS TEXT) ->> '$.kernel',
            'shape', json_object(
                'vcpu', CAST(spec AS TEXT) ->> '$.vcpu',
                'memory_mib', CAST(spec AS TEXT) ->> '$.memory_mib',
                'disk_mib', CAST(spec AS TEXT) ->> '$.disk_mib',
                'network', CAST(spec AS TEXT) ->> '$.network'),
            'driver', CAST(spec AS TEXT) ->> '$.driver',
            'accel', CAST(spec AS TEXT) ->> '$.accel',
            'labels', json(coalesce(CAST(spec AS TEXT) -> '$.labels', '{}')),
            'program', json_object(
                'env', json(coalesce(CAST(spec AS TEXT) -> '$.env', '{}')),
                'workdir', coalesce(CAST(spec AS TEXT) ->> '$.workdir', ''),
                'user', coalesce(CAST(spec AS TEXT) ->> '$.user', ''),
                'entrypoint', json(coalesce(CAST(spec AS TEXT) -> '$.entrypoint', '[]'))),
            'ending', json_object(
                'ephemeral', json(coalesce(CAST(spec AS TEXT) -> '$.ephemeral', 'false')),
                'ttl_s', CAST(spec AS TEXT) ->> '$.ttl_s',
                'auto_stop_s', CAST(spec AS TEXT) ->> '$.auto_stop_s',
                'restart', coalesce(CAST(spec AS TEXT) ->> '$.restart', 'no'))
        ) AS BLOB)
    WHERE CASE WHEN json_valid(CAST(spec AS TEXT))
        THEN json_type(CAST(spec AS TEXT), '$.vcpu') END IS NOT NULL;
    UPDATE vms SET pending = NULL WHERE CAST(pending AS TEXT) = 'null';
    """,
    # 4: what a VM has to itself on the host: its loopback address, and the endpoints of the ports
    # that its user published. Users' VMs of older releases get addresses in the order of their age.
    """
    CREATE TABLE allocations (
        kind  TEXT NOT NULL,               -- address
        value TEXT NOT NULL,
        vm_id TEXT NOT NULL REFERENCES vms(id) ON DELETE CASCADE,
        PRIMARY KEY (kind, value)          -- two VMs cannot get one address (hazard C6)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX allocations_of_vm ON allocations (vm_id, kind);
    INSERT INTO allocations
        SELECT 'address', '127.77.' || (number / 254 % 256) || '.' || (number % 254 + 1), id
        FROM (
            SELECT id, row_number() OVER (ORDER BY created_at, id) - 1 AS number
            FROM vms WHERE CASE WHEN json_valid(CAST(role AS TEXT))
                THEN CAST(role AS TEXT) ->> '$.type' END = 'user'
        );

    CREATE TABLE published_ports (
        host  TEXT PRIMARY KEY,            -- such as tcp:127.0.0.1:8080
        guest TEXT NOT NULL,               -- such as tcp:80
        vm_id TEXT NOT NULL REFERENCES vms(id) ON DELETE CASCADE  -- dies with it (hazard I3)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX published_ports_of_vm ON published_ports (vm_id);
    """,
    # 5: tokens of the HTTP front, of which only hashes are kept.
    """
    CREATE TABLE tokens (
        hash       BLOB PRIMARY KEY,       -- sha256
        kind       TEXT NOT NULL,          -- program, offer, login
        name       TEXT UNIQUE,            -- a program's
        scope      TEXT NOT NULL,
        created_at REAL NOT NULL,
        expires_at REAL,                   -- null: never
        used_at    REAL
    ) STRICT, WITHOUT ROWID;
    """,
)


def migrate(connection: sqlite3.Connection) -> None:
    """Migrate the schema to the newest version, each step in a transaction of its own.

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
