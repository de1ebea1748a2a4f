"""What a net does: shapes and costs of its layers, what its units see, what decided an answer."""
