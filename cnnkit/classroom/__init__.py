"""The hand calculations of a first course on convolutional nets, as code to read; docs/course/ has the derivations.

Each file has one concept. Import from the file: ``from cnnkit.classroom.convolution import corr2d``.
"""
