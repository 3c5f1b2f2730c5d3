"""Nodes to models: a reader for each construct of the language."""
