"""Configuration: a TOML file, the environment and the command line, checked, as frozen values.

`load_config` is the way in. Every key, its meaning and its default are declared once, in `settings`;
`python -m dvid.config` prints the documentation made of them.
"""

from dvid.config.load import load_config
from dvid.config.settings import Backend, Config, Limits, Server, Store
from dvid.config.values import Address

__all__ = ["Address", "Backend", "Config", "Limits", "Server", "Store", "load_config"]
