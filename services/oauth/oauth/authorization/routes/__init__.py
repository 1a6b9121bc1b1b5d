"""HTTP in: browsers that apps send here, and apps that push what they will ask."""
