"""The loss `example`, as a plugin of lossreg."""
