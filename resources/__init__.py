"""HOW the world is reached: databases, APIs, archives. May import `schemas`; never `assets_pkg`."""
