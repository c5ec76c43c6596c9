"""``python -m subnet.cli``: the ``subnet`` command."""

from subnet.cli import main

if __name__ == "__main__":
    main()
