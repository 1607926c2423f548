"""Fine-tuning: a transformer and a head are trained on labelled texts. `trainer` has the loop.

Every process of a launch runs the same code on its own rows of each batch; the result is that of one process.
"""
