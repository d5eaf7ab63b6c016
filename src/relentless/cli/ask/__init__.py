"""``relentless ask``: a question to Claude, answered from the hub with its sources."""
