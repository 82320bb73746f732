"""Pure: facts and specs in, steps and file contents out. Touches no machine, clock or loop."""
