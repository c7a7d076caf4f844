"""Files that are dropped: where they lie, how they are read, typed and described."""
