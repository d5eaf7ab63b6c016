"""The MCP tools, one family per file, against the Protocols in ports."""
