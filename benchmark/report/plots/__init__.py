"""Pictures of tables: accuracy against cost, and curves."""
