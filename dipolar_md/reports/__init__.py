"""What a run, a study, an inference or a micrograph leaves for people."""
