"""The exact reference: every figure of an account in `Decimal`, rounded nowhere but in shown ratios.

margin_model      which model judges the shared pool, and its figures
quotes            which price a formula uses, and whether it is fresh
arithmetic        what a formula may do with a number: exact_arithmetic, and bounds (`engine.book.boxes.swing`)
contract_formulas one position over any number: P&L, notional, maintenance margin
position_margin   the same exact, and initial margin
collateral        what an amount of an asset is worth, and what owing it requires
cross/  isolated_pool  portfolio/  options/  health/      the pools
figures, figure_lines                                     what a pool comes to, and as lines that sum to it
"""
