"""The hosted pages: where a payer pays a session or an invoice. Card 4000000000000002 is declined."""

from html import escape
from urllib.parse import parse_qsl

from simulators.stripe.account import Account, Object
from simulators.stripe.checkout import pay_session, return_url
from simulators.stripe.errors import StripeError
from simulators.stripe.invoices import pay_invoice
from simulators.stripe.payments import Outcome

DECLINED_CARD = "4000000000000002"

# docs.stripe.com/currencies#zero-decimal
WITHOUT_CENTS = frozenset(("clp", "jpy", "krw", "vnd"))

Page = tuple[int, str, str | None]


def hosted_page(account: Account, method: str, path: str, form: str) -> Page:
    """Status, HTML and where to send the browser, of `/c/pay/{session}` and `/i/{invoice}`."""
    item = account.lookup(path.rpartition("/")[2])
    kinds = {"/c/pay": "checkout.session", "/i": "invoice"}
    if item is None or kinds.get(path.rpartition("/")[0]) != item["object"]:
        return 404, _page("Nothing here", "<p>There is no such page.</p>"), None
    is_session = item["object"] == "checkout.session"
    notice = ""
    if method == "POST":
        fields = dict(parse_qsl(form, keep_blank_values=True))
        if fields.get("action") == "cancel":
            return _gone(item, return_url(item, paid=False) if is_session else None)
        outcome: Outcome = (
            "decline" if fields.get("card", "").replace(" ", "") == DECLINED_CARD else "succeed"
        )
        try:
            (pay_session if is_session else pay_invoice)(account, item, outcome, fields.get("email") or None)
        except StripeError as error:
            notice = f'<p role="alert">{escape(str(error))}</p>'
        else:
            return _gone(item, return_url(item, paid=True) if is_session else None)
    return 402 if notice else 200, _payment_page(item, notice), None


def invoice_pdf(invoice: Object) -> bytes:
    """A PDF of one line."""
    text = f"BT /F1 14 Tf 60 760 Td (Invoice {invoice['number']}: {_money(invoice, 'total')}) Tj ET"
    parts = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        f"<</Length {len(text)}>>stream\n{text}\nendstream",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    body, offsets = "%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj{part}endobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(parts) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer<</Size {size}/Root 1 0 R>>\n"
    return f"{body}{end}startxref\n{len(body)}\n%%EOF\n".encode("ascii")


def _gone(item: Object, url: str | None) -> Page:
    if url is not None:
        return 303, "", url
    return 200, _payment_page(item, ""), None


def _payment_page(item: Object, notice: str) -> str:
    is_session = item["object"] == "checkout.session"
    lines = item["_line_items" if is_session else "lines"]["data"]
    listed = "".join(f"<li>{escape(str(line['description'] or 'Item'))}</li>" for line in lines)
    summary = f"<ul>{listed}</ul><p>Total: {_money(item, 'amount_total' if is_session else 'total')}</p>"
    if item["status"] != "open":
        return _page("Payment", f"{notice}{summary}<p>This payment is {item['status']}.</p>")
    email = (item["customer_details"] or {}).get("email") if is_session else item["customer_email"]
    value = escape(email or "", quote=True)
    form = (
        '<form method="post">'
        f'<p><label>Email <input name="email" type="email" value="{value}"></label></p>'
        '<p><label>Card <input name="card" value="4242424242424242" inputmode="numeric"></label></p>'
        '<button name="action" value="pay">Pay</button> <button name="action" value="cancel">Cancel</button>'
        "</form>"
    )
    return _page("Payment", notice + summary + form)


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{title} (simulated)</title><main><h1>{title}</h1>{body}"
        "<p>This is a simulator. No money moves.</p></main></html>"
    )


def _money(item: Object, field: str) -> str:
    amount, currency = int(item[field]), item["currency"]
    if currency in WITHOUT_CENTS:
        return f"{amount} {currency.upper()}"
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) // 100}.{abs(amount) % 100:02} {currency.upper()}"
