"""From what went wrong to an exit code and at most three lines."""
