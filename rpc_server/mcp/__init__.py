"""The MCP face: the same server for LLM hosts, in both protocol eras at once."""
