"""Parameter studies: one recipe at many state points, run on all cores, gathered in one table."""
