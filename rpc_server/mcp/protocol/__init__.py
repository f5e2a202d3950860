"""What the MCP specification asks of any server: revisions, handshake, lists, subscriptions."""
