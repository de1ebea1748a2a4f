"""From files and words to one checked configuration and the objects that it names."""
