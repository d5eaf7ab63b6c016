"""The insider agent: open-market trades of insiders, from Forms 4."""
