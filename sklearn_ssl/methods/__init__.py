"""The methods, one a file: a pretext task and its estimator."""
