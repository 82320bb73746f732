"""The Unix socket: its file, connections, and disconnects."""
