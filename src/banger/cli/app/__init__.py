"""The core of the command line: command table, parsing, help, completion, exit statuses."""
