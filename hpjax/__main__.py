"""`python -m hpjax` is `hpjax`."""

from hpjax.cli import main

main()
