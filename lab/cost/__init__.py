"""What a proposal costs.  unicorn counts instructions and accesses exactly and knows no time."""
