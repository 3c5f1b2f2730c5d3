"""The faults of a config: diagnostics, guesses at what was meant, codes."""
