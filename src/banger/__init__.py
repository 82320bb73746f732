"""banger: one-command development sandboxes on microVMs.

Importing this package does nothing. The command is `banger.cli`, the daemon
`banger.daemon`; `docs/architecture.md` maps the rooms.
"""
