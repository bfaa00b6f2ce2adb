"""Prints `docs/configuration.md`: python -m dvid.config."""

from dvid.config.document import document

print(document(), end="")
