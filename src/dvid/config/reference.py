"""Settings of the reference server that have no effect here: accepted, so that its files can be used, with a warning."""

from __future__ import annotations

SERVER_KEYS = {
    "rpcAddress": "there is no RPC server: the `dvid` command works on the store or over HTTP",
    "pidFile": "no process id is written: leave that to what starts the server",
    "blockListFile": "users and addresses cannot be blocked: leave that to a proxy",
    "startWebhook": "nothing is called at the start",
    "startJaneliaConfig": "nothing is called at the start",
    "noLabelmapSplit": "the key is allowLabelmapSplit, and false by default",
    "instance_id_gen": "instance ids are given out by the store, in sequence",
    "instance_id_start": "instance ids are given out by the store, in sequence",
    "min_mutation_id_start": "mutation ids are given out by the store",
    "interactiveOpsBeforeBlock": "background work does not wait for interactive requests",
    "shutdownDelay": "a stopping server finishes the requests that are running",
}
"""Keys of `[server]`, each with the reason."""

STORE_KEYS = {"inmemory": "versions are read from the store"}
"""Keys of `[store.NAME]`, each with the reason."""

BACKEND_KEYS = {"log": "the mutation log is kept in the store itself, in the same transaction"}
"""Keys of `[backend.WHAT]`, each with the reason."""

MUTATIONS_KEYS = {
    "jsonstore": "the mutation log is always kept, in the store itself",
    "httpstore": "the mutation log is always kept, in the store itself",
    "blobstore": "large requests are kept in the store itself",
}
"""Keys of `[mutations]`, each with the reason."""

TABLES = {
    "email": "no mail is sent",
    "logging": "the server logs to standard error; server.accessLogFile names a file for the access log",
    "kafka": "nothing is sent to Kafka",
    "mutcache": "the store itself holds the state before each change",
    "cache": "caches need no setting",
    "groupcache": "there is no cache across servers",
    "mirror": "requests are not repeated to other servers",
}
"""Whole tables, each with the reason."""

LOG_ENGINE = "filelog"
"""The reference's engine for mutation logs: such a store is ignored."""

ENGINES = ("badger", "basholeveldb", "filestore", "gbucket", "bigtable", "swift", "kvautobus", "ngprecomputed")
"""Engines of the reference server that are not available here."""

AUTH_SWITCHES = ("enforce", "enforce_internal")
"""Keys of `[auth]` that turn on the checking of users."""
