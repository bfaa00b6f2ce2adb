"""Bytes to arrays and back: compression, images, messages."""
