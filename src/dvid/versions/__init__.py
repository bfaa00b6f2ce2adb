"""Repos, the version DAG, and versioned reads and writes on top of a store."""
