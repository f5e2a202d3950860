"""Judging a method: the verdict, every fault that can be told at once, and the place of each."""
