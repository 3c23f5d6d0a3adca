"""`python -m udbench`: the command line."""

from udbench.cli import main

if __name__ == "__main__":
    main()
