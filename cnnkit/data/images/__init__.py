"""Image files: which formats, what a folder holds, pixels of any kind to uint8."""
