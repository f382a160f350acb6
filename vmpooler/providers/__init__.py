"""Providers: the places where VMs live. A provider does not use Redis or queues; it clones, lists and destroys VMs."""
