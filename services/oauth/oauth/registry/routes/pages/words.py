"""What the page of a person's apps says, in English and Chinese."""

import msgspec

from oauth.routes.pages.words import Language


class ListWords(msgspec.Struct, frozen=True):
    """`{…}` are filled in by the page."""

    title: str
    lead: str
    none: str
    may: str
    spending: str
    spent: str
    since: str
    used: str
    ended: str
    disabled: str
    remove: str
    remove_of: str
    remove_note: str
    confirm: str
    removed: str
    more: str


ENGLISH = ListWords(
    title="Apps with access to your account",
    lead="You allowed these apps something. What they did stays on your books when you remove them.",
    none="No app has access to your account.",
    may="It may:",
    spending="Spending: {terms}",
    spent="{spent} of {limit} USD spent in this period",
    since="Allowed on {time}",
    used="last connected on {time}",
    ended="The time that you set is over: it can do nothing until you allow it again.",
    disabled="This app is switched off at present and can do nothing.",
    remove="Remove access",
    remove_of="Remove access of {app}",
    remove_note="It stops at once: {app} can neither spend nor see anything until you allow it again.",
    confirm="Yes, remove {app}",
    removed="The app was removed. It can do nothing from now on.",
    more="More apps",
)
CHINESE = ListWords(
    title="可访问您账户的应用",
    lead="以下应用已获得您的授权。移除应用后，已产生的记录仍会保留。",
    none="没有应用可以访问您的账户。",
    may="它可以：",
    spending="消费：{terms}",
    spent="本周期已消费 {spent} / {limit} 美元",
    since="授权于 {time}",
    used="最近连接于 {time}",
    ended="您设定的期限已过：重新授权之前，该应用不能进行任何操作。",
    disabled="该应用目前已停用，不能进行任何操作。",
    remove="移除授权",
    remove_of="移除 {app} 的授权",
    remove_note="立即生效：重新授权之前，{app} 不能消费，也不能查看任何信息。",
    confirm="确认移除 {app}",
    removed="应用已移除，从现在起不能进行任何操作。",
    more="更多应用",
)
_WORDS: dict[Language, ListWords] = {"en": ENGLISH, "zh": CHINESE}


def list_words(language: Language) -> ListWords:
    """The words of the page."""
    return _WORDS[language]
