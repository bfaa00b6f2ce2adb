"""Who may do what."""

from __future__ import annotations

import hmac

import falcon

from dvid.config import Config


class Access:
    """Decides whether a request comes with admin rights."""

    def __init__(self, config: Config) -> None:
        self._token = (config.admin_token or "").encode()

    def check(self, request: falcon.Request) -> bool:
        """True if the request has admin rights."""
        given = request.get_param("admintoken")
        return bool(self._token) and given is not None and hmac.compare_digest(given.encode(), self._token)
