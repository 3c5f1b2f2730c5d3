"""Losses at work: building, routing, masks, reduction, weighting, the composite."""
