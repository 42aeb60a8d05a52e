"""Column kinds, a file each: how our values come about, how they are shown, and how claims on them are judged."""
