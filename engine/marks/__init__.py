"""Belief in prices: which marks are believed or refused, what is stale, and the view that formulas read.

Knows the policy and no account.
"""
