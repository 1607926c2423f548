"""Which encoder for these languages and this purpose: all known scores in one form, an order, and short lists."""
