"""`python -m quant_assets` is the command line."""

from quant_assets.cli import main

if __name__ == "__main__":
    main()
