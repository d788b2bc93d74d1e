"""A record of ours for the fault tests, as it is before and after a change."""

from desktop.core.records import Record


class Example(Record):
    """A value of the size of a job's specification."""

    name: str
    values: tuple[int, ...]


OLD = Example(name="old", values=tuple(range(500)))
NEW = Example(name="new", values=tuple(range(500, 1500)))
