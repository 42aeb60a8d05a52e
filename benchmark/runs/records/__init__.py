"""Records: runs without their weights, small enough to commit. From records every committed table can be made again."""
