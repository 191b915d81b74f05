"""Boxes for accounts that the columns cannot express: how far prices may move before an exact judgement could say something.

After each exact judgement of such an account `reach.box` bounds how fast its figures can move (`swing`), formula by
formula, and so how wide a box of prices around the present ones keeps every pool on its side of every line. Inside the
box the account is as quiet as any other; outside it is judged exactly and gets a new box.

Where one text serves, a formula of `engine.margin` runs on bounds as it does on exact numbers (`engine.margin.arithmetic`).
Where it would give looser bounds or take longer, there is a twin; both say so, and tests compare the rules they read.

    swing             the arithmetic of bounds
    swing_view        prices, facts and time over a box         mark_facts      what marks tell besides the price
    position_swings   one position                              pool_swings     the cross pool and isolated positions
    option_swings     options outside of portfolio margin
    series_swings, unit_swings, charge_swings                   options by Black-76, portfolio margin
    reach, keeper     how wide a box may be; the boxes of one book
Without a bound (`swing.UnboundedError` names the rule), or too near a line, an account stays with the exact judge.
"""
