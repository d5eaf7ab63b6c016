"""The hub: MCP server, registry, subscriptions, coordinator."""
