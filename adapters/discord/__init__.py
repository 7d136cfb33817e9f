"""A chat on Discord: one bot, its channels and their threads."""
