"""The guest: what runs beside the agent CLI. It imports nothing of the rest of the house."""
