"""Promise: what the page on the Python client shows can be done as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dvidclient.errors import ServerRefused

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "client.md").read_text()
BLOCK = re.compile(r"(?:<!-- needs: (\w+) -->\n)?```python\n(.*?)```", re.DOTALL)
SAID = '"localhost:8000"'


def test_every_example_of_the_client_runs(serve: Any) -> None:
    url = serve(token=None).url
    found = BLOCK.findall(TEXT)
    assert len(found) == len(re.findall(r"^```python$", TEXT, re.MULTILINE)) > 10
    names: dict[str, Any] = {}
    for at, (needed, block) in enumerate(found):
        code = compile(block.replace(SAID, f'"{url}"'), f"docs/client.md, example {at}", "exec")
        try:
            exec(code, names)
        except ServerRefused as refused:
            # A type whose data no server of ours serves yet: what the page says of it is all that can be tried.
            if not needed or refused.status != 501:
                raise


def test_every_heading_is_in_the_list_of_contents() -> None:
    assert re.findall(r"^- \[(.*?)\]\(#", TEXT, re.MULTILINE) == re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
