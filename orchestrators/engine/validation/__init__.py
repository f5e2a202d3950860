"""Validation of a method: the verdict, every fault that can be found at once, and the place of each."""
