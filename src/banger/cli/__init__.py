"""The command line: one module for each command group, loaded when it is asked for."""
