"""The leadership lease, and recovery after Redis may have lost writes."""
