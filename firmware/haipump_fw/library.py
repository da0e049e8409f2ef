"""The drug library: are the limits still those that were loaded from it? Loaded when that is asked, and freed again.

Owns: the seal. Must not: set a limit (`doses` and `configuration` do), or know a drug's concentration: the pump pushes
volumes.

The setting `library_seal` holds the first 31 bits of the library's SHA-256, and below them the seal: the first 32 bits
of HMAC-SHA256 over those and everything that the library limits, with the pump's key, or with an empty one where none
is set. So the seal of a pump with a key comes from somebody who has that key, too; without one it shows a change, not
who made it.
"""

from haipump_fw.const import const
from haipump_fw.core import options
from haipump_fw.proto.auth import hmac_sha256
from haipump_fw.proto.frame import Refused

SEAL_BITS = const(32)
_END = const(1 << 63)
COVERED = ("drug_1", "drug_2", "drug_3", "max_rate_nl_per_day", "max_bolus_nl")  # and the group "dose"


def sealed(key, number, values):
    """What `library` is for a library of this number (31 bits) with these limits. `key`: 32 bytes or None."""
    names = COVERED + tuple([row[options.NAME] for row in options.rows("dose")])
    text = "library|%d" % number + "".join(["|%d" % values[name] for name in names])
    return number << SEAL_BITS | int.from_bytes(hmac_sha256(key or b"", text.encode())[:4], "big")


def sound(app):
    """True when the limits are as they were when they were sealed, or no library is loaded."""
    library = app.values["library_seal"]
    return not library or library == sealed(app.storage.settings.key, library >> SEAL_BITS, app.values)


def prepare_library(commands, fields):
    """Seal the limits that stand; 0 takes the seal away."""
    app = commands.app
    app.machine.check("adjust")
    library = int(fields["library"], 16)
    fits = library < _END and library == sealed(app.storage.settings.key, library >> SEAL_BITS, app.values)
    if library and not fits:
        raise Refused("library", [("what", "other_limits")])

    def execute(number):
        commands.run("save", {"library_seal": library})

    return [("library", "%x" % library)], execute
