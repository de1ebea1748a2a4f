"""What a net does: shapes and costs of its layers, receptive fields, feature maps, reasons for a prediction."""
