"""Made-up customers: wealth, style, leverage, and what they trade when. Pure."""
