"""From objects in Python to the configuration that describes them, and back to the same objects."""
