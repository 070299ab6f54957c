"""The private names of other packages that the tuners use, one module for each."""
