"""What a sealed row, a closed month and a difference with an upstream are; no I/O and no clock."""
