"""Clusters: from a file to numbers with sources."""
