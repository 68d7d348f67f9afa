"""What the claims of the documentation rest on: run from the root of the repository."""
