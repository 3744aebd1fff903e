"""results/report.html: one file to hand out, and to play with."""
