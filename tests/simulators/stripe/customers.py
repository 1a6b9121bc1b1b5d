"""Customers, and who an invoice or a checkout is for."""

from typing import Any

from simulators.stripe.account import Account, Object, merged, new_id, now
from simulators.stripe.requests import CustomerParams

_FIELDS = ("email", "name", "phone", "description", "address", "preferred_locales")


def create_customer(account: Account, params: CustomerParams) -> Object:
    """`POST /v1/customers`."""
    return add_customer(account, metadata=merged({}, params.metadata), **_given(params))


def update_customer(account: Account, params: CustomerParams, customer_id: str) -> Object:
    """`POST /v1/customers/{id}`."""
    customer = account.get("customer", customer_id)
    metadata = merged(customer["metadata"], params.metadata)
    customer.update(_given(params), metadata=metadata)
    account.emit("customer.updated", customer)
    return customer


def add_customer(account: Account, **fields: Any) -> Object:
    """A new customer; `fields` are those of the object."""
    customer = account.add(
        {
            "id": new_id("cus", 14),
            "object": "customer",
            "address": None,
            "balance": 0,
            "created": now(),
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": None,
            "discount": None,
            "email": None,
            "invoice_prefix": new_id("p", 8)[2:].upper(),
            "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
            "livemode": False,
            "metadata": {},
            "name": None,
            "next_invoice_sequence": 1,
            "phone": None,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
            "test_clock": None,
            **fields,
        }
    )
    account.emit("customer.created", customer)
    return customer


def _given(params: CustomerParams) -> Object:
    given = {name: getattr(params, name) for name in _FIELDS}
    return {name: value or None for name, value in given.items() if value is not None}
