"""`unimargin symbols`: what is believed of each price symbol, and what was refused last."""
