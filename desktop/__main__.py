"""`python -m desktop` is `tunedesk`."""

from desktop.cli import main

if __name__ == "__main__":
    main()
