"""The service kit: what every service needs and none should write twice. Import modules, not the package."""
