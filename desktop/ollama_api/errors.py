"""What can go wrong between us and Ollama, one class for each state a person can be in.

Every class is a `UserError`; the texts are written here, once, for all callers.
"""

from converters.errors import UserError


class OllamaError(UserError):
    """Any known failure of an Ollama server; catch this to treat them alike."""


class OllamaNotRunning(OllamaError):
    """Nothing listens at the address."""

    def __init__(self, url: str) -> None:
        super().__init__(
            "Ollama is not running.",
            f"Nothing answers at {url}.",
            "Start Ollama (`ollama serve`), or use `--engine builtin`.",
        )


class OllamaStalled(OllamaError):
    """The server holds the connection but sends nothing within the limit."""

    def __init__(self, what: str, limit_s: float) -> None:
        super().__init__(
            "Ollama does not answer.",
            f"There was no news for {limit_s:.0f} s while waiting for {what}.",
            "Look at Ollama's log, restart Ollama and try again.",
        )


class StreamCut(OllamaError):
    """The answer ended before its last line; what came so far is incomplete.

    text: the part of a chat answer that had arrived.
    """

    def __init__(self, what: str, text: str = "") -> None:
        super().__init__(
            "Ollama's answer was cut off.",
            f"The connection ended in the middle of {what}; Ollama was stopped or crashed.",
            "Start Ollama again and repeat the step.",
        )
        self.text = text


class ModelNotFound(OllamaError):
    """The server has no model of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Ollama has no model named {name!r}.",
            "It was removed, or the name is mistyped.",
            f"Get it with `tunedesk pull {name}`, or choose another: `tunedesk models` lists them.",
        )
        self.name = name


class OllamaRefused(OllamaError):
    """The server answered with an error of its own.

    status: HTTP status (200 if the error came inside a stream). text: the server's words.
    """

    def __init__(self, status: int, text: str, title: str = "", hint: str = "") -> None:
        super().__init__(
            title or "Ollama refused the request.",
            f"It answered ({status}): {text}",
            hint or "Ollama's log says more.",
        )
        self.status = status
        self.text = text


class SignInNeeded(OllamaRefused):
    """The server, or a proxy before it, wants to know who asks (FAULTS F15).

    is_proxy: the proxy does (407), which no key of ours can answer.
    """

    def __init__(self, status: int, text: str, url: str, *, had_key: bool) -> None:
        self.is_proxy = status == 407
        title = "The key was not accepted." if had_key else "Ollama wants a sign-in."
        hint = (
            f"Set TUNEDESK_OLLAMA_KEY to `{url}=KEY` (it is sent to no other host), "
            "or use a local Ollama."
        )
        if self.is_proxy:
            title = "The proxy before Ollama wants a sign-in."
            hint = "Put its user and password into HTTPS_PROXY, or the host's name into NO_PROXY."
        super().__init__(status, text, title, hint)


class CertificateRefused(OllamaError):
    """The encrypted connection to the server cannot be trusted (FAULTS F15)."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            "The server's certificate is not trusted.",
            f"{url}: {reason}.",
            "If it is your own server, set SSL_CERT_FILE to the file of its certificate.",
        )


class PullFailed(OllamaError):
    """The server could not get a model; what was downloaded is kept and used by the next try."""

    def __init__(self, model: str, text: str, hint: str) -> None:
        super().__init__(f"{model!r} could not be pulled.", f"Ollama says: {text}.", hint)


class OllamaUnreadable(OllamaError):
    """What answers does not speak Ollama's protocol, or sent more than we accept."""

    def __init__(self, url: str, detail: str) -> None:
        super().__init__(
            "The answer is not one of Ollama's.",
            f"{url}: {detail}",
            "Check the address (`--ollama`, OLLAMA_HOST) and any proxy in between.",
        )


class ImportFailed(OllamaError):
    """The model file did not get into Ollama, or no model was made of it; the file is kept.

    step: "uploaded to" or "created in".
    """

    def __init__(self, step: str, cause: str, kept: str) -> None:
        super().__init__(
            f"The model could not be {step} Ollama.",
            f"{cause} The finished model file is kept: {kept}",
            "Restart Ollama (with a full disk it fails until then), then `tunedesk import` that "
            "file.",
        )


class BlobDamaged(OllamaError):
    """A file in Ollama's store is not what its name says (FAULTS F19)."""

    def __init__(self, path: str) -> None:
        super().__init__(
            "A file in Ollama's store is damaged.",
            f"The content of {path} does not fit its name; Ollama takes it unread.",
            "Stop Ollama, delete that file, start it again and repeat the step.",
        )


class StoreFull(OllamaError):
    """Ollama's disk is full (FAULTS F8)."""

    def __init__(self, cause: str, kept: str) -> None:
        super().__init__(
            "Ollama's store is full.",
            f"{cause} The finished model file is kept: {kept}",
            "Free some space, restart Ollama (it fails until then) and import the file again.",
        )


class BlobMissing(OllamaRefused):
    """The server lost the uploaded file between upload and create (FAULTS F17)."""


class PublishedDiffers(OllamaError):
    """What Ollama holds is not what was sent (FAULTS F18); our tag was removed again."""

    def __init__(self, name: str, differences: str, kept: str) -> None:
        super().__init__(
            "The imported model differs from the one that was made.",
            f"{differences} Only {name!r} was removed; the model file is kept: {kept}",
            "Export the model again; if it happens twice, check the disk.",
        )
