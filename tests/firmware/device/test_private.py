"""Short names of private attributes: whose, and that nothing else changes."""

from haipump_fw.device import private


def short(**files: str) -> dict[str, str]:
    done = private.shorten({f"{name}.py": text.encode() for name, text in files.items()})
    return {path.removesuffix(".py"): data.decode() for path, data in done.items()}


def test_private_attributes_get_the_same_few_names_in_every_file():
    one = "class A:\n    def __init__(self):\n        self._speed = self._place = 0\n        x._place[self._speed] = 1"
    two = "class B:\n    def f(self):\n        self._depth = 1\n        return self._depth.real\n"
    done = short(one=one, two=two)
    assert done["one"] == one.replace("_place", "_a").replace("_speed", "_b")
    assert done["two"] == two.replace("_depth", "_a")


def test_what_another_file_uses_keeps_its_name():
    text = "class A:\n    def __init__(self):\n        self._x = self._y = 0\n"
    done = short(one=text, two="def f(a):\n    return a._x\n")
    assert done["one"] == text.replace("_y", "_a")
    assert done["two"] == "def f(a):\n    return a._x\n"


def test_functions_public_names_and_words_keep_theirs():
    text = (
        "class A:\n    def __init__(self):\n        self.x = self.__y = self._go = self._word = 0\n"
        "        getattr(self, '_word')\n\n    def _go(self):\n        _a = self.x\n"
    )
    assert short(one=text)["one"] == text


def test_a_name_that_is_in_use_is_not_given():
    text = "def _a():\n    pass\n\nclass A:\n    def __init__(self):\n        self._speed = 0\n"
    assert short(one=text)["one"] == text.replace("_speed", "_b")


def test_lines_stay():
    text = (
        "class A:\n    def __init__(self):\n        self._speed = (\n            self\n            ._speed\n        )\n"
    )
    assert short(one=text)["one"] == text.replace("_speed", "_a")
