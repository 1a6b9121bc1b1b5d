"""What the consent page says, in English and Chinese."""

import msgspec

from oauth.routes.pages.words import Language


class ConsentWords(msgspec.Struct, frozen=True):
    """`{…}` are filled in by the page."""

    title: str
    by_owner: str
    by_operator: str
    by_third_party: str
    by_nobody: str
    for_device: str
    will: str
    spending: str
    spending_note: str
    asks: str
    allowed_before: str
    limit: str
    period: str
    max_per_charge: str
    timezone: str
    timezone_note: str
    expires_at: str
    optional: str
    allow: str
    deny: str
    returns_to: str
    revoke_note: str
    your_apps: str
    look_again: str
    onward: str
    go_on: str
    faults: dict[str, str]


ENGLISH = ConsentWords(
    title="{app} asks for access to your account",
    by_owner="A third-party app of {owner}",
    by_operator="An app of this service",
    by_third_party="A third-party app",
    by_nobody="Nobody registered this app or vouches for it: it is whoever answers at {origin}",
    for_device="A device asks: the one that shows the code you entered. Deny if you did not start this.",
    will="It will be able to:",
    spending="How much may it spend?",
    spending_note="You decide. Whatever it does, the app cannot spend more than you enter here.",
    asks="The app asks for {terms}.",
    allowed_before="Until now you allow it {terms}. What you enter takes the place of that.",
    limit="Limit in USD",
    period="Period",
    max_per_charge="Most at once in USD",
    timezone="Time zone",
    timezone_note="Days, weeks and months begin on this clock.",
    expires_at="Ends on",
    optional="(optional)",
    allow="Allow",
    deny="Deny",
    returns_to="Then you go on to {place}.",
    revoke_note="You can take this back at any time:",
    your_apps="your apps",
    look_again="Please look at the marked fields.",
    onward="You are signed in",
    go_on="Go on to the app",
    faults={
        "amount": "An amount in USD above 0 and up to 1000000, such as 5 or 0.50.",
        "above_limit": "This is more than the limit.",
        "choice": "This is not one of the possible values.",
        "past": "This time has passed.",
    },
)
CHINESE = ConsentWords(
    title="{app} 请求访问您的账户",
    by_owner="第三方应用，所有者：{owner}",
    by_operator="本服务的应用",
    by_third_party="第三方应用",
    by_nobody="此应用未经登记，无人担保：它就是 {origin} 的运营者",
    for_device="此请求来自一台设备，即显示您刚才所输入代码的设备。若非您本人发起，请拒绝。",
    will="该应用将能够：",
    spending="它最多可以花费多少？",
    spending_note="由您决定。无论如何，该应用的花费都不会超过您在此处填写的金额。",
    asks="该应用请求{terms}。",
    allowed_before="您目前允许它{terms}。本次填写的内容将取而代之。",
    limit="限额（美元）",
    period="周期",
    max_per_charge="单次上限（美元）",
    timezone="时区",
    timezone_note="日、周、月的起始以此时区为准。",
    expires_at="截止时间",
    optional="（可选）",
    allow="允许",
    deny="拒绝",
    returns_to="随后您将前往 {place}。",
    revoke_note="您可随时撤销授权：",
    your_apps="我的应用",
    look_again="请检查标出的字段。",
    onward="您已登录",
    go_on="前往应用",
    faults={
        "amount": "请填写大于 0 且不超过 1000000 的美元金额，例如 5 或 0.50。",
        "above_limit": "此金额超过限额。",
        "choice": "此值无效。",
        "past": "此时间已过。",
    },
)
_WORDS: dict[Language, ConsentWords] = {"en": ENGLISH, "zh": CHINESE}


def consent_words(language: Language) -> ConsentWords:
    """The words of the page."""
    return _WORDS[language]
