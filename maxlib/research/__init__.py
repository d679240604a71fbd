"""Floor 6: scenarios and their verdicts, audits."""
