"""Discovery, keys, userinfo."""
