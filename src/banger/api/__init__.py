"""The API: methods and their types (`table`, `requests`, `results`: daemon only), and the wire
format (`wire`, `stream`: light, for every client)."""
