"""An Ollama over real HTTP whose faults are written by the test, in any behaviour class.

It keeps blobs and models as the real ones do (hash check on upload, template and parameters
stored, show built from them, 0.30-0.34.0 rewriting the file) and answers every request from its
script first. It generates nothing. What differs between the classes is `scripted_classes`'.
"""

import hashlib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers import scripted_classes as classes
from tests.servers.scripted_http import Reply, Request, ScriptedServer, serving

__all__ = ["Reply", "Request", "ScriptedOllama", "chat_line", "scripted_ollama"]


@dataclass
class ScriptedOllama(ScriptedServer):
    """The server's state; tests read and change it while it runs.

    store: a folder for the files of its models; without one their contents are forgotten. alter:
    fields of a created model that the store changes on its own. forget_blobs: creations that find
    their blob gone (a restart pruned it), counted down.
    """

    version: str = "0.34.4"
    store: Path | None = None
    blobs: dict[str, int] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    alter: dict[str, Any] = field(default_factory=dict)
    forget_blobs: int = 0
    wanted_key: str = ""

    @property
    def kind(self) -> classes.Kind:
        """The behaviour class of its version."""
        return classes.kind_of(self.version)

    def answer(self, request: Request) -> Reply:
        """The unscripted answer."""
        if self.wanted_key and request.headers.get("authorization") != f"Bearer {self.wanted_key}":
            shown = request.headers.get("authorization", "nothing")
            return Reply(({"error": f"unauthorized: {shown}"},), 401)
        path = "/api/blobs" if request.path.startswith("/api/blobs/") else request.path
        answer = self._ANSWERS.get((request.method, path))
        return answer(self, request) if answer else super().answer(request)

    def blob_path(self, digest: str) -> str:
        """As the server names it in a FROM line."""
        return f"{self.store or '/store'}/blobs/sha256-{digest}"

    def keep(self, content: bytes) -> str:
        """Take a file into the store; its digest."""
        digest = hashlib.sha256(content).hexdigest()
        self.blobs[digest] = len(content)
        if self.store:
            path = Path(self.blob_path(digest))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return digest

    def _version(self, _request: Request) -> Reply:
        return Reply(({"version": self.version},))

    def _tags(self, _request: Request) -> Reply:
        entries = [
            {"name": n, "model": n, "digest": "0" * 64, "size": 1} | classes.tag_fields(self.kind)
            for n in self.models
        ]
        return Reply(({"models": entries},))

    def _ps(self, _request: Request) -> Reply:
        return Reply(({"models": []},))

    def _head_blob(self, request: Request) -> Reply:
        digest = _digest(request.path)
        linked = self.store is not None and Path(self.blob_path(digest)).is_file()
        return Reply((), 200 if digest in self.blobs or linked else 404)

    def _post_blob(self, request: Request) -> Reply:
        wanted, got = _digest(request.path), self.keep(request.body)
        if wanted != got:
            text = f'digest mismatch, expected "sha256:{wanted}", got "sha256:{got}"'
            return Reply(({"error": text},), 400)
        return Reply((), 201)

    def _create(self, request: Request) -> Reply:
        body = request.json
        if refused := classes.refused_create(self.kind, body):
            return Reply(({"error": refused},), 400)
        digest = next(iter(body["files"].values())).removeprefix("sha256:")
        if self.forget_blobs:
            self.forget_blobs -= 1
            self.blobs.pop(digest, None)
        head = self._head_blob(Request("HEAD", f"/api/blobs/sha256:{digest}", b""))
        if head.status != 200:
            text = f"open {self.blob_path(digest)}: no such file or directory"
            return Reply(({"status": "parsing GGUF"}, {"error": text}))
        stored, lines = self._stored(digest)
        self.models[_full(body["model"])] = {**body, "digest": stored, **self.alter}
        return Reply((*lines, {"status": "writing manifest"}, {"status": "success"}))

    def _stored(self, digest: str) -> tuple[str, list[dict[str, Any]]]:
        """The digest of the model's file, and the progress lines until it is there."""
        lines: list[dict[str, Any]] = [{"status": "parsing GGUF"}]
        if self.kind == "33":
            lines += [
                {"status": "validating GGUF model", "total": 100, "completed": 100},
                {"status": "verifying conversion"},
            ]
            if self.store:
                copied = self.keep(classes.rewritten(Path(self.blob_path(digest))))
                how = "using existing" if copied == digest else "creating new"
                return copied, [*lines, {"status": f"{how} layer sha256:{copied}"}]
        return digest, [*lines, {"status": f"using existing layer sha256:{digest}"}]

    def _show(self, request: Request) -> Reply:
        name = request.json["model"]
        model = self.models.get(_full(name))
        if model is None:
            return Reply(({"error": f"model '{name}' not found"},), 404)
        path = self.blob_path(model["digest"])
        verbose = bool(request.json.get("verbose"))
        return Reply((classes.shown(self.kind, model, path, verbose),))

    def _copy(self, request: Request) -> Reply:
        source = _full(request.json["source"])
        if source not in self.models:
            return Reply(({"error": f"model '{source}' not found"},), 404)
        self.models[_full(request.json["destination"])] = self.models[source]
        return Reply(())

    def _delete(self, request: Request) -> Reply:
        if self.models.pop(_full(request.json["model"]), None) is None:
            return Reply(({"error": f"model '{request.json['model']}' not found"},), 404)
        return Reply(())

    def _chat(self, request: Request) -> Reply:
        body = request.json
        model = self.models.get(_full(body["model"]))
        if model is None:
            return Reply(({"error": f"model '{body['model']}' not found"},), 404)
        path = self.blob_path(model.get("digest", ""))
        text = classes.rendered(self.kind, model, path, body["messages"])
        if too_long := classes.too_long(self.kind, text, body):
            return Reply(({"error": too_long},), 400)
        if body.get("_debug_render_only"):
            return Reply(({"done": False, "_debug_info": {"rendered_template": text}},))
        return Reply((chat_line("Hello"), chat_line(" there"), chat_line("", done=True)))

    def _pull(self, request: Request) -> Reply:
        name, digest = _full(request.json["model"]), "d" * 64
        self.models[name] = {"model": name, "digest": digest}
        part = {"status": f"pulling {digest[:12]}", "digest": f"sha256:{digest}", "total": 1000}
        return Reply((
            {"status": "pulling manifest"}, {**part, "completed": 400},
            {**part, "completed": 1000}, {"status": "verifying sha256 digest"},
            {"status": "writing manifest"}, {"status": "success"},
        ))  # fmt: skip

    _ANSWERS = {
        ("GET", "/api/version"): _version,
        ("GET", "/api/tags"): _tags,
        ("GET", "/api/ps"): _ps,
        ("HEAD", "/api/blobs"): _head_blob,
        ("POST", "/api/blobs"): _post_blob,
        ("POST", "/api/create"): _create,
        ("POST", "/api/show"): _show,
        ("POST", "/api/copy"): _copy,
        ("DELETE", "/api/delete"): _delete,
        ("POST", "/api/chat"): _chat,
        ("POST", "/api/pull"): _pull,
    }


def chat_line(text: str, *, done: bool = False) -> dict[str, Any]:
    """A line of /api/chat; the last one says `done` and has the counts."""
    line: dict[str, Any] = {"message": {"role": "assistant", "content": text}, "done": done}
    counts = {"done_reason": "stop", "prompt_eval_count": 7, "eval_count": 2}
    return line | (counts if done else {})


@contextmanager
def scripted_ollama(
    version: str = "0.34.4", *, store: Path | None = None, port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> Iterator[ScriptedOllama]:
    """Run a scripted server on a loop in a thread of its own, for the block."""
    with serving(ScriptedOllama(version=version, store=store), port=port, tls=tls) as state:
        yield state


def _digest(path: str) -> str:
    return path.rpartition("sha256:")[2]


def _full(name: str) -> str:
    return name if ":" in name else f"{name}:latest"
