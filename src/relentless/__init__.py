"""Relentless: a multi-agent MCP coordination server for trading."""

__version__ = "0.1.0"
