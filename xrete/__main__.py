"""Makes `python -m xrete` and `accelerate launch -m xrete` the same as `xrete`."""

from xrete.cli.app import main

main()
