"""The room: what the product is. No vendor is imported here and nothing here touches a socket, a file or a process."""
