"""What the command line does, one module per command. Does not belong here: parsing arguments (`assets_pkg/cli.py`)."""
