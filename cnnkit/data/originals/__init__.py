"""What the publishers of MNIST, Fashion-MNIST and CIFAR-10 offer: addresses and hashes, downloads, file formats."""
