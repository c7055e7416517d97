"""The command line: words and options become one public call each."""
