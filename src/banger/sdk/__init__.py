"""banger for Python programs: `Client`, `AsyncClient` and what they return; `docs/sdk.md`.

The names that users need are those of the package `banger` itself, imported on use. Clients keep
no state but the paths of the user's files: each request has a connection of its own, so a client
may be used from any thread or task. An ephemeral VM is tied to a connection that is open as long as
its block; if this process dies, the daemon deletes the VM.
"""
