"""Trained networks outside their tables: loaded in a notebook, asked about a video, exported."""
