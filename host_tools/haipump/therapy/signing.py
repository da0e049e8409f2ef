"""Who vouches for a drug library: an HMAC-SHA256 over its digest, in a file beside it.

Owns: the signature file's format, signing and checking. Must not: read libraries.

What it proves: the content is what somebody with the key signed. What it does not: who that was. The key that checks is
the key that signs, so whoever can check a library can also sign another one, and nobody can be held to it afterwards.
That is enough against a damaged, exchanged or carelessly edited file, and it is not enough between people who do not
trust one another: that takes a signature with a private key, which the standard library of Python does not have.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from haipump.errors import CourseFileError, LibraryRefused, UsageError

FORMAT = "haipump-library-signature 1"
SIGNER_MAX = 60
_SIGN = "sign it with `haipump therapy library sign`, once you have read it"


def signature_path(library: Path) -> Path:
    """`drugs.toml` is signed in `drugs.toml.sig`."""
    return library.with_name(library.name + ".sig")


def sign(library: Path, digest: str, key: bytes, signer: str) -> Path:
    """Write the signature file beside the library; an older one is replaced whole. Raises UsageError."""
    signer = " ".join(signer.split())
    if not signer or len(signer) > SIGNER_MAX or not signer.isprintable():
        raise UsageError(f"the signer is not 1 to {SIGNER_MAX} letters", next_step='name who read it: --by "A. Person"')
    path = signature_path(library)
    waiting = path.with_name(path.name + ".new")
    try:
        waiting.write_text(
            f"{FORMAT}\nsha256 {digest}\nsigner {signer}\nhmac {_code(key, digest, signer)}\n", encoding="utf-8"
        )
        os.replace(waiting, path)
    except OSError as failure:
        raise UsageError(f"{path} can't be written ({failure.strerror})", next_step="check the folder") from failure
    return path


def verify(library: Path, digest: str, key: bytes | None) -> str:
    """Who signed this digest. Raises LibraryRefused, with the reason."""
    path = signature_path(library)
    if not path.exists():
        raise LibraryRefused(f"nobody has signed the drug library {library}: there is no {path.name}", _SIGN)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as failure:
        raise CourseFileError(f"the signature {path} can't be read ({failure})", "check the file") from failure
    fields = dict(line.split(" ", 1) for line in lines[1:] if " " in line)
    if not lines or lines[0] != FORMAT or set(fields) != {"sha256", "signer", "hmac"}:
        raise LibraryRefused(f"{path.name} is no signature of a drug library", _SIGN)
    if fields["sha256"] != digest:
        raise LibraryRefused(
            f"the drug library {library} was altered since {fields['signer']} signed it: its digest is "
            f"{digest[:16]}..., signed was {fields['sha256'][:16]}...",
            "get the signed file back, or read the changes and sign it anew",
        )
    if key is None:
        raise LibraryRefused(
            f"the signature of {library} can't be checked without the key", "name the key with --library-key FILE"
        )
    if not hmac.compare_digest(fields["hmac"], _code(key, digest, fields["signer"])):
        raise LibraryRefused(
            f"the signature of {library} was not made with this key",
            "name the key it was signed with, or sign it anew once you have read it",
        )
    return fields["signer"]


def _code(key: bytes, digest: str, signer: str) -> str:
    text = f"{FORMAT}|{digest}|{signer}"
    return hmac.new(key, text.encode("utf-8"), hashlib.sha256).hexdigest()
