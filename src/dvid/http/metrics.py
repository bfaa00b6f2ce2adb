"""The counters of the server, for people, for the reference server's clients and for Prometheus."""

from __future__ import annotations

import time
from typing import Any

from dvid.http.calls import Request
from dvid.http.tally import BOUNDS, Kind, joined_kinds, joined_pings, last_second
from dvid.routes import Reply, json_reply

_FORMAT = "text/plain; version=0.0.4; charset=utf-8"  # the text format of Prometheus


def get_load(call: Request) -> Reply:
    """Tell how busy the server is, with the reference server's names."""
    tallies = call.journal.tallies()
    second, running = last_second(tallies), sum(tally.running for tally in tallies)
    places = call.config.server.threads * call.board.workers
    return json_reply(
        {
            "file bytes read": second.file_read,
            "file bytes written": second.file_written,
            "key bytes read": 0,
            "key bytes written": 0,
            "value bytes read": second.sent,
            "value bytes written": second.received,
            "GET requests": second.gets,
            "PUT requests": second.puts,
            "handlers active": min(100, 100 * running // places),
            "goroutines": running,
            "active CGo writes": 0,
            "pending log messages": sum(tally.pending for tally in tallies),
        }
    )


def get_latencies(call: Request, u: str | None) -> Reply:
    """Tell how long the pings of users took."""
    pings: dict[str, Any] = dict(joined_pings(call.journal.tallies()))
    if u is None:
        return json_reply(pings)
    nobody = {"User": "", "LastPing": "", "LastLatency": 0, "MinLatency": 0, "MaxLatency": 0}
    return json_reply(pings.get(u, nobody))


def get_metrics(call: Request) -> Reply:
    """All counters, in the text format of Prometheus."""
    tallies = call.journal.tallies()
    kinds = joined_kinds(tallies)
    lines: list[str] = []
    _family(lines, "dvid_requests_total", "counter", "Requests answered.", [(_of(k), k.count) for k in kinds])
    _family(
        lines, "dvid_received_bytes_total", "counter", "Bytes of request bodies.", [(_of(k), k.received) for k in kinds]
    )
    _family(lines, "dvid_sent_bytes_total", "counter", "Bytes of answers.", [(_of(k), k.sent) for k in kinds])
    _histogram(lines, kinds)
    gauges = {
        "dvid_requests_running": ("Requests that are worked on.", sum(tally.running for tally in tallies)),
        "dvid_heavy_requests_limit": ("Heavy requests that may run at the same time.", call.board.places),
        "dvid_workers": ("Worker processes.", call.board.workers),
        "dvid_uptime_seconds": ("Seconds since the start.", round(time.time() - call.board.started, 3)),
    }
    for name, (about, value) in gauges.items():
        _family(lines, name, "gauge", about, [("", value)])
    stores = {"": call.database.store, **{f'{{store="{_escaped(n)}"}}': s for n, s in call.database.others.items()}}
    sizes = {labels: store.size() for labels, store in stores.items()}
    _family(
        lines,
        "dvid_store_used_bytes",
        "gauge",
        "Bytes of a store's pages in use; without a label: the store of the metadata.",
        [(labels, size.used) for labels, size in sizes.items()],
    )
    _family(
        lines,
        "dvid_store_file_bytes",
        "gauge",
        "Bytes of a store's files.",
        [(labels, size.file) for labels, size in sizes.items()],
    )
    lost = sum(tally.lost for tally in tallies)
    _family(lines, "dvid_log_lines_lost_total", "counter", "Lines of the access log not written.", [("", lost)])
    return Reply("\n".join([*lines, ""]).encode(), _FORMAT)


def _of(kind: Kind) -> str:
    return f'{{method="{_escaped(kind.method)}",area="{_escaped(kind.area)}",status="{kind.status}"}}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _family(lines: list[str], name: str, kind: str, about: str, samples: list[tuple[str, float]]) -> None:
    lines += [
        f"# HELP {name} {about}",
        f"# TYPE {name} {kind}",
        *(f"{name}{labels} {value}" for labels, value in samples),
    ]


def _histogram(lines: list[str], kinds: list[Kind]) -> None:
    name = "dvid_request_seconds"
    lines += [f"# HELP {name} Time from a request to the end of its answer.", f"# TYPE {name} histogram"]
    areas: dict[str, Kind] = {}
    for kind in kinds:
        into = areas.setdefault(kind.area, Kind("", kind.area, 0))
        into.count += kind.count
        into.seconds += kind.seconds
        into.classes = [a + b for a, b in zip(into.classes, kind.classes, strict=True)]
    for area, kind in areas.items():
        total = 0
        for bound, count in zip((*BOUNDS, "+Inf"), kind.classes, strict=True):
            total += count
            lines.append(f'{name}_bucket{{area="{_escaped(area)}",le="{bound}"}} {total}')
        lines.append(f'{name}_sum{{area="{_escaped(area)}"}} {kind.seconds:.6f}')
        lines.append(f'{name}_count{{area="{_escaped(area)}"}} {kind.count}')
