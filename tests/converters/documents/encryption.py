"""Encrypted PDFs for tests, by every revision of the standard handler (ISO 32000-2, 7.6.4).

Pure Python, slow and made for a few hundred bytes. AES after FIPS 197.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Literal

from tests.converters.documents.tiny_pdf import document

Revision = Literal[2, 3, 4, 5, 6]

_PAD = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
_ID = bytes(range(16))
_PERMISSIONS = 0xFFFFFFFC
_IV = bytes(range(16, 32))


@cache
def encrypted(text: str, revision: Revision, user: str, owner: str) -> bytes:
    """A one-page PDF whose content stream `text` needs the user's or the owner's password."""
    if revision >= 5:
        key, entries = _strong(revision, user.encode(), owner.encode())
        cipher = _aes_streams(lambda _number: key)
    else:
        key, entries = _weak(revision, user.encode(), owner.encode())
        cipher = _streams(revision, key)
    identity = f"[<{_ID.hex()}> <{_ID.hex()}>]"
    more = {100_000: f"<< /Filter /Standard {entries} >>".encode()}
    trailer = f"/Encrypt 100000 0 R /ID {identity}"
    return document([text], cipher=cipher, more=more, trailer=trailer)


def _weak(revision: int, user: bytes, owner: bytes) -> tuple[bytes, str]:
    length = 5 if revision == 2 else 16
    hidden = hashlib.md5(_padded(owner)).digest()
    for _ in range(0 if revision == 2 else 50):
        hidden = hashlib.md5(hidden[:length]).digest()
    sealed = _rounds(hidden[:length], _padded(user), revision)
    mixed = _padded(user) + sealed + _PERMISSIONS.to_bytes(4, "little") + _ID
    key = hashlib.md5(mixed).digest()
    for _ in range(0 if revision == 2 else 50):
        key = hashlib.md5(key[:length]).digest()
    key = key[:length]
    if revision == 2:
        proof = _rc4(key, _PAD)
    else:
        proof = _rounds(key, hashlib.md5(_PAD + _ID).digest(), revision) + bytes(16)
    version = {2: 1, 3: 2, 4: 4}[revision]
    entries = f"/V {version} /R {revision} /Length {length * 8} /P {_PERMISSIONS - 2**32}"
    if revision == 4:
        entries += " /CF << /StdCF << /CFM /AESV2 /Length 16 >> >> /StmF /StdCF /StrF /StdCF"
    return key, f"{entries} /O <{sealed.hex()}> /U <{proof.hex()}>"


def _rounds(key: bytes, data: bytes, revision: int) -> bytes:
    for step in range(1 if revision == 2 else 20):
        data = _rc4(bytes(byte ^ step for byte in key), data)
    return data


def _streams(revision: int, key: bytes) -> Callable[[int, bytes], bytes]:
    def own_key(number: int) -> bytes:
        salt = number.to_bytes(3, "little") + bytes(2) + (b"sAlT" if revision == 4 else b"")
        return hashlib.md5(key + salt).digest()[: min(16, len(key) + 5)]

    if revision == 4:
        return _aes_streams(own_key)
    return lambda number, data: _rc4(own_key(number), data)


def _aes_streams(key_of: Callable[[int], bytes]) -> Callable[[int, bytes], bytes]:
    def sealed(number: int, data: bytes) -> bytes:
        fill = 16 - len(data) % 16
        return _IV + aes_cbc(key_of(number), _IV, data + bytes([fill]) * fill)

    return sealed


def _strong(revision: int, user: bytes, owner: bytes) -> tuple[bytes, str]:
    key = hashlib.sha256(b"a file key of a test").digest()
    checks, salts = (b"validate", b"owner-va"), (b"key-salt", b"owner-ke")
    user_proof = _hash(revision, user, checks[0], b"") + checks[0] + salts[0]
    user_key = aes_cbc(_hash(revision, user, salts[0], b""), bytes(16), key)
    owner_proof = _hash(revision, owner, checks[1], user_proof) + checks[1] + salts[1]
    owner_key = aes_cbc(_hash(revision, owner, salts[1], user_proof), bytes(16), key)
    rights = _PERMISSIONS.to_bytes(4, "little") + b"\xff" * 4 + b"Tadb" + b"rand"
    entries = (
        f"/V 5 /R {revision} /Length 256 /P {_PERMISSIONS - 2**32} "
        "/CF << /StdCF << /CFM /AESV3 /Length 32 >> >> /StmF /StdCF /StrF /StdCF "
        f"/U <{user_proof.hex()}> /UE <{user_key.hex()}> /O <{owner_proof.hex()}> "
        f"/OE <{owner_key.hex()}> /Perms <{aes_block(key, rights).hex()}>"
    )
    return key, entries


def _hash(revision: int, password: bytes, salt: bytes, proof: bytes) -> bytes:
    """Revision 5: one SHA-256; 6: rounds of AES and SHA-2 (algorithm 2.B)."""
    digest = hashlib.sha256(password + salt + proof).digest()
    if revision == 5:
        return digest
    step, last = 0, 0
    while step < 64 or last > step - 32:
        mixed = aes_cbc(digest[:16], digest[16:32], (password + digest + proof) * 64)
        kind = ("sha256", "sha384", "sha512")[int.from_bytes(mixed[:16], "big") % 3]
        digest, last, step = hashlib.new(kind, mixed).digest(), mixed[-1], step + 1
    return digest[:32]


def _padded(password: bytes) -> bytes:
    return (password + _PAD)[:32]


def _rc4(key: bytes, data: bytes) -> bytes:
    box, at = list(range(256)), 0
    for step in range(256):
        at = (at + box[step] + key[step % len(key)]) % 256
        box[step], box[at] = box[at], box[step]
    output, first, second = bytearray(), 0, 0
    for byte in data:
        first = (first + 1) % 256
        second = (second + box[first]) % 256
        box[first], box[second] = box[second], box[first]
        output.append(byte ^ box[(box[first] + box[second]) % 256])
    return bytes(output)


def _times_two(value: int) -> int:
    return ((value << 1) ^ (0x1B if value & 0x80 else 0)) & 0xFF


def _substitutions() -> list[int]:
    table, power, inverse = [0] * 256, 1, 1
    while True:
        power ^= _times_two(power)
        for shift in (1, 2, 4):
            inverse ^= (inverse << shift) & 0xFF
        inverse ^= 0x09 if inverse & 0x80 else 0
        turned = inverse
        for shift in range(1, 5):
            turned ^= ((inverse << shift) | (inverse >> (8 - shift))) & 0xFF
        table[power] = turned ^ 0x63
        if power == 1:
            break
    table[0] = 0x63
    return table


_S = _substitutions()
_DOUBLE = [_times_two(value) for value in range(256)]


def _round_keys(key: bytes) -> list[list[int]]:
    words = [list(key[at : at + 4]) for at in range(0, len(key), 4)]
    size, constant = len(words), 1
    for at in range(size, 4 * (size + 7)):
        word = words[-1]
        if at % size == 0:
            word = [_S[byte] for byte in word[1:] + word[:1]]
            word[0] ^= constant
            constant = _times_two(constant)
        elif size > 6 and at % size == 4:
            word = [_S[byte] for byte in word]
        words.append([a ^ b for a, b in zip(words[-size], word, strict=True)])
    return [sum(words[at : at + 4], []) for at in range(0, len(words), 4)]


def _encrypted_block(keys: list[list[int]], block: bytes) -> bytes:
    state = [a ^ b for a, b in zip(block, keys[0], strict=True)]
    for number, key in enumerate(keys[1:], start=1):
        state = [_S[state[(5 * at) % 16]] for at in range(16)]
        if number < len(keys) - 1:
            state = [byte for at in range(0, 16, 4) for byte in _mixed(state[at : at + 4])]
        state = [a ^ b for a, b in zip(state, key, strict=True)]
    return bytes(state)


def _mixed(column: list[int]) -> list[int]:
    whole = column[0] ^ column[1] ^ column[2] ^ column[3]
    return [
        value ^ whole ^ _DOUBLE[value ^ column[(at + 1) % 4]] for at, value in enumerate(column)
    ]


def aes_block(key: bytes, block: bytes) -> bytes:
    """AES of one block of 16 bytes."""
    return _encrypted_block(_round_keys(key), block)


def aes_cbc(key: bytes, vector: bytes, data: bytes) -> bytes:
    """AES in CBC mode; no padding is added."""
    keys, output = _round_keys(key), bytearray()
    for at in range(0, len(data), 16):
        mixed = bytes(a ^ b for a, b in zip(data[at : at + 16], vector, strict=True))
        vector = _encrypted_block(keys, mixed)
        output += vector
    return bytes(output)
