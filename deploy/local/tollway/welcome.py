"""The block that `tollway up` prints when the suite is ready: what to paste next."""

from collections.abc import Sequence

from rich.console import Console

NO_KEY = "sk-…"
NO_MODEL = "…"
CURL = """\
curl {url}/v1/chat/completions \\
  -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "Hello!"}}]}}'"""
PYTHON = """\
from openai import OpenAI

client = OpenAI(base_url="{url}/v1", api_key="{key}")
answer = client.chat.completions.create(
    model="{model}", messages=[{{"role": "user", "content": "Hello!"}}]
)
print(answer.choices[0].message.content)"""


def show_welcome(
    console: Console, url: str, key: str, model: str, missing: Sequence[str], person: str = ""
) -> None:
    """Print the address, the key, and snippets that work when pasted, so without borders around them.

    An empty `key` or `model` means that the configuration names none; `missing` says what keeps the snippets
    from working, `person` who can sign in on the pages.
    """
    console.print(f"\n[bold green]Tollway is ready[/]  {url}", highlight=False)
    console.print(f"API key           {key or 'make one: tollway keys create EMAIL'}", highlight=False)
    if person:
        console.print(f"Sign in           {url}/login  {person}", highlight=False, soft_wrap=True)
    for what in missing:
        console.print(f"[yellow]note[/]              {what}", highlight=False, soft_wrap=True)
    values = {"url": url, "key": key or NO_KEY, "model": model or NO_MODEL}
    for title, snippet in (("curl", CURL), ("Python, with the OpenAI SDK", PYTHON)):
        console.print(f"\n[dim]# {title}[/]")
        console.print(snippet.format(**values), highlight=False, markup=False, soft_wrap=True)
    console.print("\n[dim].venv/bin/tollway usage list · wallet show EMAIL · audit · Ctrl-C stops[/]\n")
