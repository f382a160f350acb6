"""A vCenter for tests: govmomi's simulator, built from Debian packages."""
