"""Events told to other services: signed, retried for days, isolated from each other."""
