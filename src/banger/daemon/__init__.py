"""The daemon: one process per user that holds the engine and serves the API."""
