"""The block that `tollway up` prints when the suite is ready: what to paste next."""

from rich.console import Console

NO_KEY = "sk-…"
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


def show_welcome(console: Console, url: str, key: str, model: str) -> None:
    """Print the address, the key, and snippets that work when pasted, so without borders around them.

    An empty `key` means that the configuration names none; the snippets then say how to get one.
    """
    console.print()
    console.print(f"[bold green]Tollway is ready[/]  {url}", highlight=False)
    if key:
        console.print(f"API key           {key}", highlight=False, markup=False)
    else:
        console.print("API key           tollway keys create EMAIL", highlight=False, markup=False)
    values = {"url": url, "key": key or NO_KEY, "model": model}
    for title, snippet in (("curl", CURL), ("Python, with the OpenAI SDK", PYTHON)):
        console.print(f"\n[dim]# {title}[/]")
        console.print(snippet.format(**values), highlight=False, markup=False, soft_wrap=True)
    console.print("\n[dim]tollway usage list · tollway wallet show EMAIL · Ctrl-C stops[/]\n")
