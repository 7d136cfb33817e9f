"""The methods that make something appear: texts, rich messages, files, albums, drafts, and that somebody types.

What may be in a message is checked here as the platform does it; how often one may send stands in `limits`.
"""

from __future__ import annotations

from tests.botapi.ask import Ask, Method
from tests.botapi.refusal import Careless, Json, Refusal, bad
from tests.botapi.rich import read
from tests.botapi.texts import MOST_CAPTION, MOST_TEXT, taken
from tests.botapi.world import Chat, Draft, Standing, Stored, World

MOST_UPLOAD = 50 * 1024 * 1024
MOST_PHOTO = 10 * 1024 * 1024
ACTIONS = frozenset(
    [
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_voice",
        "upload_voice",
        "upload_document",
        "choose_sticker",
        "find_location",
        "record_video_note",
        "upload_video_note",
    ]
)


async def send_message(world: World, ask: Ask) -> Json:
    """A text."""
    text, entities = taken(ask.text("text"), ask.rows("entities"), ask.text("parse_mode"), most=MOST_TEXT)
    if not text:
        raise bad("message text is empty")
    return appear(world, ask, {"text": text} | ({"entities": entities} if entities else {})).json()


async def send_rich_message(world: World, ask: Ask) -> Json:
    """A message with blocks."""
    rich = ask.json("rich_message")
    words, buttons = read(rich)
    message = appear(world, ask, rich_content(words))
    message.rich, message.hidden_buttons = rich, buttons
    return message.json()


def rich_content(words: str) -> Json:
    """What a receiver is given of a rich message: its words as one paragraph."""
    return {"rich_message": {"blocks": [{"type": "paragraph", "text": words}]}, "_words": words}


async def send_file(world: World, ask: Ask) -> Json:
    """A photo, a document or a voice note."""
    kind = ask.method.removeprefix("send")
    content, stored = attached(world, ask, kind, ask.text(kind), ask.params)
    message = appear(world, ask, content)
    message.file = stored
    return message.json()


async def send_media_group(world: World, ask: Ask) -> list[Json]:
    """An album: one message for each file, one request."""
    media = ask.rows("media")
    if not 2 <= len(media) <= 10:
        raise bad("group send failed: an album has 2 to 10 files")
    kinds = {item["type"] for item in media}
    if len(kinds) > 1 and kinds & {"document", "audio"}:
        raise bad("wrong message type in an album: documents and audio cannot be mixed with others")
    contents = [attached(world, ask, item["type"], item["media"], item) for item in media]
    album = world.unique("album")
    messages = []
    for content, stored in contents:
        message = appear(world, ask, content)
        message.file = stored
        message.extra["media_group_id"] = album
        messages.append(message.json())
    return messages


async def send_chat_action(world: World, ask: Ask) -> bool:
    """Somebody types."""
    chat = world.chat(ask.params.get("chat_id"))
    thread = place(chat, ask)
    if ask.text("action") not in ACTIONS:
        raise bad("wrong parameter action in request")
    world.actions.append((world.clock(), chat.id, thread, ask.text("action")))
    return True


async def send_draft(world: World, ask: Ask) -> bool:
    """A message on its way, in a private chat only."""
    chat = world.chat(ask.params.get("chat_id"))
    if not chat.private:
        raise bad("drafts can be sent to private chats only")
    if not ask.number("draft_id"):
        raise bad("draft_id must be non-zero")
    thread = place(chat, ask)
    rich = ask.json("rich_message") or None
    if rich:
        text, _ = read(rich)
    else:
        text, _ = taken(ask.text("text"), ask.rows("entities"), ask.text("parse_mode"), most=MOST_TEXT)
    world.drafts[chat.id, thread] = Draft(chat.id, thread, ask.number("draft_id"), text, world.clock(), rich)
    return True


def appear(world: World, ask: Ask, content: Json) -> Standing:
    """The message stands in its chat and thread, with its keyboard, as a reply, silent or not."""
    chat = world.chat(ask.params.get("chat_id"))
    if chat.kind == "channel":
        chat.needs("can_post_messages", "need administrator rights in the channel chat")
    thread = place(chat, ask)
    reply_to = _replied(chat, ask)
    markup = keyboard(ask)
    sender = None if chat.kind == "channel" else world.bot
    message = world.put(chat, content, sender=sender, own=True, thread=thread)
    message.reply_to, message.reply_markup = reply_to, markup
    message.silent, message.asked = ask.flag("disable_notification"), dict(ask.params)
    if chat.kind == "channel":
        message.extra["sender_chat"] = chat.json()
    return message


def place(chat: Chat, ask: Ask) -> int:
    """The thread that a request speaks of, when there is such a thread and it is open to the bot."""
    thread = ask.number("message_thread_id")
    if not thread:
        return 0
    topic = chat.topics.get(thread)
    if topic is None:
        raise bad("message thread not found")
    if topic.closed and (chat.bot != "administrator" or "can_manage_topics" not in chat.rights):
        raise bad("TOPIC_CLOSED")
    return thread


def keyboard(ask: Ask) -> Json | None:
    """The keyboard of a request, checked."""
    markup = ask.json("reply_markup")
    rows: list[list[Json]] = markup.get("inline_keyboard", [])
    if any(len(row) > 8 for row in rows) or sum(len(row) for row in rows) > 100:
        raise Careless("a keyboard has at most 8 buttons in a row and 100 in all")
    for button in (button for row in rows for button in row):
        _button(button)
    return {"inline_keyboard": [row for row in rows if row]} if any(rows) else None


def _button(button: Json) -> None:
    if not button["text"].strip():
        raise bad("inline keyboard button text is empty")
    kinds = button.keys() - {"text", "style", "icon_custom_emoji_id"}
    if len(kinds) != 1:
        raise bad("inline keyboard button must have exactly one action" if kinds else "text buttons are unallowed")
    if "callback_data" in kinds and not 1 <= len(button["callback_data"].encode()) <= 64:
        raise bad("BUTTON_DATA_INVALID")
    if "copy_text" in kinds and not 1 <= len(button["copy_text"]["text"]) <= 256:
        raise bad("BUTTON_COPY_TEXT_INVALID")
    if button.get("style", "danger") not in {"danger", "success", "primary"}:
        raise bad("button style is invalid")
    if "url" in kinds and not button["url"].startswith(("http://", "https://", "tg://")):
        raise bad("inline keyboard button URL is invalid")


def attached(world: World, ask: Ask, kind: str, where: str, fields: Json) -> tuple[Json, Stored]:
    """The content of a message with a file: one that came along, or one that the platform has already."""
    caption, marks = taken(
        fields.get("caption") or "", fields.get("caption_entities"), fields.get("parse_mode"), most=MOST_CAPTION
    )
    if where in world.files:
        stored = world.files[where]
    else:
        upload = ask.upload(where)
        if len(upload.content) > MOST_UPLOAD:
            raise Refusal(413, "Request Entity Too Large")
        if kind == "photo" and len(upload.content) > MOST_PHOTO:
            raise bad("file is too big")
        if not upload.content:
            raise bad("file must be non-empty")
        stored = world.store(upload.name, upload.content, kind=kind, mime=upload.mime)
    content = file_content(stored, kind)
    return content | ({"caption": caption} if caption else {}) | ({"caption_entities": marks} if marks else {}), stored


def file_content(stored: Stored, kind: str) -> Json:
    """How a message shows a file."""
    shown: Json = {"file_id": stored.id, "file_unique_id": f"u-{stored.id}", "file_size": stored.size}
    match kind:
        case "photo":
            small = shown | {"file_id": f"{stored.id}-s", "file_unique_id": f"us-{stored.id}", "file_size": 900}
            return {"photo": [small | {"width": 90, "height": 60}, shown | {"width": 1280, "height": 853}]}
        case "voice":
            return {"voice": shown | {"duration": 3, "mime_type": "audio/ogg"}}
        case "audio" | "video":
            extra = {"duration": 3} | ({"width": 640, "height": 360} if kind == "video" else {})
            return {kind: shown | extra | {"file_name": stored.name, "mime_type": stored.mime}}
        case _:
            return {"document": shown | {"file_name": stored.name, "mime_type": stored.mime}}


def _replied(chat: Chat, ask: Ask) -> Standing | None:
    wanted = ask.json("reply_parameters")
    message_id = wanted.get("message_id") or ask.number("reply_to_message_id")
    if not message_id:
        return None
    found = chat.standing.get(message_id)
    if found is None and not (wanted.get("allow_sending_without_reply") or ask.flag("allow_sending_without_reply")):
        raise bad("message to be replied not found")
    return found


SENDING: dict[str, Method] = {
    "sendmessage": send_message,
    "sendrichmessage": send_rich_message,
    "sendphoto": send_file,
    "senddocument": send_file,
    "sendvoice": send_file,
    "sendaudio": send_file,
    "sendvideo": send_file,
    "sendmediagroup": send_media_group,
    "sendchataction": send_chat_action,
    "sendmessagedraft": send_draft,
    "sendrichmessagedraft": send_draft,
}
