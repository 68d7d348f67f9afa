"""What all estimators are made of: the scikit-learn side of a pretext task."""
