"""What the service costs, measured beside what it cannot do without. ``make bench`` runs all of it."""
