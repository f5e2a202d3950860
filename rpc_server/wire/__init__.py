"""JSON-RPC 2.0 on a stream of bytes: framing, messages, what is in flight, dispatch. Knows no run and no MCP method."""
