"""Boxes for accounts that the columns cannot express: how far prices may move before an exact judgement could say something.

After each exact judgement of such an account `reach.box` bounds how fast its figures can move (`swing`), formula by
formula, and so how wide a box of prices around the present ones keeps every pool on its side of every line. Inside the
box the account is as quiet as any other; outside it is judged exactly and gets a new box.

    swing           the arithmetic of bounds
    view            prices, facts and time over a box           facts       what marks tell besides the price
    positions       one position            pools       the cross pool and isolated positions
    option_groups   options outside of portfolio margin
    series, units   options by Black-76, portfolio margin
Without a bound (`swing.UnboundedError` names the rule), or too near a line, an account stays with the exact judge.
"""
