"""Campaigns as a whole: any executor, results that are resumed, pages, and failures that are reduced."""

from __future__ import annotations

import dataclasses
import functools
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from haipump_emulator.campaign import draw, farm, report, sometimes
from haipump_emulator.campaign.life import Life
from haipump_emulator.cli import app
from haipump_emulator.faults.catalogue import CATALOGUE
from tools import reliability

ORDER = farm.Order(1.0, "direct", "abc")


def life(seed: int, **more) -> Life:
    return Life(seed, 1.0, "mixed", "direct", commands=3, faults=1, seen={"recovered": 1}, strikes=["0: x"], **more)


def test_any_executor_does():
    heard = []
    with ThreadPoolExecutor(2) as executor:
        farm.work(range(1, 4), functools.partial(farm.one, hours=1.0, core="direct"), executor, 2, heard.append)
    assert sorted(each.seed for each in heard) == [1, 2, 3]
    assert all(each.held for each in heard)


def test_lives_are_kept_and_not_lived_again(tmp_path):
    store = farm.Store(tmp_path, ORDER)
    store.add(life(1))
    store.add(life(2))
    with store.path.open("a") as file:
        file.write('{"seed": 3, "ho')  # the power went
    again = farm.Store(tmp_path, ORDER)
    assert again.lives == {1: life(1), 2: life(2)} and again.damaged == []
    again.add(life(3))
    assert farm.Store(tmp_path, ORDER).lives[3] == life(3), "not lost with the torn line before it"
    with pytest.raises(farm.CampaignError, match="another campaign"):
        farm.Store(tmp_path, farm.Order(2.0, "direct", "abc"))


@pytest.mark.parametrize("line", ['{"torn":', "[]", '{"seed": "x"}', '{"seed": 2}', "\udcff"])
def test_a_damaged_life_is_left_out_and_lived_again(line, tmp_path):
    words = ["campaign", "--hours", "2", "--each", "1", "--jobs", "1", "--out", str(tmp_path)]
    order = farm.Order.of(1.0, "direct")
    farm.Store(tmp_path, order).add(life(1))
    with (tmp_path / farm.LIVES).open("a", errors="surrogateescape") as file:
        file.write(line + "\n")
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and "left out, lived again where it is asked for: line 3" in done.output, done.output
    kept = farm.Store(tmp_path, order)
    assert sorted(kept.lives) == [1, 2] and kept.lives[1] == life(1)


_PARENT = """
import itertools, os, sys
from haipump_emulator.cli.campaign import _executor
if __name__ == "__main__":
    with _executor(1, None) as executor:
        print(executor.submit(os.getpid).result(), flush=True)
        executor.submit(sum, itertools.repeat(1)).result()
"""


def test_workers_end_with_a_campaign_that_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
        try:  # the worker has this pipe too: its end is the end of both
            assert parent.communicate(timeout=30) == ("", None)
        except subprocess.TimeoutExpired:
            os.kill(worker, signal.SIGKILL)
            raise


def test_only_some_faults_are_lived_and_nothing_of_it_is_kept(tmp_path):
    words = ["campaign", "--hours", "1", "--jobs", "1", "--out", str(tmp_path / "c")]
    assert CliRunner().invoke(app, words).exit_code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "c").iterdir()}
    done = CliRunner().invoke(app, [*words, "--only", "none"])
    assert done.exit_code == 0 and "seed 1: digest " in done.output and ", 0 faults" in done.output, done.output
    assert "nothing was written to" in done.output
    assert {path.name: path.read_bytes() for path in (tmp_path / "c").iterdir()} == before


def test_the_command_for_a_life_is_exact():
    assert farm.replay(life(7)) == "haipump-emu campaign --seed 7 --hours 1 --each 1"
    odd = dataclasses.replace(life(7), hours=1.23456789, broken="digest")
    assert "--each 1.23456789 --twice" in farm.replay(odd)


def test_the_command_resumes_and_writes_its_files(tmp_path):
    words = ["campaign", "--hours", "2", "--each", "1", "--jobs", "1", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "2 simulated hours in 2 lives, 0 broken" in done.output
    assert {path.name for path in tmp_path.iterdir()} == {farm.LIVES, report.PARQUET, report.PAGE}
    before = (tmp_path / farm.LIVES).read_text()
    assert CliRunner().invoke(app, words).exit_code == 0
    assert (tmp_path / farm.LIVES).read_text() == before
    farm.Store(tmp_path, farm.Order.of(1.0, "direct")).add(dataclasses.replace(life(2), broken="motion"))
    again = CliRunner().invoke(app, words)
    assert "2 simulated hours in 2 lives, 0 broken" in again.output, "what broke is lived again"
    assert CliRunner().invoke(app, ["faults"]).output.count("\n") > len(CATALOGUE)
    assert CliRunner().invoke(app, ["campaign", "--only", "x"]).exit_code == 2


def test_a_campaign_does_what_is_asked_or_refuses(monkeypatch) -> None:
    lived: list[tuple[int, float]] = []

    def work(seeds, job, *_):
        lived.extend((seed, job.keywords["hours"]) for seed in seeds)

    monkeypatch.setattr(farm, "work", work)

    def campaign(words: str):
        lived.clear()
        return CliRunner().invoke(app, ["campaign", "--jobs", "1", *words.split()])

    refused = campaign("--only 99")
    assert refused.exit_code == 2 and "has a fault 99" in " ".join(refused.output.replace("│", " ").split())
    assert campaign("--only none --hours 24").exit_code == 0
    assert campaign("--hours 1").exit_code == 0 and lived == [(1, 1.0)]
    assert campaign("--hours 30").exit_code == 0 and lived == [(1, 24.0), (2, 24.0)]
    assert campaign("--hours 1 --each 24").exit_code == 2
    for odd in ("--hours inf", "--hours nan", "--hours 1e300", "--each inf", "--each nan"):
        refused = campaign(odd)
        assert refused.exit_code == 2 and not lived and "Invalid value" in refused.output, odd


def test_what_is_missing_for_the_table_is_said_whole(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(farm, "work", lambda *_: None)
    monkeypatch.setattr(report, "write", lambda *_: False)
    done = CliRunner().invoke(app, ["campaign", "--hours", "1", "--jobs", "1", "--out", str(tmp_path)])
    assert "'haipump[parquet]'" in done.output


def test_pages_name_what_broke_and_how_to_see_it_again():
    lives = [life(1), life(2, broken="motion", text="a <step>", at_us=3_600_000_000)]
    page = report.page(lives, "direct")
    assert "a &lt;step&gt;" in page and "--seed 2 --hours 1 --each 1" in page
    text = reliability.render(ORDER, lives)
    assert "| violations of an invariant | 1 |" in text and "`motion`: a <step>" in text


def test_what_was_never_seen_is_named():
    assert "reset watchdog" in sometimes.missing({"recovered": 4}, 1_000.0, "direct")
    assert sometimes.missing({}, 10.0, "direct") == []
    assert "reset watchdog" in sometimes.said({"recovered": 4}, 1_000.0, "direct")


def test_what_is_too_short_to_be_judged_does_not_claim_to_have_seen_everything(monkeypatch):
    assert "<td>not judged below 900 h" in report.page([life(1)], "direct")
    assert "not judged below 900 h" in reliability.render(ORDER, [life(1)])
    whole = dict.fromkeys(sometimes.expected("direct", 20_000.0), 1)
    assert sometimes.said(whole, 20_000.0, "direct") == "nothing of the list"
    assert sometimes.said(whole, 900.0, "direct") == "nothing of the list; what is rare is not judged below 20,000 h"
    monkeypatch.setattr(farm, "work", lambda *_: None)
    done = CliRunner().invoke(app, ["campaign", "--hours", "48", "--jobs", "1"])
    assert "never seen: not judged below 900 h" in done.output


def test_a_failure_is_reduced_to_the_faults_that_it_needs(monkeypatch):
    numbers = [strike.number for strike in draw(4, 24.0).strikes]
    needed = {numbers[2], numbers[-1]}

    def one(seed, hours, core, only):
        return Life(seed, hours, "mixed", core, broken="motion" if needed <= set(only) else "")

    monkeypatch.setattr(farm, "one", one)
    found = farm.shrink(Life(4, 24.0, "mixed", "direct", broken="motion"))
    assert set(found) == needed
    assert farm.replay(life(4), found).endswith(f"--only {min(needed)},{max(needed)}")
