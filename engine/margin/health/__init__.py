"""Weighted health: one number per account, in account currency, that must not fall below 0."""
