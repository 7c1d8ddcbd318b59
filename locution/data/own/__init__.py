"""One's own pictures and texts: found in folders and tables, read, cleaned and split, every decision said."""
