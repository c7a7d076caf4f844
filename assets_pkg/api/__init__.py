"""What this product answers over HTTP."""
