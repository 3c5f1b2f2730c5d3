"""From text, files and Python values to nodes with places, and back to text."""
