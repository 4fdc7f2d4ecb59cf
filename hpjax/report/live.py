"""The page of a run on this machine, which follows the run while it grows: it reads, and writes nothing."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hpjax.compare import open_comparison
from hpjax.records import RunError
from hpjax.report.html import not_yet, numbers_of, page
from hpjax.resume import open_run

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHARE = 0.1  # of a core that may go into making the page new: a run that trains needs the others
AGAIN = 2.0  # seconds between looks at the folder, at least
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'",
}


def opened(folder: Path) -> Any:
    """The run or the comparison in a folder.

    Raises:
        RunError: there is none, or it cannot be read.
    """
    if (folder / "compare.json").exists():
        return open_comparison(folder)
    return open_run(folder, say=lambda text: None)


class Live:
    """What the page shows, made new when the run has grown, but never more often than `SHARE` allows.

    Args:
        folder: of a run or a comparison; it may still have to come, or vanish and come again.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock = threading.Lock()
        self._numbers: dict[str, Any] = {}
        self._version, self._next = "", 0.0

    def numbers(self) -> dict[str, Any]:
        """The latest numbers, with their version as `live`, or with a `fault` where the folder cannot be read."""
        with self._lock:
            now = time.monotonic()
            if now >= self._next:
                version = self.version()
                try:
                    if version != self._version or "fault" in self._numbers:
                        self._renew(version)
                finally:
                    self._next = time.monotonic() + max(AGAIN, (time.monotonic() - now) / SHARE)
            return self._numbers | {"live": self._version}

    def _renew(self, version: str) -> None:
        try:
            self._numbers = numbers_of(opened(self.folder), refit=False)
            self._version = version
        except (RunError, ValueError, OSError) as fault:  # it is just being made, moved or restored
            words = " ".join(str(fault).split())[:300]
            if (self.folder / "compare.json").exists():
                words = f"a comparison is shown when each of its studies has reported ({words})"
            self._numbers = self._numbers | {"fault": words}

    def version(self) -> str:
        """What changes when a run is recorded further, or begun anew."""
        stamps = []
        for path in sorted(self.folder.rglob("ledger.jsonl")):
            try:
                stat = path.stat()
            except OSError:  # gone meanwhile
                continue
            stamps.append(f"{stat.st_size:x}.{stat.st_mtime_ns:x}.{stat.st_ino:x}")
        return "-".join(stamps) or "none"


def server(
    live: Live, host: str = "127.0.0.1", port: int = 0, public: bool = False
) -> ThreadingHTTPServer:
    """A server of the page; `serve_forever` runs it.

    Args:
        live: what it shows.
        host: that it listens at.
        port: of it; a free one where 0.
        public: whether other machines may look.

    Raises:
        ValueError: a host that others reach, and not `public`.
        OSError: a port that is taken.
    """
    if host not in LOOPBACK and not public:
        raise ValueError(
            f"host={host!r:.80} can be reached by other machines, and the page shows data to anyone; give --public to allow that, or use ssh -L"
        )

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = urlsplit(f"//{self.headers.get('Host', '')}").hostname
            if not public and name not in LOOPBACK:  # a page of others under a name of theirs
                self._answer(403, "text/plain", b"this page is for this machine only\n")
                return
            where = urlsplit(self.path)
            if where.path == "/":
                numbers = live.numbers()
                if "kind" in numbers:
                    self._answer(200, "text/html; charset=utf-8", page(numbers).encode())
                else:  # it could not be read even once
                    self._answer(
                        503, "text/html; charset=utf-8", not_yet(numbers["fault"]).encode()
                    )
            elif where.path == "/data.json":
                numbers = live.numbers()
                known = parse_qs(where.query).get("version", [""])[0]
                if known == numbers["live"] and "fault" not in numbers:
                    self._answer(204, "application/json", b"")
                else:
                    self._answer(200, "application/json", json.dumps(numbers).encode())
            else:
                self._answer(
                    404, "text/plain", b"there is the page, /, and its numbers, /data.json\n"
                )

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            for name, value in {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                **HEADERS,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            del format, arguments

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return Server((host, port), Handler)


def _serve(folder: Path, address: Connection) -> None:
    """A process of its own: tells its address, and ends with the process that began it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the run
    with server(Live(folder)) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        host, port = page.server_address[:2]
        address.send(f"http://{host}:{port}/")
        begun_by = multiprocessing.parent_process()
        assert begun_by is not None  # it is never called otherwise
        begun_by.join()


@contextlib.contextmanager
def beside(folder: Path) -> Iterator[str]:
    """A page of a folder that a run is about to fill, in a process beside this one: its address, while the context lasts."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(folder, there), daemon=True)
    interrupts = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which the process inherits
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, interrupts)
    there.close()
    try:
        try:
            address = here.recv()
        except EOFError:
            raise RunError(
                "the process of the live page ended at its start; run hpjax as a command, or leave --live out"
            ) from None
        yield address
    finally:
        process.terminate()
        process.join()
        here.close()
