"""Running a recipe: the file, the check before, the run."""
