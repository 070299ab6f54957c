"""Learning rates: what code computes, and the schedule that has the same."""
