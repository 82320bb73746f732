"""The verbs, which clients ask for: each checks, takes locks, runs transitions, returns a view."""
