"""One folder per exercise: the only place where the rooms of jaxgen meet."""
