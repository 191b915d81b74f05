"""The bugs: where each is put into the source, and the test that must catch it."""

from typing import NamedTuple


class Bug(NamedTuple):
    """`search` occurs exactly once in `file`; `replace` takes its place; `test` fails then, and passes else."""

    name: str
    file: str
    search: str
    replace: str
    test: str


PROCESSOR_TESTS = "tests/system/test_processor_promises.py"
FAULT_TESTS = "tests/system/test_faults.py"
STORE_TESTS = "tests/streams/test_store.py"
RELAY_TESTS = "tests/streams/test_relay.py"
EPISODE_TESTS = "tests/engine/test_ladder_episode.py"
EXCHANGE_TESTS = "tests/streams/test_simulate.py"

BUGS = (
    Bug(
        name="records are acknowledged before their commit",
        file="streams/shard.py",
        search="""\
            try:
                for commit in map(merge, _bounded(parts)):
""",
        replace="""\
            for acknowledge in acknowledgements:
                acknowledge()
            acknowledgements = []
            try:
                for commit in map(merge, _bounded(parts)):
""",
        test=f"{FAULT_TESTS}::test_fill_when_redis_is_away_then_not_acknowledged_before_its_commit",
    ),
    Bug(
        name="an id that was applied is applied again",
        file="streams/processor.py",
        search="        if self._windows.knows(topic, account, message.input_id):\n",
        replace="        if not message.input_id:\n",
        test=f"{PROCESSOR_TESTS}::test_apply_when_an_id_comes_again_later_then_counted_and_not_applied",
    ),
    Bug(
        name="applied ids are forgotten at a restart",
        file="streams/processor.py",
        search="            and (topic, message.account) not in self._windows\n",
        replace="            and not message.account\n",
        test=f"{FAULT_TESTS}::test_fill_when_sent_again_far_apart_and_across_restarts_then_counts_once",
    ),
    Bug(
        name="a former owner may write",
        file="streams/lua/commit.lua",
        search="if fence ~= ARGV[1] or redis.call('HGET', KEYS[2], 'token') ~= ARGV[2] then\n",
        replace="if false then\n",
        test=f"{STORE_TESTS}::test_commit_when_another_owner_took_over_then_fence_lost_and_nothing_written",
    ),
    Bug(
        name="a commit repeated after a lost answer is applied twice",
        file="streams/lua/commit.lua",
        search="if stored == ARGV[4] then\n  return {'already'}\nend\nif stored ~= ARGV[3] then\n",
        replace="if false then\n",
        test=f"{STORE_TESTS}::test_commit_when_repeated_after_a_lost_answer_then_it_is_applied_once",
    ),
    Bug(
        name="the watermark is a write of its own",
        file="streams/store.py",
        search="            self._check(answer)\n            self._commits += 1\n",
        replace="""\
            self._check(answer)
            for topic, (_, new) in commit.advance.items():
                await self._redis.hset(keys.meta, WATERMARK + topic, new)
            self._commits += 1
""",
        test="tests/system/test_one_write.py::test_commit_when_it_carries_everything_then_it_is_one_command",
    ),
    Bug(
        name="an emptied Redis is taken for another owner, and the shard waits for ever",
        file="streams/lua/commit.lua",
        search="if not fence then\n  return {'rewound', 'nothing'}\nend\n",
        replace="",
        test=f"{STORE_TESTS}::test_commit_when_redis_was_emptied_then_rewound",
    ),
    Bug(
        name="a record that cannot be decoded is dropped",
        file="streams/processor.py",
        search="""\
        if isinstance(message, Rejection):
            self._refuse(topic, record, message, account_of_key(record.key), batch)
            return
""",
        replace="        if isinstance(message, Rejection):\n            return\n",
        test=f"{PROCESSOR_TESTS}::test_apply_when_a_record_is_no_input_then_quarantined_and_its_account_stopped",
    ),
    Bug(
        name="a quarantined record may be larger than Kafka takes",
        file="streams/quarantine.py",
        search="RECORD_BYTES_MAX = 1_000_000\n",
        replace="RECORD_BYTES_MAX = 100_000_000\n",
        test="tests/system/test_poison.py::test_record_when_far_larger_decompressed_then_cut_and_kept",
    ),
    Bug(
        name="a price that failed its checks moves accounts",
        file="engine/marks.py",
        search="""\
                if refusal is not None:
                    refused.append(refusal)
                    continue
""",
        replace="",
        test="tests/system/test_poison.py::test_mark_when_it_fails_a_check_then_counted_and_moves_no_account[jump]",
    ),
    Bug(
        name="an account is judged after a fill without waiting for the other topic",
        file="streams/shard.py",
        search="        self._add(outcome.commit)\n",
        replace="        self._add(outcome.commit, *self.processor.settle())\n",
        test="tests/system/test_order.py::test_fill_when_read_long_before_the_deposit_that_paid_for_it_then_nobody_is_called",
    ),
    Bug(
        name="event numbers are not durable",
        file="streams/processor.py",
        search="            risks[judgement.risk.account] = msgspec.json.encode(judgement.risk)\n",
        replace="""\
            unnumbered = AccountRisk(judgement.risk.account, judgement.risk.pools)
            risks[judgement.risk.account] = msgspec.json.encode(unnumbered)
""",
        test=f"{PROCESSOR_TESTS}::test_events_when_the_shard_is_taken_over_then_numbering_goes_on",
    ),
    Bug(
        name="the outbox is cut before Kafka has the events",
        file="streams/relay.py",
        search='        batches = await _until_it_works(self._next_batches, "preparing a round")\n',
        replace="""\
        batches = await _until_it_works(self._next_batches, "preparing a round")
        await self._store.published(sum(len(batch.entries) for batch in batches), {})
        self._store.published = lambda *_: asyncio.sleep(0)  # type: ignore[method-assign]
""",
        test=f"{RELAY_TESTS}::test_run_when_it_ends_between_publishing_and_cutting_then_the_next_owner_repeats_the_same_ids",
    ),
    Bug(
        name="what was published before Redis was emptied is said again under new ids",
        file="streams/shard.py",
        search='                    newest.add(_event_decoder.decode(record.value or b""))\n',
        replace="                    pass\n",
        test=f"{FAULT_TESTS}::test_redis_when_emptied_then_the_worker_rebuilds_it_from_the_log",
    ),
    Bug(
        name="of two streams the one adopted last wins, whenever it was said",
        file="streams/newest.py",
        search="        if before is None or before.stream is event.stream or _age(event) >= _age(before):\n",
        replace="        if before is None or _age(event):\n",
        test=f"{PROCESSOR_TESTS}::test_adopt_when_both_streams_tell_of_one_pool_then_the_latest_event_counts",
    ),
    Bug(
        name="a shard starts from nothing although the log's beginning is gone",
        file="streams/shard.py",
        search="        if start < begin:\n",
        replace="        if start < 0:\n",
        test=f"{FAULT_TESTS}::test_log_when_trimmed_below_what_redis_needs_then_the_shard_stops_visibly",
    ),
    Bug(
        name="an episode is looked at on every mark, whatever the event time",
        file="engine/ladder/episode.py",
        search="    elif after.exit_since_ns is None and _check_due(before, facts.now_ns, policy):\n",
        replace="    elif after.exit_since_ns is None:\n",
        test=f"{EPISODE_TESTS}::test_events_when_a_price_straddles_a_line_ten_thousand_times_then_their_number_is_bounded_by_time",
    ),
    Bug(
        name="a new plan keeps the inputs that the first one was computed from",
        file="engine/ladder/episode.py",
        search="            liquidation_id, facts.fills, facts.ledger, facts.shortfall,",
        replace="            liquidation_id, (last or facts).fills, (last or facts).ledger, facts.shortfall,",
        test=f"{EPISODE_TESTS}::test_request_when_inputs_moved_on_then_a_new_plan_replaces_the_old_one_at_the_next_check",
    ),
    Bug(
        name="a new plan does not say which one it replaces",
        file="engine/judgement.py",
        search="liquidation_id=asked, replaces=running, plan=plan)",
        replace="liquidation_id=asked, plan=plan)",
        test=f"{EPISODE_TESTS}::test_request_when_prices_moved_then_a_new_plan_replaces_the_old_one",
    ),
    Bug(
        name="progress is told again at every judgement",
        file="engine/ladder/episode.py",
        search="        told = _replace(after.request, execution=facts.execution, progress_ns",
        replace="        told = _replace(after.request, progress_ns",
        test=f"{EPISODE_TESTS}::test_progress_when_fills_name_the_liquidation_then_it_is_said_with_what_they_did",
    ),
    Bug(
        name="an expired call does not keep the account",
        file="engine/ladder/bands.py",
        search="    if not state.expired or SEVERITY[band] < SEVERITY[Band.MARGIN_CALL]:\n",
        replace="    if state.band:\n",
        test=f"{EPISODE_TESTS}::test_call_when_it_expires_and_the_policy_acts_on_it_then_the_account_is_kept_there_until_the_call_is_met",
    ),
    Bug(
        name="fills of an isolated liquidation count for the cross pool",
        file="engine/executions.py",
        search='    pool = "" if fill.margin_mode is MarginMode.CROSS else position_key(fill.symbol, fill.leg)\n',
        replace='    pool = ""\n',
        test="tests/engine/test_executions.py::test_fill_when_its_position_is_isolated_then_it_counts_for_that_pool_alone",
    ),
    Bug(
        name="the exchange executes a plan that does not know the account's newest input",
        file="streams/simulate/liquidations.py",
        search="        if self._desk.fence.passed_by(event.account, event.inputs.fills, event.inputs.ledger):\n",
        replace="        if event.inputs.fills < -1:\n",
        test=f"{EXCHANGE_TESTS}::test_an_exchange_when_its_answers_do_not_come_then_executes_nothing_on_what_it_does_not_know",
    ),
    Bug(
        name="every plan of a pool goes by the id of the first",
        file="engine/judgement.py",
        search="        asked = sequences.get(Stream.LIQUIDATIONS, 0) + 1 + place\n",
        replace="        asked = 1 + place\n",
        test=f"{EPISODE_TESTS}::test_request_when_nobody_executes_then_it_fails_and_is_asked_for_anew",
    ),
)
