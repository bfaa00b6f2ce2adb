"""What the command says, and with which exit code it ends, when something is wrong."""

from __future__ import annotations

import typer

BAD_USE = 2
FAILURE = 1

_UsageError = typer.BadParameter.__mro__[1]  # typer does not export it
_ClickError = typer.BadParameter.__mro__[2]


def exit_code(error: Exception) -> int | None:
    """2 where the command's words ask for what cannot be, 1 where it failed; None for a fault of the program itself."""
    from dvid.errors import ConfigError, DvidError, StoreUnusable

    if isinstance(error, _UsageError | ConfigError | StoreUnusable):
        return BAD_USE
    if isinstance(error, DvidError):
        return BAD_USE if error.status < 500 else FAILURE
    if isinstance(error, _ClickError | OSError):
        return FAILURE
    return _of_client(error)


def _of_client(error: Exception) -> int | None:
    from dvidclient.errors import ClientError, RequestFailed

    if isinstance(error, RequestFailed):
        return BAD_USE if error.status is not None and error.status < 500 else FAILURE
    return BAD_USE if isinstance(error, ClientError) else None


def one_line(error: Exception) -> str:
    """The message of an error on one line."""
    from dvidclient.errors import NoAnswer

    if isinstance(error, _ClickError):
        context = getattr(error, "ctx", None)
        hint = f" See '{context.command_path} --help'." if context is not None else ""
        return " ".join(f"{error.format_message()}{hint}".split())  # type: ignore[attr-defined]
    if isinstance(error, NoAnswer):
        return " ".join(
            f"{error}. Start a server with 'dvid serve', name it with --server URL, or name a store with --data DIR".split()
        )
    return " ".join(str(error).split()) or type(error).__name__
