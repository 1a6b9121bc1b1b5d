"""Pages of the device flow."""

import msgspec

from oauth.routes.pages import Pages
from oauth.routes.pages.words import Language

PAGES = Pages(__name__)


class DeviceWords(msgspec.Struct, frozen=True):
    """What they say, in one language."""

    language: Language
    title: str
    lead: str
    label: str
    hint: str
    warning: str
    go_on: str
    unknown: str
    too_many: str
    """`{minutes}` are filled in."""
    allowed_title: str
    allowed: str
    denied_title: str
    denied: str


ENGLISH = DeviceWords(
    language="en",
    title="Connect a device",
    lead="Enter the code that your device shows.",
    label="Code",
    hint="Eight letters, such as BCDF-GHJK",
    warning="Go on only if you started this yourself and the device in front of you shows this very code."
    " Somebody who sends you a code wants to spend your money.",
    go_on="Continue",
    unknown="No device is waiting with this code. Compare it with the device; codes last 10 minutes.",
    too_many="Too many wrong codes. Try again in {minutes} min.",
    allowed_title="The device is connected",
    allowed="You can close this page and go on at your device. It may take some seconds to notice.",
    denied_title="The device was not connected",
    denied="You said no, and nothing was granted. You can close this page.",
)
CHINESE = DeviceWords(
    language="zh",
    title="连接设备",
    lead="请输入设备上显示的代码。",
    label="代码",
    hint="八个字母，例如 BCDF-GHJK",
    warning="仅当此操作由您本人发起、且您面前的设备显示的正是此代码时，才可继续。"
    "向您发送代码的人意在花费您的余额。",
    go_on="继续",
    unknown="没有设备正在等待此代码。请与设备上显示的代码核对，代码有效期为 10 分钟。",
    too_many="错误次数过多，请在 {minutes} 分钟后重试。",
    allowed_title="设备已连接",
    allowed="您可以关闭此页面，回到设备上继续。设备可能需要几秒钟才能收到通知。",
    denied_title="设备未连接",
    denied="您已拒绝，未授予任何权限。您可以关闭此页面。",
)


def device_words(language: Language) -> DeviceWords:
    """The words of a language."""
    return CHINESE if language == "zh" else ENGLISH
