"""Channel gates in front of a residual branch, one a file."""
