"""What a desk asks about one account: prices of liquidation, orders, funding, capital. Pure functions of state and prices."""
