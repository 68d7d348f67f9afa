"""The few-label step: fine-tuning, and rows without a label."""
