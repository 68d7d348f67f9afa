"""Collapse: embeddings that no longer tell rows apart; see :mod:`sklearn_ssl.training.collapse`."""

from sklearn_ssl.training.collapse import CollapseWarning, embedding_spread

__all__ = ["CollapseWarning", "embedding_spread"]
