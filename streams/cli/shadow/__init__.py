"""Another policy beside the one in force."""
