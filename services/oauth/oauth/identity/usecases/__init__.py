"""Keys kept in time, ID tokens made, people told of."""
