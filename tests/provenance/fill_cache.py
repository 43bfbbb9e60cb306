"""Fill the validator's HTTP cache with RO-Crate's context, by .venv-crate's Python: fill_cache.py CACHE CONTEXT."""

import io
import sys
from pathlib import Path

from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from urllib3 import HTTPResponse


class FileAdapter(HTTPAdapter):
    """Answers every request with one file."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body

    def send(self, request, **_):
        raw = HTTPResponse(
            body=io.BytesIO(self.body),
            status=200,
            preload_content=False,
            request_url=request.url,
            headers={"Content-Type": "application/ld+json"},
        )
        return self.build_response(request, raw)


session = CachedSession(cache_name=sys.argv[1], backend="sqlite", expire_after=-1)
session.mount("https://", FileAdapter(Path(sys.argv[2]).read_bytes()))
session.get("https://w3id.org/ro/crate/1.1/context").raise_for_status()
