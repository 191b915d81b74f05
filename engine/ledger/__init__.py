"""What an input does to an account: the account's record, and the booking of fills and ledger entries.

`applying` is the way in: one message onto one account, or a rejection with a code. Knows the policy, no prices.
"""
