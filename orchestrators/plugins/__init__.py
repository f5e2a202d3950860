"""What a plugin author may import: the contract, and what finds and registers plugins."""
