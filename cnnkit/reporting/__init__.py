"""Figures, grids of images, tables and pages: how results are shown."""
