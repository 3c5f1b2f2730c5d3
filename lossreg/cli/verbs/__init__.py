"""One module a verb: its options, what it calls, its exit code."""
