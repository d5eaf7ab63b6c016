"""What carries the agents: their schedule, their upstream cache, their way to the hub.

Not an agent; discovery leaves this folder out.
"""
