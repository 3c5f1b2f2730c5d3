"""Text, files and Python values to nodes that know their places, and back to text."""
