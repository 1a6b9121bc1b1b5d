"""Keep the plans in force everywhere, and memberships true as time passes."""
