"""What every instance takes, whatever its type."""

import base64
import struct

import pytest

from dvid.kernels.checksums import fnv128
from dvid.versions import layout
from dvid.versions.envelope import seal

CONTENT = b"one content"
REFERENCE = base64.urlsafe_b64encode(fnv128(CONTENT)).decode()


@pytest.fixture
def instance(make_instance):
    return make_instance("keyvalue")


def test_a_blob_is_kept_under_a_hash_of_its_content(instance):
    assert instance.post("blobstore", CONTENT).json == {"reference": REFERENCE}
    assert instance.post("blobstore", CONTENT).json == {"reference": REFERENCE}
    assert instance.get(f"blobstore/{REFERENCE}").content == CONTENT
    assert instance.get(f"blobstore/{REFERENCE.replace('=', '%3D')}").content == CONTENT


def test_references_are_those_of_the_reference_server(instance):
    """As it answered a split of these runs: x, y, z and length."""
    runs = [(50, y, z, 3) for z in (11, 12) for y in (17, 18, 19)]
    content = b"".join(struct.pack("<4i", *run) for run in runs)
    assert instance.post("blobstore", content).json == {"reference": "bkqvUZHnc7rqMXOEC7vpyA=="}


@pytest.mark.parametrize("reference", ["AAAAAAAAAAAAAAAAAAAAAA==", "x", "A" * 500, "A" * 24, "\u00fc" * 24])
def test_what_was_not_kept_is_not_found(instance, reference):
    assert instance.ask("GET", f"blobstore/{reference}").status_code == 404


def test_another_content_of_the_same_hash_never_takes_the_place_of_the_first(instance):
    def forge(edit):
        key = layout.table_prefix(edit.instance.number, layout.BLOBS) + REFERENCE.encode()
        edit.snapshot.put(key, seal(key, b"forged"))

    instance.database.edit(instance.node, "data", forge)
    refused = instance.ask("POST", "blobstore", CONTENT)
    assert refused.status_code == 409
    assert REFERENCE in refused.text
    assert instance.get(f"blobstore/{REFERENCE}").content == b"forged"
