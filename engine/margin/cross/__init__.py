"""The shared pool under cross margin: one equity, requirements that add up, open orders, hedge legs.

Inside `numbers.exact()`; amounts in account currency unless said otherwise.
"""
