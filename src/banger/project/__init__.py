"""A repository's `banger.toml`: what it says about VMs for the repository.

A repository is foreign. Its file is parsed strictly, can name nothing of the host but port numbers
of the loopback, and is followed only after the user has trusted just this content (`trust`).
Everything that it asks for happens in a guest; nothing is read outside of the repository
(`host.reading`). ADR 0083 has the reasons. Used by the command line; the daemon gets plain
parameters.
"""
