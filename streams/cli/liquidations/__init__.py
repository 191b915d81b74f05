"""Pools in liquidation and who would be deleveraged."""
