"""A paper's claims: their states by our own rows, what a verdict prints, and the page of all claims."""
