"""Where Ollama listens: the forms of OLLAMA_HOST, read as Ollama reads them.

Source: ollama `envconfig/config.go`, functions Host and ConnectableHost.
"""

import ipaddress
import os

DEFAULT_PORT = 11434


def server_url(host: str | None = None) -> str:
    """The URL of the server for `host`, else for OLLAMA_HOST, else the default address.

    Accepts `1.2.3.4`, `:port`, `host:port`, `[::1]:port`, `http(s)://...` with a path; a bind-all
    address (0.0.0.0, ::) becomes the loopback address of its family; an unusable port becomes the
    default one, as in Ollama.
    """
    text = (host or os.environ.get("OLLAMA_HOST") or "").strip().strip("\"'")
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    default_port = DEFAULT_PORT
    if separator:
        default_port = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT)
    authority, _, path = rest.partition("/")
    name, port = _split_authority(authority, default_port)
    base = f"{scheme}://{_connectable(name)}:{port}"
    return f"{base}/{path.strip('/')}" if path.strip("/") else base


def is_loopback(url: str) -> bool:
    """True if `url` (as `server_url` makes it) stays on this machine."""
    name = url.partition("://")[2].partition("/")[0].rpartition(":")[0].strip("[]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _split_authority(authority: str, default_port: int) -> tuple[str, int]:
    if authority.startswith("["):
        name, _, port = authority[1:].partition("]")
        port = port.removeprefix(":")
    elif authority.count(":") > 1:
        name, port = authority, ""
    else:
        name, _, port = authority.partition(":")
    usable = port.isascii() and port.isdigit() and int(port) <= 65535
    return name or "127.0.0.1", int(port) if usable else default_port


def _connectable(name: str) -> str:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return str(address) if address.version == 4 else f"[{address}]"
