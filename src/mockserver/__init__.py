"""A server of HDF5 files that speaks the DVID HTTP API, for tests and for looking at files."""
