"""The tools: our own, and one for each method of the workspace."""
