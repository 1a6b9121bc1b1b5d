"""What plans are, and whose payments reach them: pure, on calendar months in UTC."""
