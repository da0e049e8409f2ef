"""From power-up to the answer to `hello`: self test done, state and totals found in the journal."""

from tools import measure_chip

BAR_S = 1


def test_a_blank_flash(pump_uf2):
    assert 0.5 < measure_chip.start_blank_s() < BAR_S


def test_a_full_journal(pump_uf2):
    found = measure_chip.start_full_s()
    assert found.value < BAR_S, found
    assert int(found.note.split()[0]) >= 60, "all but what is kept erased, and the settings"
