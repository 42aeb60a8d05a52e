"""Pictures of what the networks see and learn: clips in every representation, kernels, filters, and training curves.

Every picture is a matplotlib figure that `figure.write` saves as PNG and SVG, the same bytes for the same input.
"""
