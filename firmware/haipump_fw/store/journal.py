"""The journal: records of 64 bytes, appended to a ring of sectors in the raw partition.

Owns: places, sequence numbers, the chain, the queue, and what a restart needs to know. Must not: know a clock or what a
record means beyond "intent" and "result" (it programs only in a window that the caller grants).

Places. A sector holds 64 records. The write position moves through the ring; in front of it up to AHEAD_SECTORS sectors
are kept erased, behind it lies the past, oldest first to go. A place that is not blank is never programmed again: a
torn or failed one is stepped over. What counts is what can be read back.

Finding the end. The header of each sector gives its first sequence number; the highest one is the newest sector, and
only that one is read through. So opening a full journal takes some 60 + 64 + RECOVER_SPAN short reads.

Restating. The ring forgets after ten days, and a syringe stays loaded for longer. So the latest `boot`, `ids`,
`carry`, `commit` and `syringe` and each intent without result is written again when it is 64 records old, one with each
append, marked `RESTATED`. At most 13 things are kept, so no latest statement is older than 64 + 2 * 13 = 90 records; a
restart reads RECOVER_SPAN = 192, and so finds another one should that be damaged.

Weak erase. A sector whose erase the power cut can read as blank and yet lose bits later. It can only be the foremost of
the erased ones, so that one is erased again after each start.

Wear. A day of 144 commits, 144 carries and 112 other records, with 7 % restated, fills 6.7 sectors; the ring is 60, so
ten years erase each sector about 410 times. The chip is rated for 100,000.
"""

import struct
from array import array

from haipump_fw.const import const
from haipump_fw.store import flashmap, records
from haipump_fw.store.flashmap import ERASE_WINDOW_US, PAGE_WINDOW_US, SECTOR
from haipump_fw.store.records import BODY, CHAIN, DAMAGED, EMPTY, SIZE, VALID

QUEUE_MAX = const(16)  # records waiting for a window
OPEN_MAX = const(8)  # intents without result
AHEAD_SECTORS = const(16)  # 80 mL at a commit every 80 uL: more than a syringe, at rates that leave no time to erase
SECTORS_MIN = const(8)  # below that many sound sectors the journal gives up
RECOVER_SPAN = const(192)

_KEPT_SECTORS_MIN = const(6)  # with the past in them: twice RECOVER_SPAN
_RECOVER_SLOTS_MAX = const(1024)  # places looked at for RECOVER_SPAN records, when many places are damaged
_RESTATE_AFTER = const(64)
_SLOTS = const(64)
_SLOT_FAILURES_MAX = const(3)  # then the rest of the sector is left alone ...
_SECTOR_FAILURES_MAX = const(4)  # ... and after so many sectors without one success the journal gives up
_FRESH_SLOTS_MAX = const(8)  # a first record that the power tore, and a few tries more, are not foreign data

_PAST, _BLANK, _BAD = const(0), const(1), const(2)  # states of a sector; _PAST is everything that needs an erase

_STATEFUL = ("boot", "ids", "carry", "commit", "syringe")
_KINDS = tuple([records.kind_of(name) for name in _STATEFUL])
_INTENT = records.kind_of("intent")
_RESULT = records.kind_of("result")
_ALARM = records.kind_of("alarm")
_KEPT = len(_STATEFUL) + OPEN_MAX


def _alarm_of(record):
    return record[records.PAYLOAD_AT]


def _order_of(record):
    return struct.unpack_from("<I", record, records.PAYLOAD_AT)[0]


class Journal:
    """The ring over `sectors` sectors from `first_sector` on.

    Attributes to read: `foreign` (the partition holds something else, or what a later version has written: nothing is
    written), `failed` (the flash is worn
    out: nothing is written any more), `first_seq` and `last_seq` (oldest and newest record on the flash; 0: none),
    `last_chain` (12 bytes, of `last_seq`), `pending` (records in the queue), `damaged` (places seen by `open` that hold
    something, but no valid record), `failures` (programs and erases that did not work).
    A record is safe when `last_seq` has reached its number."""

    def __init__(self, flash, first_sector, sectors):
        if sectors < SECTORS_MIN:
            raise ValueError("a journal needs %d sectors" % SECTORS_MIN)
        self.foreign = False
        self.failed = False
        self.first_seq = 0
        self.last_seq = 0
        self.last_chain = bytes(CHAIN)
        self.pending = 0
        self.damaged = 0
        self.failures = 0
        self._flash = flash
        self._origin = first_sector * SECTOR
        self._sectors = sectors
        self._base = array("I", [0] * sectors)  # first sequence number in each sector, 0: none
        self._state = bytearray(sectors)
        self._sector = sectors - 1  # where the next record goes; a slot of _SLOTS: into the next sector
        self._slot = _SLOTS
        self._erase_at = -1
        self._slot_failures = 0
        self._sector_failures = 0
        self._chain = bytearray(CHAIN)  # of the last record appended
        self._buf = bytearray(SIZE)
        self._queue = memoryview(bytearray(QUEUE_MAX * SIZE))
        self._head = 0
        self._next_seq = 1
        self._kept = memoryview(bytearray(_KEPT * BODY))
        self._kept_seq = array("I", [0] * _KEPT)  # number of its latest statement, 0: the place is free
        self._alarms = []

    # --- opening ---

    def open(self):
        """Find the end and what a restart needs. Once, before anything else. "ok", "blank" or "foreign"."""
        for index in range(self._sectors):
            self._inspect(index)
        newest = self._newest()
        if self._base[newest]:
            self._scan(newest)
            self._drop_strays()
            self._recover()
        elif not self._fresh():
            self.foreign = True
        if self.foreign:
            return "foreign"
        self._distrust()
        self._plan()
        return "ok" if self.last_seq else "blank"

    def _load(self, index, slot):
        """Read one place into `_buf`."""
        flashmap.load(self._flash, self._origin + index * SECTOR + slot * SIZE, self._buf)
        return records.judge(self._buf)

    def _inspect(self, index):
        """Is the sector erased, and which is its first record?"""
        found = self._load(index, 0)
        if found == EMPTY and flashmap.erased(self._flash, self._origin + index * SECTOR):
            self._state[index] = _BLANK
            return
        slot = 1
        while found != VALID and slot < _SLOTS:
            found = self._load(index, slot)
            slot += 1
        if found == VALID:
            self._base[index] = records.seq_of(self._buf)

    def _newest(self):
        """The sector with the highest first number."""
        newest = 0
        for index in range(self._sectors):
            if self._base[index] > self._base[newest]:
                newest = index
        # A record that could not be verified, though it was there, begins two sectors or more: the last one goes on.
        for _ in range(_SECTOR_FAILURES_MAX):
            if self._base[self._after(newest)] == self._base[newest]:
                newest = self._after(newest)
        return newest

    def _scan(self, index):
        """Read the newest sector through: the last record, and the place behind everything that is not blank."""
        self._sector = index
        for slot in range(_SLOTS):
            found = self._load(index, slot)
            if found == VALID:
                self.last_seq = records.seq_of(self._buf)
                self.last_chain = bytes(self._buf[BODY : BODY + CHAIN])
            if found == DAMAGED:
                self.damaged += 1
            if found != EMPTY:
                self._slot = slot + 1
        self._chain[:] = self.last_chain
        self._next_seq = self.last_seq + 1

    def _drop_strays(self):
        """A sector that refuses to be erased keeps records of an earlier turn of the ring: they do not belong to us.
        Backwards from the newest one, each sector walked past can hold 64 records and no more, a blank one none, and
        the first 63 of a sector may have been damaged."""
        above = self._base[self._sector]
        low = above - _SLOTS + 1
        index = self._sector
        for _ in range(self._sectors - 1):
            index = self._before(index)
            if self._state[index] != _BLANK:
                low -= _SLOTS
            base = self._base[index]
            if base and low <= base < above:
                above = base
                low = base - _SLOTS + 1
            else:
                self._base[index] = 0
        self.first_seq = above

    def _fresh(self):
        """No record anywhere: is this an erased partition, but for a first record that the power may have torn?"""
        for index in range(1, self._sectors):
            if self._state[index] != _BLANK:
                return False
        if self._state[0] != _BLANK:
            for slot in range(_SLOTS):
                if self._load(0, slot) != EMPTY:
                    self.damaged += 1
                    if slot >= _FRESH_SLOTS_MAX:
                        return False
        return True

    def _distrust(self):
        """Have the foremost of the erased sectors erased again (see "Weak erase" above)."""
        foremost = -1
        index = self._after(self._sector)
        while index != self._sector and self._state[index] == _BLANK:
            foremost = index
            index = self._after(index)
        if foremost >= 0:
            self._state[foremost] = _PAST

    # --- recovering ---

    def _recover(self):
        closed = []
        for raw in self.backwards(_RECOVER_SLOTS_MAX):
            if records.seq_of(raw) <= self.last_seq - RECOVER_SPAN:
                break
            if raw[1] & ~records.RESTATED != records.FORMAT:
                self._kept_seq = array("I", [0] * _KEPT)  # of a later version: nothing of it may be guessed
                self.foreign = True
                return
            if raw[0] == _RESULT:
                closed.append(_order_of(raw))
            elif raw[0] == _ALARM:
                if _alarm_of(raw) not in [_alarm_of(newer) for newer in self._alarms]:
                    self._alarms.append(raw)
            elif raw[0] != _INTENT or _order_of(raw) not in closed:
                place = self._keeper(raw)
                if place >= 0 and not self._kept_seq[place]:
                    self._keep(place, raw)

    def recover(self):
        """What the journal knows of the time before: {"boot", "ids", "carry", "commit", "syringe": the latest Record or
        None, "intents": Records of orders without result, lowest order first}.

        The `seq` of these is that of the latest statement, boot and uptime those of the original."""
        known = {}
        for place in range(len(_STATEFUL)):
            known[_STATEFUL[place]] = records.Record(self._statement(place)) if self._kept_seq[place] else None
        places = [place for place in range(len(_STATEFUL), _KEPT) if self._kept_seq[place]]
        places.sort(key=lambda place: _order_of(self._statement(place)))
        known["intents"] = [records.Record(self._statement(place)) for place in places]
        return known

    def alarms(self):
        """The newest record of each alarm among the last RECOVER_SPAN, newest first. Once, after `open`."""
        found = [records.Record(raw) for raw in self._alarms]
        self._alarms = []
        return [record for record in found if record.name]

    def _keeper(self, record):
        """The place where the latest record of this kind (and order) is kept, for an order not yet known a free one; -1
        when this kind isn't kept, or all places for intents are taken."""
        if record[0] in _KINDS:
            return _KINDS.index(record[0])
        free = -1
        if record[0] == _INTENT:
            for place in range(len(_KINDS), _KEPT):
                if not self._kept_seq[place]:
                    free = place
                elif _order_of(self._statement(place)) == _order_of(record):
                    return place
        return free

    def _keep(self, place, record):
        self._statement(place)[:] = memoryview(record)[:BODY]
        self._kept_seq[place] = records.seq_of(record)

    def _stale(self, next_seq):
        """The place kept whose statement is the oldest, if it is to be made again under number `next_seq`; else -1."""
        oldest = -1
        limit = next_seq - _RESTATE_AFTER
        for place in range(_KEPT):
            if 0 < self._kept_seq[place] <= limit:
                oldest = place
                limit = self._kept_seq[place] - 1
        return oldest

    # --- writing ---

    def append(self, kind_name, boot, uptime_s, *values):
        """Put a record into the queue; no flash access. Returns its sequence number, or 0 when it was refused: the
        queue is full (see `room`), OPEN_MAX intents are open, or the partition is not ours. ValueError and KeyError as
        `records.fill`."""
        if not self.room():
            return 0
        record = self._free_place()
        records.fill(record, kind_name, boot, uptime_s, values)
        place = self._keeper(record)
        if record[0] == _INTENT and place < 0:
            return 0
        seq = self._enqueue(record)
        if place >= 0:
            self._keep(place, record)
        elif record[0] == _RESULT:
            self._close(_order_of(record))
        place = self._stale(self._next_seq)
        if place >= 0:
            record = self._free_place()
            record[:BODY] = self._statement(place)
            record[1] |= records.RESTATED
            self._enqueue(record)
            self._keep(place, record)
        return seq

    def room(self):
        """How many appends are taken before the next flush, at least (each may bring one that restates); 0: the next
        one is refused."""
        if self.foreign:
            return 0
        free = QUEUE_MAX - self.pending
        return free // 2 if free > 1 or self._stale(self._next_seq + 1) >= 0 else free

    def _statement(self, place):
        """The latest statement that is kept there, as it can be written to."""
        return self._kept[place * BODY : (place + 1) * BODY]

    def _free_place(self):
        return self._place((self._head + self.pending) % QUEUE_MAX)

    def _place(self, index):
        """A place in the queue, as it can be written to."""
        return self._queue[index * SIZE : (index + 1) * SIZE]

    def _enqueue(self, record):
        seq = self._next_seq
        records.seal(record, seq, self._chain)
        self._next_seq = seq + 1
        self.pending += 1
        return seq

    def _close(self, order):
        for place in range(len(_KINDS), _KEPT):
            if self._kept_seq[place] and _order_of(self._statement(place)) == order:
                self._kept_seq[place] = 0

    def flush(self, window_us):
        """Program the oldest record of the queue if `window_us` allows. True when it is on the flash and was read back.

        False when there was nothing to do, no window, no erased sector (`needs_erase`), or when it failed: the next
        call then tries the next place. One page program at most; allocates next to nothing."""
        if window_us < PAGE_WINDOW_US or not self.pending or self.failed or not self._place_ready():
            return False
        record = self._place(self._head)
        address = self._origin + self._sector * SECTOR + self._slot * SIZE
        self._slot += 1
        if not flashmap.program(self._flash, address, record):
            self._count_failure()
            return False
        self._slot_failures = 0
        self._sector_failures = 0
        self.last_seq = records.seq_of(record)
        self.last_chain = bytes(record[BODY : BODY + CHAIN])
        if not self._base[self._sector]:
            self._base[self._sector] = self.last_seq
        if not self.first_seq:
            self.first_seq = self.last_seq
        self._head = (self._head + 1) % QUEUE_MAX
        self.pending -= 1
        return True

    def _place_ready(self):
        """Move on to the next sector when this one is full. False when that isn't erased yet."""
        if self._slot < _SLOTS:
            return True
        index = self._after(self._sector)
        while self._state[index] == _BAD:
            index = self._after(index)
        if self._state[index] != _BLANK:
            return False
        self._state[index] = _PAST
        self._sector = index
        self._slot = 0
        self._slot_failures = 0
        self._plan()
        return True

    def _count_failure(self):
        self.failures += 1
        self._slot_failures += 1
        if self._slot_failures == _SLOT_FAILURES_MAX:
            self._slot = _SLOTS
            self._sector_failures += 1
            self.failed = self._sector_failures == _SECTOR_FAILURES_MAX

    # --- erasing ---

    def needs_erase(self):
        """True when fewer sectors than wanted are erased in front of the write position."""
        return self._erase_at >= 0 and not self.failed

    def erase_ahead(self, window_us):
        """Erase one more sector in front of the write position if one is due and `window_us` allows; the oldest records
        go with it. True when it is erased; a sector that can't be is left out from now on."""
        if window_us < ERASE_WINDOW_US or not self.needs_erase():
            return False
        index = self._erase_at
        self._forget(index)
        done = flashmap.erase(self._flash, self._origin + index * SECTOR)
        self._state[index] = _BLANK if done else _BAD
        if not done:
            self.failures += 1
        self._plan()
        return done

    def _forget(self, index):
        self._base[index] = 0
        self.first_seq = 0
        for base in self._base:
            if base and (not self.first_seq or base < self.first_seq):
                self.first_seq = base

    def _plan(self):
        """Which sector has to be erased next, if any."""
        sound = self._sectors - sum([1 for state in self._state if state == _BAD])
        if sound < SECTORS_MIN:
            self.failed = True
        missing = min(AHEAD_SECTORS, sound - _KEPT_SECTORS_MIN)
        index = self._after(self._sector)
        while missing > 0 and self._state[index] != _PAST:
            if self._state[index] == _BLANK:
                missing -= 1
            index = self._after(index)
        self._erase_at = index if missing > 0 else -1

    def _after(self, index):
        return index + 1 if index + 1 < self._sectors else 0

    def _before(self, index):
        return index - 1 if index else self._sectors - 1

    # --- reading ---

    def read(self, seq):
        """The 64 bytes of record `seq`, or None when it isn't there (any more)."""
        index = -1
        base = 0
        for at in range(self._sectors):
            if base < self._base[at] <= seq:
                index = at
                base = self._base[at]
        if index >= 0:
            # Places were skipped at most, so the record lies there or further on.
            for slot in range(seq - base, _SLOTS):
                if self._load(index, slot) == VALID and records.seq_of(self._buf) == seq:
                    return bytes(self._buf)
        return None

    def backwards(self, limit):
        """Iterate over the records on the flash as bytes, newest first; looks at `limit` places at most."""
        index, slot, above, turns = self._sector, self._slot, self.last_seq + 1, self._sectors
        while limit > 0:
            while slot == 0 or not self._base[index]:
                index, slot, turns = self._before(index), _SLOTS, turns - 1
                if turns <= 0:
                    return
            slot -= 1
            limit -= 1
            # A record whose place could not be verified was written twice: only once is it told.
            if self._load(index, slot) == VALID and records.seq_of(self._buf) < above:
                above = records.seq_of(self._buf)
                yield bytes(self._buf)
