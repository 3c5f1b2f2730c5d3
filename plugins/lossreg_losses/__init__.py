"""The built-in losses, one file each, found through lossreg's own entry points."""
