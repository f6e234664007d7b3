"""What builds the project's site and its wheelhouse; no part of the package."""
