"""What `lossreg bridge` does: find a library's losses, try them, write them as source."""
