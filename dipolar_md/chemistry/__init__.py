"""From a structure file to a cluster's numbers, each with its source."""
