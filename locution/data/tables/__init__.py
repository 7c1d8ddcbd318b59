"""One's own tables: reading a file, finding out what its columns are, splitting its rows, turning them to numbers."""
