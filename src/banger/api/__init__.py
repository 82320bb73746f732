"""The API: its methods and types, and how they look on the wire."""
