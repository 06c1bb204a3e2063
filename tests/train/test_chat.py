"""The chat templates of the study."""

import jinja2
import pytest

from lib.train import chat


@pytest.mark.parametrize("family", chat.TEMPLATES)
def test_chat_templates_hold_the_turns_and_nothing_else(family):
    turns = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}]
    render = jinja2.Template(chat.TEMPLATES[family]).render
    prompt = render(messages=turns[:1], add_generation_prompt=True, bos_token="<s>")
    whole = render(messages=turns, add_generation_prompt=False, bos_token="<s>")
    assert whole.startswith(prompt)  # else the wrong tokens would be trained
    assert whole.removeprefix(prompt).strip() in ("A.<|im_end|>", "A.<|eot_id|>")
    assert "system" not in whole and "202" not in whole
