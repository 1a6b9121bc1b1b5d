"""HTTP in: what browsers, apps and owners of apps ask."""
