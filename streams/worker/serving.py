"""An admitted worker: every part of it, built and wired, its tasks, and its end. Every option is explicit."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer

from engine.book.instant_batch import InstantEncoder
from engine.events.effects import Stream
from engine.marks.intake import PriceIntake
from engine.marks.mark_book import MarkBook
from engine.policy.timeline import PolicyTimeline, Ruling
from streams.contract.commit import Lane
from streams.kafka.fund_follower import FundFollower
from streams.kafka.group_removal import remove_members
from streams.kafka.kept_connections import keep_connected
from streams.observe.heat_map_gauges import HeatMapGauges
from streams.observe.loop_lag import measure_loop_lag
from streams.prices.operator_reader import OperatorReader
from streams.prices.price_desk import PriceDesk
from streams.prices.price_reader import PriceReader
from streams.prices.symbol_beliefs import SymbolBeliefs
from streams.shards.adl_rounds import AdlRounds
from streams.shards.crash import crash_only
from streams.shards.shards import Shards
from streams.store.belief_store import save_beliefs
from streams.store.signs_of_life import all_signs_of_life
from streams.store.unpaid_store import exchange_unpaid
from streams.worker.group_member import GroupMember
from streams.worker.open_transactions import OpenTransactions
from streams.worker.policy_switch import PolicySwitch
from streams.worker.readiness import STOPPING, not_ready
from streams.worker.room import Room
from streams.worker.shard_building import ShardBuilding
from streams.worker.stand_in import StandIn
from streams.worker.vigil import Vigil
from streams.worker.watchdog import Watchdog
from streams.worker.worker_loops import (
    as_owner,
    beats,
    clock,
    hand_on_instants,
    keep_saying_known,
    look_at_logs,
)

_log = structlog.get_logger()


class Serving:
    """One worker, or standby, from its admission to its end."""

    def __init__(
        self,
        room: Room,
        partitions: int,
        timeline: PolicyTimeline,
        ruling: Ruling,
        events: Mapping[Lane, AIOKafkaProducer],
        *,
        standby: bool,
    ) -> None:
        """Build every part; nothing runs before `run`. Of the timeline `ruling` is in force, and `events` are started, by lane."""
        self._room, self._partitions, self._events, self._standby = room, partitions, events, standby
        self._marks = MarkBook(ruling.policy)
        self._switch = PolicySwitch(timeline, ruling, room.follower, self._marks, room.metrics, room.gate.say)
        self._building = ShardBuilding(room, partitions, self._switch, self._marks, events, standby=standby)
        self._shards = self._built_shards()
        self._transactions = OpenTransactions(room.settings, list(room.topics.values()), room.metrics)
        self._watchdog = Watchdog(self._shards, room.settings, room.topics, room.metrics, self._transactions)
        self._beliefs = SymbolBeliefs(ruling.policy.price_symbols, self._marks)
        self._desk = self._built_desk()
        self._member = (
            StandIn(self._shards, self._desk, partitions)
            if standby
            else GroupMember(room.settings, room.topics, self._shards, self._desk, room.metrics)
        )
        self._price_reader = PriceReader(
            room.settings,
            self._member.wake,
            self._building.prices_ready,
            lambda: self._watchdog.beat("prices"),
            room.metrics,
        )
        self._building.attach(self._price_reader, self._member.wake_inputs)
        self._heat_map = self._built_heat_map()
        self._funds = FundFollower(room.settings, self._shards.quarantine)
        self._adl = self._built_adl()
        self._switch.attach(self._desk, self._shards, (self._heat_map, self._adl))

    async def run(self) -> None:
        """Serve until the worker is to stop, and come to an end."""
        room, settings = self._room, self._room.settings
        room.health.not_ready = lambda: not_ready(room.gate, self._shards, self._building.prices_ready)
        room.health.standing = lambda: "standby" if self._shards.only_follows else "ready"
        room.follower.quarantine = self._shards.quarantine
        self._watchdog.start()
        tasks = [asyncio.create_task(crash_only(body)(), name=name) for name, body in self._bodies().items()]
        await self._member.start(self._price_reader)
        _log.info(
            "worker_runs",
            worker=settings.worker_id,
            policy=self._switch.now.policy.digest,
            shards=self._partitions,
            standby=self._standby,
        )
        await room.stopping.wait()
        room.health.not_ready = lambda: STOPPING
        _log.info("worker_stops", worker=settings.worker_id)
        await self._shut_down(tasks)
        self._watchdog.stop()

    def _built_shards(self) -> Shards:
        room, building = self._room, self._building
        return Shards(
            building.build,
            self._marks,
            building.watch,
            room.metrics,
            building.turn,
            priced_until_ns=building.priced_until_ns,
            shutdown_seconds=room.settings.shutdown_seconds,
            rulings=self._switch,
        )

    def _built_desk(self) -> PriceDesk:
        room, policy = self._room, self._switch.now.policy
        return PriceDesk(
            PriceIntake(policy, self._marks),
            InstantEncoder(policy),
            topic=room.settings.topic_prices,
            quarantine_topic=room.settings.topic_quarantine,
            judge=self._shards.on_instants,
            quarantine=self._shards.quarantine,
            metrics=room.metrics,
            beliefs=self._beliefs,
            turn=self._building.turn,
            conflates=room.settings.marks_judged == "conflate",
            rulings=self._switch,
            traces=room.traces,
        )

    def _built_heat_map(self) -> HeatMapGauges:
        settings = self._room.settings
        return HeatMapGauges(
            lambda: self._shards.books,
            self._marks,
            self._switch.now.policy,
            self._room.metrics,
            moves=settings.heat_map_moves,
            symbols_named=settings.heat_map_symbols,
            every_seconds=settings.heat_map_seconds,
        )

    def _built_adl(self) -> AdlRounds:
        room = self._room
        return AdlRounds(
            self._shards,
            self._marks,
            self._switch.now.policy,
            room.metrics,
            funds=lambda: self._funds.funds,
            exchange=partial(exchange_unpaid, room.redis, room.settings.redis_prefix),
        )

    def _bodies(self) -> dict[str, Callable[[], Any]]:
        """What goes on until the worker stops, by the name of its task."""
        room, settings, shards = self._room, self._room.settings, self._shards
        save = as_owner(shards, partial(save_beliefs, room.redis, settings.redis_prefix))
        bodies: dict[str, Callable[[], Any]] = {
            "watchdog": self._watchdog.run,
            "open-transactions": self._transactions.run,
            "log-ends": self._building.log_ends.run,
            "prices": self._price_reader.run,
            "operators": OperatorReader(settings, shards.operate, shards.quarantine).run,
            "clock": clock(shards, self._watchdog),
            "beats": beats(shards),
            "logs": look_at_logs(shards),
            "loop-lag": lambda: measure_loop_lag(room.metrics),
            "heat-map": self._heat_map.run,
            "beliefs": lambda: self._beliefs.keep(save),
            "instants": hand_on_instants(self._desk, lambda: self._switch.now.policy),
            "funds": self._funds.run,
            "adl": self._adl.run,
            "format": keep_saying_known(room.redis, settings),
            "liquidations-producer": keep_connected(self._events[Lane.LIQUIDATIONS], [Stream.LIQUIDATIONS]),
            "events-producer": keep_connected(self._events[Lane.ORDINARY], [Stream.MARGIN_EVENTS]),
            "policy": self._stop_when_left,
        }
        return bodies if self._standby else {**bodies, "vigil": self._vigil().run}

    def _vigil(self) -> Vigil:
        settings = self._room.settings
        return Vigil(
            settings.worker_id,
            partial(all_signs_of_life, self._room.redis, settings.redis_prefix, self._partitions),
            partial(remove_members, settings),
            patience_seconds=settings.owner_silence_seconds,
        )

    async def _stop_when_left(self) -> None:
        """Where the others have come to a policy that this worker cannot judge by."""
        await self._room.gate.left(self._switch, self._building.turn)
        self._room.stopping.set()

    async def _shut_down(self, tasks: list[asyncio.Task[None]]) -> None:
        """Commit and publish what is in memory, tell Kafka how far, leave the group. Bounded: a kill is safe too."""

        async def end_tasks() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        within_seconds = self._room.settings.shutdown_seconds
        steps = {"shards": self._shards.stop, "tasks": end_tasks, "group": self._member.stop}
        steps |= {f"producer of {lane}": self._events[lane].stop for lane in Lane}
        under_way = ""
        try:
            async with asyncio.timeout(within_seconds):
                for step, end in steps.items():
                    under_way = step
                    await end()
        except TimeoutError:
            _log.warning("shutdown_unfinished", seconds=within_seconds, step=under_way)
