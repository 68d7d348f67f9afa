"""Speed and memory against bare loops and other packages, measured in turn."""
