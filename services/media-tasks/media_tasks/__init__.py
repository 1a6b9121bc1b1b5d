"""Asynchronous media tasks: images, music and video that upstreams make in seconds to minutes.

A service of its own because a task outlives the request that submits it: it is polled, called back, resumed
after a restart, and paid by a hold that is captured when the work arrives and voided when it does not.
"""
