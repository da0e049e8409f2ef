"""Keys and the lock.

Owns: who may set a key, and when. Loaded when asked for, and freed again (`Commands`). Must not: check a code
(`proto.auth`).
"""

import binascii

from haipump_fw.proto.frame import Refused


def act_set_key(commands, fields):
    app = commands.app
    if not app.was_serviced or app.machine.state != "stopped":
        raise Refused("key")
    key = binascii.unhexlify(fields["key"])
    if app.values["locked"] and not any(key):
        raise Refused("key", [("what", "zeros_delete_it_unlock_first")])
    commands.run("save", {}, key)
    app.session.key = app.storage.settings.key
    return _settle_lock(commands)


def act_lock(commands, fields):
    if commands.app.session.key is None:
        raise Refused("key", [("what", "no_key_set")])
    return _set_locked(commands, 1)


def act_unlock(commands, fields):
    return _set_locked(commands, 0)


def _set_locked(commands, locked):
    commands.run("save", {"locked": locked})
    return _settle_lock(commands)


def _settle_lock(commands):
    app = commands.app
    app.recovering = False
    app.session.locked = bool(app.values["locked"])
    return [("locked", app.values["locked"])]
