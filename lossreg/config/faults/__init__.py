"""What is wrong with a config: diagnostics, guesses at what was meant, codes."""
