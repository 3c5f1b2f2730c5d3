"""One module for each verb: its options, its run, its exit code."""
