"""The pages in headless Chromium: what people see, hear read out, and press."""

import asyncio
import importlib.util
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
import uvicorn

from common.testing.server_process import free_port
from oauth.domain.grants import Person

CHROMIUM = Path("/usr/bin/chromium")
PHONE, DESK = {"width": 360, "height": 780}, {"width": 1200, "height": 900}
pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists() or importlib.util.find_spec("playwright") is None,
    reason="these tests need /usr/bin/chromium and the package playwright",
)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _listening(app: Any, port: int) -> AsyncIterator[str]:
    config = uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", log_config=None)
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not task.done(), "the server did not start"
            await asyncio.sleep(0.005)  # reason: uvicorn tells nobody when it listens
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


async def _third_party(scope: Any, receive: Any, send: Any) -> None:
    """An app whose callback leads on, as most do."""
    if scope["path"] == "/back":
        location = b"/welcome?" + scope["query_string"]
        await send({"type": "http.response.start", "status": 302, "headers": [(b"location", location)]})
        await send({"type": "http.response.body", "body": b""})
        return
    headers = [(b"content-type", b"text/html"), (b"content-security-policy", b"default-src 'none'")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"<!doctype html><title>Welcome</title>"})


class Site:
    """The service behind a socket, an app beside it, and a browser that counts its complaints."""

    def __init__(self, oauth: Any, url: str, elsewhere: str, chromium: Any) -> None:
        self.oauth = oauth
        self.url = url
        self.elsewhere = elsewhere
        self.complaints: list[str] = []
        self._chromium = chromium

    async def tab(
        self, token: str, viewport: dict[str, int], locale: str = "en-GB", scheme: str = "light"
    ) -> Any:
        """A page of a fresh browser in which somebody is signed in."""
        context = await self._chromium.new_context(viewport=viewport, locale=locale, color_scheme=scheme)
        await context.add_cookies([{"name": "tollway_session", "value": token, "url": self.url}])
        page = await context.new_page()
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    async def ask(self, *scopes: str, **fields: Any) -> str:
        """The address that an app with a callback elsewhere sends its person to."""
        values = {"redirect_uris": (f"{self.elsewhere}/back",), "name": "Card Table"} | fields
        app, _ = await self.oauth.app(**values)
        question = self.oauth.question(app, *scopes, redirect_uri=f"{self.elsewhere}/back")
        return f"{self.url}/oauth/authorize?{urlencode(question)}"


@pytest.fixture
async def site(bare_oauth: Any) -> AsyncIterator[Site]:
    from playwright.async_api import async_playwright  # noqa: PLC0415  skipped where it is not installed

    here, there = free_port(), free_port()
    await bare_oauth.start_replica(issuer=f"http://127.0.0.1:{here}")
    service = bare_oauth.http._transport.app
    async with (
        _listening(service, here) as url,
        _listening(_third_party, there) as elsewhere,
        async_playwright() as playwright,
    ):
        chromium = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield Site(bare_oauth, url, elsewhere, chromium)
        await chromium.close()


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where screenshots go: a directory of the test, or the one that SCREENSHOTS names, to look at them."""
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def _fits(page: Any) -> bool:
    """Whether nothing has to be scrolled sideways."""
    script = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    fits: bool = await page.evaluate(script)
    return fits


async def test_a_person_reads_lowers_and_allows_and_comes_to_the_app(site: Site, shots: Path) -> None:
    token, _ = site.oauth.people.sign_in()
    page = await site.tab(token, DESK)
    answer = await page.goto(await site.ask("openid", "charge"))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert f"form-action 'self' {site.elsewhere} https:;" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    await page.screenshot(path=shots / "consent-desk-en-light.png", full_page=True)
    await page.get_by_label("Limit in USD").fill("0.75")
    await page.get_by_label("Period").select_option("day")
    await page.get_by_role("button", name="Allow").click()
    await page.wait_for_url("**/welcome?**")
    told = parse_qs(urlsplit(page.url).query)
    assert told["code"][0].startswith("toc_")
    assert told["iss"] == [site.url]
    [grant] = await site.oauth.rows("SELECT limit_nano, period FROM grants")
    assert tuple(grant) == (750_000_000, "day")
    assert site.complaints == []


@pytest.mark.parametrize(("locale", "scheme"), [("en-GB", "dark"), ("zh-CN", "light")])
async def test_it_is_readable_on_a_phone_in_both_languages(
    site: Site, shots: Path, locale: str, scheme: str
) -> None:
    token, _ = site.oauth.people.sign_in("a.person.with.a.long.name@a-long-host-name.example.com")
    page = await site.tab(token, PHONE, locale, scheme)
    name = "An app with a rather long name, as there are"
    await page.goto(await site.ask("openid", "email", "relay", "charge", name=name))
    await page.screenshot(path=shots / f"consent-phone-{locale}-{scheme}.png", full_page=True)
    assert await _fits(page)
    assert await page.get_attribute("html", "lang") == locale[:2]
    allow, deny = await page.get_by_role("button").all_inner_texts(), page.get_by_role("button")
    assert await deny.count() == 3
    assert allow[1:] == (["Allow", "Deny"] if locale == "en-GB" else ["允许", "拒绝"])
    assert site.complaints == []


async def test_every_field_has_a_name_and_a_fault_that_is_read_out(site: Site, shots: Path) -> None:
    token, _ = site.oauth.people.sign_in()
    page = await site.tab(token, PHONE)
    await page.goto(await site.ask("charge"))
    tree = await page.locator("main").aria_snapshot()
    for line in (
        'heading "Card Table asks for access to your account" [level=1]',
        'button "Not you? Sign out"',
        'list "It will be able to:"',
        "listitem: Charge your balance for what it sells",
        'group "How much may it spend?"',
        'textbox "Limit in USD": "5"',
        'combobox "Period"',
        'textbox "Most at once in USD (optional)"',
        'combobox "Time zone"',
        'button "Allow"',
        'button "Deny"',
    ):
        assert line in tree, tree
    await page.get_by_label("Limit in USD").fill("much")
    await page.get_by_role("button", name="Allow").click()
    limit = page.get_by_label("Limit in USD")
    assert await limit.input_value() == "much"
    assert await limit.get_attribute("aria-invalid") == "true"
    fault = await page.locator(f"#{await limit.get_attribute('aria-describedby')}").inner_text()
    assert fault.startswith("An amount in USD")
    assert await limit.evaluate("field => field === document.activeElement")
    assert await page.get_by_role("alert").inner_text() == "Please look at the marked fields."
    await page.screenshot(path=shots / "consent-phone-fault.png", full_page=True)
    assert await _fits(page)
    [complaint] = site.complaints
    assert "400" in complaint


async def test_the_keyboard_is_enough(site: Site, shots: Path) -> None:
    token, _ = site.oauth.people.sign_in()
    page = await site.tab(token, DESK, scheme="dark")
    await page.goto(await site.ask("charge"))
    seen: list[str] = []
    while "deny" not in seen:
        await page.keyboard.press("Tab")
        name = await page.evaluate("document.activeElement.value || document.activeElement.name")
        assert len(seen) < 30, seen
        seen.append(name)
        if await page.evaluate("document.activeElement.id") == "limit":
            await page.keyboard.press("Control+A")
            await page.keyboard.type("2")
            outline = await page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
            assert outline == "3px"
    assert seen.index("allow") == seen.index("deny") - 1
    await page.screenshot(path=shots / "consent-desk-dark-focus.png", full_page=True)
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/welcome?**")
    [grant] = await site.oauth.rows("SELECT limit_nano FROM grants")
    assert grant["limit_nano"] == 2_000_000_000
    assert site.complaints == []


@pytest.mark.parametrize(("locale", "scheme"), [("en-GB", "light"), ("zh-CN", "dark")])
async def test_an_error_page_tells_what_happened_and_leads_nowhere(
    site: Site, shots: Path, locale: str, scheme: str
) -> None:
    page = await site.tab("nobody", PHONE, locale, scheme)
    answer = await page.goto(
        f"{site.url}/oauth/authorize?client_id=nobody&redirect_uri=https://evil.example/"
    )
    assert answer.status == 400
    await page.screenshot(path=shots / f"error-phone-{locale}-{scheme}.png", full_page=True)
    assert "invalid_client" in await page.get_by_role("main").inner_text()
    assert await page.get_by_role("link").count() == 0
    assert await page.get_by_role("alert").count() == 1
    assert await _fits(page)


async def test_who_allowed_it_before_is_led_on_after_signing_in(site: Site) -> None:
    browser = site.oauth.people.sign_in()
    back = f"{site.elsewhere}/back"
    app, _ = await site.oauth.app(redirect_uris=(back,))
    await site.oauth.authorize(app, browser=browser, redirect_uri=back)
    question = site.oauth.question(app, redirect_uri=back, state="&\"'<>")
    ticket = (await site.oauth.visit("/oauth/authorize", params=question)).headers["location"]
    page = await site.tab(browser[0], PHONE)
    await page.goto(site.url + ticket, wait_until="commit")
    await page.wait_for_url("**/welcome?**")
    assert parse_qs(urlsplit(page.url).query)["state"] == ["&\"'<>"]
    assert site.complaints == []


async def test_ten_kilobytes_of_state_pass_a_real_socket(site: Site) -> None:
    token, session = site.oauth.people.sign_in()
    state = "状" * 3_413
    app, _ = await site.oauth.app()
    async with httpx.AsyncClient(base_url=site.url, cookies={"tollway_session": token}) as browser:
        question = site.oauth.question(app, state=state)
        page = (await browser.get("/oauth/authorize", params=question)).headers["location"]
        assert (await browser.get(page)).status_code == 200
        form = {"request": page.partition("=")[2], "csrf": session.csrf, "decision": "deny"}
        told = (await browser.post("/oauth/consent", data=form)).headers["location"]
    assert parse_qs(urlsplit(told).query)["state"] == [state]


async def test_no_other_page_can_frame_the_consent(site: Site) -> None:
    token, _ = site.oauth.people.sign_in()
    page = await site.tab(token, DESK)
    address = await site.ask("charge")
    await page.route(
        "**/trap",
        lambda route: route.fulfill(
            content_type="text/html", body=f'<iframe src="{address.replace("&", "&amp;")}"></iframe>'
        ),
    )
    await page.goto(f"{site.elsewhere}/trap")
    await page.wait_for_function("window.frames.length === 1")
    [frame] = [frame for frame in page.frames if frame.parent_frame is not None]
    assert await frame.get_by_role("button").count() == 0
    assert await frame.get_by_text("Card Table").count() == 0


async def _device(site: Site, **fields: Any) -> dict[str, Any]:
    """What a television that waits was told."""
    app, _ = await site.oauth.app("none", **({"name": "Living Room TV"} | fields))
    answer = await site.oauth.ask("/oauth/device_authorization", app, scope="relay")
    told: dict[str, Any] = answer.json()
    return told


@pytest.mark.parametrize(
    ("locale", "scheme", "viewport"),
    [("en-GB", "light", PHONE), ("zh-CN", "dark", PHONE), ("en-GB", "dark", DESK)],
)
async def test_a_person_connects_a_device_by_typing_its_code(
    site: Site, shots: Path, locale: str, scheme: str, viewport: dict[str, int]
) -> None:
    told = await _device(site)
    token, _ = site.oauth.people.sign_in()
    page = await site.tab(token, viewport, locale, scheme)
    shot = f"device-{viewport['width']}-{locale}-{scheme}"
    answer = await page.goto(told["verification_uri"])
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    field = page.get_by_label("Code" if locale == "en-GB" else "代码")
    assert await field.evaluate("field => field === document.activeElement")
    await page.screenshot(path=shots / f"{shot}-1.png", full_page=True)
    assert await _fits(page)
    await page.keyboard.type(told["user_code"].lower().replace("-", ""))
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/oauth/consent?**")
    asks = "A device asks" if locale == "en-GB" else "此请求来自一台设备"
    assert asks in await page.locator("main").inner_text()
    await page.screenshot(path=shots / f"{shot}-2.png", full_page=True)
    await page.get_by_role("button", name="Allow" if locale == "en-GB" else "允许").click()
    await page.wait_for_url("**/oauth/device/allowed")
    await page.screenshot(path=shots / f"{shot}-3.png", full_page=True)
    assert await page.get_by_role("status").count() == 1
    assert await _fits(page)
    [device] = await site.oauth.rows("SELECT family FROM devices")
    assert device["family"] is not None
    assert site.complaints == []


async def test_a_wrong_device_code_is_read_out_and_can_be_corrected(site: Site, shots: Path) -> None:
    told = await _device(site)
    token, _ = site.oauth.people.sign_in()
    page = await site.tab(token, PHONE)
    await page.goto(f"{told['verification_uri']}?user_code=BBBB-BBBB")
    field = page.get_by_label("Code")
    assert await field.input_value() == "BBBB-BBBB"
    await page.get_by_role("button", name="Continue").click()
    assert (await page.get_by_role("alert").inner_text()).startswith("No device is waiting")
    assert await field.get_attribute("aria-invalid") == "true"
    assert await field.evaluate("field => field === document.activeElement")
    tree = await page.locator("main").aria_snapshot()
    assert 'heading "Connect a device" [level=1]' in tree
    assert 'textbox "Code"' in tree
    await page.screenshot(path=shots / "device-360-wrong.png", full_page=True)
    await field.fill(told["user_code"])
    await page.get_by_role("button", name="Continue").click()
    await page.wait_for_url("**/oauth/consent?**")
    await page.get_by_role("button", name="Deny").click()
    await page.wait_for_url("**/oauth/device/denied")
    await page.screenshot(path=shots / "device-360-denied.png", full_page=True)
    [complaint] = site.complaints
    assert "404" in complaint


async def test_an_app_that_nobody_registered_is_named_by_its_origin(site: Site, shots: Path) -> None:
    token, _ = site.oauth.people.sign_in()
    page = await site.tab(token, PHONE)
    challenge = site.oauth.question(await _any_app(site))["code_challenge"]
    asked = {"callback_url": f"{site.elsewhere}/back", "code_challenge": challenge}
    await page.goto(f"{site.url}/auth?{urlencode(asked | {'code_challenge_method': 'S256'})}")
    text = await page.get_by_role("main").inner_text()
    assert "Nobody registered this app" in text
    assert "http://127.0.0.1" in text
    await page.screenshot(path=shots / "origin-360.png", full_page=True)
    assert await _fits(page)
    await page.get_by_role("button", name="Allow").click()
    await page.wait_for_url("**/welcome?**")
    assert parse_qs(urlsplit(page.url).query)["code"][0].startswith("toc_")
    assert site.complaints == []


async def _any_app(site: Site) -> Any:
    app, _ = await site.oauth.app()
    return app


@pytest.mark.parametrize(("locale", "scheme"), [("en-GB", "light"), ("zh-CN", "dark")])
async def test_a_person_removes_an_app_by_two_presses(
    site: Site, shots: Path, locale: str, scheme: str
) -> None:
    token, session = site.oauth.people.sign_in("a.person.with.a.long.name@a-long-host-name.example.com")
    person = Person(session.user, session.account, session.email)
    for name in ("Card Table", "An app with a rather long name, as there are"):
        app, _ = await site.oauth.app(name=name, homepage="https://cards.example/")
        await site.oauth.code(app, "openid", "email", "charge", person=person)
    for size, viewport in (("desk", DESK), ("phone", PHONE)):
        page = await site.tab(token, viewport, locale, scheme)
        answer = await page.goto(f"{site.url}/oauth/apps")
        assert "form-action 'self';" in answer.headers["content-security-policy"]
        assert await _fits(page)
        await page.screenshot(path=shots / f"apps-{size}-{locale}-{scheme}.png", full_page=True)
        entry = page.get_by_role("region").first
        await entry.locator("summary").focus()
        await page.keyboard.press("Enter")
        assert await _fits(page)
        await page.screenshot(path=shots / f"apps-{size}-{locale}-{scheme}-confirm.png", full_page=True)
        await entry.get_by_role("button").click()
        await page.wait_for_url("**/oauth/apps?removed=true")
        assert await page.get_by_role("status").is_visible()
    assert await page.get_by_role("region").count() == 0
    await page.screenshot(path=shots / f"apps-phone-{locale}-{scheme}-none.png", full_page=True)
    ended = await site.oauth.rows("SELECT 1 FROM grants WHERE revoked_by = 'user'")
    assert len(ended) == 2
    assert site.complaints == []
