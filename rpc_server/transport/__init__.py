"""Bytes in and out of this process: descriptors as streams that never block, and lines to stderr."""
