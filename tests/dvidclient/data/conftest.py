"""Data instances to work on, and a way to wait for servers that answer changes before they are done."""

import time
import uuid

import numpy
import pytest

from dvidclient import connect
from dvidclient.errors import ServerRefused


@pytest.fixture(scope="session")
def version(server_url, node):
    """A version of a repo that can be written to."""
    return connect(server_url, user="tester").node(node)


@pytest.fixture(scope="session")
def administrator(server_url, admin_token):
    """The server, asked with an admin's rights."""
    return connect(server_url, token=admin_token or None, user="tester")


@pytest.fixture
def made(version):
    """Makes a data instance of a type."""

    def make(typename, **settings):
        return version.create(typename, f"{typename}-{uuid.uuid4().hex[:12]}", **settings)

    return make


@pytest.fixture(scope="session")
def reads(version):
    """Compares what is read with what is expected.

    A server that heeds idempotency keys has done all of a change when it answers. Others may answer before: merges, cleaves,
    splits and the index of written voxels show there a moment later, so they are asked again for a minute.
    """
    at_once = version.repo.server.connection.heeds_keys

    def wait_for(read, expected):
        for attempt in range(1 if at_once else 600):
            if attempt:
                time.sleep(0.1)
            try:
                found = read()
            except ServerRefused as refused:
                found = refused.status
            if (
                numpy.array_equal(found, expected)
                if isinstance(found, numpy.ndarray) or isinstance(expected, numpy.ndarray)
                else found == expected
            ):
                return
        assert str(found) == str(expected)
        assert numpy.array_equal(found, expected)

    return wait_for


@pytest.fixture
def write_labels():
    """Writes an array (z, y, x) of labels into an instance, from voxel 0, 0, 0 on."""

    def write(instance, labels_zyx):
        size = "_".join(map(str, labels_zyx.shape[::-1]))
        voxels = memoryview(numpy.ascontiguousarray(labels_zyx, "<u8").tobytes())
        instance.connection.post_voxels(f"{instance.path}/raw/0_1_2/{size}/0_0_0", voxels, "writing labels")

    return write
