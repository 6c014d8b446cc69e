"""These packages are no part of gantk: their tests run where they are installed (tests/test_example_package.py)."""

collect_ignore_glob = ["*"]
