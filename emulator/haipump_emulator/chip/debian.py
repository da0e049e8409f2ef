"""MicroPython for the Pico, built from Debian's source packages: also behind a package mirror, without internet.

Owns: a private view of Debian's package lists, the compiler's packages, the build. Must not: change the machine's apt
sources or lists, or install anything but the compiler. Which mirror is asked comes from the machine's own apt sources.

MicroPython, mbedtls, the Pico SDK and TinyUSB come from one Debian release; they are only unpacked. The cross compiler
is the machine's own; installing it is the one thing that needs root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from haipump_emulator.chip.uf2 import write_uf2

SUITE = "trixie"
SOURCES = ("micropython", "mbedtls")
UNPACKED = ("pico-sdk-source", "tinyusb-source")  # of any architecture: sources in binary packages
MIRROR = "HAIPUMP_DEBIAN_MIRROR"
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg")
DATE_S = 1_744_675_200  # 15 April 2025, the day of the release: what is built today and tomorrow is the same
SILENCE_S = 8  # of a mirror
LISTS_S, DOWNLOAD_S, INSTALL_S, BUILD_S = 180, 300, 600, 1200  # at most; lists are 20 MB, sources 15 MB
LINES_MAX, LINE_MAX = 12, 200  # of what a command printed that failed

# Freezes the port's own modules and asyncio. The stock list wants drivers that Debian does not package.
_FROZEN = 'freeze("$(PORT_DIR)/modules")\ninclude("$(MPY_DIR)/extmod/asyncio")\n'
# Everything that the machine's apt may be told to do after an update is its own business.
_APT = """\
Dir::Etc::sourcelist "{folder}/debian.sources";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
Dir::State::lists "{folder}/lists";
Dir::Cache "{folder}/cache";
Dir::Cache::archives "archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
Acquire::Retries "0";
Acquire::http::Timeout "{silence}";
Acquire::https::Timeout "{silence}";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""


class BuildError(Exception):
    """The image can't be built here; the message says why and what to do."""


def build(folder: Path, version: str, board: str, tell: Callable[[str], None]) -> Path:
    """The UF2 file, built in the empty `folder` in 300 MB. `tell` hears what takes long. Raises BuildError."""
    for program in ("apt-get", "dpkg"):
        if shutil.which(program) is None:
            raise BuildError(f"this machine has no {program}: only Debian and its relatives can build it")
    tell(f"debian: asking for the sources (Debian {SUITE})")
    _download(folder)
    _tools(tell)
    tree = _unpack(folder, version)
    tell("debian: compiling, one to two minutes")
    return _compile(folder, tree, version, board)


# --- sources


def _download(folder: Path) -> None:
    for part in ("lists/partial", "cache/archives/partial", "downloads"):
        (folder / part).mkdir(parents=True)
    (folder / "debian.sources").write_text(apt_source(*mirror()))
    configuration = folder / "apt.conf"
    configuration.write_text(_APT.format(folder=folder, silence=SILENCE_S))
    apt = ("apt-get", "-q", "-c", str(configuration))
    _run([*apt, "update"], LISTS_S, folder)
    _run([*apt, "source", "--download-only", *SOURCES], DOWNLOAD_S, folder / "downloads")
    _run([*apt, "download", *UNPACKED], DOWNLOAD_S, folder / "downloads")


def mirror(environment: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """(address, keyring or "") of a Debian archive: $HAIPUMP_DEBIAN_MIRROR, else where this machine's packages come
    from. Raises BuildError."""
    keyring = next((path for path in KEYRINGS if Path(path).is_file()), "")
    if environment.get(MIRROR):
        return environment[MIRROR], keyring
    fields = "$(CREATED_BY) $(COMPONENT) $(RELEASE) $(REPO_URI) $(SOURCESENTRY)"
    targets = _run(["apt-get", "indextargets", "--format", fields], 30, Path("/")).splitlines()
    for target in targets:
        kind, component, release, address, entry = (target.split(" ") + [""] * 5)[:5]
        # "/debian" as mirrors call it; suites with a dash are updates and security.
        if (kind, component) == ("Packages", "main") and "-" not in release and re.search(r"debian[^/]*/?$", address):
            return address, _signed_by(entry) or keyring
    raise BuildError(f"this machine takes its packages from no Debian archive: name one in ${MIRROR}")


def _signed_by(entry: str) -> str:
    """The keyring of a stanza, "FILE:NUMBER" as apt names it; "" when there is none to be had."""
    path, _, number = entry.rpartition(":")
    if not path.endswith(".sources") or not number.isdecimal():
        return ""
    stanzas = re.split(r"\n\s*\n", Path(path).read_text(encoding="utf-8").strip())
    found = re.search(r"(?mi)^Signed-By:[ \t]*(/\S+)$", stanzas[min(int(number), len(stanzas)) - 1])
    return found.group(1) if found else ""


def apt_source(address: str, keyring: str) -> str:
    """The one entry of the private list of sources."""
    lines = ["Types: deb deb-src", f"URIs: {address}", f"Suites: {SUITE}", "Components: main"]
    return "\n".join(lines + ([f"Signed-By: {keyring}"] if keyring else [])) + "\n"


def _unpack(folder: Path, version: str) -> Path:
    """MicroPython's tree with the three others in their places."""
    downloads, tree = folder / "downloads", folder / "micropython"
    _extract(_one(downloads, f"micropython_{version}+ds*.orig.tar.*"), folder / "1", tree)
    for name in ("mbedtls", "tinyusb", "pico-sdk"):
        shutil.rmtree(tree / "lib" / name)
    _extract(_one(downloads, "mbedtls_*.orig.tar.*"), folder / "2", tree / "lib" / "mbedtls")
    for name in UNPACKED:
        _run(["dpkg", "-x", str(_one(downloads, f"{name}_*.deb")), str(folder / "deb")], 60, folder)
    for name in ("tinyusb", "pico-sdk"):
        (folder / "deb/usr/src" / name).rename(tree / "lib" / name)
    (tree / "lib/micropython-lib").mkdir(exist_ok=True)
    (tree / "lib/micropython-lib/README.md").touch()  # its absence is taken for a forgotten submodule
    return tree


def _one(folder: Path, pattern: str) -> Path:
    found = [path for path in sorted(folder.glob(pattern)) if path.suffix != ".asc"]
    if not found:
        there = ", ".join(sorted(path.name for path in folder.glob(pattern.partition("_")[0] + "_*")))
        raise BuildError(f"Debian {SUITE} has no {pattern} but: {there or 'nothing'}")
    return found[0]


def _extract(archive: Path, empty: Path, target: Path) -> None:
    """The one folder of a source archive, as `target`."""
    with tarfile.open(archive) as tar:
        tar.extractall(empty, filter="data")
    (top,) = empty.iterdir()
    top.rename(target)


# --- compiler


def missing_packages() -> list[str]:
    """What has to be installed before it can be compiled, by the names of Debian's packages."""
    commands = {"gcc": "gcc", "make": "make", "cmake": "cmake", "ninja": "ninja-build"}
    wanted = [package for command, package in commands.items() if shutil.which(command) is None]
    if "gcc" in wanted or not _finds("gcc", "crt1.o"):
        wanted.append("libc6-dev")
    if shutil.which("arm-none-eabi-g++") is None:
        return [*wanted, "gcc-arm-none-eabi", "libnewlib-arm-none-eabi", "libstdc++-arm-none-eabi-newlib"]
    if not _finds("arm-none-eabi-gcc", "nosys.specs"):
        wanted.append("libnewlib-arm-none-eabi")
    if not _finds("arm-none-eabi-g++", "libstdc++.a"):
        wanted.append("libstdc++-arm-none-eabi-newlib")
    return wanted


def _finds(compiler: str, name: str) -> bool:
    """Does the compiler have that file? It answers with a whole path, or with the bare name."""
    return os.path.isabs(_run([compiler, f"-print-file-name={name}"], 10, Path("/")).strip())


def _tools(tell: Callable[[str], None]) -> None:
    """Install what is missing, as root or through a sudo that asks for nothing. Raises BuildError."""
    wanted = missing_packages()
    if not wanted:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *wanted]
    rights = root()
    if rights is None:
        raise BuildError(f"the compiler is missing and only root can install it: sudo {' '.join(command)}")
    tell(f"debian: installing {' '.join(wanted)}")
    patience = ["-q", "-o", "DPkg::Lock::Timeout=120", "-o", f"Acquire::http::Timeout={SILENCE_S}"]
    _run([*rights, "apt-get", *patience, "update"], LISTS_S, Path("/"))
    rights += ["env", "DEBIAN_FRONTEND=noninteractive"]
    _run([*rights, command[0], *patience, *command[1:]], INSTALL_S, Path("/"))
    if left := missing_packages():
        raise BuildError(f"installed, but still missing: {' '.join(left)}")


def root() -> list[str] | None:
    """What a command that needs root begins with; None where there is no such right."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    done = subprocess.run(["sudo", "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return ["sudo", "-n"] if done.returncode == 0 else None


def _compile(folder: Path, tree: Path, version: str, board: str) -> Path:
    frozen = folder / "frozen.py"
    frozen.write_text(_FROZEN)
    port = tree / "ports/rp2"
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": str(DATE_S),
        "MICROPY_GIT_TAG": f"v{version}",  # else it asks git, which may answer for a repository around it
        "PYTHONHASHSEED": "0",  # its generators go through sets
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    options = {
        "MICROPY_BOARD": board,
        "MICROPY_BOARD_DIR": port / "boards" / board,
        "MICROPY_USER_FROZEN_MANIFEST": frozen,
        "PICO_SDK_PATH": tree / "lib/pico-sdk",
        "PICO_TINYUSB_PATH": tree / "lib/tinyusb",
        "PICO_NO_PICOTOOL": 1,
        "PICO_CLIB": "newlib",
        "Python3_EXECUTABLE": sys.executable,
    }
    jobs = str(os.cpu_count() or 1)
    # A compiler that is newer than the release warns of more, and that is no reason not to have an image.
    cmake_lists = port / "CMakeLists.txt"
    cmake_lists.write_text(cmake_lists.read_text().replace("-Werror", ""))
    make = ["make", "-C", str(tree / "mpy-cross"), "-j", jobs, f"PYTHON={sys.executable}", "CFLAGS_EXTRA=-Wno-error"]
    _run(make, BUILD_S, tree, environment)
    cmake = [
        "cmake",
        "-G",
        "Ninja",
        "-S",
        ".",
        "-B",
        "build",
        *[f"-D{name}={value}" for name, value in options.items()],
    ]
    _run(cmake, BUILD_S, port, environment)
    _run(["ninja", "-C", "build", "-j", jobs], BUILD_S, port, environment)
    image = folder / "micropython.uf2"
    image.write_bytes(write_uf2({0: (port / "build/firmware.bin").read_bytes()}))
    return image


def _run(command: Sequence[str], seconds: int, folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Standard output of a command that must succeed. Raises BuildError with the end of what it printed."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except OSError as error:
        raise BuildError(f"{command[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise BuildError(f"`{' '.join(command[:4])}` did not end within {seconds} s") from None
    if done.returncode:
        end = "\n".join(line[:LINE_MAX] for line in done.stdout.strip().splitlines()[-LINES_MAX:])
        raise BuildError(f"`{' '.join(command)[:LINE_MAX]}` failed with {done.returncode}:\n{end}")
    return done.stdout
