"""The parts of `bench/gpu.py`, a module each, with a function `main`."""
