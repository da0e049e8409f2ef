"""Scripts of the project itself: docs, figures, demo. Not installed. Must not be imported by the programs."""
