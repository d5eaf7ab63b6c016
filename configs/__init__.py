"""Settings, the clock, and the tables that rules are read from."""
