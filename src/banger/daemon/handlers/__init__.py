"""Thin adapters from methods to verbs, one module for each group of methods."""
