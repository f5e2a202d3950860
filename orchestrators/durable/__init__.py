"""What the orchestrators that keep runs share."""
