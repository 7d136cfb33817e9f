"""The methods that change what stands: edits, deletions, pins, reactions, and the answer to a press."""

from __future__ import annotations

import time

from tests.botapi.ask import Ask, Method
from tests.botapi.refusal import Json, bad
from tests.botapi.rich import read
from tests.botapi.sending import keyboard, rich_content
from tests.botapi.texts import MOST_CAPTION, MOST_TEXT, TooLong, taken
from tests.botapi.world import Chat, Standing, World

SAME = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current content "
    "and reply markup of the message"
)
OLD = "query is too old and response timeout expired or query ID is invalid"
PATIENCE = 15.0
DELETABLE = 48 * 3600.0
REACTIONS = frozenset(
    [
        "👍",
        "👎",
        "❤",
        "🔥",
        "🥰",
        "👏",
        "😁",
        "🤔",
        "🤯",
        "😱",
        "🤬",
        "😢",
        "🎉",
        "🤩",
        "🤮",
        "💩",
        "🙏",
        "👌",
        "🕊",
        "🤡",
        "🥱",
        "🥴",
        "😍",
        "🐳",
        "❤\u200d🔥",
        "🌚",
        "🌭",
        "💯",
        "🤣",
        "⚡",
        "🍌",
        "🏆",
        "💔",
        "🤨",
        "😐",
        "🍓",
        "🍾",
        "💋",
        "🖕",
        "😈",
        "😴",
        "😭",
        "🤓",
        "👻",
        "👨\u200d💻",
        "👀",
        "🎃",
        "🙈",
        "😇",
        "😨",
        "🤝",
        "✍",
        "🤗",
        "🫡",
        "🎅",
        "🎄",
        "☃",
        "💅",
        "🤪",
        "🗿",
        "🆒",
        "💘",
        "🙉",
        "🦄",
        "😘",
        "💊",
        "🙊",
        "😎",
        "👾",
        "🤷\u200d♂",
        "🤷",
        "🤷\u200d♀",
        "😡",
    ]
)


async def edit_text(world: World, ask: Ask) -> Json:
    """Another text, or other blocks. Without a keyboard the message loses the one that it had."""
    message = _editable(world, ask)
    if not message.content.keys() & {"text", "rich_message"}:
        raise bad("there is no text in the message to edit")
    if rich := ask.json("rich_message"):
        words, buttons = read(rich)
        _change(message, rich_content(words), ask, rich=rich)
        message.hidden_buttons = buttons
        return message.json()
    try:
        text, entities = taken(ask.text("text"), ask.rows("entities"), ask.text("parse_mode"), most=MOST_TEXT)
    except TooLong as refusal:
        raise bad("MESSAGE_TOO_LONG") from refusal  # the platform has another word for it in edits
    if not text:
        raise bad("message text is empty")
    _change(message, {"text": text} | ({"entities": entities} if entities else {}), ask)
    message.hidden_buttons = ()
    return message.json()


async def edit_caption(world: World, ask: Ask) -> Json:
    """Other words under a file."""
    message = _editable(world, ask)
    if message.file is None:
        raise bad("there is no caption in the message to edit")
    words, marks = taken(ask.text("caption"), ask.rows("caption_entities"), ask.text("parse_mode"), most=MOST_CAPTION)
    content = {name: value for name, value in message.content.items() if not name.startswith("caption")}
    content |= ({"caption": words} if words else {}) | ({"caption_entities": marks} if marks else {})
    _change(message, content, ask)
    return message.json()


async def edit_markup(world: World, ask: Ask) -> Json:
    """Another keyboard, or none."""
    message = _editable(world, ask)
    _change(message, message.content, ask, rich=message.rich)
    return message.json()


async def delete_message(world: World, ask: Ask) -> bool:
    """One message less."""
    chat = world.chat(ask.params.get("chat_id"))
    message = chat.message(ask.number("message_id"), "message to delete not found")
    _deletable(world, chat, message)
    del chat.standing[message.id]
    return True


async def delete_messages(world: World, ask: Ask) -> bool:
    """Several less; those that are not there are passed over."""
    chat = world.chat(ask.params.get("chat_id"))
    ids = ask.params["message_ids"]
    if not 1 <= len(ids) <= 100:
        raise bad("message identifiers are not specified" if not ids else "too many message identifiers specified")
    found = [chat.standing[message_id] for message_id in ids if message_id in chat.standing]
    for message in found:
        _deletable(world, chat, message)
    for message in found:
        del chat.standing[message.id]
    return True


async def pin(world: World, ask: Ask) -> bool:
    """A message stays on top; a line in the chat says so, and the bot hears of that line."""
    chat = world.chat(ask.params.get("chat_id"))
    chat.needs("can_pin_messages", "not enough rights to manage pinned messages in the chat")
    message = chat.message(ask.number("message_id"), "message to pin not found")
    if not message.pinned:
        message.pinned = True
        line = world.put(chat, {"pinned_message": message.json(shallow=True)}, sender=world.bot, thread=message.thread)
        world.updates.push("message", line.json())
    return True


async def unpin(world: World, ask: Ask) -> bool:
    """A message, the newest pinned one, or all of them no longer stay on top."""
    chat = world.chat(ask.params.get("chat_id"))
    chat.needs("can_pin_messages", "not enough rights to manage pinned messages in the chat")
    pinned = [message for message in chat.standing.values() if message.pinned]
    if ask.method == "unpinchatmessage":
        wanted = ask.number("message_id") or (pinned[-1].id if pinned else 0)
        pinned = [chat.message(wanted, "message to unpin not found")]
    for message in pinned:
        message.pinned = False
    return True


async def react(world: World, ask: Ask) -> bool:
    """The bot's one reaction, out of the few that there are."""
    chat = world.chat(ask.params.get("chat_id"))
    message = chat.message(ask.number("message_id"), "message to react not found")
    if message.service:
        raise bad("message can't be reacted")
    emoji = [reaction.get("emoji", "") for reaction in ask.rows("reaction")]
    if any(one.replace("\ufe0f", "") not in REACTIONS for one in emoji):
        raise bad("REACTION_INVALID")
    if len(emoji) > 1:
        raise bad("REACTIONS_TOO_MANY")
    message.reactions = tuple(emoji)
    return True


async def answer(world: World, ask: Ask) -> bool:
    """What the person who pressed is told. It has to come soon, and once."""
    if len(ask.text("text")) > 200:
        raise bad("MESSAGE_TOO_LONG")
    query = world.queries.get(ask.text("callback_query_id"))
    if query is None or query.answer is not None or world.clock() > query.at + PATIENCE:
        raise bad(OLD)
    query.answer = {name: ask.params[name] for name in ("text", "show_alert", "url") if name in ask.params}
    query.answered.set()
    return True


def _editable(world: World, ask: Ask) -> Standing:
    chat = world.chat(ask.params.get("chat_id"))
    message = chat.message(ask.number("message_id"), "message to edit not found")
    if not message.own or message.service:
        raise bad("message can't be edited")
    return message


def _change(message: Standing, content: Json, ask: Ask, *, rich: Json | None = None) -> None:
    markup, asked = keyboard(ask), dict(ask.params)
    if (content, markup, rich) == (message.content, message.reply_markup, message.rich):
        raise bad(SAME)
    message.content, message.reply_markup, message.rich = content, markup, rich
    message.edits += 1
    message.edit_date = int(time.time())
    message.looks.append(content)
    message.asked = asked


def _deletable(world: World, chat: Chat, message: Standing) -> None:
    if world.clock() > message.at + DELETABLE:
        raise bad("message can't be deleted for everyone")
    if not message.own:
        chat.needs("can_delete_messages", "message can't be deleted")


EDITING: dict[str, Method] = {
    "editmessagetext": edit_text,
    "editmessagecaption": edit_caption,
    "editmessagereplymarkup": edit_markup,
    "deletemessage": delete_message,
    "deletemessages": delete_messages,
    "pinchatmessage": pin,
    "unpinchatmessage": unpin,
    "unpinallchatmessages": unpin,
    "setmessagereaction": react,
    "answercallbackquery": answer,
}
