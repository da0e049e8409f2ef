"""HMAC-SHA256 against RFC 4231 and the standard library; the comparison."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haipump_fw.proto import auth

RFC_4231 = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
]


@pytest.mark.requirement("A10")
@pytest.mark.parametrize(("key", "data", "digest"), RFC_4231)
def test_published_vectors(key: bytes, data: bytes, digest: str):
    assert auth.hmac_sha256(key, data).hex() == digest


@given(st.binary(max_size=64), st.binary(max_size=300))
def test_as_the_standard_library_does_it(key: bytes, data: bytes):
    assert auth.hmac_sha256(key, data) == hmac.new(key, data, hashlib.sha256).digest()


def test_a_key_longer_than_a_block_is_no_key_of_ours():
    assert auth.hmac_sha256(bytes(64), b"x") == hmac.new(bytes(64), b"x", hashlib.sha256).digest()
    with pytest.raises(ValueError, match="key"):
        auth.hmac_sha256(bytes(65), b"")


def test_code_of_a_line():
    key = bytes(range(32))
    expected = hmac.new(key, b"0a1b|@7 pause", hashlib.sha256).hexdigest()[:16]
    assert auth.mac(key, "0a1b", b"@7 pause") == expected.encode()


def test_same():
    assert auth.same(b"0123", b"0123")
    assert not auth.same(b"0123", b"0124")
    assert not auth.same(b"1123", b"0123")
    assert not auth.same(b"0123", b"01234")
    assert auth.same(b"", b"")


def test_the_operators_key_is_made_from_the_key_and_not_back():
    key = bytes(range(32))
    assert auth.operator_key(key) == hmac.new(key, b"operate", hashlib.sha256).digest()
    assert auth.operator_key(auth.operator_key(key)) not in (key, auth.operator_key(key))


def test_by_whose_key_a_line_was_signed():
    key = bytes(range(32))
    for signer, role in ((key, auth.CONFIGURING), (auth.operator_key(key), auth.OPERATING), (bytes(32), 0)):
        assert auth.role_of(key, "0a", auth.mac(signer, "0a", b"@7 pause"), b"@7 pause") == role


class Counting(bytes):
    """Bytes that count how often one of them was looked at."""

    looks = 0

    def __getitem__(self, at):
        Counting.looks += 1
        return super().__getitem__(at)


@pytest.mark.parametrize("other", [b"0123456789abcdef", b"x123456789abcdef", b"0123456789abcdex"])
def test_comparing_looks_at_every_byte_wherever_they_differ(other: bytes):
    Counting.looks = 0
    auth.same(Counting(b"0123456789abcdef"), other)
    assert Counting.looks == 16


@pytest.mark.parametrize("role", [0, auth.OPERATING, auth.CONFIGURING])
def test_the_work_does_not_tell_who_signed(role: int, monkeypatch: pytest.MonkeyPatch):
    key = bytes(range(32))
    signer = {0: bytes(32), auth.OPERATING: auth.operator_key(key), auth.CONFIGURING: key}[role]
    code = auth.mac(signer, "0a", b"@7 pause")
    calls = []
    plain = auth.hmac_sha256
    monkeypatch.setattr(auth, "hmac_sha256", lambda key, data: calls.append(len(data)) or plain(key, data))
    assert auth.role_of(key, "0a", code, b"@7 pause") == role
    assert calls == [7, 11, 11]
