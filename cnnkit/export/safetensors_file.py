"""Write the weights of a trained net with all that is needed to build it again, and load such a file."""
