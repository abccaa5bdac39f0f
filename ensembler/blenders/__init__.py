"""Ways to combine members, one file each: what is fitted, on which rows, and how it is chosen."""
