"""Frozen values: ids, specs, records, states. Touches no machine, clock or loop."""
