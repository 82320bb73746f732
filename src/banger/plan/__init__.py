"""Pure functions from facts and specs to steps and file contents. No machine, clock or loop."""
