"""Storage: settings and journal behind one door, and when the flash may be touched.

Owns: boot number, reserved ids, what was recovered at boot, the order of flash work. Must not: decide what to record.
"""

import binascii
import hashlib

from haipump_fw.const import const
from haipump_fw.core.units import US_PER_S
from haipump_fw.store import flashmap
from haipump_fw.store.journal import Journal
from haipump_fw.store.settings import Settings

IDS_BLOCK = const(256)  # ids are reserved in blocks, so that not every command costs a record
WRITE_MAX = const(64)  # flash operations of one urgent write


def digest_works():
    """CRC-32 and SHA-256 give known answers: processor, memory and interpreter do what they should."""
    return binascii.crc32(b"123456789") == 0xCBF43926 and hashlib.sha256(b"abc").digest()[:4] == b"\xba\x78\x16\xbf"


class Storage:
    """`problem` is None, or what is wrong: then nothing may be delivered."""

    def __init__(self, flash, clock):
        self._clock = clock
        self.window_us = None  # set by the app: says how long the CPU may be gone
        self.settings = Settings(flash, flashmap.SETTINGS_A, flashmap.SETTINGS_B)
        self.journal = Journal(flash, flashmap.JOURNAL_FIRST, flashmap.JOURNAL_SECTORS)
        self.problem = None
        self.busy = True  # there may be flash work to do
        self.fresh = False  # ... that came after the last `work`
        if self.settings.load() == "mismatch":
            self.problem = "settings"
        if self.journal.open() == "foreign":
            self.problem = "journal"
        self.known = self.journal.recover()
        self.boot = self.last("boot", "boot", 0) + 1
        self.reserved = self.last("ids", "reserved", 0)
        self.next_id = self.reserved + 1

    def last(self, kind, field, otherwise):
        """A field of the latest record of a kind, as recovered at boot."""
        record = self.known[kind]
        return otherwise if record is None else record.values[field]

    def record(self, kind, *values):
        """Queue a record. False when it was refused: the queue stayed full or the partition is not ours."""
        self.busy = self.fresh = True
        if not self.journal.room():
            self.write(self.window_us)
        taken = self.journal.append(kind, self.boot, self._clock.s, *values) > 0
        if not taken:
            self.problem = "journal"
        return taken

    def write(self, window_us):
        """Bring all that waits to the flash; `window_us()` says how long the CPU may be gone. True when it is there."""
        for _ in range(WRITE_MAX):
            window = window_us()
            if self.settings.saving:
                self.settings.step(window)
            elif self.journal.pending:
                if not self.journal.flush(window):
                    self.journal.erase_ahead(window)
            else:
                break
        self._judge()
        # What was wrong before ("settings" at boot) must not keep ids and new settings from being stored.
        sound = not (self.journal.foreign or self.journal.failed or self.settings.failed)
        return sound and not self.journal.pending and not self.settings.saving

    def work(self, window_us):
        """At most one flash operation that fits into the window. True when one was done, more may wait; `busy` falls
        when nothing is left to do."""
        done = self.fresh = False
        if self.journal.pending:
            done = self.journal.flush(window_us) or self.journal.erase_ahead(window_us)
        elif self.settings.window_needed():
            done = self.settings.step(window_us)
        elif self.journal.needs_erase():
            done = self.journal.erase_ahead(window_us)
        else:
            self.busy = False
        self._judge()
        return done

    def _judge(self):
        """A flash that is worn out is a problem at once, not when the queue is full."""
        if self.journal.failed or self.settings.failed:
            self.problem = "journal" if self.journal.failed else "settings"

    def reserve(self, number, window_us):
        """Make sure that no id up to `number` can be used again after a reset. True when that is on the flash."""
        if number <= self.reserved:
            return True
        reserved = number + IDS_BLOCK
        if self.record("ids", reserved) and self.write(window_us):
            self.reserved = reserved
            return True
        return False

    def save(self, changes, window_us, key=None):
        """Change settings; True when they are on the flash, else all stays as it was."""
        self.busy = self.fresh = True
        settings = self.settings
        saved = settings.save(changes, key) > 0
        if saved:
            self.write(window_us)  # records that wait may have to wait on: these are not what was asked for
            saved = not (settings.saving or settings.failed or self.journal.failed or self.journal.foreign)
        if settings.saving:
            settings.take_back()
        if saved and self.problem == "settings":
            self.problem = None  # both copies are sound again
        return saved


def window_of(delivery):
    """A function for `write`: how long the motion goes on by itself, with words topped up first."""

    def window_us():
        delivery.feed()
        return min(delivery.motion_ahead_us(), US_PER_S)

    return window_us
