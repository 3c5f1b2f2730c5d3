"""A definition from the signature and docstring of a class that exists already."""
