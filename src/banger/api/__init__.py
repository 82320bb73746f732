"""The API: its methods and types (`methods`, daemon's side only), and how they look on the
wire (`wire`, `stream`: light, for every client)."""
