"""The API: its methods and their types (`table`, `requests`, `results`, daemon's side only), and
how they look on the wire (`wire`, `stream`: light, for every client)."""
