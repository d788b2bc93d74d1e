"""A real, small renderer for tests that need no server: ChatML."""


def render(messages) -> str:
    """The text of a conversation with the answer's header at the end."""
    turns = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return f"{turns}<|im_start|>assistant\n"
