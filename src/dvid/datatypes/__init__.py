"""One package for each datatype: its settings, its operations, its routes."""
