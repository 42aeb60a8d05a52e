"""A paper's claims: their states by our own rows, and the page of all claims."""
