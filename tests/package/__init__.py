"""The wheel and the sdist, built and used outside the tree: `make package`, and in CI."""
