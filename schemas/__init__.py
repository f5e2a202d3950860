"""Every shape on the wire and between processes."""
