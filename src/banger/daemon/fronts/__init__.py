"""Ways by which requests reach the dispatcher, one folder for each."""
