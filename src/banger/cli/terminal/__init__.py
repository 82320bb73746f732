"""The terminal: output, progress, and the relay to a program in a guest."""
