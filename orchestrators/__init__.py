"""Where a run happens: the plugin contract, the engine pool and our own orchestrators."""
