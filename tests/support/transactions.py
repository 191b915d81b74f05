"""A producer that sends in transactions, as a matching engine's gateway does."""

import uuid

import msgspec
from confluent_kafka import Producer

from engine.inputs import AccountInput
from tests.support.sender import topic_of

ANSWER_S = 30.0


class TransactionalSender:
    """One producer with a transactional id of its own; a transaction is open between `begin` and `commit` or `abort`."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                "transactional.id": uuid.uuid4().hex,
                "transaction.timeout.ms": 300_000,
                "log_level": 0,
            }
        )
        self._producer.init_transactions(ANSWER_S)

    def begin(self, *messages: AccountInput) -> None:
        """Open a transaction and write these into their topics."""
        self._producer.begin_transaction()
        self.add(*messages)

    def add(self, *messages: AccountInput) -> None:
        """Write more into the open transaction; they lie in the log when this returns."""
        for message in messages:
            self._producer.produce(topic_of(message), msgspec.json.encode(message), message.account.encode())
        assert self._producer.flush(ANSWER_S) == 0

    def begin_elsewhere(self, partition: int, *topics: str) -> None:
        """Open a transaction with a record that is nobody's in this partition of each of these topics."""
        self._producer.begin_transaction()
        for topic in topics:
            self._producer.produce(topic, b"nobody's", b"nobody", partition=partition)
        assert self._producer.flush(ANSWER_S) == 0

    def commit(self) -> None:
        """End the open transaction well."""
        self._producer.commit_transaction(ANSWER_S)

    def abort(self) -> None:
        """Take all of the open transaction back; its records stay in the log, for those who read uncommitted."""
        self._producer.abort_transaction(ANSWER_S)

    def committed(self, *messages: AccountInput) -> None:
        """A whole transaction."""
        self.begin(*messages)
        self.commit()

    def aborted(self, *messages: AccountInput) -> None:
        """A whole transaction that did not happen."""
        self.begin(*messages)
        self.abort()
