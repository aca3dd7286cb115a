"""One script per exercise: the only place where the wings of jaxgen meet."""
