"""What a first course on convolutional nets works out by hand, as code to read; docs/course/ has the derivations.

One concept a file: import from it, as in ``from cnnkit.classroom.convolution import corr2d``.
"""
