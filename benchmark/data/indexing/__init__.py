"""What of a data set that the user holds is there, readable and as long as it should be."""
