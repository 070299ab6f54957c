"""Worker processes, on this machine or under KerasTuner's chief."""
