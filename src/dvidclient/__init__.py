"""Python client for servers that speak the DVID HTTP API.

``connect`` opens a server, whose repos, nodes and data instances are objects; ``volume_client`` and ``volume_metainfo`` are
the plain functions for one volume.
"""

from dvidclient.server import Server, connect

__all__ = ["Server", "connect"]
