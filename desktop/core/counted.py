"""Numbers with their things, in the right English: "1 file", "2,000 files"."""


def counted(number: int, thing: str) -> str:
    """The number with its thing in the singular or with an "s"."""
    return f"{number:,} {thing}{'s' * (number != 1)}"
