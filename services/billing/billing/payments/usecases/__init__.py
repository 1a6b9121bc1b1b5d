"""What payments do, in which order, so that a crash between any two lines is made good."""
