"""From figures to what is said: the judgement of an account, numbered events, and what they carry.

Knows margin, ladder, liquidation and analytics; the books of accounts ask it, nothing else does.
"""
