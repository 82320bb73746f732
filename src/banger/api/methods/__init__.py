"""The methods of the API, a module for each group; `banger.api.table` has them all."""
