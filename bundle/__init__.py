"""What hosts and registries install: the MCP bundle of the stdio proxy, and ``server.json``."""
