"""A hub on loopback: it redirects a model's handle, or a repository's archive, to a storage address and sends a .tar.gz
from there, or fails."""

import gzip
import io
import random
import re
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from nslib.embeddings.downloads import SOURCES

Fault = Callable[[BaseHTTPRequestHandler, bytes], None]

# a model that no one could run
FILES = {"saved_model.pb": b"graph", "variables/variables.index": b"index", "assets/map.csv": b"a,b\n",
         "variables/variables.data-00000-of-00001": random.Random(0).randbytes(200_000)}


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the models of a folder; gives the hub's address."""
    archives = {name: model_archive({path.relative_to(folder / name).as_posix(): path.read_bytes()
                                     for path in (folder / name).rglob("*") if path.is_file()})
                for name in SOURCES if (folder / name).exists()}
    with Hub(archives) as hub:
        yield hub.url


def model_archive(files: dict[str, bytes] = FILES, more: tarfile.TarInfo | None = None) -> bytes:
    """A .tar.gz of files, and of one member more."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        if more:
            tar.addfile(more)
    return gzip.compress(buffer.getvalue(), 1, mtime=0)


def hostile(name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A .tar.gz of a model with a member of any name and kind in it."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/"
    return model_archive(more=info)


def write_model(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    """The same, unpacked."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


class Hub(ThreadingHTTPServer):
    """A server for ``{model name: archive}``; `faults` are used up in order, one a request to storage."""

    def __init__(self, archives: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.archives, self.faults = dict(archives), list[Fault]()
        self.handles = {handle: name for name in archives for handle in SOURCES[name].handles}
        self.requests: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def fetched(self) -> int:
        return sum(path.startswith("/storage") for path in self.requests)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """Redirects a handle to storage, and sends what is stored."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        hub: Any = self.server
        hub.requests.append(self.path)
        path, _, query = self.path.partition("?")
        name, stored = hub.handles.get(path.strip("/")), re.fullmatch(r"/storage/([\w-]+)\.tar\.gz", path)
        if name and (query == "tf-hub-format=compressed" or path.endswith(".tar.gz")):
            send(self, 302, Location=f"{hub.url}/storage/{name}.tar.gz")
        elif stored and stored[1] in hub.archives:
            fault = hub.faults.pop(0) if hub.faults else lambda request, data: send(request, 200, data)
            fault(self, hub.archives[stored[1]])
        else:
            send(self, 404)

    def log_message(self, *_: Any) -> None:
        pass


def send(request: BaseHTTPRequestHandler, status: int, body: bytes = b"", length: int = 0, **headers: str) -> None:
    """Answer, and end the connection: too soon if the body is shorter than the `length` that is told."""
    request.send_response(status)
    for name, value in {**headers, "Content-Length": str(length or len(body))}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)
    request.close_connection = True


def status(code: int, **headers: str) -> Fault:
    return lambda request, data: send(request, code, **headers)


def interrupted(request: BaseHTTPRequestHandler, data: bytes) -> None:
    send(request, 200, data[:70_000], length=len(data))


def hangs_up(request: BaseHTTPRequestHandler, data: bytes) -> None:
    request.close_connection = True
    request.connection.close()
