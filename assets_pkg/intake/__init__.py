"""The way of files through a run: taken, read, loaded, archived, or refused with a reason."""
