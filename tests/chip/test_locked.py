"""Locked mode on the chip, with its own random numbers, hashes and flash: key, roles, limits, replay, forgery, the end
of a session. All verbs by all roles: `tests/firmware/app/test_locked`.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac

import pytest

from haipump_fw.ports import IN_SERVICE
from tests.chip.branch import branch
from tests.chip.pump import ChipPump

KEY = bytes(range(1, 33))
OPERATOR = hmac.new(KEY, b"operate", hashlib.sha256).digest()
RATE = "prepare_rate rate_nl_per_day=1300000"


def restart(pump: ChipPump, jumper: bool) -> None:
    pump.core.power(False)
    pump.core.press(IN_SERVICE, jumper)
    pump.run(1)
    pump.core.power(True)
    pump.start()


def line(pump: ChipPump, text: str, key: bytes, nonce: str) -> bytes:
    """Signed with the code of the key, under the next id."""
    head = f"@{pump.next_id} {text}"
    code = hmac.new(key, f"{nonce}|{head}".encode(), hashlib.sha256).hexdigest()[:16]
    return checked(f"{head} mac={code}")


def checked(text: str) -> bytes:
    return f"{text} *{binascii.crc32(text.encode()):08x}\n".encode()


def say(pump: ChipPump, text: str, key: bytes = KEY, nonce: str | None = None) -> dict[str, str]:
    """The answer to a signed line; its id is used up by what is executed only."""
    nonce = nonce or pump.ask("hello", signed=False)["nonce"]
    answer = send(pump, line(pump, text, key, nonce))
    pump.next_id += answer.get("code") not in ("mac", "role", "locked")
    return answer


def send(pump: ChipPump, data: bytes) -> dict[str, str]:
    assert pump.core.send(data) == len(data)
    verdict = pump.wait_for(r"^@\d+ ((?:ok|err) .*) \*[0-9a-f]{8}\r?$", 2_000_000)
    return {"verdict": verdict.split()[0]} | dict(pair.split("=", 1) for pair in verdict.split() if "=" in pair)


def forged(pump: ChipPump) -> int:
    return int(pump.ask("info", signed=False)["forged"])


@pytest.mark.requirement("GIP-6.3.x", "CS-REQ-82", "OP-EC24", "A9")
def test_a_locked_pump(stopped):
    branch(lambda: life(stopped))


def life(pump: ChipPump) -> None:
    assert pump.ask("set_key key=" + KEY.hex())["code"] == "key", "the jumper is open"
    restart(pump, jumper=True)
    pump.ask("ack")
    assert pump.ask("set_key key=" + KEY.hex())["answer"] == "ok"
    assert pump.ask("lock")["locked"] == "1"
    restart(pump, jumper=False)
    assert pump.ask("prepare_limits max_bolus_nl=1000")["code"] == "locked"
    pump.next_id -= 1

    # who may do what
    for text in ("prepare_limits max_bolus_nl=1000", "prepare_dose max_dose_nl=1", "unlock"):
        assert say(pump, text, OPERATOR)["code"] == "role"
    token = say(pump, "prepare_limits max_bolus_nl=1000000")["token"]
    assert say(pump, f"commit token={token}", OPERATOR)["code"] == "role"
    assert say(pump, f"commit token={token}")["verdict"] == "ok"
    assert pump.ask("limits", signed=False)["max_bolus_nl"] == "1000000"
    token = say(pump, RATE, OPERATOR)["token"]
    assert say(pump, f"commit token={token}", OPERATOR)["state"] == "infusing"
    assert forged(pump) == 5

    # replay and forgery
    nonce = pump.ask("hello", signed=False)["nonce"]
    pause = line(pump, "pause", OPERATOR, nonce)
    assert send(pump, pause)["state"] == "paused"
    pump.next_id += 1
    assert say(pump, "resume", OPERATOR)["state"] == "infusing"
    assert send(pump, pause)["state"] == "paused", "its answer again, from memory"
    assert pump.ask("status", signed=False)["state"] == "infusing", "... and nothing more"
    text = line(pump, "pause", OPERATOR, nonce)[:-11].decode()
    assert send(pump, checked(text[:-1] + ("0" if text[-1] != "0" else "1")))["code"] == "mac"
    assert say(pump, "pause", bytes(32))["code"] == "mac"
    assert forged(pump) == 7

    # three minutes without an order
    pump.run(182)
    late = say(pump, "pause", OPERATOR, nonce)
    assert (late["code"], late["what"]) == ("mac", "session_over")
    assert pump.ask("hello", signed=False)["nonce"] != nonce
    assert say(pump, "pause", OPERATOR)["state"] == "paused"

    # stop needs nothing, and the lock outlives the power
    assert pump.ask("stop", signed=False)["state"] == "stopped"
    restart(pump, jumper=False)
    assert send(pump, pause)["code"] in ("mac", "stale")
    assert pump.ask(RATE)["code"] == "locked"
