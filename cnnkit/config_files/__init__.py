"""Configurations as text: strict YAML, scalars by their written form, and the run cards that come with cnnkit."""
