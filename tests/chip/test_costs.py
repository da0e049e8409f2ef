"""The table of what `direct` charges says what the chip takes, to the tolerance that stands beside the measurement."""

from tools import measure_costs


def test_the_table_is_what_the_chip_takes(image):
    assert measure_costs.off(measure_costs.measure()) == []


def test_a_number_that_is_off_is_named_and_can_be_written():
    right = {"ADC_US": measure_costs.costs.ADC_US}
    wrong = {"ADC_US": 2 * measure_costs.costs.ADC_US}
    assert measure_costs.off(right) == []
    (line,) = measure_costs.off(wrong)
    assert "ADC_US" in line and "make costs" in line
    table = measure_costs.TABLE.read_text(encoding="utf-8")
    assert measure_costs.written(table, right) == table
    assert f"ADC_US = {wrong['ADC_US']:_}  #" in measure_costs.written(table, wrong)
