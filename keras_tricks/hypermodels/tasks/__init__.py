"""What a hypermodel is to learn: its last layer, loss, metrics and labels."""
