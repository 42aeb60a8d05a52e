"""What turns the frames of a segment into a backbone's input, one file each; `build.py` lists them."""
