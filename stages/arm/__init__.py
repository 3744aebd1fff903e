"""What the stages `train_baseline` and `train_bn` have in common; they differ in the params `bn` alone."""
