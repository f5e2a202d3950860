"""What a deployment sets: the layers of files, variables and flags, and what is trusted."""
