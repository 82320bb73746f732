"""banger: one-command development sandboxes on microVMs.

Importing this package has no effects. The command is `banger.cli`, the daemon
`banger.daemon`; `docs/architecture.md` describes the packages.
"""
