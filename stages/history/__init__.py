"""What both training stages and `compare` use of histories: curves, moments, and what the arms are called."""
