"""Python client for servers that speak the DVID HTTP API."""
