"""What survives a restart, what damaged storage leads to, and what the journal holds."""

from __future__ import annotations

import base64
import random

import pytest

from haipump_fw.core.options import OPTIONS
from haipump_fw.core.states import STATES
from haipump_fw.store import flashmap, records
from tests.firmware.app.bench import DAY, STEP_FL, Pump, frame, pump

RATE = "prepare_rate rate_nl_per_day=%d"
STEP_NL = STEP_FL / 1_000_000


def values(of: Pump) -> dict[str, int]:
    return {row[1]: of.ask(f"settings name={row[1]}")["value"] for row in OPTIONS}


@pytest.mark.requirement("GIP-1.7.1")
def test_settings_limits_and_calibration_survive():
    of = pump()
    of.order("prepare_limits max_bolus_nl=1234567 occlusion_pa=20000 pause_max_s=61")
    of.order("prepare_settings kvo_nl_per_day=123456 silence_s=60")
    of.order("prepare_calibration step_fl=230000001 backlash_steps=77 travel_steps=123456")
    before = values(of)
    assert (before["step_fl"], before["max_bolus_nl"], before["backlash_steps"]) == (230_000_001, 1_234_567, 77)
    for _ in range(3):
        of.power_cycle()
        assert values(of) == before
    of.order("prepare_bolus volume_nl=230000 duration_s=60")
    of.run(70)
    assert of.steps == 1000  # steps of the calibrated size


def test_a_new_calibration_changes_no_volume_that_was():
    of = pump()
    of.order(RATE % 240_000_000)
    of.run(60)
    of.act("stop")
    before, reservoir = of.ask("totals"), of.status()["reservoir_nl"]
    of.order(f"prepare_calibration lead_um=200 step_fl={STEP_FL // 10}")
    after = of.ask("totals")
    for name in ("stepped_nl", "stepped_max_nl", "confirmed_nl", "commanded_nl"):
        assert abs(after[name] - before[name]) <= 1, name
    assert abs(of.status()["reservoir_nl"] - reservoir) <= 1
    of.power_cycle()  # the fraction that was carried was one of larger steps: it is given up
    steps = of.steps
    of.order("prepare_bolus volume_nl=23114 duration_s=100 override=1")
    of.run(0.05)
    assert of.steps - steps <= 1
    of.run(110)
    assert abs(of.steps - steps - 1000) <= 1


@pytest.mark.requirement("A7")
def test_totals_survive_and_begin_anew_with_a_syringe():
    of = pump()
    of.order("prepare_bolus volume_nl=100000")
    of.run(60)
    before, life = of.ask("totals"), of.ask("lifetime")
    of.power_cycle()
    assert of.ask("totals") == before
    assert 0 < before["commanded_nl"] - 100_000 + STEP_NL < 2 * STEP_NL
    assert of.ask("lifetime") == life | {"boots": life["boots"] + 1}
    of.load()
    assert of.ask("totals")["stepped_max_nl"] == 0
    assert of.ask("lifetime") == life | {"boots": life["boots"] + 1}
    of.power_cycle()
    of.order("prepare_bolus volume_nl=100000")
    of.run(60)
    both = of.ask("lifetime")
    assert both["commanded_nl"] == life["commanded_nl"] + of.ask("totals")["commanded_nl"] >= 200_000
    assert both["confirmed_nl"] == life["confirmed_nl"] + of.ask("totals")["confirmed_nl"]
    assert (both["orders"], both["stepped_nl"]) == (2, life["stepped_nl"] + of.ask("totals")["stepped_nl"])


def spoil(of: Pump, sectors: range, count: int = 60) -> None:
    """Bits fall in every image."""
    rng = random.Random(5)
    for sector in sectors:
        for slot in range(0, flashmap.SECTOR, 1024):
            for _ in range(count):
                of.core.flash_port.data[sector * flashmap.SECTOR + slot + rng.randrange(400)] &= rng.randrange(256)


@pytest.mark.requirement("A15")
def test_both_copies_of_the_settings_damaged():
    of = pump()
    of.order("prepare_limits max_bolus_nl=1000000")
    of.order(RATE % 1_300_000)
    of.core.power(False)
    of.run(1)
    spoil(of, range(0, 2))
    of.wake()
    assert of.state() == "stopped" and not of.enabled
    assert of.status()["alarm"] == "storage"
    assert of.alarm("storage")["phase"] == "active"
    for text in (RATE % 1_300_000, "prepare_bolus volume_nl=1000", "prepare_prime volume_nl=1000 disconnected=1"):
        answer = of.no(text)
        assert (answer["code"], answer["what"]) == ("storage", "settings")
    assert of.no("prepare_jog steps=9 disconnected=1")["code"] == "storage"
    of.run(100)
    assert of.steps == 0 and of.alarm("storage")["phase"] == "active"
    # saying them anew repairs them; a syringe has to be loaded before anything flows
    of.order("prepare_limits max_bolus_nl=1000000")
    of.run(1)
    of.act("ack")
    assert of.alarm("storage") is None
    assert of.no(RATE % 1_300_000)["what"] == "none_loaded"
    of.load()
    of.order(RATE % 1_300_000)
    of.act("stop")
    of.run(1)
    of.power_cycle()
    assert of.ask("alarms")["count"] == 0 and of.ask("limits")["max_bolus_nl"] == 1_000_000


def test_one_copy_damaged_is_mended_without_a_word():
    of = pump()
    of.order("prepare_limits max_bolus_nl=1000000")
    of.run(10)
    for sector in (0, 1):
        of.core.power(False)
        spoil(of, range(sector, sector + 1))
        of.wake()
        assert of.ask("limits")["max_bolus_nl"] == 1_000_000
        of.run(10)
        assert not of.app.storage.settings.damaged
    of.order(RATE % 1_300_000)


def test_a_partition_that_holds_something_else_is_not_touched():
    of = pump()
    of.core.power(False)
    first = flashmap.JOURNAL_FIRST * flashmap.SECTOR
    of.core.flash_port.data[first:] = random.Random(1).randbytes(len(of.core.flash_port.data) - first)
    before = of.core.flash
    of.core.power(True)
    of.run(1)
    assert of.state() == "stopped" and of.status()["alarm"] == "storage"
    assert "code=storage" in of.answer(frame(1, RATE % 1_300_000))
    assert of.answer(b"stop\n").startswith("ok state=stopped")
    of.run(600)
    assert of.core.flash[first:] == before[first:] and of.steps == 0


@pytest.mark.requirement("CS-REQ-85/86")
def test_a_full_ring_goes_on_and_forgets_the_oldest():
    of = pump()
    of.order(RATE % 48_000_000)
    for _ in range(1200):
        of.act("pause")
        of.act("resume")
    assert of.app.storage.journal.first_seq > 1
    of.run(100)
    of.power_cycle()
    totals = of.ask("totals")
    assert totals["stepped_min_nl"] - STEP_NL <= of.net * STEP_NL <= totals["stepped_max_nl"] + STEP_NL
    assert of.ask("calibration")["syringe_nl"] == 30_000_000
    of.order(RATE % 48_000_000)


def test_a_save_while_the_motion_leaves_no_time_to_erase():
    """Settings saved again and again in a bolus: what does not fit into a window is refused, and does not come later
    either."""
    of = pump()
    of.order("prepare_bolus volume_nl=3000000")
    of.run(5)
    last, refused = 0, 0
    for number in range(1, 20):
        token = of.act(f"prepare_limits max_bolus_nl={1_000_000 + number} reservoir_low_nl={1_000_000 + number}")[
            "token"
        ]
        if "err code=storage what=no_window" in of.raw(f"commit token={token}"):
            refused += 1
        else:
            last = number
        limits = of.ask("limits")
        assert limits["max_bolus_nl"] == limits["reservoir_low_nl"] == 1_000_000 + last
    assert last and refused
    of.run(1000)  # the bolus is over, there is time
    limits = of.ask("limits")
    assert limits["max_bolus_nl"] == limits["reservoir_low_nl"] == 1_000_000 + last
    of.power_cycle()
    assert of.ask("limits") == limits
    of.order("prepare_limits max_bolus_nl=2000000")


def test_records_that_have_to_wait_refuse_no_settings():
    of = pump()
    of.order("prepare_bolus volume_nl=3000000")
    of.run(5)
    journal = of.app.storage.journal
    flush, erase = journal.flush, journal.erase_ahead
    journal.flush = journal.erase_ahead = lambda window_us: False  # its next sector can't be erased now
    token = of.act("prepare_limits max_bolus_nl=1234567")["token"]
    journal.append("state", 1, 0, 1, 1, 0)
    assert "ok" in of.raw(f"commit token={token}")
    assert of.ask("limits")["max_bolus_nl"] == 1_234_567
    journal.flush, journal.erase_ahead = flush, erase
    of.run(60)
    assert not journal.pending


# --- the journal


def test_a_typical_day():
    of = pump()
    start = of.now
    of.order(RATE % 1_300_000)
    for hour in (8, 14, 20):
        of.core.run_until(start + hour * DAY // 24)
        of._read()
        of.order("prepare_bolus volume_nl=100000 override=1")
    of.core.run_until(start + DAY)
    of._read()
    of.act("stop")
    of.flush()
    found = [r for r in of.journal() if not r.restated]
    chain = records.CHAIN_START
    journal = of.app.storage.journal
    for seq in range(1, journal.last_seq + 1):
        raw = journal.read(seq)
        assert raw is not None
        chain = records.link(chain, raw)
        assert chain == raw[records.BODY : records.BODY + records.CHAIN], f"record {seq}: the chain is broken"
    by = {
        name: [r for r in found if r.name == name] for name in ("intent", "result", "commit", "state", "alarm", "boot")
    }
    assert [r.values["source"] for r in by["intent"]] == [1, 4, 4, 4]
    for intent in by["intent"]:  # intent before, result after
        (result,) = [r for r in by["result"] if r.values["order"] == intent.values["order"]]
        assert result.seq > intent.seq
    assert all(r.values["result"] == 1 and r.values["stepped_nl"] for r in by["result"][:3])
    assert by["result"][3].values["result"] == 2
    assert abs(sum(r.values["stepped_nl"] for r in by["result"]) - of.steps * STEP_NL) <= 4
    pairs = zip(by["commit"], by["commit"][1:], strict=False)
    for one, other in pairs:
        assert other.uptime_s - one.uptime_s <= 600
        assert other.values["stepped_nl"] - one.values["stepped_nl"] <= 100_000
    assert len(by["commit"]) < 200
    assert by["alarm"] == []
    moves = [(STATES[r.values["was"]], STATES[r.values["state"]]) for r in by["state"]]
    assert moves[1:3] == [("stopped", "infusing"), ("infusing", "bolus")]
    assert moves[-1] == ("infusing", "stopped")


@pytest.mark.requirement("CS-REQ-78-81", "A14")
@pytest.mark.parametrize("rate", [48_000_000, 1_000_000_000])
def test_a_commit_at_least_each_100_ul(rate):
    of = pump()
    of.order("prepare_limits occlusion_pa=90000")
    of.order(RATE % rate)
    of.run(2_000_000 * 86_400 / rate)
    of.act("stop")
    of.flush()
    commits = [r.values["stepped_nl"] for r in of.journal() if r.name == "commit" and not r.restated]
    assert commits[-1] > 1_900_000
    assert max(b - a for a, b in zip(commits, commits[1:], strict=False)) <= 100_000


def test_records_at_rest_do_not_wait():
    of = pump()
    of.order(RATE % 1_300_000)
    of.run(60)
    of.act("stop")
    of.run(0.1)
    assert of.app.storage.journal.pending == 0


def flowing() -> Pump:
    of = pump()
    of.order(RATE % 24_000_000)
    of.order("prepare_bolus volume_nl=1000000 duration_s=3600 override=1")
    of.run(700)
    return of


def alarming() -> Pump:
    of = flowing()
    of.core.plant.capture(of.now, False)
    of.run_to_alarm("syringe_released", 5)
    return of


def faulty() -> Pump:
    of = flowing()
    of.app.fire("fail", "library")
    of.run(1)
    return of


def whole_log(of: Pump) -> bytes:
    """All records as the pump tells them from the first to the last one, page by page."""
    data, seq, last = b"", 0, 0
    while not seq or seq <= last:
        page = dict(word.split("=", 1) for word in of.answer(b"log seq=%d count=2\n" % seq).split() if "=" in word)
        assert int(page["seq"]) == seq or not seq
        data += base64.b64decode(page["data"])
        seq, last = int(page["seq"]) + int(page["count"]), int(page["last"])
    return data


@pytest.mark.requirement("A23")
@pytest.mark.parametrize(
    ("made", "state"), [(pump, "stopped"), (flowing, "bolus"), (alarming, "alarm"), (faulty, "fault")]
)
def test_the_log_is_what_is_on_the_flash(made, state):
    of = made()
    assert of.state() == state
    of.flush()
    data = whole_log(of)
    journal = of.app.storage.journal
    on_flash = bytes(of.core.flash_port.data)
    places = [data[at : at + records.SIZE] for at in range(0, len(data), records.SIZE)]
    assert [records.seq_of(record) for record in places] == list(range(journal.first_seq, journal.last_seq + 1))
    assert all(record in on_flash for record in places) and len(set(places)) == len(places) > 2
    assert of.state() == state and of.enabled == (state == "bolus"), "to be asked changes nothing"


@pytest.mark.parametrize("breakage", ["program_error", "program_silent", "program_wrong"])
def test_a_sector_that_breaks_is_told_and_costs_nothing_else(breakage):
    of = pump()
    of.order("prepare_rate rate_nl_per_day=24000000")
    of.flush()
    of.core.flash_port.break_sector(flashmap.JOURNAL_FIRST, breakage)
    of.run(3_000)
    of.flush()
    assert of.state() == "infusing" and of.alarm("storage") is None
    assert of.ask("lifetime")["flash_errors"] >= 3
    kept = of.journal()
    assert [record.seq for record in kept] == list(range(1, len(kept) + 1)) and len(kept) > 15
    of.power_cycle()
    assert of.ask("lifetime")["stepped_max_nl"] >= of.steps * STEP_FL // 1_000_000 - 1
