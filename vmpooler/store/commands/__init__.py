"""What changes state in Redis: one method runs one script, which is one transition."""
