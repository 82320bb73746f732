"""One module for each group of commands, loaded when a command of the group is run."""
