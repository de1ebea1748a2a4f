"""Looking at nets, images and figures: pure functions and small modules that never train anything.

One concept a file: import from it, as in ``from cnnkit.analysis.complexity import complexity``.
"""
