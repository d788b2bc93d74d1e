"""Modelfiles: read them exactly as Ollama does, and write only what reads back the same.

The grammar has no escapes and drops characters silently, so a Modelfile is a document for the
person; the JSON fields of `/api/create` are the truth. Source: ollama `parser/parser.go`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from converters.errors import UserError

WORDS = (
    "from", "adapter", "draft", "template", "system", "renderer", "parser", "parameter",
    "license", "message", "requires",
)  # fmt: skip
ROLES = ("system", "user", "assistant")
LABELLED = ("parameter", "message")
PARAMETERS = frozenset(
    {"num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "num_keep", "seed",
     "num_predict", "top_k", "top_p", "min_p", "repeat_last_n", "temperature", "repeat_penalty",
     "presence_penalty", "frequency_penalty", "stop"}
)  # fmt: skip
"""The parameters that Ollama >= 0.34.1 knows; the API takes any name silently."""


class ModelfileDamaged(UserError):
    """The text is no Modelfile. line: counted from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__("This is not a Modelfile.", f"Line {line}: {reason}", "Correct the line.")
        self.line = line


class NotExpressible(UserError):
    """A value that no Modelfile can hold, because reading it back would give another text."""

    def __init__(self, command: "Command") -> None:
        super().__init__(
            f"The {command.word.upper()} of this model cannot be written as a Modelfile.",
            "It holds quotes at a line's end or characters that Ollama drops when reading.",
            "Publish the model directly; that needs no Modelfile.",
        )
        self.command = command


@dataclass(frozen=True)
class Command:
    """One instruction. word: lower case, of WORDS. label: a parameter's name, a message's role."""

    word: str
    value: str
    label: str = ""


@dataclass(frozen=True)
class Modelfile:
    """Instructions in their order."""

    commands: tuple[Command, ...]

    def all(self, word: str, label: str = "") -> list[str]:
        """The values of every such instruction, in order."""
        return [c.value for c in self.commands if (c.word, c.label) == (word, label)]

    def first(self, word: str, label: str = "") -> str:
        """The value of the first such instruction, "" if there is none."""
        return next(iter(self.all(word, label)), "")


def parse_modelfile(text: str) -> Modelfile:
    """The instructions of `text`. Raises `ModelfileDamaged` where Ollama's parser fails too."""
    scanner = _Scanner(text.removeprefix("\ufeff"))
    commands = tuple(scanner.commands())
    if not any(command.word == "from" for command in commands):
        raise ModelfileDamaged(scanner.line, "there is no FROM line.")
    return Modelfile(commands)


def render_modelfile(modelfile: Modelfile) -> str:
    """The text of the instructions, one after the other; parsing it gives `modelfile` again.

    Raises `NotExpressible` for a value that would change on the way.
    """
    text = "".join(_render(command) for command in modelfile.commands)
    if parse_modelfile(text) != modelfile:
        raise NotExpressible(modelfile.commands[0])
    return text


def _render(command: Command) -> str:
    head = " ".join(part for part in (command.word.upper(), command.label) if part)
    for quoted in _quotings(command.value):
        text = f"{head} {quoted}\n"
        try:
            read = tuple(_Scanner(text).commands())
        except ModelfileDamaged:
            continue
        if read == (command,):
            return text
    raise NotExpressible(command)


def _quotings(value: str) -> Iterator[str]:
    if value and value == value.strip():
        yield value
    yield f'"{value}"'
    yield f'"""{value}"""'


class _Scanner:
    """One pass over the text, rune by rune, with the states of Ollama's parser."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self.line = 1

    def commands(self) -> Iterator[Command]:
        """Yield the instructions."""
        while self._skip_to_word():
            word = self._letters("the instruction", digits=False).lower()
            if word not in WORDS:
                raise ModelfileDamaged(self.line, f"{word!r} is no instruction.")
            label = self._label(word) if word in LABELLED else ""
            yield Command(word, self._value(), label)

    def _skip_to_word(self) -> bool:
        while rune := self._peek():
            if rune == "#":
                self._skip_line()
            elif rune in " \t\r\n":
                self._take()
            else:
                return True
        return False

    def _skip_line(self) -> None:
        while (rune := self._peek()) and rune not in "\r\n":
            self._take()

    def _label(self, word: str) -> str:
        label = self._letters(f"the name after {word.upper()}", digits=word == "parameter")
        if word == "message" and label not in ROLES:
            raise ModelfileDamaged(self.line, "a message is of system, user or assistant.")
        return label

    def _letters(self, what: str, *, digits: bool) -> str:
        """Read up to the next space, which is taken too."""
        start = self._position
        while rune := self._take():
            if rune in " \t":
                return self._text[start : self._position - 1]
            in_name = rune.isalpha() or (digits and (rune.isdigit() or rune == "_"))
            if not (rune.isascii() and in_name):
                break
        raise ModelfileDamaged(self.line, f"{what} is not followed by a space and a value.")

    def _value(self) -> str:
        taken: list[str] = []
        while rune := self._take():
            if rune in "\r\n":
                value = _unquoted("".join(taken).strip())
                if value is not None:
                    return value
                taken.append(rune)
            elif rune in " \t" or rune.isprintable():
                taken.append(rune)
        value = _unquoted("".join(taken).strip())
        if value is None:
            raise ModelfileDamaged(self.line, "a quoted value has no end.")
        return value

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _take(self) -> str:
        rune = self._peek()
        self._position += 1
        self.line += rune == "\n"
        return rune


def _unquoted(text: str) -> str | None:
    """The value inside the quotes, or None while they are open."""
    if text.startswith('"""'):
        return text[3:-3] if len(text) >= 6 and text.endswith('"""') else None
    if text.startswith('"'):
        return text[1:-1] if len(text) >= 2 and text.endswith('"') else None
    return text
