"""From the files people have to rows joined by id: arrays, tables, captions, old submissions."""
