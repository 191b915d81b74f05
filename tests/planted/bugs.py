"""The bugs: where each is put into the source, and the test that must catch it."""

from typing import NamedTuple


class Bug(NamedTuple):
    """`search` occurs exactly once in `file`; `replace` takes its place; `test` fails then, and passes else."""

    name: str
    file: str
    search: str
    replace: str
    test: str


SIMULATION_TESTS = "tests/simulation/test_simulation.py"
MOVE_TESTS = "tests/engine/book/test_market_moves.py"
PROCESSOR_TESTS = "tests/system/test_processor_promises.py"
REWIND_TESTS = "tests/system/test_rewind.py"
IDS_TESTS = "tests/streams/shards/test_input_ids.py"
FAULT_TESTS = "tests/system/test_faults.py"
STORE_TESTS = "tests/streams/store/test_store.py"
READ_BACK_TESTS = "tests/streams/shards/test_read_back.py"
STAND_IN_TESTS = "tests/streams/store/test_stand_ins.py"
FOLLOWER_TESTS = "tests/streams/store/test_shard_follower.py"
RESERVES_TESTS = "tests/streams/cli/test_cli_doctor_reserves.py"
STANDBY_TESTS = "tests/system/test_standby.py"
RELAY_TESTS = "tests/streams/outbox/test_relay.py"
EPISODE_TESTS = "tests/engine/ladder/test_ladder_episode.py"
ADL_TESTS = "tests/system/test_adl_live.py"
ERROR_TESTS = "tests/streams/shards/test_processor_errors.py"
START_TESTS = "tests/system/test_worker_start.py"
TIMELINE_TESTS = "tests/engine/policy/test_timeline.py"
OPERATOR_TESTS = "tests/streams/shards/test_processor_operator.py"
POLICY_TESTS = "tests/streams/shards/test_processor_policy.py"
BOARD_FILE_TESTS = "tests/streams/desk/board/test_board_files.py"
AMOUNT_TESTS = "tests/streams/desk/board/test_board_amounts.py"
CASCADE_TESTS = "tests/streams/desk/test_cascade_totals.py"
COURSE_TESTS = "tests/streams/desk/test_book_course.py"
DAY_TESTS = "tests/streams/replay/test_day_recording.py"
BOARD_TESTS = "tests/streams/desk/board/test_board_page.py"
CONNECTION_TESTS = "tests/streams/config/test_connection_settings.py"
CREDENTIALS_TESTS = "tests/streams/worker/test_group_credentials.py"
SECURE_TESTS = "tests/system/test_secure_worker.py"
RIGHTS_TESTS = "tests/system/test_kafka_acls.py"
FORMAT_TESTS = "tests/streams/store/test_store_format.py"
REBUILD_TESTS = "tests/streams/shards/test_rebuilding.py"
SEND_TESTS = "tests/streams/cli/test_cli_send.py"
BOARD_FOCUS_TESTS = "tests/streams/desk/board/test_board_focus.py"
EQUIVALENCE_TESTS = "tests/engine/book/test_book_equivalence.py"
BOX_TESTS = "tests/engine/book/test_book_boxes.py"
PLAN_END_TESTS = "tests/engine/liquidation/test_liquidation_ends.py"
BREAKER_TESTS = "tests/engine/book/test_book_breaker.py"
EXCHANGE_TESTS = "tests/streams/exchange/test_simulate.py"

BUGS = (
    Bug(
        name="a broker that does not tell how many copies acknowledge a record is taken to have told one",
        file="streams/cli/doctor/doctor_reserves.py",
        search="configs.get(name, {}).get(LEAST)",
        replace='configs.get(name, {}).get(LEAST, "1")',
        test=f"{RESERVES_TESTS}::test_copies_when_the_broker_does_not_tell_the_configuration_then_not_known_and_which_right_lacks",
    ),
    Bug(
        name="the memory of one node of a cluster, whichever, is taken for that of all",
        file="streams/cli/doctor/doctor_redis.py",
        search="*await _of_each(client, examine_memory)",
        replace="*await examine_memory(client)",
        test=f"{STAND_IN_TESTS}::test_doctor_when_one_of_the_primaries_is_nearly_full_then_that_one_is_named",
    ),
    Bug(
        name="what stands for a host and is a whole login, percent-encoded, is taken and said",
        file="streams/config/host_port.py",
        search="(?P<name>[A-Za-z0-9._-]+)",
        replace="(?P<name>[A-Za-z0-9._%-]+)",
        test=f"{CONNECTION_TESTS}::test_settings_when_unsafe_or_impossible_together_then_refused_with_a_code_and_no_secret",
    ),
    Bug(
        name="an account is judged on the part of a market move that was believed at once",
        file="engine/events/judgement.py",
        search="        if figures.waits:\n",
        replace="        if False:\n",
        test=f"{MOVE_TESTS}::test_hedged_account_when_one_leg_of_a_move_has_to_be_confirmed_then_nothing_is_said",
    ),
    Bug(
        name="a quote that is never believed keeps accounts from being judged",
        file="engine/marks/waiting_quotes.py",
        search="> WAITS_NS})",
        replace="> 10**30})",
        test=f"{MOVE_TESTS}::test_account_when_a_symbol_flickers_then_it_is_judged_all_the_same",
    ),
    Bug(
        name="a quote that waits is forgotten only with the next instant",
        file="engine/marks/mark_book.py",
        search="        self._aged = aged\n        self._waiting.pass_time(self.time_ns)\n",
        replace="        self._aged = aged\n",
        test=f"{MOVE_TESTS}::test_account_when_a_quote_is_neither_confirmed_nor_taken_back_then_it_is_judged_all_the_same",
    ),
    Bug(
        name="a worker that ends looks for reasons to its end",
        file="streams/shards/shard.py",
        search="for task in (*self._tasks[:1], self._explaining, self._reading):",
        replace="for task in (*self._tasks[:1], self._reading):",
        test=f"{SIMULATION_TESTS}::test_life_when_workers_end_in_order_then_they_leave_nothing_unpublished",
    ),
    Bug(
        name="inputs that a copy of an account has are applied again",
        file="streams/shards/input_booking.py",
        search="        return state is not None and offset <= state.progress(topic).offset\n",
        replace="        return state is None\n",
        test=f"{REBUILD_TESTS}::test_rebuild_when_copies_are_of_many_moments_then_what_was_there_before_to_the_byte",
    ),
    Bug(
        name="who was changed by the owner before is not copied",
        file="streams/shards/account_copies.py",
        search="    return any(progress.offset >= offset or progress.stop is not None for progress, offset in places)\n",
        replace="    return not places\n",
        test="tests/streams/shards/test_copy_sweeps.py::"
        "test_sweep_when_another_owner_makes_it_then_who_has_changed_since_is_copied_and_all_can_be_rebuilt",
    ),
    Bug(
        name="a shard is rebuilt from copies without some of their ids",
        file="streams/shards/rebuilding.py",
        search="            if there != counted:\n",
        replace="            if there and not counted:\n",
        test=f"{REBUILD_TESTS}::test_rebuild_when_copies_or_logs_are_not_what_they_were_then_stopped_and_nothing_written",
    ),
    Bug(
        name="an offset of a log before this one passes for one of this",
        file="streams/shards/rebuilding.py",
        search="        if progress.offset >= covered and progress.remembered is not None:\n",
        replace="        if progress.offset < -1:\n",
        test=f"{REBUILD_TESTS}::test_rebuild_when_an_account_was_last_moved_by_a_log_before_this_one_then_its_next_input_counts",
    ),
    Bug(
        name="a newer edition raises the format at its first take-over",
        file="streams/store/lua/take_over.lua",
        search="if not format or tonumber(format) < tonumber(ARGV[6]) then\n  format = ARGV[6]\n",
        replace="if not format or tonumber(format) < tonumber(ARGV[5]) then\n  format = ARGV[5]\n",
        test=f"{FORMAT_TESTS}::test_take_over_when_a_newer_edition_does_then_it_writes_what_is_in_force_until_that_is_raised",
    ),
    Bug(
        name="a log may have lost what comes after the copies",
        file="streams/shards/rebuilding.py",
        search="                of_copies.check_begins(await self._begins(log), offsets)\n",
        replace="                pass\n",
        test=f"{REBUILD_TESTS}::test_rebuild_when_copies_or_logs_are_not_what_they_were_then_stopped_and_nothing_written",
    ),
    Bug(
        name="records are acknowledged before their commit",
        file="streams/shards/committing.py",
        search="""\
            try:
                if commit:
""",
        replace="""\
            for acknowledge in self._queue.committed():
                acknowledge()
            try:
                if commit:
""",
        test=f"{FAULT_TESTS}::test_fill_when_redis_is_away_then_not_acknowledged_before_its_commit",
    ),
    Bug(
        name="an id that was applied is applied again",
        file="streams/shards/input_ids.py",
        search="        return Duplicate(message.input_id) if same else contradiction(message)\n",
        replace="        return None if same else contradiction(message)\n",
        test=f"{PROCESSOR_TESTS}::test_apply_when_an_id_comes_again_later_then_counted_and_not_applied",
    ),
    Bug(
        name="applied ids are forgotten at a restart",
        file="streams/shards/input_ids.py",
        search="            if among and goes_by_id(progress, message):\n",
        replace="            if not message.account:\n",
        test=f"{FAULT_TESTS}::test_fill_when_sent_again_far_apart_and_across_restarts_then_counts_once",
    ),
    Bug(
        name="a known id with other content passes for a duplicate",
        file="streams/shards/input_ids.py",
        search="        same = known.said in (SAID_UNKNOWN, digest_of(message))\n",
        replace="        same = bool(known)\n",
        test=f"{IDS_TESTS}::test_id_when_its_two_inputs_come_in_one_batch_then_a_contradiction_too",
    ),
    Bug(
        name="an input older than what is forgotten is applied",
        file="engine/ledger/applying.py",
        search="        verdict = too_late(progress, message)\n",
        replace="        verdict = None\n",
        test=f"{IDS_TESTS}::test_input_when_older_than_what_is_forgotten_then_refused_as_too_late",
    ),
    Bug(
        name="an id that becomes durable while the store is asked is forgotten",
        file="streams/shards/input_ids.py",
        search="        self._stored_to[topic] = to\n",
        replace="        self._stored_to[topic] = to\n        self._forget_stored(topic)\n",
        test=f"{IDS_TESTS}::test_duplicate_when_the_first_becomes_durable_after_the_store_was_asked_then_found",
    ),
    Bug(
        name="orders that ended stay in the store",
        file="streams/store/lua/commit.lua",
        search="  write_part('HDEL', key, part - 1)\n",
        replace="",
        test="tests/streams/store/test_stored_orders.py::test_orders_when_read_in_any_way_then_those_of_the_newest_commit",
    ),
    Bug(
        name="a former owner may write",
        file="streams/store/lua/owned.lua",
        search="if fence ~= ARGV[1] or redis.call('HGET', KEYS[2], 'token') ~= ARGV[2] then\n",
        replace="if false then\n",
        test=f"{STORE_TESTS}::test_commit_when_another_owner_took_over_then_fence_lost_and_nothing_written",
    ),
    Bug(
        name="a commit repeated after a lost answer is applied twice",
        file="streams/store/lua/commit.lua",
        search="if stored == ARGV[4] then\n  return {'already'}\nend\nif stored ~= ARGV[3] then\n",
        replace="if false then\n",
        test=f"{STORE_TESTS}::test_commit_when_repeated_after_a_lost_answer_then_it_is_applied_once",
    ),
    Bug(
        name="the watermark is a write of its own",
        file="streams/store/shard_store.py",
        search="            self._ownership.check(answer)\n            self._ownership.commits += 1\n",
        replace="""\
            self._ownership.check(answer)
            for topic, (_, new) in commit.advance.items():
                await self._redis.hset(self._keys.meta, "watermark:" + topic, new)
            self._ownership.commits += 1
""",
        test="tests/system/test_one_write.py::test_commit_when_it_carries_everything_then_it_is_one_command",
    ),
    Bug(
        name="a detail overtakes its verdict",
        file="streams/outbox/relay.py",
        search="            await self._ahead.said()\n",
        replace="            pass\n",
        test="tests/streams/outbox/test_relays.py"
        "::test_run_when_a_liquidation_of_the_same_commit_waits_then_nothing_that_is_only_to_be_known_overtakes_it",
    ),
    Bug(
        name="what one topic has lost of what the other tells stays unsaid",
        file="streams/shards/newest.py",
        search="                words += lost_words(event, before, number + len(words), policy)\n",
        replace="",
        test=f"{PROCESSOR_TESTS}"
        "::test_adopt_when_the_log_ends_with_an_old_event_and_a_new_one_of_the_other_stream_then_no_number_goes_back",
    ),
    Bug(
        name="a clock tells which of two topics is ahead",
        file="streams/shards/newest.py",
        search="        if not (self.other_sequence or other.other_sequence):\n",
        replace="        if self.stream is not other.stream:\n",
        test="tests/streams/shards/test_read_back.py::test_conclude_when_a_clock_was_set_back_between_both_topics"
        "_then_their_numbers_tell_which_event_is_newer[True]",
    ),
    Bug(
        name="an owner that was never heard counts as gone",
        file="streams/worker/vigil.py",
        search="            and all(it.was_heard and it.silence.seconds",
        replace="            and all(it.silence.seconds",
        test="tests/streams/worker/test_vigil.py"
        "::test_gone_when_an_owner_was_never_heard_then_its_silence_says_nothing",
    ),
    Bug(
        name="an owner that is silent in one of its shards counts as gone",
        file="streams/worker/vigil.py",
        search="            and all(it.was_heard and it.silence.seconds",
        replace="            and any(it.was_heard and it.silence.seconds",
        test="tests/streams/worker/test_vigil.py::test_gone_when_one_of_its_shards_still_beats_then_it_lives",
    ),
    Bug(
        name="an emptied Redis is taken for another owner, and the shard waits for ever",
        file="streams/store/lua/owned.lua",
        search="if not fence then\n  return {'rewound', 'nothing'}\nend\n",
        replace="",
        test=f"{STORE_TESTS}::test_commit_when_redis_was_emptied_then_rewound",
    ),
    Bug(
        name="a record that cannot be decoded is dropped",
        file="streams/shards/input_batch.py",
        search="""\
        if isinstance(message, Rejection):
            self._set_aside(record, message)
            for named in self._concerned(record, message):
                self._stop_topic(named, record, message)
            return
""",
        replace="        if isinstance(message, Rejection):\n            return\n",
        test=f"{PROCESSOR_TESTS}::test_apply_when_a_record_is_no_input_then_quarantined_and_its_account_stopped",
    ),
    Bug(
        name="a quarantined record may be larger than Kafka takes",
        file="streams/contract/quarantine_record.py",
        search="RECORD_BYTES_MAX = 1_000_000\n",
        replace="RECORD_BYTES_MAX = 100_000_000\n",
        test="tests/system/test_poison.py::test_record_when_far_larger_decompressed_then_cut_and_kept",
    ),
    Bug(
        name="a price that failed its checks moves accounts",
        file="engine/marks/mark_book.py",
        search="        if refusal is not None:\n            refused.append(refusal)\n",
        replace="        if False:\n            refused.append(refusal)\n",
        test="tests/system/test_poison.py::test_mark_when_it_fails_a_check_then_counted_and_moves_no_account[jump]",
    ),
    Bug(
        name="only the first price of an instant is set",
        file="engine/marks/mark_book.py",
        search="        return Instant(marks, name, told, told_waiting), refused\n",
        replace="        return Instant(marks[:1], name, told, told_waiting), refused\n",
        test="tests/engine/book/test_market_moves.py::"
        "test_hedged_account_when_both_legs_fall_in_one_record_then_nothing_is_said[PlainBook]",
    ),
    Bug(
        name="a silent feed is judged like any other",
        file="streams/shards/price_watch.py",
        search="""\
            for processor in running:
                processor.stop_judging()
            return
""",
        replace="            pass\n",
        test="tests/streams/shards/test_price_watch.py::test_feed_when_no_price_comes_then_that_is_said_once_and_nobody_is_judged",
    ),
    Bug(
        name="dust that is owed makes an account bankrupt",
        file="engine/margin/dust.py",
        search=" if abs(amount) > assets[asset].dust}",
        replace="}",
        test="tests/engine/book/test_market_moves.py::test_account_when_all_it_owes_is_dust_then_it_is_well[PlainBook]",
    ),
    Bug(
        name="a verdict on its way out of a band is not asked again",
        file="engine/events/judgement.py",
        search="        if figures.doubted and after.band is not before.band:\n",
        replace="        if not pools:\n",
        test="tests/engine/events/test_event_content.py::"
        "test_judge_when_a_pool_leaves_its_band_under_doubt_then_judging_again_says_nothing_else",
    ),
    Bug(
        name="marks of one moment confirm a jump",
        file="engine/marks/trail.py",
        search="            mark.time_ns - jump.time_ns >= rule.spacing_ns\n",
        replace="            mark.time_ns >= jump.time_ns\n",
        test="tests/engine/marks/test_jumps.py::test_jump_when_marks_that_agree_are_not_apart_in_time_then_they_confirm_nothing",
    ),
    Bug(
        name="a price reader that failed goes on at the end of the log",
        file="streams/prices/price_reader.py",
        search="            self._next[place.partition] = at\n",
        replace="            at = self._next[place.partition] = ends[place]\n",
        test="tests/streams/prices/test_price_reader.py::"
        "test_reader_when_the_broker_goes_away_then_not_ready_and_back_by_itself_with_nothing_missed_or_twice",
    ),
    Bug(
        name="an account is judged after a fill without waiting for the other topic",
        file="streams/shards/input_steps.py",
        search="        self._queue.add([outcome.commit])\n",
        replace="        self._queue.add([outcome.commit, *(it for parts in self.processor.settle() for it in parts)])\n",
        test="tests/system/test_order.py::test_fill_when_read_long_before_the_deposit_that_paid_for_it_then_nobody_is_called",
    ),
    Bug(
        name="a liquidation overtakes what was said of its account before",
        file="streams/shards/commit_queue.py",
        search="        self._put_first(_joined([*waited, queued]))\n",
        replace="        self._put_first(queued)\n        self.add(it.part for it in waited)\n",
        test="tests/streams/shards/test_commit_queue.py::"
        "test_next_when_parts_come_in_any_order_then_per_account_nothing_is_overtaken",
    ),
    Bug(
        name="liquidations wait behind all else in the outbox",
        file="streams/contract/commit.py",
        search="Lane.LIQUIDATIONS if self.topic == Stream.LIQUIDATIONS else Lane.ORDINARY",
        replace="Lane.ORDINARY",
        test="tests/streams/outbox/test_relays.py::"
        "test_liquidation_when_ten_thousand_updates_wait_at_every_station_then_it_overtakes_them_all",
    ),
    Bug(
        name="liquidations are said before the breaker was asked about all of them",
        file="engine/book/hearing.py",
        search="                self._waits = True\n",
        replace="                self._waits = False\n",
        test="tests/engine/book/test_book_slices.py::"
        "test_breaker_when_a_crowd_opens_it_then_no_slice_has_a_liquidation_and_it_is_open_before_the_first",
    ),
    Bug(
        name="an expired call condemns without having been counted",
        file="engine/book/urgency.py",
        search="    return kept if over else worst\n",
        replace="    return worst if over else worst\n",
        test="tests/engine/book/test_book_slices.py::"
        "test_heading_when_a_call_has_run_out_then_the_band_that_it_leads_to",
    ),
    Bug(
        name="prices are believed while accounts are still judged at those before",
        file="streams/prices/price_desk.py",
        search="        async with self._turn:\n            received_ns = time.time_ns()\n",
        replace="        if records:\n            received_ns = time.time_ns()\n",
        test="tests/streams/prices/test_price_desk.py::"
        "test_desk_when_a_batch_comes_while_another_is_judged_then_it_waits_for_its_turn",
    ),
    Bug(
        name="what waits for its commit is as old as what joined it last",
        file="streams/shards/commit_queue.py",
        search="merge([it.part for it in queued]), queued[0].since_s)",
        replace="merge([it.part for it in queued]), queued[-1].since_s)",
        test="tests/streams/shards/test_commit_queue.py::"
        "test_next_when_parts_of_an_account_waited_together_then_the_commit_is_as_old_as_the_first",
    ),
    Bug(
        name="an event does not name the span that it comes from",
        file="streams/shards/judging.py",
        search="        self._queue.add(self._traces.stamped(parts))\n",
        replace="        self._queue.add(parts)\n",
        test="tests/system/test_traces.py::"
        "test_traces_when_asked_for_then_an_event_names_the_span_that_judged_and_its_commit_and_publication_go_on_with_it",
    ),
    Bug(
        name="a worker that was told to stop says that it is ready",
        file="streams/worker/serving.py",
        search="        room.health.not_ready = lambda: STOPPING\n",
        replace="",
        test="tests/streams/worker/test_draining.py::"
        "test_readiness_when_a_worker_drains_then_503_says_so_until_it_has_ended",
    ),
    Bug(
        name="event numbers are not durable",
        file="streams/shards/processor.py",
        search="            risks={risk.account: msgspec.json.encode(risk)},\n",
        replace="            risks={risk.account: msgspec.json.encode(AccountRisk(risk.account, risk.pools))},\n",
        test=f"{PROCESSOR_TESTS}::test_events_when_the_shard_is_taken_over_then_numbering_goes_on",
    ),
    Bug(
        name="the outbox is cut before Kafka has the events",
        file="streams/outbox/relay.py",
        search='        batches = await _until_it_works(self._next_batches, "preparing a round")\n',
        replace="""\
        batches = await _until_it_works(self._next_batches, "preparing a round")
        await self._store.published(self._lane, sum(len(batch.entries) for batch in batches), {})
        self._store.published = lambda *_: asyncio.sleep(0)  # type: ignore[method-assign]
""",
        test=f"{RELAY_TESTS}::test_run_when_it_ends_between_publishing_and_cutting_then_the_next_owner_repeats_the_same_ids",
    ),
    Bug(
        name="what was published before Redis was emptied is said again under new ids",
        file="streams/shards/read_back.py",
        search="            self.newest.add(event)\n            name",
        replace="            name",
        test=f"{FAULT_TESTS}::test_redis_when_emptied_then_the_worker_rebuilds_it_from_the_log",
    ),
    Bug(
        name="what was inherited is published before what was published is adopted",
        file="streams/outbox/relay.py",
        search="            await self._licence.given()\n",
        replace="",
        test=f"{REWIND_TESTS}::test_ids_when_redis_is_rewound_to_before_an_earlier_rewind_and_two_owners_take_over_then_one_meaning",
    ),
    Bug(
        name="the broker takes what an owner from before a rewind sends late",
        file="streams/outbox/licence.py",
        search="        if self._epoch is not None:\n",
        replace="        if self._epoch is not None and self._sequences is None:\n",
        test=f"{REWIND_TESTS}::test_relay_when_its_owner_was_paused_while_redis_was_rewound_then_it_publishes_nothing",
    ),
    Bug(
        name="a rewound Redis is taken for another owner",
        file="streams/store/shard_ownership.py",
        search="                if int(details[0]) < self._taken_ms:\n",
        replace="                if int(details[0]) < 0:\n",
        test=f"{STORE_TESTS}::test_beat_when_redis_was_rewound_to_another_owner_then_told_from_a_take_over",
    ),
    Bug(
        name="a mark from the store is stale until the clock ticks",
        file="engine/marks/mark_book.py",
        search="        self._stale, self._aged = aged_with(self._stale, self._aged, mark.symbol, doubt)\n        self._hold",
        replace="        self._hold",
        test="tests/engine/marks/test_marks.py::test_prime_when_the_mark_is_fresh_at_the_books_time_then_not_stale_until_it_is",
    ),
    Bug(
        name="whoever takes a shard over does not know which deleveraging risks were said",
        file="streams/shards/taking_over.py",
        search="            self.processor.adl.load({} if image.adl is None else _adl_decoder.decode(image.adl))\n",
        replace="",
        test=f"{ADL_TESTS}::test_risk_when_an_account_owes_more_than_the_fund_has_then_told_once_and_over_when_the_fund_is_filled",
    ),
    Bug(
        name="of two streams the one adopted last wins, whenever it was said",
        file="streams/shards/newest.py",
        search="        if before is None or told.follows(before):\n",
        replace="        if before is None or told.age:\n",
        test=f"{PROCESSOR_TESTS}::test_adopt_when_both_streams_tell_of_one_pool_then_the_latest_event_counts",
    ),
    Bug(
        name="a shard starts from nothing although the log's beginning is gone",
        file="streams/shards/log_memory.py",
        search="            if watermarks[topic] < begin:\n",
        replace="            if watermarks[topic] < 0:\n",
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
        search="        liquidation_id, facts.fills, facts.ledger, facts.shortfall,",
        replace="        liquidation_id, (last or facts).fills, (last or facts).ledger, facts.shortfall,",
        test=f"{EPISODE_TESTS}::test_request_when_inputs_moved_on_then_a_new_plan_replaces_the_old_one_at_the_next_check",
    ),
    Bug(
        name="a new plan does not say which one it replaces",
        file="engine/events/reasons.py",
        search="liquidation_id=liquidation_id, replaces=event.liquidation_id, plan=plan)",
        replace="liquidation_id=liquidation_id, plan=plan)",
        test=f"{EPISODE_TESTS}::test_request_when_prices_moved_then_a_new_plan_replaces_the_old_one",
    ),
    Bug(
        name="progress is told again at every judgement",
        file="engine/ladder/episode.py",
        search="        request = _replace(request, execution=facts.execution, progress_ns",
        replace="        request = _replace(request, progress_ns",
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
        file="engine/ledger/executions.py",
        search='    pool = "" if fill.margin_mode is MarginMode.CROSS else position_key(fill.symbol, fill.leg)\n',
        replace='    pool = ""\n',
        test="tests/engine/ledger/test_executions.py::test_fill_when_its_position_is_isolated_then_it_counts_for_that_pool_alone",
    ),
    Bug(
        name="the exchange executes a plan that does not know the account's newest input",
        file="streams/exchange/clearing/executing.py",
        search="        if self._desk.fence.passed_by(event.account, event.inputs.fills, event.inputs.ledger):\n",
        replace="        if event.inputs.fills < -1:\n",
        test=f"{EXCHANGE_TESTS}::test_an_exchange_when_its_answers_do_not_come_then_executes_nothing_on_what_it_does_not_know",
    ),
    Bug(
        name="every plan of a pool goes by the id of the first",
        file="engine/events/reasons.py",
        search="""    liquidation_id = f"{risk.account}/{situation.pool or 'cross'}/{number}"\n""",
        replace="""    liquidation_id = f"{risk.account}/{situation.pool or 'cross'}/1"\n""",
        test=f"{EPISODE_TESTS}::test_request_when_nobody_executes_then_it_fails_and_is_asked_for_anew",
    ),
    Bug(
        name="plans that were due when a worker was killed are forgotten by the next owner",
        file="engine/book/columnar_book.py",
        search="            self._remember(number, risk)\n        stopped",
        replace="""\
            self._risks[number] = risk
            self._timers.hold(number, self._encoder.due_ns(risk))
        stopped""",
        test="tests/system/test_reasons_kill.py::test_plans_when_killed_behind_the_verdict_then_each_comes_once_under_one_identity",
    ),
    Bug(
        name="a follower takes another history for the continuation of its own",
        file="streams/store/shard_follower.py",
        search="""                if fields[b"from"].decode() != owner:\n""",
        replace="                if False:\n",
        test=f"{FOLLOWER_TESTS}::test_follow_when_redis_was_rewound_and_the_numbers_came_again_then_the_trail_is_lost",
    ),
    Bug(
        name="a standby takes a shard that somebody else has taken meanwhile",
        file="streams/store/lua/take_over.lua",
        search="if ARGV[7] and before ~= ARGV[7] then\n",
        replace="if false then\n",
        test=f"{FOLLOWER_TESTS}::test_take_over_from_when_somebody_else_was_faster_then_nothing_is_taken",
    ),
    Bug(
        name="an aborted transaction counts",
        file="streams/kafka/clients.py",
        search='            **{"isolation_level": "read_committed", **options},\n',
        replace="            **options,\n",
        test="tests/system/test_transactions.py::"
        "test_fills_when_one_transaction_is_aborted_then_the_others_count_live_and_rebuilt_from_the_log",
    ),
    Bug(
        name="a stranger's open transaction hides what was published behind it",
        file="streams/kafka/log_reader.py",
        search='        options["isolation_level"] = "read_uncommitted"\n',
        replace='        options["isolation_level"] = "read_committed"\n',
        test=f"{REWIND_TESTS}::"
        "test_take_over_when_a_stranger_keeps_a_transaction_open_then_what_we_published_behind_it_is_read_back",
    ),
    Bug(
        name="a version of the policy that is no text ends every worker",
        file="streams/contract/policy_version.py",
        search="    except UNREADABLE:\n        return policy\n",
        replace="    except msgspec.MsgspecError:\n        return policy\n",
        test="tests/streams/contract/test_unreadable_bytes.py::"
        "test_reader_when_bytes_are_broken_in_any_way_then_it_tells_so_in_its_own_way",
    ),
    Bug(
        name="a worker joins the group though a shard has no partition to say its events in",
        file="streams/worker/proving.py",
        search=" for stream in Stream if every[stream] < saying}",
        replace=" for stream in Stream if not every[stream]}",
        test=f"{START_TESTS}::test_worker_when_it_could_not_say_what_it_judges_then_named_and_no_member",
    ),
    Bug(
        name="a broken copy stops a shard though its logs are whole",
        file="streams/shards/rebuilding.py",
        search="            raise _NotWhole(said)\n",
        replace="            raise ShardStopped(said)\n",
        test=f"{REBUILD_TESTS}::test_rebuild_when_a_copy_is_broken_and_the_logs_are_whole_then_it_is_theirs_to_tell",
    ),
    Bug(
        name="a state that cannot be stored ends every owner of its shard",
        file="streams/shards/input_batch.py",
        search="                self._take_back(account, error)\n",
        replace="                raise error\n",
        test=f"{ERROR_TESTS}::"
        "test_input_when_what_goes_round_applying_it_raises_then_taken_back_and_its_account_stopped_and_applied_once_later",
    ),
    Bug(
        name="what was taken back counts as applied when it is sent again",
        file="streams/shards/input_batch.py",
        search="        self._inputs.ids.take_back(self._topic, account, self._ids.pop(account, []))\n",
        replace="        self._ids.pop(account, [])\n",
        test=f"{ERROR_TESTS}::"
        "test_input_when_what_goes_round_applying_it_raises_then_taken_back_and_its_account_stopped_and_applied_once_later",
    ),
    Bug(
        name="an id that the store could not be asked for ends every owner of its shard",
        file="streams/shards/input_ids.py",
        search="                self._unasked[topic][account, message.input_id] = error\n",
        replace="                raise error\n",
        test=f"{ERROR_TESTS}::"
        "test_input_when_what_goes_round_applying_it_raises_then_taken_back_and_its_account_stopped_and_applied_once_later",
    ),
    Bug(
        name="offsets that hold no record are waited for without end",
        file="streams/shards/input_steps.py",
        search="            elif self._reader.passed(topic, end):\n",
        replace="            elif False:\n",
        test="tests/system/test_transactions.py::"
        "test_partition_when_it_ends_with_markers_or_aborted_records_then_nothing_lags_and_nobody_exits",
    ),
    Bug(
        name="records are applied before it is known which topic they came from",
        file="streams/shards/input_reader.py",
        search="        while handed and len(taken) < count_max and handed[0].read_s < read_before_s:\n",
        replace="        while handed and len(taken) < count_max:\n",
        test="tests/streams/shards/test_input_reader.py::"
        "test_take_when_read_after_the_logs_were_looked_at_then_nothing_is_taken",
    ),
    Bug(
        name="a topic that was made anew is taken for the one before",
        file="streams/shards/log_memory.py",
        search="            if other and (watermark or self._checked):\n",
        replace="            if False:\n",
        test="tests/streams/shards/test_log_memory.py::test_check_when_the_topic_has_another_id_then_stopped",
    ),
    Bug(
        name="whatever is raised while one account is judged ends the process",
        file="engine/book/failures.py",
        search="        book.fail(key, error, risk)\n        return None\n",
        replace="        raise\n",
        test=f"{ERROR_TESTS}::test_settle_when_judging_one_raises_then_it_is_stopped_and_said_so_and_the_others_are_judged",
    ),
    Bug(
        name="an input that the engine fails on is passed over",
        file="streams/shards/input_booking.py",
        search="        return rejection_of(error)\n",
        replace='        return Duplicate("")\n',
        test=f"{ERROR_TESTS}::test_input_when_applying_it_raises_then_quarantined_and_its_account_stopped_and_the_batch_goes_on",
    ),
    Bug(
        name="the stop of an account that was not judged is not durable",
        file="streams/shards/processor.py",
        search="        return Commit(accounts={account: encode_stored(newest)}, outbox=(told,))\n",
        replace="        return Commit(outbox=(told,)) if newest else Commit()\n",
        test=f"{ERROR_TESTS}::test_restart_when_an_account_was_not_judged_then_it_is_stopped_still_and_needs_both_words",
    ),
    Bug(
        name="a mis-keyed record makes an account of its key",
        file="streams/shards/input_batch.py",
        search="            return [it for it in named if self._newest(it) is not None]\n",
        replace="            return named\n",
        test=f"{ERROR_TESTS}::test_record_when_under_another_accounts_key_then_who_is_known_of_both_is_stopped_and_nobody_is_made",
    ),
    Bug(
        name="an event that Kafka refuses is cut from the outbox without a word",
        file="streams/outbox/relay.py",
        search="            await self.refused(batch.entries[0], error)\n",
        replace="",
        test=f"{RELAY_TESTS}::test_run_when_entries_are_larger_than_kafka_takes_then_told_of_and_passed_over_and_all_others_go_on",
    ),
    Bug(
        name="a worker joins before it has proved that Redis is there",
        file="streams/worker/app.py",
        search="        await proofs.redis()\n",
        replace='        proofs.pending = ""\n',
        test=f"{START_TESTS}::test_worker_when_redis_is_away_then_it_joins_no_group_says_so_and_gives_up",
    ),
    Bug(
        name="a worker judges by a policy that is not in force",
        file="streams/worker/policy_gate.py",
        search="        if found.digest == self._policy.digest:\n",
        replace="        if found.digest:\n",
        test=f"{START_TESTS}::test_policy_when_a_worker_has_another_file_then_it_waits_until_that_is_published_and_then_all_go_by_it",
    ),
    Bug(
        name="what is dated at a version's time is judged by the one before",
        file="engine/policy/timeline.py",
        search="bisect_right(self._begins, time_ns)",
        replace="bisect_right(self._begins, time_ns - 1)",
        test=f"{TIMELINE_TESTS}::test_in_force_when_versions_follow_each_other_then_each_from_its_own_time_on",
    ),
    Bug(
        name="an input is booked by what is listed when it is booked",
        file="streams/shards/input_booking.py",
        search="            terms = self._terms(message.time_ns)\n",
        replace="            terms = self._terms(2**63 - 1)\n",
        test=f"{POLICY_TESTS}::test_fill_when_its_contract_is_listed_from_its_event_time_on_then_booked_whatever_judges_now",
    ),
    Bug(
        name="inputs that come while the book is built anew are lost",
        file="streams/shards/processor.py",
        search="        if self.judging or self._rebuilds:\n",
        replace="        if self.judging:\n",
        test=f"{POLICY_TESTS}::test_policy_when_inputs_come_while_the_book_is_built_anew_then_none_is_lost",
    ),
    Bug(
        name="a mark of a version's time is judged before the desk has gone over to it",
        file="streams/prices/price_desk.py",
        search="                    await self._rulings.reach(decoded[until].time_ns)\n",
        replace="                    await self._rulings.reach(decoded[until].time_ns - 1)\n                    break\n",
        test="tests/streams/worker/test_policy_switch_desk.py::test_batch_when_a_version_begins_within_it_then_what_is_dated_before_is_judged_by_the_one_before",
    ),
    Bug(
        name="an operator's word lifts a stop that came after it",
        file="streams/contract/operator_command.py",
        search="        stop_offset=stop.stop_offset if stop.stop_offset >= 0 else None,\n",
        replace="        stop_offset=None,\n",
        test=f"{OPERATOR_TESTS}::test_resume_when_it_comes_again_or_a_crash_has_it_written_twice_then_it_lifts_no_later_stop",
    ),
    Bug(
        name="an operator's word is written for an account that is not stopped so",
        file="streams/shards/operator_records.py",
        search="    return stop is not None and stop.offset == named.stop_offset\n",
        replace="    return stop is not None\n",
        test=f"{OPERATOR_TESTS}::test_resume_when_nobody_is_stopped_so_then_refused_with_a_code_and_nothing_written",
    ),
    Bug(
        name="the page of the board may load from anywhere",
        file="streams/desk/board/board_routes.py",
        search='    headers = {**HEADERS, "etag": found.tag}\n',
        replace='    headers = {"etag": found.tag}\n',
        test=f"{BOARD_TESTS}::test_page_when_served_then_it_takes_no_key_and_may_load_nothing_from_elsewhere",
    ),
    Bug(
        name="an account's name becomes markup on the board",
        file="streams/desk/board/page/parts/elements.js",
        search='make("a", { href: accountPath(account) }, make("bdi", {}, account));\n',
        replace='Object.assign(make("a", { href: accountPath(account) }), { innerHTML: account });\n',
        test=f"{BOARD_FILE_TESTS}::test_script_when_read_then_data_never_becomes_markup_and_it_is_small",
    ),
    Bug(
        name="a short amount loses the zeros before its point",
        file="streams/desk/board/page/parts/amounts.js",
        search='const three = (value) => String(Number(value.toPrecision(3))).replace("-", "−");\n',
        replace='const three = (value) => value.toPrecision(3).replace(/\\.?0+$/, "").replace("-", "−");\n',
        test=f"{AMOUNT_TESTS}::test_amounts_when_there_is_little_room_then_three_digits_and_a_letter_stand_for_them",
    ),
    Bug(
        name="a vendored file is another than the recorded one",
        file="streams/desk/board/page/vendor/uPlot.min.css",
        search=".u-inline {display: block;}",
        replace=".u-inline {display: inline;}",
        test=f"{BOARD_FILE_TESTS}::test_vendored_files_when_hashed_then_they_are_the_recorded_ones_and_no_others_lie_there",
    ),
    Bug(
        name="the operator's command forgets who of those that share the key gave it",
        file="streams/desk/operator_routes.py",
        search='        who = f"{who} ({data.person.strip()})"\n',
        replace='        who = f"{who}"\n',
        test=f"{BOARD_TESTS}::test_breaker_when_released_from_the_board_then_who_and_why_travel_by_the_operators_topic",
    ),
    Bug(
        name="a liquidation that is published twice counts twice in the cascade",
        file="streams/desk/cascade_totals.py",
        search="        if said.sequence <= self._sequences.get(said.account, 0):\n",
        replace="        if not said.sequence:\n",
        test=f"{CASCADE_TESTS}::test_report_when_a_plan_is_asked_for_then_its_contracts_count_until_a_newer_plan_or_the_end",
    ),
    Bug(
        name="an account that leaves a band still counts in it",
        file="streams/desk/book_course.py",
        search="                self._accounts[before.band] -= 1\n",
        replace="                self._accounts[before.band] -= 0\n",
        test=f"{COURSE_TESTS}::test_totals_when_accounts_change_then_they_are_the_sum_of_what_each_is_now",
    ),
    Bug(
        name="a moment of a recorded day shows accounts as they were at its end",
        file="streams/desk/recorded_day.py",
        search="                shard.entries[account] = kept[place - 1][1]\n",
        replace="                shard.entries[account] = kept[-1][1]\n",
        test=f"{DAY_TESTS}::test_day_when_recorded_then_each_moment_has_the_book_and_the_marks_of_then",
    ),
    Bug(
        name="examples of a help page are wrapped as prose",
        file="streams/cli/lazy_commands.py",
        search='''f"\\n\\n{_AS_IT_STANDS}\\n{EXAMPLES}\\n"''',
        replace='''f"\\n\\n{EXAMPLES}\\n"''',
        test="tests/streams/cli/test_cli_help.py::test_help_when_read_then_shows_an_example_line_by_line_that_parses",
    ),
    Bug(
        name="a help page shows a command that is none",
        file="streams/cli/heatmap/heatmap_command.py",
        search="      unimargin heatmap\n",
        replace="      unimargin heat-map\n",
        test="tests/streams/cli/test_cli_help.py::test_help_when_read_then_shows_an_example_line_by_line_that_parses",
    ),
    Bug(
        name="accounts are read without a word",
        file="streams/answers/shelf.py",
        search="            self._on_accounts(1)\n",
        replace="",
        test="tests/streams/cli/test_cli_progress.py::test_shelf_when_accounts_are_read_then_each_is_counted",
    ),
    Bug(
        name="a page of commands forgets one",
        file="streams/cli/README.md",
        search="| `unimargin heatmap` |",
        replace="| `heatmap` |",
        test="tests/deploy/test_pages.py::test_commands_when_listed_then_each_has_its_line_on_the_page_of_commands",
    ),
    Bug(
        name="the first page leads nowhere",
        file="README.md",
        search="| operate it | [deploy](deploy/README.md) |",
        replace="| operate it | [deploy](deploy/OPERATE.md) |",
        test="tests/deploy/test_pages.py::test_links_when_followed_then_each_leads_to_a_file_and_a_heading_that_are_there",
    ),
    Bug(
        name="the group's member speaks in clear",
        file="streams/worker/group_credentials.py",
        search="""\
            password=options["sasl_plain_password"],
            ssl_context=context,
""",
        replace="""\
            password=options["sasl_plain_password"],
            ssl_context=None,
""",
        test=f"{CREDENTIALS_TESTS}::test_credentials_when_faust_has_read_them_then_aiokafka_is_told_what_our_own_clients_are",
    ),
    Bug(
        name="a password goes to another machine in clear",
        file="streams/config/connection_settings.py",
        search='    if "SSL" in settings.kafka_security_protocol:\n',
        replace='    if settings.kafka_security_protocol != "PLAINTEXT":\n',
        test=f"{CONNECTION_TESTS}::test_settings_when_unsafe_or_impossible_together_then_refused_with_a_code_and_no_secret",
    ),
    Bug(
        name="any authority may vouch for the broker",
        file="streams/config/tls_context.py",
        search="    context.minimum_version = ssl.TLSVersion.TLSv1_2\n",
        replace="    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE\n",
        test=f"{SECURE_TESTS}::test_worker_when_the_broker_is_vouched_for_by_another_authority_then_it_ends_at_once_and_says_so",
    ),
    Bug(
        name="rights that the table does not say stay",
        file="streams/cli/topics/topics_acls.py",
        search="            for held in found.surplus:\n",
        replace="            for held in set[HeldRule]():\n",
        test=f"{RIGHTS_TESTS}::test_apply_when_a_role_holds_what_the_table_does_not_say_then_taken_away_and_the_missing_given",
    ),
    Bug(
        name="Redis starts without what transactions and scripts had written",
        file="deploy/redis/users.acl",
        search="user default off ~* &* +@all\n",
        replace="user default off\n",
        test="tests/deploy/test_redis_users.py::test_server_when_it_starts_again_then_it_has_every_transaction_and_script_of_its_users",
    ),
    Bug(
        name="a password is told at DEBUG",
        file="streams/config/logs.py",
        search="    handler.addFilter(NoCredentials())\n",
        replace="",
        test="tests/streams/config/test_log_secrets.py::test_client_when_told_to_tell_everything_then_of_no_request_that_carries_a_password",
    ),
    Bug(
        name="a connection to a server that has become a replica is kept",
        file="streams/store/redis_connections.py",
        search="            if not typed and ",
        replace="            if typed or ",
        test=f"{STORE_TESTS}::test_commit_when_the_server_has_become_a_replica_then_its_connection_is_dropped[on_path]",
    ),
    Bug(
        name="a node of a cluster that does not answer is asked for ever",
        file="streams/store/cluster_client.py",
        search="            except BaseException:\n                # cancelled as well",
        replace="            except OSError:\n                # cancelled as well",
        test=f"{STAND_IN_TESTS}::test_client_when_its_primary_stands_still_then_the_next_takes_the_commit[ClusterServers]",
    ),
    Bug(
        name="what a slot on its way answers is not asked for where it goes",
        file="streams/store/cluster_client.py",
        search="                return await asked(",
        replace="                return await there(",
        test=f"{STAND_IN_TESTS}::test_slot_when_moved_to_another_node_under_a_commit_then_followed[ClusterServers]",
    ),
    Bug(
        name="a pool keeps connections to the primary of before",
        file="streams/store/redis_connections.py",
        search="            await self._leave_others(connection)\n",
        replace="",
        test=f"{STAND_IN_TESTS}::test_connections_when_the_name_leads_elsewhere_then_none_is_left_to_the_server_of_before",
    ),
    Bug(
        name="what follows from an event with another meaning is published",
        file="streams/shards/read_back.py",
        search="        return self._contradicted | rest\n",
        replace="        return self._contradicted\n",
        test=f"{READ_BACK_TESTS}::test_conclude_when_the_outbox_goes_on_behind_what_contradicts_it_then_its_rest_goes_too",
    ),
    Bug(
        name="a pool stays where events that were withdrawn have brought it",
        file="streams/shards/adoption.py",
        search="in {**risk.pools, **was, **told}.items()",
        replace="in {**risk.pools, **told}.items()",
        test=f"{READ_BACK_TESTS}::test_conclude_when_the_outbox_goes_on_behind_what_contradicts_it_then_its_rest_goes_too",
    ),
    Bug(
        name="a fill or ledger entry that every worker refuses is sent",
        file="streams/cli/send/outgoing.py",
        search="else _refused(message, Topic(role), policy)\n",
        replace="else None\n",
        test=f"{SEND_TESTS}::test_send_when_the_worker_would_refuse_then_its_code_and_nothing_goes_out",
    ),
    Bug(
        name="the board's focus is lost when accounts come",
        file="streams/desk/board/page/parts/accounts_table.js",
        search="    if (!row) return () => {};\n",
        replace="    return () => {};\n",
        test=f"{BOARD_FOCUS_TESTS}::test_focus_when_accounts_come_and_go_then_it_stays_on_its_account",
    ),
    Bug(
        name="an emptied pool stands on every line of the ladder",
        file="engine/analytics/line_move.py",
        search="    if not gap(ONE) and not figures_at(ONE).requirement:\n",
        replace="    if False:\n",
        test="tests/engine/analytics/test_line_move.py::test_move_when_the_pool_is_empty_then_never",
    ),
    Bug(
        name="a parameter that a route does not have is passed over",
        file="streams/desk/query_names.py",
        search="            if name not in known:\n                raise mistaken(_unknown(name, known))\n",
        replace="            if name not in known:\n                continue\n",
        test="tests/streams/desk/test_api_answers.py::test_mistakes_when_asked_then_problem_details_that_name_the_field",
    ),
    Bug(
        name="coins of which one is dust are not watched",
        file="engine/book/watches.py",
        search="policy.assets[asset].dust + ONE",
        replace="ONE",
        test=f"{EQUIVALENCE_TESTS}::test_books_when_coins_of_which_some_are_dust_fall_then_their_holders_are_judged[1]",
    ),
    Bug(
        name="the columns hold an amount of coins for dust that its float does not tell from dust",
        file="engine/book/dust_edges.py",
        search="        return None if isinstance(amount, float) else not -self.exact <= amount <= self.exact",
        replace="        return False",
        test=f"{EQUIVALENCE_TESTS}::test_books_when_coins_of_which_some_are_dust_fall_then_their_holders_are_judged[4.999999999999999999]",
    ),
    Bug(
        name="a box is made of coins that count nothing",
        file="engine/book/boxes/keeper.py",
        search="        state = without_dust(state, self._policy)\n",
        replace="",
        test=f"{BOX_TESTS}::test_box_when_some_coins_are_dust_then_as_wide_as_without_them",
    ),
    Bug(
        name="the columns forget doubt while a liquidation waits to be confirmed",
        file="engine/book/encode.py",
        search="        if state.degraded:\n",
        replace="        if state.degraded and state.crossed_since_ns is None:\n",
        test=f"{EQUIVALENCE_TESTS}::test_books_when_a_liquidation_waits_to_be_confirmed_and_doubt_ends_then_that_is_said",
    ),
    Bug(
        name="the last step of a plan is sized on the account after the steps before it, done twice",
        file="engine/liquidation/search.py",
        search="self._lot_probe(leg.standing(count))",
        replace="self._lot_probe(self._after(probe, [*others, last._replace(lots=count)]))",
        test=f"{PLAN_END_TESTS}::test_plan_when_a_hedge_has_least_orders_then_every_order_keeps_to_them_and_the_plan_ends",
    ),
    Bug(
        name="a plan has as many orders as its market orders are small",
        file="engine/liquidation/planner.py",
        search="        after = search.shortened(after)\n",
        replace="",
        test=f"{PLAN_END_TESTS}::test_plan_when_it_takes_more_orders_than_a_plan_may_have_then_the_next_one_goes_on_with_the_rest",
    ),
    Bug(
        name="who waits for a plan behind an open breaker is not held",
        file="engine/ladder/episode.py",
        search="    if after.plan_due and after.held_by is None and (found or compared):\n",
        replace="    if False:\n",
        test=f"{BREAKER_TESTS}::test_breaker_when_it_opens_before_a_plan_was_made_then_that_waits_until_it_is_closed_and_details_do_not",
    ),
    Bug(
        name="a cause counts what was at stake in all when another was heard",
        file="engine/book/hearing.py",
        search="        self._breaker.begin_cause()\n",
        replace="",
        test=f"{BREAKER_TESTS}::test_breaker_when_accounts_come_after_one_cause_then_the_next_counts_them_too",
    ),
    Bug(
        name="a late mark that changes no doubt wakes nobody who is flagged",
        file="engine/book/price_view.py",
        search='*(it for it in late if symbols[it]["haircut"] != UNKNOWN)',
        replace="",
        test="tests/engine/book/test_book_adversarial.py::"
        "test_books_when_a_late_mark_moves_a_price_that_was_doubted_before_then_they_decide_alike",
    ),
    Bug(
        name="a beat that is answered after its shard was given up tells of it",
        file="streams/shards/shard.py",
        search="if self.condition is Condition.FENCED or not self._tasks:",
        replace="if self.condition is Condition.FENCED:",
        test=f"{SIMULATION_TESTS}::test_life_when_redis_is_rewound_then_nobody_tells_of_a_shard_that_it_gave_up",
    ),
)
