"""Parameters called otherwise: whose, and that nothing else changes."""

import runpy

from haipump_fw.device import parameters, shipped, sources


def renamed(**files: str) -> dict[str, str]:
    done = parameters.rename({f"{name}.py": text.encode() for name, text in files.items()})
    return {path.removesuffix(".py"): data.decode() for path, data in done.items()}


def test_parameters_get_the_same_few_names_in_every_function():
    one = "def f(speed, place):\n    return speed * place\n\ndef g(depth):\n    return depth\n"
    done = renamed(one=one, two="class A:\n    def h(self, height):\n        self.height = height\n")
    assert done["one"] == "def f(x, y):\n    return x * y\n\ndef g(x):\n    return x\n"
    assert done["two"] == "class A:\n    def h(self, height):\n        self.height = height\n"


def test_what_is_given_by_name_keeps_it_everywhere():
    text = "def f(speed, place):\n    return speed\n"
    assert renamed(one=text, two="def g():\n    f(place=1, *[2])\n")["one"] == text.replace("speed", "x")


def test_what_is_a_name_elsewhere_keeps_it():
    for other in (
        "place = 1\n", "def place():\n    pass\n", "import place\n", "from a import b as place\n", "a.place = 1\n",
        "word = 'place'\n", "class place:\n    pass\n", "def h():\n    global place\n    place = 1\n",
    ):  # fmt: skip
        text = "def f(place):\n    return place\n"
        assert renamed(one=text, two=other)["one"] == text, other


def test_a_name_that_the_function_uses_is_not_given():
    text = "def f(place):\n    x = 1\n    return [y for y in place] + [x]\n"
    assert renamed(one=text)["one"] == text.replace("place", "n")


def test_functions_inside_see_what_they_saw(tmp_path):
    text = "def f(speed):\n    def g(depth):\n        return speed + depth\n    return lambda way: g(way) + speed\n"
    done = renamed(one=text)["one"]
    names = dict(zip(("speed", "depth", "way"), "xyn", strict=True))
    for word, new in names.items():
        text = text.replace(word, new)
    assert done == text
    (tmp_path / "one.py").write_text(done, encoding="utf-8")
    assert runpy.run_path(str(tmp_path / "one.py"))["f"](2)(3) == 7


def test_defaults_are_those_of_the_module(tmp_path):
    text = "LIMIT = 3\n\ndef f(place, most=LIMIT):\n    return min(place, most)\n"
    (tmp_path / "one.py").write_text(renamed(one=text)["one"], encoding="utf-8")
    assert runpy.run_path(str(tmp_path / "one.py"))["f"](5) == 3


def test_lines_stay_where_they_are():
    text = "def f(\n    speed,\n    place,\n):\n    return (\n        speed\n        + place\n    )\n"
    assert renamed(one=text)["one"].count("\n") == text.count("\n")


def test_the_firmware_has_few_names_of_parameters_left():
    ours = {name: data for name, data in sources().items() if name.endswith(".py") and name.startswith("haipump_fw")}
    done = parameters.rename(ours)
    assert sum(data != ours[name] for name, data in done.items()) > 30
    assert shipped().files
