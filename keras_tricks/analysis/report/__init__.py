"""The report on searches: one HTML page that needs no network."""
