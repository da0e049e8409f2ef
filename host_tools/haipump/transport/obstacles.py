"""What keeps people from opening a serial port, said so that they can remove it.

Owns: the explanations and the udev rule. Must not: change the system; it only tells how.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from haipump.errors import PortBusy, PortError, PortForbidden, PortMissing

PICO_VENDOR = 0x2E8A
UDEV_PATH = "/etc/udev/rules.d/60-haipump.rules"
# ID_MM_PORT_IGNORE is read from the port, ID_MM_DEVICE_IGNORE from the device; `uaccess` gives the port to whoever sits
# at the screen, the group to whoever comes over the network.
UDEV_RULE = """\
# Raspberry Pi Pico running haipump: usable without root, and left alone by ModemManager,
# which otherwise sends modem commands to every new serial port for about half a minute.
ACTION=="add|change", SUBSYSTEM=="usb", ATTR{idVendor}=="2e8a", ENV{ID_MM_DEVICE_IGNORE}="1"
ACTION=="add|change", SUBSYSTEM=="tty", ATTRS{idVendor}=="2e8a", ENV{ID_MM_PORT_IGNORE}="1", \
MODE="0660", GROUP="dialout", TAG+="uaccess"
"""
UDEV_INSTALL = (
    f"haipump ports --udev | sudo tee {UDEV_PATH}",
    "sudo udevadm control --reload && sudo udevadm trigger",
)


def explain_open_failure(name: str, failure: Exception) -> PortError:
    """The PortError for what pyserial raised."""
    number = getattr(failure, "errno", None)
    text = str(failure)
    if number == errno.EACCES or "Permission" in text or "Access is denied" in text:
        return _forbidden(name) if os.name == "posix" else _busy(name)
    if number in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK) or "exclusively lock" in text:
        return _busy(name)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO) or "FileNotFound" in text or not Path(name).exists():
        return PortMissing(f"there is no port {name}", next_step="look with `haipump ports`; is the cable in?")
    return PortMissing(f"the port {name} can't be opened ({text})", next_step="look with `haipump ports`")


def users_of(name: str) -> list[str]:
    """Programs that have the port open, as `name (pid 123)`; empty where /proc does not tell (other users' too)."""
    if not sys.platform.startswith("linux"):
        return []
    target = os.path.realpath(name)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.path.realpath(link) == target for link in (process / "fd").iterdir()):
                found.append(f"{(process / 'comm').read_text().strip()} (pid {process.name})")
        except OSError:
            continue  # gone meanwhile, or not ours to look at
    return found


def modem_manager_runs() -> bool:
    """True when ModemManager is running (Linux)."""
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == "ModemManager":
                return True
        except OSError:
            continue
    return False


def udev_rule_installed() -> bool:
    """True when a rule of ours is in place."""
    return Path(UDEV_PATH).exists()


def _forbidden(name: str) -> PortForbidden:
    group = _group_of(name)
    return PortForbidden(
        f"you are not allowed to open {name}",
        next_step=f"run `sudo usermod -aG {group} $USER` and log in again, or install the rule: `{UDEV_INSTALL[0]}`",
    )


def _busy(name: str) -> PortBusy:
    users = users_of(name)
    who = ", ".join(users) if users else "another program"
    advice = ""
    if any(user.startswith("ModemManager") for user in users) or (not users and modem_manager_runs()):
        advice = f"wait half a minute, or keep ModemManager away for good: `{UDEV_INSTALL[0]}`"
    return PortBusy(name, who, advice)


def _group_of(name: str) -> str:
    try:
        import grp

        group = grp.getgrgid(os.stat(name).st_gid).gr_name
    except (ImportError, OSError, KeyError):
        return "dialout"
    return group if group not in ("root", "tty") else "dialout"
