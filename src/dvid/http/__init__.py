"""The HTTP server: routing, limits, access; its handlers are thin."""
