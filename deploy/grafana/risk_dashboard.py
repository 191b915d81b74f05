"""What a risk desk looks at: who is in which band, who was called, what falls if the market does, and where it gathers."""

from deploy.grafana.panels import BAND_COLORS, LADDER_LINES, Dashboard, Row, bars, heat, line, stack, stat

RISK = Dashboard(
    uid="margin-risk",
    title="Margin / Risk",
    description="Who is in which band, who is called and liquidated, what the next move of the market would add, and where it gathers.",
    rows=[
        Row(
            "Risk now",
            [
                stat(
                    "Accounts stopped",
                    "Accounts that refuse inputs after a gap or a bad record. Each needs a person.",
                    {
                        "Accounts stopped": "sum(margin_accounts_stopped)",
                    },
                    runbook="MarginAccountStopped",
                    unit="short",
                    width=3,
                    steps=[("green", None), ("red", 1)],
                ),
                stat(
                    "Called",
                    "Accounts from the margin call down to liquidation: each has been told to add margin or to reduce.",
                    {
                        "Called": 'sum(margin_accounts{state=~"margin_call|reduce_only|liquidation"})',
                    },
                    runbook="MarginCallsWidespread",
                    unit="short",
                    width=3,
                    steps=[("green", None), ("orange", 1)],
                ),
                stat(
                    "In liquidation",
                    "Accounts below the liquidation line with an intent to liquidate.",
                    {
                        "In liquidation": 'sum(margin_accounts{state="liquidation"})',
                    },
                    runbook="MarginLiquidationCascade",
                    unit="short",
                    width=3,
                    steps=[("green", None), ("orange", 1)],
                ),
                stat(
                    "Bankrupt",
                    "Accounts that lost more than they own.",
                    {
                        "Bankrupt": 'sum(margin_accounts{state="bankrupt"})',
                    },
                    runbook="MarginAccountBankrupt",
                    unit="short",
                    width=3,
                    steps=[("green", None), ("red", 1)],
                ),
                stat(
                    "Degraded",
                    "Accounts judged without a fresh price they need: calls flagged, liquidations withheld.",
                    {
                        "Degraded": "sum(margin_accounts_degraded)",
                    },
                    runbook="MarginAccountsDegraded",
                    unit="short",
                    width=3,
                    steps=[("green", None), ("orange", 1)],
                ),
                stat(
                    "Liquidations held",
                    "Accounts whose liquidation waits for an operator because too much was condemned at once.",
                    {
                        "Liquidations held": "sum(max by (shard) (margin_liquidations_held)) or vector(0)",
                    },
                    runbook="MarginLiquidationsHeld",
                    unit="short",
                    width=3,
                    steps=[("green", None), ("red", 1)],
                ),
                stat(
                    "Tick to event p99",
                    "From the event time of a mark to the broker's acknowledgement of the event it caused, over five minutes. The promise is 10 ms. No value when there were no events.",
                    {
                        "Tick to event p99": "fleet:margin_tick_to_event_seconds:p99_5m",
                    },
                    runbook="MarginTickToEventSlow",
                    unit="s",
                    width=3,
                    steps=[("green", None), ("orange", 0.0075), ("red", 0.01)],
                ),
                stat(
                    "Equity / maintenance",
                    "Equity of the whole exchange over its maintenance margin; the colours change on the lines of the default policy. It is not the ratio of any account: haircuts are not in it.",
                    {
                        "Equity / maintenance": "sum(margin_equity_value) / sum(margin_maintenance_margin_value)",
                    },
                    runbook="MarginCallsWidespread",
                    unit="none",
                    width=3,
                    steps=LADDER_LINES,
                    decimals=2,
                ),
            ],
        ),
        Row(
            "Bands and calls",
            [
                stack(
                    "Accounts not healthy",
                    "Accounts by ladder state, without the healthy ones, which would hide the rest.",
                    {
                        "{{state}}": 'sum by (state) (margin_accounts{state!="healthy"})',
                    },
                    runbook="MarginCallsWidespread",
                    unit="short",
                    width=8,
                    colors=BAND_COLORS,
                ),
                bars(
                    "Accounts by state",
                    "All accounts, now.",
                    {
                        "{{state}}": "sum by (state) (margin_accounts)",
                    },
                    runbook="MarginCallsWidespread",
                    unit="short",
                    width=4,
                    colors=BAND_COLORS,
                ),
                bars(
                    "Accounts below ratio",
                    "How many accounts have a portfolio margin ratio below each edge, now. The lines of the default policy are 1.5 warning, 1.2 call, 1.05 reduce-only, 1.0 liquidation. A crowd just above a line is the next wave.",
                    {
                        "< {{ratio}}": "sort(sum by (ratio) (margin_accounts_below_ratio))",
                    },
                    runbook="MarginCallsWidespread",
                    unit="short",
                    width=4,
                    gradient=True,
                ),
                line(
                    "Calls",
                    "Margin calls opened, escalated, updated and resolved, and accounts put to reduce-only, per second.",
                    {
                        "{{type}}": 'sum by (type) (rate(margin_events_committed_total{type=~"margin[.].*"}[$__rate_interval]))',
                    },
                    runbook="MarginCallsWidespread",
                    unit="cps",
                    width=8,
                ),
                line(
                    "Accounts below ratio over time",
                    "The same distribution as it moves. Lines that close up mean that accounts fall together.",
                    {
                        "< {{ratio}}": "sum by (ratio) (margin_accounts_below_ratio)",
                    },
                    runbook="MarginCallsWidespread",
                    unit="short",
                    width=8,
                ),
                line(
                    "Equity over maintenance margin",
                    "The whole exchange against the lines of the default policy: 1.5 warning, 1.2 call, 1.05 reduce-only, 1.0 liquidation.",
                    {
                        "equity / maintenance margin": "sum(margin_equity_value) / sum(margin_maintenance_margin_value)",
                    },
                    runbook="MarginCallsWidespread",
                    unit="none",
                    width=8,
                    steps=LADDER_LINES,
                    least=None,
                ),
                stack(
                    "Isolated positions not healthy",
                    "Isolated positions have a ladder each and are not part of their account's pool.",
                    {
                        "{{state}}": 'sum by (state) (margin_isolated_positions{state!="healthy"})',
                    },
                    runbook="MarginCallsWidespread",
                    unit="short",
                    width=8,
                    colors=BAND_COLORS,
                ),
            ],
        ),
        Row(
            "Equity",
            [
                line(
                    "Equity and maintenance margin",
                    "Sums over all accounts, in account currency. Equity that falls is the market; maintenance margin that jumps without one is a policy or tier change.",
                    {
                        "equity": "sum(margin_equity_value)",
                        "maintenance margin": "sum(margin_maintenance_margin_value)",
                    },
                    runbook="MarginCallsWidespread",
                    unit="short",
                    width=12,
                    least=None,
                    colors={"equity": "green", "maintenance margin": "red"},
                ),
                line(
                    "Fund against expected shortfall",
                    "What the insurance fund of each group of contracts is worth, and what pools in liquidation are expected to take of it, in account currency.",
                    {
                        "{{group}} fund": "max by (group) (margin_fund_value)",
                        "{{group}} expected shortfall": "max by (group) (margin_fund_expected_shortfall)",
                    },
                    runbook="MarginAdlRisk",
                    unit="short",
                    width=12,
                    least=None,
                ),
            ],
        ),
        Row(
            "Cascade",
            [
                line(
                    "Liquidated notional",
                    "Executed for liquidations per second, by symbol, at the prices of the fills, in account currency.",
                    {
                        "{{symbol}}": "sum by (symbol) (rate(margin_liquidated_notional_total[$__rate_interval]))",
                    },
                    runbook="MarginLiquidationCascade",
                    unit="short",
                    width=6,
                ),
                line(
                    "Liquidations",
                    "Verdicts (entered, bankrupt), the requests behind them, progress, failures and ends of liquidations, per second.",
                    {
                        "{{type}}": 'sum by (type) (rate(margin_events_committed_total{type=~"liquidation.*|account.bankrupt"}[$__rate_interval]))',
                    },
                    runbook="MarginLiquidationFailed",
                    unit="cps",
                    width=6,
                ),
                line(
                    "Pools in liquidation",
                    "Accounts and isolated positions whose liquidation or takeover is under way.",
                    {
                        "accounts": 'sum(margin_accounts{state=~"liquidation|bankrupt"})',
                        "isolated positions": 'sum(margin_isolated_positions{state=~"liquidation|bankrupt"})',
                    },
                    runbook="MarginLiquidationCascade",
                    unit="short",
                    width=6,
                ),
                line(
                    "Expected shortfall",
                    "What liquidations and takeovers are expected to leave unpaid, added per second, in account currency: the insurance fund bears it.",
                    {
                        "per second": "sum(rate(margin_expected_shortfall_total[$__rate_interval]))",
                    },
                    runbook="MarginAccountBankrupt",
                    unit="short",
                    width=6,
                ),
                line(
                    "Held by shard",
                    "Accounts whose liquidation waits for an operator because too much was condemned at once, by shard: `unimargin breaker show` names the cause.",
                    {
                        "shard {{shard}}": "max by (shard) (margin_liquidations_held)",
                    },
                    runbook="MarginLiquidationsHeld",
                    unit="short",
                    width=6,
                ),
                line(
                    "Breakers opened",
                    "How often breakers opened, by what condemned too much: an instant of marks, a batch of inputs, a window of several.",
                    {
                        "{{cause}}": "sum by (cause) (increase(margin_breaker_trips_total[$__rate_interval]))",
                    },
                    runbook="MarginLiquidationsHeld",
                    unit="short",
                    width=6,
                ),
                line(
                    "Plans and details due",
                    "Accounts with a verdict behind which something is still to be said: the plan of their liquidation, or a detail. It should touch 0 within seconds; plans stay while a breaker is open.",
                    {
                        "{{due}}": "sum by (due) (max by (shard, due) (margin_reasons_due))",
                    },
                    runbook="MarginPlansLate",
                    unit="short",
                    width=6,
                ),
                line(
                    "Deleveraging risk",
                    "Whether winners of a contract may have to give: 0 none, 1 soon, 2 active; the ten that are nearest. Only where the insurance fund is stated.",
                    {
                        "{{symbol}}": "topk(10, max by (symbol) (margin_adl_risk))",
                    },
                    runbook="MarginAdlRisk",
                    unit="short",
                    width=6,
                    highest=2,
                ),
            ],
        ),
        Row(
            "Heat map",
            [
                heat(
                    "Liquidation heat map over time",
                    "Notional that each move of the whole market is the first to liquidate, in account currency; at 0 what is being liquidated. The market walks towards the hot rows.",
                    {
                        "{{move}}": "sum by (move) (margin_heat_map_notional)",
                    },
                    runbook="MarginHeatMapOld",
                    unit="short",
                    width=12,
                    rows_unit="percentunit",
                ),
                bars(
                    "Notional liquidated at each move",
                    "The heat map now. Each pool counts once in each direction, at the first move that takes it below the liquidation line.",
                    {
                        "{{move}}": 'sum by (move) (margin_heat_map_notional{move!="0"})',
                    },
                    runbook="MarginHeatMapOld",
                    unit="short",
                    width=12,
                    steps=[("orange", None)],
                ),
            ],
        ),
        Row(
            "Concentration",
            [
                bars(
                    "Symbols that a fall of 20 % liquidates",
                    'Notional of the pools that a move of the whole market by up to -20 % liquidates, by symbol. What a worker does not name is in "other".',
                    {
                        "{{symbol}}": 'topk(10, sum by (symbol) (margin_heat_map_notional{move=~"-0.05|-0.1|-0.15|-0.2"}))',
                    },
                    runbook="MarginLiquidationCascade",
                    unit="short",
                    width=6,
                    steps=[("orange", None)],
                ),
                line(
                    "Share of the largest symbol",
                    "Of all that a fall of the market would liquidate, at any of its moves, the part that is in one symbol. One symbol near 1: its book has to take everything.",
                    {
                        "largest share": 'max(sum by (symbol) (margin_heat_map_notional{move=~"-.*", symbol!="other"})) / (sum(margin_heat_map_notional{move=~"-.*"}) > 0)',
                    },
                    runbook="MarginLiquidationCascade",
                    unit="percentunit",
                    width=6,
                    highest=1,
                ),
                line(
                    "Falls against rises",
                    "Notional that moves of the market would liquidate, downwards and upwards, in account currency. A large difference: the exchange leans to one side.",
                    {
                        "falls": 'sum(margin_heat_map_notional{move=~"-.*"})',
                        "rises": 'sum(margin_heat_map_notional{move!~"-.*|0"})',
                    },
                    runbook="MarginLiquidationCascade",
                    unit="short",
                    width=6,
                ),
                line(
                    "Not in the heat map",
                    "Pools that lack a fresh price or are stopped; accounts outside the columns that count with older prices, or not yet.",
                    {
                        "withheld": "sum(margin_heat_map_withheld_pools)",
                        "late": "sum(margin_heat_map_late_accounts)",
                        "omitted": "sum(margin_heat_map_omitted_accounts)",
                    },
                    runbook="MarginHeatMapOld",
                    unit="short",
                    width=6,
                ),
            ],
        ),
    ],
)
