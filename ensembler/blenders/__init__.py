"""Ways to combine members, one file each; what several of them share has a folder."""
