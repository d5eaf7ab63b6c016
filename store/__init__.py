"""Where things are kept: the journal, history, online features."""
