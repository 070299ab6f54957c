"""Files of a search: whole or not there, locked, checked, with its identity."""
