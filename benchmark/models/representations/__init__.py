"""What turns the frames of a segment into a backbone's input, one a file."""
