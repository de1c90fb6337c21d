"""What deep nets leave open, made measurable for a model and a table."""
