"""Template tags of the people's side."""
