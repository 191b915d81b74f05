"""The exact reference: every figure of an account in `Decimal`, rounded nowhere but in shown ratios."""
