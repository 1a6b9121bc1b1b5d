"""The service kit: what every service needs and none should write twice. Import the module, not the package."""
