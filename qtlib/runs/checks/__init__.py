"""What can be checked before anything is at stake, and struck on purpose where nothing is."""
