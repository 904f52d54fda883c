"""Messages of a chat as one text, by the template of a model. The only file that touches `jinja2`."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from attnjax.config import InputError

Message = Mapping[str, str]
"""`role` ("system", "user", "assistant") and `content`."""


def chat_text(template: str, messages: Sequence[Message], **tokens: str) -> str:
    """Returns the text of a chat that the model's answer continues.

    The template comes with the weights, from anybody: it runs in jinja's sandbox.

    Args:
      template: in jinja's language, `chat_template` of a tokenizer_config.json.
      messages: of the chat.
      tokens: `bos_token` and others that the template may name.

    Raises:
      InputError: The template is none, refuses the messages, or does what the sandbox forbids.

    Example:
      >>> template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
      >>> chat_text(template, [{"role": "user", "content": "Hi"}])
      '<user>Hi<assistant>'
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = _json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    try:
        compiled = environment.from_string(template)
        return compiled.render(messages=messages, add_generation_prompt=True, **tokens)
    except Exception as error:  # A template may do whatever raises whatever, as dividing by zero does.
        raise InputError(f"chat template: {error}") from error


def _json(x: Any, ensure_ascii: bool = False, **options: Any) -> str:
    # Jinja's own writes < and > for HTML.
    return json.dumps(x, ensure_ascii=ensure_ascii, **options)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
