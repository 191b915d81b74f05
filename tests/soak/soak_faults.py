"""The faults of a soak: each is done, and done with, before service must be back."""

import os
import random
import signal
import threading
from collections.abc import Callable

from tests.support.kafka_server import RealKafka
from tests.support.redis_nodes import SentinelServers
from tests.support.toxiproxy import Proxy
from tests.support.waiting import wait_for
from tests.support.workers import Worker
from tests.system.proxy_faults import FAULTS, suffer

DOWN_S_MAX = 5.0
TOXIC_S_MAX = 10.0
LOST_S = 0.3
PAUSED_S = (4.0, 9.0)
"""Longer than the three seconds of a session, and than a shard's owner may be silent."""
OLDER_S = (1.0, 5.0)
COPY = """
local copy = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
    for _, it in ipairs({key, math.max(redis.call('PTTL', key), 0), redis.call('DUMP', key)}) do copy[#copy + 1] = it end
end
return copy
"""
PUT_BACK = """
redis.call('FLUSHALL')
for at = 1, #ARGV, 3 do redis.call('RESTORE', ARGV[at], ARGV[at + 1], ARGV[at + 2]) end
"""


class Faults:
    """What may happen to a running system. `mortal` is the worker that is killed; `proxy` leads from it to Kafka."""

    def __init__(
        self, mortal: Worker, servers: SentinelServers, kafka: RealKafka, proxy: Proxy, rng: random.Random
    ) -> None:
        self._mortal, self._servers, self._kafka, self._proxy, self._rng = mortal, servers, kafka, proxy, rng
        self.kinds: dict[str, Callable[[], None]] = {
            "worker killed": mortal.kill,
            "worker killed and held down": self._hold_down,
            "worker paused longer than its session": self._stand_still,
            "Redis failover": self._fail_over,
            "Redis failover that loses commits": lambda: self._fail_over(LOST_S),
            "Redis restored to an older copy": self._restore,
            "broker killed": self._kill_broker,
            **{f"network: {name}": self._toxic(name) for name in FAULTS},
        }
        self._waiting: list[str] = []

    def next(self) -> str:
        """The kind that comes next: each once, in random order, and again."""
        if not self._waiting:
            self._waiting = self._rng.sample(list(self.kinds), len(self.kinds))
        return self._waiting.pop()

    def _hold_down(self) -> None:
        self._mortal.kill(hold_down=True)
        self._pause(DOWN_S_MAX)
        self._mortal.release()

    def _stand_still(self) -> None:
        pid = self._mortal.pid
        os.kill(pid, signal.SIGSTOP)
        threading.Event().wait(self._rng.uniform(*PAUSED_S))
        os.kill(pid, signal.SIGCONT)

    def _restore(self) -> None:
        """In one step, and under whoever is connected; its replicas follow."""
        with self._servers.primary().client() as client:
            copy = client.eval(COPY, 0)
            threading.Event().wait(self._rng.uniform(*OLDER_S))
            client.eval(PUT_BACK, 0, *copy)

    def _fail_over(self, lost_s: float = 0.0) -> None:
        wait_for("another Redis is in step", self._servers.whole, 120)
        primary = self._servers.primary()
        if lost_s:
            primary.shut_out_replicas()
            threading.Event().wait(lost_s)
        primary.kill()
        self._pause(DOWN_S_MAX)
        self._servers.restart(primary)

    def _kill_broker(self) -> None:
        self._kafka.kill()
        self._pause(DOWN_S_MAX)
        self._kafka.start()

    def _toxic(self, name: str) -> Callable[[], None]:
        return lambda: suffer(self._proxy, name, self._rng.uniform(1.0, TOXIC_S_MAX))

    def _pause(self, seconds_max: float) -> None:
        threading.Event().wait(self._rng.uniform(0.0, seconds_max))
