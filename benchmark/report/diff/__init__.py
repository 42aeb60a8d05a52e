"""Two runs compared: what differs between them, in what they came to and in what they were made by."""
