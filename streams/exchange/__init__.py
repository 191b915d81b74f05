"""A simulated exchange: agents trade, prices answer, liquidations are executed, and not a cent is made or lost.

    market/       the course of a market: sample, synthetic, recorded, and prices that answer to trades
    traders/      made-up accounts, and agents that trade
    clearing/     every customer's books and the exchange's own; liquidations, insurance fund, conservation
    wire/         the exchange's side of Kafka; the only folder here that is not pure
    simulation    one step of the market: prices, agents, liquidations, funding, the check of conservation
    offline_simulation   with the engine in the same process
    simulation_report    what a simulation has to say of itself

Pure but for `wire/`: the same seed, scenario and intents give the same messages. Knows contract, Kafka, shards; no command.
"""
