"""Tables and sentences for a person to read."""
