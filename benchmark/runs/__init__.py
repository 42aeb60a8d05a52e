"""What a run leaves: its keys, its directory, its predictions and where it came from. Imports without torch."""
