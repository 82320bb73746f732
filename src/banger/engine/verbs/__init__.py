"""What clients ask for: each verb checks, takes locks, runs transitions, returns a view."""
