"""The commands of `mthds-rpc`, one module each, and what they share."""
