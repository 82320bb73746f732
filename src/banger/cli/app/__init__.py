"""The command line itself: the table of commands, parsing, help, completion, exit statuses."""
