"""What builds the images and describes them; nothing here is part of the running product."""
