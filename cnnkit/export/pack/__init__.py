"""A pack: a model for others, with its card, a script that needs no cnnkit, and a check that it works without it."""
