"""What a trained network predicts."""
