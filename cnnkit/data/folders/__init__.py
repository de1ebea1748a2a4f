"""Folders of image files: how they are laid out, which image is in which part, and what a run was trained on."""
