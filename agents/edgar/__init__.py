"""EDGAR as the SEC and the insider agent read it: feeds, indexes, acceptance times. No agent."""
