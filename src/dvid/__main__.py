"""`python -m dvid`: the same as the `dvid` command."""

from dvid.cli import main

main()
