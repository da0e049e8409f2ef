"""The drug library: its limits, its digest, and what is refused."""

from __future__ import annotations

import re
from fractions import Fraction
from importlib import resources
from pathlib import Path

import pytest

from haipump.errors import CourseFileError, LibraryRefused, UsageError
from haipump.therapy import library as libraries
from haipump.therapy import signing

KEY, OTHER = bytes(range(32)), bytes(32)
TEXT = (resources.files("haipump.therapy") / "library.toml").read_text(encoding="utf-8")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "drugs.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def signed(file: Path, key: bytes = KEY) -> Path:
    return signing.sign(file, libraries.unsigned(file).sha256, key, "A. Pharmacist")


def test_the_packaged_library_has_what_the_therapy_needs(library) -> None:
    assert set(library.drugs) == {
        "floxuridine", "heparin-saline", "glycerin", "saline", "bacteriostatic-water", "heparin", "dexamethasone",
    }  # fmt: skip
    assert {word for word, drug in library.drugs.items() if drug.keeps_open} == {"heparin-saline", "glycerin"}
    assert library.drugs["floxuridine"].stock.concentration == 100  # 500 mg in 5 mL


def test_every_number_has_a_source(library) -> None:
    for drug in library.drugs.values():
        for limit in (drug.concentration, drug.dose_per_day, drug.rate, drug.bolus, drug.per_fill):
            assert limit is None or len(limit.source) > 10
        assert drug.stock is None or len(drug.stock.source) > 10
        assert drug.stability_days is None or len(drug.stability_source) > 10
    assert "not for clinical use" in library.about


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("0.4999", "error"), ("0.5", "warning"), ("0.9999", "warning"), ("1", None), ("12", None),
        ("12.0001", "warning"), ("25", "warning"), ("25.0001", "error"),
    ],
)  # fmt: skip
def test_limits_at_their_ends(library, value: str, level: str | None) -> None:
    verdict = library.drugs["floxuridine"].concentration.judge(Fraction(value))
    assert (verdict and verdict[0]) == level
    if verdict:
        assert value in verdict[1] and "mg/mL" in verdict[1] and "limit of" in verdict[1]


def test_an_altered_packaged_library_is_refused() -> None:
    with pytest.raises(LibraryRefused, match="was altered"):
        libraries.packaged(TEXT.replace('hard = "0.2 mg/kg/day"', 'hard = "2 mg/kg/day"'))
    with pytest.raises(LibraryRefused, match="was altered"):
        libraries.packaged(TEXT.replace("Hohn 1989", "Hohn 1998"))


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('size = "1 mL"', 'size = "1000 uL"', True),
        ("# --- drugs", "# --- what else", True),
        ('soft = "12 mg/mL"', 'soft = "12.0 g/L"', True),
        ('soft = "12 mg/mL"', 'soft = "12.1 mg/mL"', False),
        ("keeps_open = true", "keeps_open = false", False),
        ("days_at_37c = 28", "days_at_37c = 29", False),
        ("version = 1", "version = 2", False),
        ("aim_percent = 1", "aim_percent = 2", False),
        ('graduation = "0.01 mL"', 'graduation = "0.02 mL"', False),
    ],
)
def test_the_digest_is_over_the_content(file: Path, old: str, new: str, same: bool) -> None:
    assert old in TEXT
    file.write_text(TEXT.replace(old, new), encoding="utf-8")
    assert (libraries.unsigned(file).sha256 == libraries.PACKAGED_SHA256) == same


def test_the_order_of_drugs_does_not_matter(file: Path) -> None:
    blocks = re.split(r"(?m)^(?=\[drug\.[a-z-]+\]$)", TEXT.replace("# --- what a pharmacy draws up with", "#"))
    tail = blocks[-1].index("#")
    drugs = [*blocks[1:-1], blocks[-1][:tail]]
    file.write_text(blocks[0] + "\n".join(reversed(drugs)) + blocks[-1][tail:], encoding="utf-8")
    assert libraries.unsigned(file).sha256 == libraries.PACKAGED_SHA256


# --- signatures


def test_a_signed_library_is_taken_with_its_key(file: Path) -> None:
    signed(file)
    taken = libraries.load(file, KEY)
    assert taken.vouched == "A. Pharmacist" and taken.sha256 == libraries.PACKAGED_SHA256


def test_an_unsigned_library_is_refused_even_when_it_is_the_packaged_one(file: Path) -> None:
    with pytest.raises(LibraryRefused, match="nobody has signed"):
        libraries.load(file, KEY)


def test_without_the_key_or_with_another_one_it_is_refused(file: Path) -> None:
    signed(file)
    with pytest.raises(LibraryRefused, match="without the key"):
        libraries.load(file)
    with pytest.raises(LibraryRefused, match="not made with this key"):
        libraries.load(file, OTHER)


def test_an_altered_library_is_refused_and_says_who_signed_the_former(file: Path) -> None:
    signed(file)
    file.write_text(TEXT.replace('hard = "25 mg/mL"', 'hard = "250 mg/mL"'), encoding="utf-8")
    with pytest.raises(LibraryRefused, match="altered since A. Pharmacist signed it"):
        libraries.load(file, KEY)


@pytest.mark.parametrize("change", ["signer A. Pharmacist", "hmac ", "sha256 "])
def test_an_altered_signature_is_refused(file: Path, change: str) -> None:
    path = signed(file)
    text = path.read_text(encoding="utf-8")
    at = text.index(change) + len(change)
    altered = text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]
    if change.startswith("signer"):
        altered = text.replace("A. Pharmacist", "B. Pharmacist")
    path.write_text(altered, encoding="utf-8")
    with pytest.raises(LibraryRefused):
        libraries.load(file, KEY)


@pytest.mark.parametrize("text", ["", "nonsense\n", "haipump-library-signature 1\nsha256 0\n"])
def test_what_is_no_signature_is_refused(file: Path, text: str) -> None:
    signing.signature_path(file).write_text(text, encoding="utf-8")
    with pytest.raises(LibraryRefused, match="is no signature"):
        libraries.load(file, KEY)


@pytest.mark.parametrize("signer", ["", "  ", "x" * 61, "A\x00B"])
def test_a_signature_has_a_name(file: Path, signer: str) -> None:
    with pytest.raises(UsageError, match="signer"):
        signing.sign(file, "0" * 64, KEY, signer)
    assert not signing.signature_path(file).exists()


# --- mistakes in the file


@pytest.mark.parametrize(
    ("old", "new", "where", "said"),
    [
        ('soft = "12 mg/mL"', 'soft = "30 mg/mL"', "drug.floxuridine.concentration", "not in order"),
        ('soft = "12 mg/mL"', 'soft = "12 units/mL"', "drug.floxuridine.concentration.soft", "is in units/mL"),
        ('kind = "flush"', 'kind = "flsh"', "drug.heparin-saline.kind", 'did you mean "flush"'),
        ('diluents = ["saline"]', 'diluents = ["salin"]', "drug.floxuridine.diluents", 'did you mean "saline"'),
        ('concentration = "100 mg/mL"', 'concentration = "0 mg/mL"', "drug.floxuridine.stock.concentration", "is 0"),
        ('graduation = "0.01 mL"', 'graduation = "0.3 mL"', "syringe[1].graduation", "does not divide"),
        ("keeps_open = true", 'keeps_open = "yes"', "drug.heparin-saline.keeps_open", "true or false"),
        ("version = 1", 'version = 1\nvrsion = 2', "library.vrsion", "did you mean"),
    ],
)  # fmt: skip
def test_mistakes_have_their_place(file: Path, old: str, new: str, where: str, said: str) -> None:
    assert old in TEXT
    file.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CourseFileError) as caught:
        libraries.unsigned(file)
    found = [one for one in caught.value.problems if one["where"] == where]
    assert found and said in f"{found[0]['what']} {found[0]['next_step']}"
    line = new.splitlines()[-1]
    number = found[0]["line"]
    assert isinstance(number, int)
    assert file.read_text().splitlines()[number - 1] == line or where.endswith("concentration")


def test_a_drug_without_its_limits_is_no_drug(file: Path) -> None:
    start, end = TEXT.index("[drug.floxuridine.dose_per_day]"), TEXT.index("[drug.floxuridine.rate]")
    file.write_text(TEXT[:start] + TEXT[end:], encoding="utf-8")
    with pytest.raises(CourseFileError, match="floxuridine.dose_per_day: is missing"):
        libraries.unsigned(file)
