"""Schedules as people see them: curves, as arrays and pictures, and text."""
