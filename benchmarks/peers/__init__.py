"""The other tools, one folder each: its environment, its command lines, how its result is read."""
