"""The terminal: what is printed, progress, and a guest's program at the other end."""
