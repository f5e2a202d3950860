"""The wire methods, one module per method or family."""
