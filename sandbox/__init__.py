"""The upstream APIs in a box: true wire formats on loopback."""
