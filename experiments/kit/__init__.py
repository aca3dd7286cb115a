"""What the exercises share: command line, configuration, runs and stages, training, images, statistics, timing."""
