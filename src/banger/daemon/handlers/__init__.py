"""Thin adapters, one module for each group of methods: call a verb, return its result."""
