"""From nodes to a tree as written: a reader for each construct of the language."""
