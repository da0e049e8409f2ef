"""The picture of a waveform, drawn from a dump that is written by hand; and the reader of dumps."""

import pytest

from tools import vcd, waveform

HEAD = "$comment\nby hand\n$end\n$timescale 10 us $end\n$scope module pump $end\n"
WIRES = "en dir step diag green red".split()


def dump(path):
    """EN on at 1 s with three steps, DIAG and EN off at 2 s, a beep."""
    codes = {name: chr(33 + n) for n, name in enumerate(WIRES)}
    text = HEAD + "".join(f"$var wire 1 {code} {name} $end\n" for name, code in codes.items())
    text += "$var real 64 p piezo_hz $end\n$var string 1 q usb_out $end\n$upscope $end\n$enddefinitions $end\n"
    text += "#0\n$dumpvars\n" + "".join(f"z{code}\n" for code in codes.values()) + "r0 p\ns q\n$end\n"
    text += "#1000\n" + "".join(f"{int(name == 'en')}{code}\n" for name, code in codes.items())
    text += f"#100000\n0{codes['en']}\n1{codes['dir']}\n1{codes['green']}\nsok\\x20a=1 q\n"
    for n in range(3):
        text += f"#{101_000 + 1_000 * n}\n1{codes['step']}\n#{101_001 + 1_000 * n}\n0{codes['step']}\n"
    text += f"#200000\n1{codes['diag']}\n#200060\n1{codes['en']}\nr784 p\n1{codes['red']}\n#215000\nr0 p\n#400000\n"
    path.write_text(text)
    return vcd.read(path)


def test_a_dump_is_read(tmp_path):
    read = dump(tmp_path / "a.vcd")
    assert read.comment == "by hand"
    assert read.end_ns == 4_000_000_000
    assert read.edges("step", "1") == [1_010_000_000, 1_020_000_000, 1_030_000_000]
    assert read.at("piezo_hz", 2_100_000_000) == 784
    assert read.signals["usb_out"] == [(0, ""), (1_000_000_000, "ok a=1")]
    with pytest.raises(KeyError):
        read.at("en", -1)


@pytest.mark.parametrize(
    "text",
    [
        "nothing",
        "$timescale 2 us $end\n$enddefinitions $end\n",
        HEAD + "$var wire 1 ! a $end\n$var wire 1 ! b $end\n$enddefinitions $end\n",
        HEAD + "$var wire 1 ! a $end\n$enddefinitions $end\n1!\n",
        HEAD + "$var wire 1 ! a $end\n$enddefinitions $end\n#5\n1!\n#5\n0!\n",
        HEAD + "$var wire 1 ! a $end\n$enddefinitions $end\n#5\nr1 !\n",
        HEAD + "$var wire 1 ! a $end\n$enddefinitions $end\n#5\nb1 !\n",
    ],
)
def test_what_is_no_dump_is_refused(tmp_path, text):
    (tmp_path / "a.vcd").write_text(text)
    with pytest.raises(ValueError, match=r"no |goes back|do not end"):
        vcd.read(tmp_path / "a.vcd")


def test_spans_are_about_the_bolus_and_its_end(tmp_path):
    whole, begins, ends = waveform.spans(dump(tmp_path / "a.vcd"))
    assert whole.start < 1_000_000_000 and whole.end > 2_000_000_000
    assert begins.zero == 1_000_000_000 and begins.start < begins.zero < begins.end
    assert ends.zero == 2_000_000_000


def test_every_piece_between_two_times_is_there():
    changes = [(0, "z"), (10, "1"), (14, "0"), (30, "1")]
    assert waveform.pieces(changes, 5, 20) == [(5, 10, "z"), (10, 14, "1"), (14, 20, "0")]
    assert waveform.pieces(changes, 31, 40) == [(31, 40, "1")]


def test_the_picture_is_drawn(tmp_path):
    waveform.picture(dump(tmp_path / "a.vcd"), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
