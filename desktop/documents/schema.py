"""The tables of a library and the way from each older version to the newest.

A file is a place, a document is content: two files of equal bytes share one document. Words are
found through `words`, which keeps no text of its own; codes and scripts without spaces through
`letters`. Everything below `documents` can be made again from the pages.
"""

import sqlite3
from collections.abc import Sequence

from desktop.core import sqlite_file
from desktop.core.sqlite_file import is_ours, version_of

__all__ = ["APPLICATION_ID", "MIGRATIONS", "is_library", "migrate", "version_of"]

APPLICATION_ID = 0x54446B31  # "TDk1": a SQLite file that is a library of ours
_FIRST = """
CREATE TABLE files (
  id INTEGER PRIMARY KEY,
  path BLOB NOT NULL UNIQUE,
  name TEXT NOT NULL,
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  sha256 TEXT,
  state TEXT NOT NULL CHECK (state IN ('waiting', 'indexed', 'set aside', 'encrypted', 'again')),
  reason TEXT NOT NULL DEFAULT '',
  reader INTEGER NOT NULL
);
CREATE INDEX files_sha256 ON files (sha256);
CREATE TABLE documents (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  sha256 TEXT NOT NULL UNIQUE,
  is_complete INTEGER NOT NULL DEFAULT 0,
  outcome TEXT NOT NULL DEFAULT '',
  sentence TEXT NOT NULL DEFAULT '',
  page_count INTEGER,
  text_pages INTEGER NOT NULL DEFAULT 0,
  front_size INTEGER NOT NULL DEFAULT 0,
  whole_size INTEGER NOT NULL DEFAULT 0,
  years TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE pages (
  id INTEGER PRIMARY KEY,
  document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  text TEXT NOT NULL,
  check_sum INTEGER NOT NULL,
  width REAL NOT NULL,
  height REAL NOT NULL,
  verdict TEXT NOT NULL,
  hidden INTEGER NOT NULL,
  hidden_spans TEXT NOT NULL,
  table_rows TEXT NOT NULL,
  boxes BLOB NOT NULL,
  UNIQUE (document, number)
);
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY,
  page INTEGER NOT NULL REFERENCES pages (id) ON DELETE CASCADE,
  start INTEGER NOT NULL,
  end INTEGER NOT NULL
);
CREATE INDEX chunks_page ON chunks (page);
CREATE VIEW chunk_texts AS
  SELECT chunks.id AS id, pages.document AS document, chunks.page AS page,
         substr(pages.text, chunks.start + 1, chunks.end - chunks.start) AS text
  FROM chunks JOIN pages ON pages.id = chunks.page;
CREATE VIRTUAL TABLE words USING fts5
  (text, content = 'chunk_texts', content_rowid = 'id', tokenize = 'porter unicode61');
CREATE VIRTUAL TABLE held USING fts5vocab (words, row);
CREATE VIRTUAL TABLE letters USING fts5 (text, tokenize = 'trigram');
CREATE TABLE postings (
  document INTEGER NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
  part INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (document, part)
);
CREATE TABLE document_terms (
  stem TEXT NOT NULL,
  document INTEGER NOT NULL,
  whole INTEGER NOT NULL,
  front INTEGER NOT NULL,
  PRIMARY KEY (stem, document)
) WITHOUT ROWID;
CREATE TABLE vectors (
  chunk INTEGER NOT NULL REFERENCES chunks (id) ON DELETE CASCADE,
  model TEXT NOT NULL,
  dimension INTEGER NOT NULL,
  vector BLOB NOT NULL,
  PRIMARY KEY (chunk, model)
) WITHOUT ROWID;
"""
_TABLE_ROWS = """
ALTER TABLE documents ADD COLUMN reader INTEGER NOT NULL DEFAULT 1;
UPDATE documents SET reader = 2
WHERE id NOT IN (SELECT document FROM pages WHERE table_rows != '[]');
"""
# Version n is made by the first n scripts; a released script never changes.
MIGRATIONS: tuple[str, ...] = (_FIRST, _TABLE_ROWS)


def is_library(connection: sqlite3.Connection) -> bool:
    """Whether the file is one of ours, or empty and so may become one."""
    return is_ours(connection, APPLICATION_ID)


def migrate(connection: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring an older file to the newest version, in one transaction: all of it or nothing."""
    sqlite_file.migrate(connection, APPLICATION_ID, migrations)
