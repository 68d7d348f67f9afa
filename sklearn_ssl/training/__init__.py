"""How a pretext task is trained, and how its networks are used afterwards."""
