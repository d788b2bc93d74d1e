"""Grids of ruling lines: borders of columns and rows, and which of them are drawn where."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.documents.rules import Lines, Rules

_SAME_LINE = 3.0  # points between lines that count as one
_MOST_RULES = 1_500
_FEWEST_LINES = 3

Edges = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """columns: x of the borders of columns; lines: y of those of rows; down: rules, (n, 4)."""

    columns: Edges
    lines: Edges
    down: Lines

    def is_ruled(self, border: int, y: float) -> bool:
        """Whether the left border of a column is drawn at this height; a cell that spans columns
        has none inside."""
        near = np.abs(self.down[:, 0] - self.columns[border]) <= _SAME_LINE
        top, bottom = self.down[near, 1] - _SAME_LINE / 2, self.down[near, 3] + _SAME_LINE / 2
        return bool(((top <= y) & (y <= bottom)).any())


def grids_of(rules: Rules) -> list[Grid]:
    """The grids of a page from the top; none where it draws so much that it is a picture."""
    if len(rules.across) < _FEWEST_LINES or len(rules.down) < 2:
        return []
    if len(rules.across) + len(rules.down) > _MOST_RULES:
        return []
    lines = np.concatenate([rules.across, rules.down])
    is_across = np.arange(len(lines)) < len(rules.across)
    grids: list[Grid] = []
    for group in _touching(lines):
        members, across = lines[group], is_across[group]
        if not across.any() or across.all():
            continue
        outer, down = members[across], members[~across]
        sides = [outer[:, 0].min(), outer[:, 2].max()]
        columns = _merged(np.concatenate([down[:, 0], sides]))
        borders = _merged(outer[:, 1])
        if len(columns) >= _FEWEST_LINES and len(borders) >= _FEWEST_LINES:
            grids.append(Grid(columns, borders, down))
    return sorted(grids, key=lambda grid: float(grid.lines[0]))


def _touching(lines: Lines) -> list[npt.NDArray[np.intp]]:
    """Groups of lines that meet one another."""
    low, high = lines[:, :2] - _SAME_LINE / 2, lines[:, 2:] + _SAME_LINE / 2
    meets = ((low[:, None] <= high[None]) & (low[None] <= high[:, None])).all(2)
    left = np.ones(len(lines), bool)
    groups: list[npt.NDArray[np.intp]] = []
    while left.any():
        group = np.zeros(len(lines), bool)
        fresh = np.zeros(len(lines), bool)
        fresh[np.argmax(left)] = True
        while fresh.any():
            group |= fresh
            fresh = meets[fresh].any(0) & ~group
        left &= ~group
        groups.append(np.flatnonzero(group))
    return groups


def _merged(values: npt.NDArray[np.float32]) -> Edges:
    """Sorted values, those closer than three points taken as one."""
    values = np.sort(values)
    return values[np.concatenate([[True], np.diff(values) > _SAME_LINE])]
