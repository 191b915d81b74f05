"""Marks as instants, for books that take nothing else."""

from collections.abc import Iterable

from engine.inputs import Mark
from engine.marks.instants import Instant, InstantName, MarksRecord
from engine.marks.mark_book import MarkBook, Prices
from engine.rejections import Rejection


def together(*marks: Mark) -> Instant:
    """These marks, each of another symbol, as one instant."""
    return Instant(marks, InstantName(max(mark.time_ns for mark in marks)))


def singly(marks: Iterable[Mark]) -> list[Instant]:
    """Each mark an instant of its own."""
    return [together(mark) for mark in marks]


def grouped(marks: Iterable[Mark], size: int) -> list[Instant]:
    """Marks in order, as instants of up to `size` of them; two of one symbol never stand in one."""
    instants: list[Instant] = []
    waiting: dict[str, Mark] = {}
    for mark in marks:
        if mark.symbol in waiting or len(waiting) == size:
            instants.append(together(*waiting.values()))
            waiting = {}
        waiting[mark.symbol] = mark
    return [*instants, together(*waiting.values())] if waiting else instants


def offered(book: MarkBook, mark: Mark, received_ns: int) -> Mark | Rejection:
    """Offer one mark in a record of its own: itself where it is believed, else why not."""
    instant, refused = book.accept(MarksRecord((mark,)), received_ns)
    return refused[0] if instant is None else instant.marks[0]


def at(now_ns: int, stale: Iterable[str] = (), **more: object) -> Prices:
    """What a book is told of time: what is stale then, without any marks."""
    return Prices({}, frozenset(stale), now_ns, **more)
