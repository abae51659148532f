"""What the tests of the running program share: an authority, a server, clients."""
