"""A trained net as a file that runs without cnnkit, with the proof that it predicts what the net does."""

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2", "safetensors": ".safetensors"}  # of the files, by their format
