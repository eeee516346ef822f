"""`python -m synckairos` is the command `synckairos`."""

from synckairos.cli import main

if __name__ == "__main__":
    main()
