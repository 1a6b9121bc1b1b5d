"""Stripe as a seller's server sees it: checkout, invoices, refunds, disputes, idempotency keys, webhooks.

Source of the shapes: docs.stripe.com/api and the objects that stripe-python 16.1 models (API version
2026-10-28.endive: an invoice names no payment intent, its `payments` and `/v1/invoice_payments` do).
"""

from simulators.stripe.app import StripeSimulator

__all__ = ["StripeSimulator"]
