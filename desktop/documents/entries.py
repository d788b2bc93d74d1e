"""A sparse count table: which owners (chunks, pages, rows) hold a term, and how often."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Entries:
    """Entries sorted by term, then by owner.

    offsets: (terms + 1,) int32; owners: (entries,) int32; counts: (entries,) int32.
    """

    offsets: Ints
    owners: Ints
    counts: Ints

    @classmethod
    def counted(cls, terms: Ints, owners: Ints, n_terms: int, n_owners: int) -> "Entries":
        """Count equal pairs. terms, owners: (n,) integers, one pair an occurrence."""
        keys = terms.astype(np.int64) * max(n_owners, 1) + owners
        pairs, counts = np.unique(keys, return_counts=True)
        of_term, owner = np.divmod(pairs, max(n_owners, 1))
        offsets = np.searchsorted(of_term, np.arange(n_terms + 1))
        return cls(*(part.astype(np.int32) for part in (offsets, owner, counts)))

    def of(self, term: int) -> tuple[Ints, Ints]:
        """(owners, counts) of a term."""
        span = slice(int(self.offsets[term]), int(self.offsets[term + 1]))
        return self.owners[span], self.counts[span]
