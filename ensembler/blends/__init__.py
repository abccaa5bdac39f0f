"""What a fitted blend is: its numbers, and how they turn members' rows into one."""
