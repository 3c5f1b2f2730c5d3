"""Adapters for trainers, each a module of its own that needs its trainer's extra."""
