"""The tables of conversations and the way from each older version to the newest.

A turn knows the turn before it, so an edited question begins a branch and the earlier text stays.
`words` finds any run of three characters, in every script.
"""

APPLICATION_ID = 0x54446331  # "TDc1": a SQLite file that holds conversations of ours
_FIRST = """
CREATE TABLE conversations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  title TEXT NOT NULL,
  model TEXT NOT NULL,
  window INTEGER NOT NULL,
  system TEXT NOT NULL,
  library TEXT NOT NULL,
  file TEXT NOT NULL,
  passages TEXT NOT NULL,
  created TEXT NOT NULL,
  last_turn INTEGER
);
CREATE TABLE turns (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  conversation INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
  parent INTEGER REFERENCES turns (id) ON DELETE CASCADE,
  role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
  text TEXT NOT NULL,
  sent TEXT NOT NULL,
  passages TEXT NOT NULL DEFAULT '[]',
  is_final INTEGER NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  request TEXT NOT NULL DEFAULT '[]',
  prompt_tokens INTEGER NOT NULL DEFAULT 0,
  answer_tokens INTEGER NOT NULL DEFAULT 0,
  checked TEXT NOT NULL DEFAULT '',
  created TEXT NOT NULL
);
CREATE INDEX turns_conversation ON turns (conversation);
CREATE INDEX turns_parent ON turns (parent);
CREATE TABLE ratings (
  turn INTEGER PRIMARY KEY REFERENCES turns (id) ON DELETE CASCADE,
  is_good INTEGER NOT NULL,
  correction TEXT NOT NULL,
  context TEXT NOT NULL,
  created TEXT NOT NULL
);
CREATE VIRTUAL TABLE words USING fts5
  (text, content = 'turns', content_rowid = 'id', tokenize = 'trigram');
CREATE TRIGGER turns_inserted AFTER INSERT ON turns BEGIN
  INSERT INTO words (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER turns_deleted AFTER DELETE ON turns BEGIN
  INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
END;
CREATE TRIGGER turns_rewritten AFTER UPDATE OF text ON turns BEGIN
  INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
  INSERT INTO words (rowid, text) VALUES (new.id, new.text);
END;
"""
_UNSENT = "ALTER TABLE turns ADD COLUMN unsent TEXT NOT NULL DEFAULT '[]';"
# Version n is made by the first n scripts; a released script never changes.
MIGRATIONS: tuple[str, ...] = (_FIRST, _UNSENT)
