"""Networks that others have published: which there are, how their files are read, and what they come to here."""
