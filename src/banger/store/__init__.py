"""SQLite: records, handles, operations and their journal.

Owns the database file and its numbered migrations. Everything durable that the
daemon knows is here; runtime state (connections, tasks, locks) is in the
engine. A transaction holds statements only: no process, network or file work.

`Database` runs functions of a connection in a thread of its own. If the process
dies, SQLite's write-ahead log keeps every committed transaction and nothing else.
"""

from banger.store.allocations import (
    allocate_address,
    allocate_guest_address,
    find_address,
    load_addresses,
    load_guest_addresses,
)
from banger.store.database import UNWRITABLE, Database, open_database
from banger.store.handles import (
    begin_handle,
    delete_handle,
    load_handles,
    load_handles_of_kind,
    save_handle,
)
from banger.store.journal import (
    JournalEntry,
    OpenOperation,
    StepStatus,
    begin_operation,
    end_operation,
    load_open_operations,
    record_step,
)
from banger.store.published import (
    load_published,
    load_publishers,
    port_published,
    publish_port,
    unpublish_port,
)
from banger.store.tokens import (
    TokenRow,
    delete_expired_tokens,
    delete_token,
    insert_token,
    load_tokens,
    note_token_use,
    replace_token,
)
from banger.store.vms import (
    delete_vm,
    find_name,
    find_vm,
    insert_vm,
    load_vms,
    replace_vm,
    require_name_free,
    update_spec,
    update_state,
    update_workspace,
)

__all__ = [
    "UNWRITABLE",
    "Database",
    "JournalEntry",
    "OpenOperation",
    "StepStatus",
    "TokenRow",
    "allocate_address",
    "allocate_guest_address",
    "begin_handle",
    "begin_operation",
    "delete_expired_tokens",
    "delete_handle",
    "delete_token",
    "delete_vm",
    "end_operation",
    "find_address",
    "find_name",
    "find_vm",
    "insert_token",
    "insert_vm",
    "load_addresses",
    "load_guest_addresses",
    "load_handles",
    "load_handles_of_kind",
    "load_open_operations",
    "load_published",
    "load_publishers",
    "load_tokens",
    "load_vms",
    "note_token_use",
    "open_database",
    "port_published",
    "publish_port",
    "record_step",
    "replace_token",
    "replace_vm",
    "require_name_free",
    "save_handle",
    "unpublish_port",
    "update_spec",
    "update_state",
    "update_workspace",
]
