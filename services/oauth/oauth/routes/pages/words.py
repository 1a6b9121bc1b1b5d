"""What several pages say, in English and Chinese; what one page says alone stands beside that page."""

from typing import Literal

import msgspec

Language = Literal["en", "zh"]


class CommonWords(msgspec.Struct, frozen=True):
    """Words of the frame, of errors, of scopes and of money. `{…}` are filled in by the page."""

    lang: str
    signed_in_as: str
    not_you: str
    for_developers: str
    error_title: str
    expired_title: str
    expired: str
    stale: str
    wrong_request: str
    unknown_app: str
    later_title: str
    later: str
    scopes: dict[str, str]
    periods: dict[str, str]
    """To choose from."""
    limits: dict[str, str]
    """`{amount}` in a sentence."""
    at_once: str
    until: str
    comma: str


ENGLISH = CommonWords(
    lang="en",
    signed_in_as="Signed in as",
    not_you="Not you? Sign out",
    for_developers="For developers:",
    error_title="This request cannot be carried out",
    expired_title="This request is over",
    expired="It was answered already, or has expired. Go back to the app and start again.",
    stale="The page was open too long, or in another sign-in. Go back to the app and start again.",
    wrong_request="The app that sent you here asked in a way that is not safe, so you were not sent back.",
    unknown_app="The app that sent you here is not known, or its address is not the one it registered.",
    later_title="Please try again in a moment",
    later="A part of the service is away just now. Nothing was changed.",
    scopes={
        "openid": "Know you again, by an identifier made for this app alone",
        "profile": "See your user name, which is your e-mail address up to the @",
        "email": "See your e-mail address",
        "offline_access": "Stay connected while you are away",
        "relay": "Use AI models at your expense",
        "charge": "Charge your balance for what it sells",
        "balance": "See your balance",
        "topup": "Prepare top-ups that you then pay yourself",
        "management_token": "Read and replace your management key: full control over your account",
    },
    periods={"day": "per day", "week": "per week", "month": "per month", "total": "in total, once"},
    limits={
        "day": "up to {amount} USD a day",
        "week": "up to {amount} USD a week",
        "month": "up to {amount} USD a month",
        "total": "up to {amount} USD in total",
    },
    at_once="at most {amount} USD at once",
    until="until {time}",
    comma=", ",
)
CHINESE = CommonWords(
    lang="zh",
    signed_in_as="当前登录：",
    not_you="不是您？退出登录",
    for_developers="开发者信息：",
    error_title="无法处理此请求",
    expired_title="此请求已失效",
    expired="该请求已被处理或已过期，请返回应用重新开始。",
    stale="页面打开时间过长，或登录状态已改变，请返回应用重新开始。",
    wrong_request="将您带到此处的应用所用的请求方式不安全，因此我们没有将您送回该应用。",
    unknown_app="将您带到此处的应用未知，或其返回地址与登记的不一致。",
    later_title="请稍后重试",
    later="服务暂时不可用，未做任何更改。",
    scopes={
        "openid": "通过仅供此应用使用的标识识别您",
        "profile": "查看您的用户名，即邮箱地址中 @ 之前的部分",
        "email": "查看您的邮箱地址",
        "offline_access": "在您离开后继续保持连接",
        "relay": "使用 AI 模型，费用由您承担",
        "charge": "从您的余额中收取费用",
        "balance": "查看您的余额",
        "topup": "创建由您自行支付的充值订单",
        "management_token": "读取和更换您的管理密钥：可完全控制您的账户",
    },
    periods={"day": "每天", "week": "每周", "month": "每月", "total": "总计，一次性"},
    limits={
        "day": "每天最多 {amount} 美元",
        "week": "每周最多 {amount} 美元",
        "month": "每月最多 {amount} 美元",
        "total": "总计最多 {amount} 美元",
    },
    at_once="单次最多 {amount} 美元",
    until="截止 {time}",
    comma="，",
)
_WORDS: dict[Language, CommonWords] = {"en": ENGLISH, "zh": CHINESE}


def language_of(accept_language: str) -> Language:
    """The first of the two that the browser names (RFC 9110 section 12.5.4), English by default."""
    for part in accept_language.split(","):
        tag = part.partition(";")[0].strip().lower()
        if tag.startswith("zh"):
            return "zh"
        if tag.startswith("en"):
            return "en"
    return "en"


def common_words(language: Language) -> CommonWords:
    """The words that every page has at hand as `common`."""
    return _WORDS[language]
