"""A definition from the signature and docstring of an existing class."""
