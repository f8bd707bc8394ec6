"""A small Hub on a real socket: what `huggingface_hub` asks of the real one to read and write model repositories.

Commits are kept in memory. It can be made to lie, so that what a hostile Hub says can be tested.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

TOKEN = "hf_standin"
LFS_SUFFIXES = (".safetensors", ".png", ".bin")


@dataclass
class Repository:
    """One model repository."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    listing_lies: dict[str, int | None] = field(default_factory=dict)
    """Files listed with these sizes, whatever there is."""
    sha_lie: str | None = None
    """The commit that listings state."""

    def commit(self, changes: dict[str, bytes | None], branch: str = "main") -> str:
        """A commit on top of a branch; None deletes a file."""
        parent = self.branches.get(branch, "")
        files = self.commits.get(parent, {}) | changes
        kept = {name: data for name, data in files.items() if data is not None}
        sha = hashlib.sha1(repr((parent, sorted(kept.items()))).encode()).hexdigest()
        self.commits[sha] = kept
        self.branches[branch] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        """The commit that a revision means."""
        named = self.branches.get(revision) or self.tags.get(revision)
        return named or (revision if revision in self.commits else None)


@dataclass
class StandInHub:
    """All that the server knows, and what it was asked."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    """LFS objects by sha256."""
    requests: list[str] = field(default_factory=list)
    """`METHOD path`, in order."""
    before_commit: Callable[[Repository], None] | None = None
    """Called once, when a commit arrives: someone else was faster."""

    def store(self, oid: str) -> str:
        """Where an LFS object is: on another host than the Hub's, as the client expects."""
        return f"{self.url.replace('127.0.0.1', 'localhost')}/lfs/{oid}"

    def repository(self, name: str, files: dict[str, bytes]) -> tuple[Repository, str]:
        """A repository with one commit on `main`."""
        made = self.repositories[name] = Repository()
        return made, made.commit({".gitattributes": b"*.safetensors filter=lfs\n", **files})


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str) -> None:
        self.status = status
        self.code = code


@contextmanager
def stand_in_hub() -> Iterator[StandInHub]:
    """Serve until the block ends."""
    hub = StandInHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def use_hub(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path) -> None:
    """Point the client of this process at a Hub: it has read its environment already, when it was imported."""
    for name, value in {
        "ENDPOINT": url,
        "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(cache),
        # Its storage speaks another protocol, which the stand-in does not.
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_DISABLE_PROGRESS_BARS": True,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def environment(url: str, home: Path) -> dict[str, str]:
    """The same for another process."""
    return {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_TOKEN": TOKEN,
    }


@dataclass
class Call:
    """One request."""

    method: str
    path: str
    body: bytes
    token: str | None


@dataclass
class Answer:
    """One response."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def answer(hub: StandInHub, call: Call) -> Answer:
    """Route a request.

    Raises:
        RefusedError: as the Hub would refuse it.
    """
    for pattern, methods, respond in ROUTES:
        found = re.fullmatch(pattern, call.path)
        if found and call.method in methods:
            if call.method in ("POST", "PUT") and "/lfs/" not in call.path and call.token != TOKEN:
                raise RefusedError(401, "")
            return respond(hub, call, *map(unquote, found.groups()))
    raise RefusedError(404, "EntryNotFound")


def model_info(hub: StandInHub, call: Call, name: str, revision: str = "main") -> Answer:
    repository, sha = _at(hub, call, name, revision)
    sizes: dict[str, int | None] = {path: len(data) for path, data in repository.commits[sha].items()}
    siblings = [{"rfilename": path, "size": size} for path, size in (sizes | repository.listing_lies).items()]
    stated = repository.sha_lie or sha
    return _json({"id": name, "modelId": name, "private": repository.private, "sha": stated, "siblings": siblings})


def resolve(hub: StandInHub, call: Call, name: str, revision: str, path: str) -> Answer:
    repository, sha = _at(hub, call, name, revision)
    data = repository.commits[sha].get(path)
    if data is None:
        raise RefusedError(404, "EntryNotFound")
    headers = {"X-Repo-Commit": sha}
    if not path.endswith(LFS_SUFFIXES):
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        return Answer(data, headers=headers | {"ETag": f'"{blob}"'})
    oid = hashlib.sha256(data).hexdigest()
    hub.objects[oid] = data
    linked = {"X-Linked-ETag": f'"{oid}"', "X-Linked-Size": str(len(data)), "Location": hub.store(oid)}
    return Answer(status=302, headers=headers | linked)


def lfs_object(hub: StandInHub, call: Call, oid: str) -> Answer:
    if call.method == "PUT":
        assert hashlib.sha256(call.body).hexdigest() == oid
        hub.objects[oid] = call.body
        return Answer()
    return Answer(hub.objects[oid], headers={"ETag": f'"{oid}"'})


def create_repository(hub: StandInHub, call: Call) -> Answer:
    asked = json.loads(call.body)
    name = f"{asked['organization']}/{asked['name']}"
    if name in hub.repositories:
        return _json({"url": f"{hub.url}/{name}"}, status=409)
    made, _ = hub.repository(name, {})
    made.private = asked.get("visibility") == "private"
    return _json({"url": f"{hub.url}/{name}"})


def create_branch(hub: StandInHub, call: Call, name: str, branch: str) -> Answer:
    repository, sha = _at(hub, call, name, "main")
    if branch in repository.branches:
        raise RefusedError(409, "")
    repository.branches[branch] = sha
    return _json({})


def preupload(hub: StandInHub, call: Call, name: str, revision: str) -> Answer:
    _at(hub, call, name, revision)
    asked = [item["path"] for item in json.loads(call.body)["files"]]
    modes = [
        {"path": path, "uploadMode": "lfs" if path.endswith(LFS_SUFFIXES) else "regular", "shouldIgnore": False}
        for path in asked
    ]
    return _json({"files": modes})


def lfs_batch(hub: StandInHub, call: Call, name: str) -> Answer:
    _at(hub, call, name, "main")
    objects = [
        item
        if item["oid"] in hub.objects
        else item | {"actions": {"upload": {"href": f"{hub.url}/lfs/{item['oid']}"}}}
        for item in json.loads(call.body)["objects"]
    ]
    return _json({"transfer": "basic", "objects": objects})


def commit(hub: StandInHub, call: Call, name: str, branch: str) -> Answer:
    repository, _ = _at(hub, call, name, branch)
    if hub.before_commit is not None:
        faster, hub.before_commit = hub.before_commit, None
        faster(repository)
    changes: dict[str, bytes | None] = {}
    for line in call.body.splitlines():
        item = json.loads(line)
        value = item["value"]
        if item["key"] == "header" and value.get("parentCommit") != repository.branches[branch]:
            raise RefusedError(412, "")
        if item["key"] == "file":
            changes[value["path"]] = base64.b64decode(value["content"])
        elif item["key"] == "lfsFile":
            changes[value["path"]] = hub.objects[value["oid"]]
        elif item["key"] == "deletedFile":
            changes[value["path"]] = None
    sha = repository.commit(changes, branch)
    return _json({"commitUrl": f"{hub.url}/{name}/commit/{sha}", "commitOid": sha, "pullRequestUrl": None})


MODEL = r"([^/]+/[^/]+)"
READ, WRITE = ("GET", "HEAD"), ("POST",)
ROUTES: list[tuple[str, tuple[str, ...], Callable[..., Answer]]] = [
    (rf"/api/models/{MODEL}", READ, model_info),
    (rf"/api/models/{MODEL}/revision/([^/]+)", READ, model_info),
    (rf"/{MODEL}/resolve/([^/]+)/(.+)", READ, resolve),
    (r"/lfs/([0-9a-f]{64})", ("GET", "HEAD", "PUT"), lfs_object),
    (r"/api/repos/create", WRITE, create_repository),
    (rf"/api/models/{MODEL}/branch/([^/]+)", WRITE, create_branch),
    (rf"/api/models/{MODEL}/preupload/([^/]+)", WRITE, preupload),
    (rf"/{MODEL}\.git/info/lfs/objects/batch", WRITE, lfs_batch),
    (rf"/api/models/{MODEL}/commit/([^/]+)", WRITE, commit),
]


def _at(hub: StandInHub, call: Call, name: str, revision: str) -> tuple[Repository, str]:
    repository = hub.repositories.get(name)
    if repository is None or (repository.private and call.token != TOKEN):
        # As the Hub: what one may not see is not there.
        raise RefusedError(404 if call.token == TOKEN else 401, "RepoNotFound")
    sha = repository.resolve(revision)
    if sha is None:
        raise RefusedError(404, "RevisionNotFound")
    return repository, sha


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), status, {"Content-Type": "application/json"})


def _handler(hub: StandInHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            path = urlsplit(self.path).path
            hub.requests.append(f"{self.command} {path}")
            token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                found = answer(hub, Call(self.command, path, body, token))
            except RefusedError as refused:
                found = Answer(b"{}", refused.status, {"X-Error-Code": refused.code} if refused.code else {})
            self.send_response(found.status)
            for name, value in ({"Content-Length": str(len(found.body))} | found.headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(found.body)

        do_GET = do_HEAD = do_POST = do_PUT = respond  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
