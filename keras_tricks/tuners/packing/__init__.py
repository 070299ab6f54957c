"""Trials that share compiled programs, alone or several in a step."""
