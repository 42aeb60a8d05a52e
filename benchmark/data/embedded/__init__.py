"""The embedded data set: clips made here, and their exact flow."""
