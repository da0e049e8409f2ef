"""The pin table of docs/wiring.md and its drawing, made from the board's pin table: `python -m tools.wiring`.

Owns: what stands beside each pin on the bench, and the layout of the drawing. Must not: hold a GPIO number or a level
of its own; those come from `haipump_fw.ports.rp2.pins`.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

from haipump_fw.ports.rp2 import pins

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "wiring.md"
DRAWING = ROOT / "docs" / "images" / "wiring.svg"
BEGIN = "<!-- pins: begin (made by tools/wiring.py; do not edit) -->"
END = "<!-- pins: end -->"

# What each pin goes to, and what its two levels mean there.
USES = {
    "step": ("driver STEP", "one rising edge, 4 us wide, is one microstep"),
    "dir": ("driver DIR", "1 pushes the plunger (turn a motor coil round if it pulls)"),
    "en": ("driver EN, with 10 kOhm to 3.3 V", "0 powers the motor; at reset the resistor makes it 1"),
    "front": ("front end switch, normally closed to GND", "1: plunger at the end of its travel, or the wire is broken"),
    "back": ("back end switch, normally closed to GND", "1: carriage at home, or the wire is broken"),
    "captured": (
        "capture switch, closed to GND by the flange",
        "0: a syringe is held; a broken wire reads as no syringe",
    ),
    "diag": ("driver DIAG (TMC2209); open with an A4988", "1: the driver reports an error"),
    "service": ("service jumper to GND", "0: jumper closed"),
    "start": ("start button, normally open to GND", "0: pressed"),
    "stop": ("stop button, normally closed to GND", "1: pressed, or the wire is broken"),
    "silence": ("silence button, normally open to GND", "0: pressed"),
    "red": ("red LED through 470 Ohm to GND", "1 lights it: high-priority alarm, fault"),
    "yellow": ("yellow LED through 470 Ohm to GND", "1 lights it: medium or low alarm"),
    "green": ("green LED through 220 Ohm to GND", "1 lights it: delivering"),
    "piezo": ("passive piezo through 100 Ohm to GND", "square wave, 2 to 4 kHz"),
    "smps": ("on the Pico itself", "1: regulator in PWM mode, which quietens the ADC"),
    "pressure": ("pressure sensor through its divider", "0 to 3.3 V are 0 to 65535"),
    "encoder": ("AS5600 OUT", "0 to 3.3 V are one turn of the motor"),
    "vsys": ("on the Pico itself", "a third of VSYS"),
}
PULLS = {"": "", "up": "up, inside", "down": "down, inside"}
KINDS = {"pio": "output (PIO)", "out": "output", "pwm": "output (PWM)", "in": "input", "adc": "analogue"}

# The Pico's edge as one sees it from above, pin 1 at the top left and pin 40 at the top right.
LEFT = ["GP0", "GP1", "GND", "GP2", "GP3", "GP4", "GP5", "GND", "GP6", "GP7"]
LEFT += ["GP8", "GP9", "GND", "GP10", "GP11", "GP12", "GP13", "GND", "GP14", "GP15"]
RIGHT = ["VBUS", "VSYS", "GND", "3V3_EN", "3V3", "ADC_VREF", "GP28", "AGND", "GP27", "GP26"]
RIGHT += ["RUN", "GP22", "GND", "GP21", "GP20", "GP19", "GP18", "GND", "GP17", "GP16"]


def board_pin(gpio: int) -> str:
    """The number of the Pico's edge contact, or "-" for a GPIO that stays on the board."""
    name = f"GP{gpio}"
    if name in LEFT:
        return str(LEFT.index(name) + 1)
    return str(40 - RIGHT.index(name)) if name in RIGHT else "-"


def pin_table() -> str:
    """The Markdown table of all pins."""
    lines = ["| GPIO | Pico pin | name | direction | pull | goes to | levels |", "| --- " * 7 + "|"]
    for name, gpio, kind, _active, pull in pins.PINS:
        goes_to, levels = USES[str(name)]
        cells = (gpio, board_pin(int(gpio)), f"`{name}`", KINDS[str(kind)], PULLS[str(pull)], goes_to, levels)
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def page() -> str:
    """docs/wiring.md with its table made anew."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{pin_table()}\n\n{END}{after}"


# --- the drawing ---

WIDTH, HEIGHT = 1500, 1285
PITCH, TOP = 40, 130  # of the Pico's contacts
PICO_LEFT, PICO_RIGHT = 640, 860
INK, MUTED, PAPER = "#1f2933", "#6b7785", "#ffffff"
MOTION, INPUT, LAMP, SENSOR, POWER, LOGIC = "#2563ae", "#1b7f5c", "#b8630b", "#7a3fa0", "#c22f2f", "#d9681d"

STYLE = f"""
text {{ font-family: "Helvetica Neue", Helvetica, Arial, sans-serif; fill: {INK}; }}
.h {{ font-size: 30px; font-weight: 700; }} .s {{ font-size: 16px; fill: {MUTED}; }}
.b {{ font-size: 17px; font-weight: 700; }} .t {{ font-size: 15px; }} .m {{ font-size: 13px; fill: {MUTED}; }}
.p {{ font-size: 14px; font-weight: 700; fill: #f4faf6; }} .q {{ font-size: 12px; fill: #a9cdbb; }}
.r {{ font-size: 13px; font-weight: 700; }}
""".strip()


def row_y(index: int) -> int:
    """Height of the Pico's contact number `index`, counted from the top."""
    return TOP + PITCH * index


def left_y(name: str) -> int:
    return row_y(LEFT.index(f"GP{pins.gpio(name)}"))


def right_y(name: str) -> int:
    return row_y(RIGHT.index(f"GP{pins.gpio(name)}"))


def text(x: float, y: float, words: str, kind: str = "t", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def wire(points: Iterable[tuple[float, float]], colour: str, width: float = 3) -> str:
    """A line with a pale rim, so that it passes over another without seeming to join it."""
    path = " ".join(f"{'L' if index else 'M'}{x} {y}" for index, (x, y) in enumerate(points))
    shape = f'<path d="{path}" fill="none" stroke-linejoin="round" stroke-linecap="round" '
    return f'{shape}stroke="{PAPER}" stroke-width="{width + 5}"/>{shape}stroke="{colour}" stroke-width="{width}"/>'


def dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="5" fill="{colour}"/>'


def rect(x: float, y: float, w: float, h: float, fill: str, edge: str = "none", radius: int = 0) -> str:
    """A rectangle; `edge` is the colour of its outline."""
    return (
        f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="{radius}" fill="{fill}" stroke="{edge}" stroke-width="2"/>'
    )


def line(path: str, colour: str = INK, width: float = 2.5, fill: str = "none") -> str:
    """A path as SVG writes it."""
    return f'<path d="{path}" fill="{fill}" stroke="{colour}" stroke-width="{width}"/>'


def box(x: float, y: float, width: float, height: float, colour: str) -> str:
    """A part with a name."""
    return rect(x, y, width, height, "#f7f9fb", colour, 10)


def ground(x: float, y: float) -> str:
    bars = "".join(f"M{x - w} {y + 8 + 5 * i}H{x + w}" for i, w in enumerate((12, 8, 4)))
    return line(f"M{x} {y}V{y + 8}{bars}")


def flag(x: float, y: float, words: str, colour: str) -> str:
    """A supply rail's name at the end of a wire that goes up to (x, y)."""
    return line(f"M{x - 11} {y}H{x + 11}", colour, 4) + text(x, y - 7, words, "r", "middle")


def resistor(x: float, y: float, words: str, *, upright: bool = False) -> str:
    """A resistor of 44 by 16 around (x, y), its value above, or to the right when it stands upright."""
    w, h = (16, 44) if upright else (44, 16)
    value = text(x + 16, y + 5, words, "m") if upright else text(x, y - 13, words, "m", "middle")
    return rect(x - w / 2, y - h / 2, w, h, PAPER, INK) + value


def capacitor(x: float, y: float) -> str:
    """A capacitor between (x, y) and ground below it."""
    plates = f"M{x} {y}V{y + 14}M{x - 13} {y + 14}H{x + 13}M{x - 13} {y + 21}H{x + 13}M{x} {y + 21}V{y + 30}"
    return line(plates) + ground(x, y + 30)


def contact(x: float, y: float, *, closed: bool) -> str:
    """A switch between (x, y) and (x + 60, y): normally closed, or normally open."""
    blade = f"M{x + 10} {y}L{x + 52} {y - (3 if closed else 17)}"
    stop = f"M{x + 50} {y}V{y - 13}" if closed else ""
    circle = '<circle cx="{}" cy="{}" r="4" fill="{}" stroke="{}" stroke-width="2"/>'
    ends = "".join(circle.format(x + d, y, PAPER, INK) for d in (10, 50))
    return line(f"M{x} {y}H{x + 10}M{x + 50} {y}H{x + 60}{blade}{stop}") + ends


def led(x: float, y: float, colour: str) -> str:
    """An LED between (x + 30, y) (anode) and (x, y)."""
    arrows = f"M{x + 8} {y - 14}l-6 -9M{x + 18} {y - 14}l-6 -9"
    body = line(f"M{x + 27} {y - 11}V{y + 11}L{x + 6} {y}Z", INK, 2, colour)
    return body + line(f"M{x + 5} {y - 11}V{y + 11}{arrows}", INK, 2)


def pico() -> list[str]:
    """The board with all its contacts; those in use are bright."""
    top, bottom = TOP - 40, row_y(19) + 40
    used = {f"GP{row[pins.GPIO]}" for row in pins.PINS} | {"VSYS", "3V3", "GND", "AGND"}
    out = [
        rect(PICO_LEFT, top, PICO_RIGHT - PICO_LEFT, bottom - top, "#14553b", radius=14),
        rect(712, top - 22, 76, 56, "#c9ced4", "#8d959e", 6),
        text(750, top + 10, "USB", "r", "middle"),
        rect(715, TOP + 330, 70, 70, "#22262b", radius=5),
        '<text class="p" x="750" y="500" text-anchor="middle">RP2040</text>',
        '<text class="p" transform="translate(757 760) rotate(-90)" style="font-size:20px">Raspberry Pi Pico</text>',
        text(750, bottom + 24, "all GND contacts are one", "m", "middle"),
    ]
    for names, x, step, anchor in ((LEFT, PICO_LEFT, 20, "start"), (RIGHT, PICO_RIGHT, -20, "end")):
        for index, name in enumerate(names):
            bright = name in used
            fill = "#e2b64a" if bright else "#3f7a61"
            out.append(f'<circle cx="{x}" cy="{row_y(index)}" r="8" fill="{fill}" stroke="#0c3a28" stroke-width="2"/>')
            out.append(text(x + step, row_y(index) + 5, name, "p" if bright else "q", anchor))
    return out


def driver() -> list[str]:
    """Motor and driver, with the pull-up that keeps it off and the error line."""
    step, direction, enable, diag = (left_y(name) for name in ("step", "dir", "en", "diag"))
    pull, out = 500, [wire([(PICO_LEFT, diag), (600, diag), (600, row_y(1)), (420, row_y(1))], MOTION)]
    out += [wire([(PICO_LEFT, y), (420, y)], MOTION) for y in (step, direction, enable)]
    out += [box(250, 92, 170, 260, MOTION), text(335, 120, "TMC2209", "b", "middle")]
    out.append(text(335, 140, "or A4988 class", "m", "middle"))
    contacts = (("DIAG", row_y(1)), ("STEP", step), ("DIR", direction), ("EN", enable))
    out += [text(408, y + 5, name, "r", "end") for name, y in contacts]
    out.append(wire([(pull, enable), (pull, row_y(1) + 18)], MOTION, 2.5))
    out += [resistor(pull, row_y(2) + 10, "10 kΩ", upright=True), dot(pull, enable, MOTION)]
    out += [line(f"M{pull - 11} {row_y(1) + 18}h22", LOGIC, 4), text(pull + 18, row_y(1) + 24, "3V3", "r")]
    supply = ((196, "VM  12 V"), (220, "VIO  3V3"), (244, "GND"), (268, "MS1 MS2  3V3"), (292, "PDN  GND"))
    out += [text(262, y, words, "m") for y, words in supply]
    out += [text(40, 318, "VM to GND: 100 µF and", "m"), text(40, 335, "100 nF, close to the driver", "m")]
    out.append(f'<circle cx="125" cy="230" r="62" fill="#e8edf2" stroke="{MOTION}" stroke-width="2"/>')
    out += [text(125, 226, "NEMA 17", "b", "middle"), text(125, 248, "1.8°, 1/16 step", "m", "middle")]
    out += [line(f"M186 {y}H250", MOTION) for y in (205, 222, 239, 256)]
    return out


def ladder() -> list[str]:
    """Switches, jumper, buttons and lamps: each between its pin and the ground rail on the left."""
    rail, out = 250, []
    rows = (
        ("front", "Front end switch", "normally closed", True),
        ("back", "Back end switch", "normally closed", True),
        ("captured", "Capture switch", "closed by the syringe", False),
        ("service", "Service jumper", "closed for service", False),
        ("start", "START", "normally open", False),
        ("stop", "STOP", "normally closed", True),
        ("silence", "SILENCE", "normally open", False),
    )
    first, last = left_y("front"), left_y("green")
    for name, title, note, closed in rows:
        y = left_y(name)
        out += [wire([(PICO_LEFT, y), (390, y)], INPUT), wire([(330, y), (rail, y)], INK, 2.5)]
        out += [contact(330, y, closed=closed), text(232, y, title, "t", "end"), text(232, y + 17, note, "m", "end")]
    lamps = (
        ("red", "470 Ω", "#e04848", "alarm"),
        ("yellow", "470 Ω", "#f0bd2d", "attention"),
        ("green", "220 Ω", "#41ad62", "delivering"),
    )
    for name, value, colour, note in lamps:
        y = left_y(name)
        out += [wire([(PICO_LEFT, y), (365, y)], LAMP), wire([(330, y), (rail, y)], INK, 2.5)]
        out += [led(332, y, colour), resistor(480, y, value)]
        out += [text(232, y, f"{name.capitalize()} LED", "t", "end"), text(232, y + 17, note, "m", "end")]
    return [*out, line(f"M{rail} {first}V{last + 14}"), ground(rail, last + 14)]


def power() -> list[str]:
    """12 V for the motor, 5 V for the Pico and the pressure sensor, 3.3 V from the Pico."""
    vsys, gnd, logic = row_y(1), row_y(2), row_y(4)
    out = [wire([(1040, vsys), (1040, vsys - 50)], POWER), flag(1040, vsys - 50, "5V", POWER)]
    out += [wire([(1290, vsys), (1210, vsys)], POWER), wire([(1070, vsys), (PICO_RIGHT, vsys)], POWER)]
    out += [dot(1040, vsys, POWER), box(1290, 90, 170, 150, POWER), text(1375, 118, "12 V, 2 A supply", "b", "middle")]
    out += [text(1375, 140, "fused 1.5 A", "m", "middle"), text(1304, 173, "12 V to driver VM", "m")]
    out += [text(1304, 205, "GND: one star point", "m"), text(1304, 225, "beside the driver", "m")]
    out += [box(1070, 140, 140, 60, POWER), text(1140, 166, "Buck 5.0 V", "b", "middle")]
    out += [text(1140, 186, "1 A", "m", "middle"), text(974, vsys - 20, "1N5817", "m", "middle")]
    out.append(line(f"M985 {vsys - 12}V{vsys + 12}L963 {vsys}Z", INK, 2, PAPER))
    out.append(line(f"M962 {vsys - 12}V{vsys + 12}", INK, 3))
    out += [wire([(PICO_RIGHT, gnd), (920, gnd)], INK, 2.5), ground(920, gnd)]
    out += [wire([(PICO_RIGHT, logic), (975, logic), (975, logic - 22)], LOGIC), flag(975, logic - 22, "3V3", LOGIC)]
    out.append(text(1000, logic - 10, "to driver VIO, EN pull-up, AS5600:", "m"))
    out.append(text(1000, logic + 8, "driver and Pico lose it together", "m"))
    return out


def sensors() -> list[str]:
    """Shaft encoder, pressure sensor with its divider, piezo."""
    agnd, angle, pressure, tone = row_y(7), right_y("encoder"), right_y("pressure"), right_y("piezo")
    y = 575
    out = [wire([(PICO_RIGHT, angle), (1190, angle)], SENSOR), wire([(PICO_RIGHT, tone), (1190, tone)], LAMP)]
    out.append(wire([(1190, y), (960, y), (960, pressure), (PICO_RIGHT, pressure)], SENSOR))
    out += [resistor(1105, y, "47 kΩ"), resistor(1040, tone, "100 Ω")]
    out += [wire([(PICO_RIGHT, agnd), (905, agnd)], INK, 2.5), ground(905, agnd)]
    out += [box(1190, 355, 270, 115, SENSOR), text(1325, 383, "AS5600 shaft encoder", "b", "middle")]
    out += [text(1205, angle + 5, "OUT", "r"), text(1448, 408, "VDD5V = VDD3V3 = 3V3", "m", "end")]
    out += [text(1448, 430, "DIR to GND, 100 nF", "m", "end"), text(1448, 452, "magnet on the motor shaft", "m", "end")]
    out += [box(1190, 500, 270, 150, SENSOR), text(1325, 528, "Pressure 0–100 kPa", "b", "middle")]
    out += [text(1325, 548, "MPX5100, gauge", "m", "middle"), text(1205, y + 5, "OUT", "r")]
    out += [text(1448, y + 5, "VS  5V, 1 µF + 10 nF", "m", "end"), text(1448, 605, "0.2 V at 0 kPa", "m", "end")]
    out += [text(1448, 627, "4.7 V at 100 kPa", "m", "end")]
    for x in (1040, 980):
        out += [wire([(x, y), (x, y + 22)], SENSOR, 2.5), dot(x, y, SENSOR)]
    out += [wire([(1040, y + 66), (1040, y + 76)], INK, 2.5), ground(1040, y + 76)]
    out += [resistor(1040, y + 44, "91 kΩ", upright=True)]
    out += [capacitor(980, y + 22), text(962, y + 46, "100 nF", "m", "end")]
    out += [box(1190, tone - 40, 270, 75, LAMP), text(1325, tone - 8, "Passive piezo", "b", "middle")]
    out += [text(1325, tone + 14, "2 to 4 kHz, other end to GND", "m", "middle")]
    return out


def drive(axis: int) -> list[str]:
    """The left half of the rig: encoder magnet, motor, coupling, screw, carriage and its switches."""
    steel, edge = "#dfe5ea", MUTED
    out = [rect(90, axis - 14, 12, 28, SENSOR), line(f"M102 {axis}H125", edge, 7)]
    out += [rect(125, axis - 48, 92, 96, steel, edge, 6), line(f"M217 {axis}H240", edge, 9)]
    out += [rect(240, axis - 14, 40, 28, steel, edge), rect(280, axis - 7, 370, 14, steel, edge)]
    out.append(line("".join(f"M{x} {axis - 7}l8 14" for x in range(284, 640, 12)), "#8d99a6", 1.5))
    out += [line(f"M280 {axis + 50}H690", "#8d99a6", 6), rect(500, axis - 44, 54, 100, "#cfd8e1", MOTION, 5)]
    out += [line(f"M554 {axis - 28}H780", edge, 9), rect(554, axis - 46, 9, 36, edge)]
    for x, name in ((330, "back"), (640, "front")):
        out.append(rect(x, axis + 56, 34, 20, INPUT, radius=3))
        out.append(text(x + 17, axis + 96, f"{name.upper()}  GP{pins.gpio(name)}", "m", "middle"))
    out += [rect(574, axis - 72, 34, 20, INPUT, radius=3), line(f"M591 {axis - 52}V{axis - 34}", INPUT, 3)]
    labels = ((128, -62, f"AS5600  GP{pins.gpio('encoder')}"), (171, 74, "NEMA 17"), (260, 40, "coupling"))
    labels += ((427, 40, "T8x2 screw"), (591, -80, f"CAPTURED  GP{pins.gpio('captured')}"))
    return out + [text(x, axis + y, words, "m", "middle") for x, y, words in labels]


def fluid(axis: int) -> list[str]:
    """The right half of the rig: syringe, line with the sensor's air column, outlet."""
    line_y, water, glass = axis - 28, "#5aa5d6", "#5d87a8"
    out = [line(f"M720 {axis - 66}V{axis + 10}", MUTED, 7), rect(720, line_y - 24, 250, 48, "#eaf4fb", glass, 4)]
    out += [rect(796, line_y - 21, 172, 42, "#9fd0ee"), rect(780, line_y - 22, 18, 44, "#2b3036")]
    out += [line(f"M970 {line_y}H1330", water, 7), line(f"M1110 {line_y}v-34", "#bcc8d2", 7)]
    out += [rect(1078, line_y - 64, 64, 32, "#f1e8f7", SENSOR, 5)]
    out.append(text(1110, line_y - 43, f"GP{pins.gpio('pressure')}", "r", "middle"))
    out.append(text(1156, line_y - 43, "air above the fluid: the sensor stays dry", "m"))
    out.append(line(f"M1330 {line_y}v22", water, 7))
    out.append(line(f"M1296 {axis + 6}v52h68v-52", glass, 2, "#d5ebf8"))
    labels = ((845, 24, "syringe 1 to 60 mL"), (1040, 24, "line"), (1330, 80, "beaker, or a balance"))
    return out + [text(x, axis + y, words, "m", "middle") for x, y, words in labels]


def mechanics() -> list[str]:
    """The rig itself along the foot of the page, from the encoder on the left to the outlet on the right."""
    frame = rect(40, 1010, 1420, 240, "#fbfcfd", MUTED, 10)
    return [frame, text(62, 1040, "The rig", "b"), *drive(1130), *fluid(1130)]


def drawing() -> str:
    """docs/images/wiring.svg"""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
    parts = [head, "<title>Wiring of the haipump bench rig</title>", f"<style>{STYLE}</style>"]
    parts.append(rect(0, 0, WIDTH, HEIGHT, PAPER))
    parts.append(text(40, 52, "haipump bench rig", "h"))
    parts.append(text(1460, 52, "bench and teaching equipment, never for a person", "s", "end"))
    parts += [*driver(), *ladder(), *power(), *sensors(), *pico(), *mechanics(), "</svg>"]
    return "\n".join(parts) + "\n"


PAGES = {PAGE: page, DRAWING: drawing}


def main() -> int:
    """Write both where they differ; returns the exit code."""
    for path, render in PAGES.items():
        words = render()
        if not path.exists() or path.read_text(encoding="utf-8") != words:
            path.write_text(words, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
