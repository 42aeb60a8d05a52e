"""What differences between rows, and the papers' claims, are worth."""
