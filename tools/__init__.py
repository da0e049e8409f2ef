"""Scripts of the project itself: docs generation, figures, demo. Not installed. Must not be imported by the programs."""
