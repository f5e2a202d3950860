"""Engines as their owner sees them: the pool, its lanes, one child process."""
