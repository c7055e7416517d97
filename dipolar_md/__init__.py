"""Dipolar Janus nanoclusters: from a computed dipole to the nanowires it forms."""
