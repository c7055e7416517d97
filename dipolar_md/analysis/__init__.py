"""What came of a run: chains, their statistics, and the comparison with measurements."""
