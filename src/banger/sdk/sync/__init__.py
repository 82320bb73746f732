"""The clients whose calls wait."""
