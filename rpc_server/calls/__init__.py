"""The wire methods: `table` names them all, one module per method or family holds their handlers."""
