"""Bringing volumes in and out: HDF5, Zarr, folders of slices, TIFF, NumPy files, and a made-up sample volume."""

from dvid.interop.progress import ProgressJournal
from dvid.interop.sinks import create_sink
from dvid.interop.sources import open_source
from dvid.interop.volumes import VolumeSink, VolumeSource

__all__ = ["ProgressJournal", "VolumeSink", "VolumeSource", "create_sink", "open_source"]
