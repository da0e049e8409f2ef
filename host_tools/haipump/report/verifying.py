"""`haipump log --verify`: are the journal's records those that the pump wrote, one after the other, all of them?

Owns: the verdict in words and as JSON. Must not: read a pump or a file (its callers do), or repair anything.

What the chain can prove: between the first and the last record none was changed, left out or put in, unless all that
follow were made anew. It is plain SHA-256 without a key: who can write the flash or the file can do that, or leave out
the end, and every link fits. To exclude that too, note the end of the chain or keep a run file: the next download of
the same pump has to go on from there, and `log --to` refuses it otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from haipump.cli.frame import Cli
from haipump.errors import BrokenJournal
from haipump.journal import ChainVerdict, Record, verify

LISTED = 5  # places named of each kind
NO_KEY = (
    "The chain has no key: records that somebody made anew fit as well, and so do those before an end that was cut "
    "off. Compare this end with one that was noted before, by hand or in a run file."
)


def tell(cli: Cli, records: Sequence[Record], name: str, failing: bool = False) -> None:
    """Say what checking came to; `failing`: the pump can't write any more. Raises BrokenJournal when something is
    wrong."""
    verdict = verify(records)
    facts = {"verified": name, **as_json(verdict), "chain": records[-1].chain.hex() if records else ""}
    facts["storage_fails"] = failing
    if failing:
        last = f"record {verdict.last}" if verdict.count else "the beginning"
        cli.say(f"[bold red]The pump's flash fails[/]: what it did after {last} may not be in its journal.")
    if not verdict.count:
        cli.result(facts)
        cli.say("The journal is empty: there is nothing to verify.")
        return
    cli.say(f"{verdict.count} records, {verdict.first} to {verdict.last}; {verdict.links} links of the chain checked.")
    if verdict.dropped:
        cli.say(f"Records 1 to {verdict.dropped} are not there: the pump's ring drops the oldest ones.")
    if not verdict.intact:
        raise BrokenJournal(f"the journal of {name} is not whole: {reason(verdict)}", facts)
    cli.result(facts)
    cli.say(f"[green]Every number, checksum and link fits.[/] Record {verdict.last} ends the chain: {facts['chain']}")
    cli.say(NO_KEY)


def as_json(verdict: ChainVerdict) -> dict[str, Any]:
    """The verdict's numbers, with what follows from them."""
    return {
        "intact": verdict.intact,
        "first": verdict.first,
        "last": verdict.last,
        "count": verdict.count,
        "links": verdict.links,
        "dropped": verdict.dropped,
        "first_bad": verdict.first_bad,
        "damaged": list(verdict.damaged),
        "broken": list(verdict.broken),
        "gaps": [list(gap) for gap in verdict.gaps],
    }


def reason(verdict: ChainVerdict) -> str:
    """The first record that is wrong, and what else is."""
    parts = []
    for title, places in (
        ("wrong checksum", [str(seq) for seq in verdict.damaged]),
        ("no continuation of the record before", [str(seq) for seq in verdict.broken]),
        ("missing or unreadable", [str(a) if a == b else f"{a} to {b}" for a, b in verdict.gaps]),
    ):
        if places:
            more = f" and {len(places) - LISTED} more" if len(places) > LISTED else ""
            parts.append(f"{title}: {', '.join(places[:LISTED])}{more}")
    return f"the first bad record is {verdict.first_bad} ({'; '.join(parts)})"
