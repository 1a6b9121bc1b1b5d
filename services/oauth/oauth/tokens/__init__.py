"""The back channel: tokens issued, renewed, checked and revoked."""
