"""Text for terminals, GitHub and documentation pages, from data."""
