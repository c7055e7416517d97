"""Cluster → body → system and the interactions between them: chemistry and numbers, no engine."""
