"""The check of the application's files on the board: what is read, in which order, and what is noticed."""

import hashlib

import pytest

from haipump_fw.device import Shipped
from tests.firmware.rp2.chip import Chip

FILES = {"boot.py": b"1", "a/empty.mpy": b"", "main.py": bytes(1_024)} | {
    f"a/{name}.mpy": bytes(range(256)) * name for name in range(1, 30)
}
SHIPS = Shipped(FILES)
TURNS = 3


def still() -> None:
    pass


class System:
    code = None
    app_hash = SHIPS.app_hash


@pytest.fixture
def check(tmp_path, monkeypatch):
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    with Chip().attach() as load:
        module = load("code")
        monkeypatch.setattr(module, "FILES", "\n".join(FILES))
        yield module.check


@pytest.mark.requirement("GIP-3.3.1-3")
@pytest.mark.parametrize("name", FILES)
def test_a_change_of_any_file_is_noticed(check, tmp_path, name):
    system = System()
    assert check(system, None) is True and system.code is None
    data = FILES[name]
    for bad in (data + b"\xff", data[:-1] + bytes([data[-1] ^ 1]) if data else b"\0", data[1:] or b"\1"):
        (tmp_path / name).write_bytes(bad)
        assert check(system, None) is False
    (tmp_path / name).unlink()
    assert check(system, None) is False
    (tmp_path / name).write_bytes(data)
    assert check(system, None) is True


@pytest.mark.requirement("GIP-3.3.1-3")
def test_some_files_at_a_time_are_the_same_round_after_round(check, tmp_path):
    system = System()
    for _ in range(2):
        for turn in range(TURNS):
            assert check(system, still) is True
            assert (system.code is None) == (turn == TURNS - 1)
    (tmp_path / "main.py").write_bytes(b"2")
    assert [check(system, still) for _ in range(TURNS)] == [True] * (TURNS - 1) + [False]
    assert system.code is None


def test_all_of_them_begin_anew_and_so_does_the_round_after_it(check):
    system = System()
    check(system, still)
    assert check(system, None) is True and system.code is None
    assert [check(system, still) for _ in range(TURNS)] == [True] * TURNS


def test_files_that_were_put_there_by_hand_cannot_be_checked(check):
    system = System()
    system.app_hash = "0"
    assert check(system, None) is None and check(system, still) is None


def test_the_hash_is_that_of_what_is_shipped():
    assert len(SHIPS.app_hash) == 2 * hashlib.sha256().digest_size
