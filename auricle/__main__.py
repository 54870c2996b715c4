"""Entry point of the command `auricle`."""


def main() -> None:
    """Run the command line."""
    from auricle.cli import cli

    cli()


if __name__ == "__main__":
    main()
