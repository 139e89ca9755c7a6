"""What can be asked of the server, one file a subject; they do not import one another."""
