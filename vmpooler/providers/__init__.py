"""Where VMs live. A provider knows neither Redis nor queues: it makes, shows and destroys VMs."""
