"""Clips: data sets, decoding, segment sampling, transforms and the embedded data set."""
