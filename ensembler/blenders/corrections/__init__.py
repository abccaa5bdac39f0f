"""What a fitted base is corrected by: maps of what it leaves over, gains along directions."""
