"""Lead form: question by question, with validation, back, cancel, and two languages."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from bot import Answer, Chat, Choice, NoAnswer, anywhere, flow, lifespan

ANSWER_TIMEOUT = timedelta(minutes=10)
E_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]{2,}")


@dataclass(frozen=True)
class Words:
    """All texts of the form in one language."""

    hint: str
    name: str
    mail: str
    no_mail: str
    size: str
    sure: str
    yes: str
    no: str
    thanks: str
    cancelled: str


ENGLISH = Words(
    hint="Three short questions. Write “back” or “cancel” at any time.",
    name="What is your name?",
    mail="What is your e-mail address?",
    no_mail="That is no e-mail address. It looks like this: name@example.com",
    size="How many people work with you?",
    sure="{name}, {mail}, {size}: is that right?",
    yes="Yes",
    no="No",
    thanks="Thank you! We will write to {mail} today.",
    cancelled="No problem. Nothing was kept.",
)
GERMAN = Words(
    hint="Drei kurze Fragen. Schreiben Sie jederzeit „zurück“ oder „abbrechen“.",
    name="Wie heißen Sie?",
    mail="Wie lautet Ihre E-Mail-Adresse?",
    no_mail="Das ist keine E-Mail-Adresse. Sie sieht so aus: name@example.com",
    size="Wie viele Menschen arbeiten bei Ihnen?",
    sure="{name}, {mail}, {size}: Ist das richtig?",
    yes="Ja",
    no="Nein",
    thanks="Danke! Wir schreiben heute noch an {mail}.",
    cancelled="Kein Problem. Nichts wurde gespeichert.",
)
SIZES = ["1 to 10", "11 to 100", "More than 100"]


@dataclass(frozen=True)
class Lead:
    """The lead for sales."""

    name: str
    mail: str
    size: str
    language: str


class Crm:
    """Stands in for your CRM."""

    def __init__(self) -> None:
        self.leads: dict[str, Lead] = {}

    async def save(self, key: str, lead: Lead) -> None:
        """Save a lead; idempotent by key, since a call may be repeated."""
        self.leads.setdefault(key, lead)


class Back(Exception):
    """The user wants to return to the previous question."""


class Cancelled(Exception):
    """The user wants to cancel the form."""


@lifespan
async def resources() -> AsyncIterator[dict[str, object]]:
    """Open the CRM, once per process."""
    yield {"crm": Crm()}


@anywhere("back", "zurück")
async def back(chat: Chat, answer: Answer) -> None:
    """Raise `Back` out of the current question."""
    raise Back


@anywhere("cancel", "abbrechen")
async def cancel(chat: Chat, answer: Answer) -> None:
    """Raise `Cancelled` out of the current question."""
    raise Cancelled


@flow("lead_form")
async def lead_form(chat: Chat) -> None:
    """Ask for a lead's details, and save them once confirmed."""
    language, words = ("de", GERMAN) if (chat.user.locale or "").startswith("de") else ("en", ENGLISH)
    crm: Crm = chat.resources.crm
    await chat.say(words.hint)
    try:
        lead = await filled_in(chat, language, words)
    except Cancelled:
        await chat.say(words.cancelled)
        await chat.release()
    except NoAnswer:
        await chat.release()
    await chat.call_with(attempts=5)(crm.save, chat.conversation_id, lead)
    await chat.say(words.thanks.format(mail=lead.mail))
    await chat.release()


async def filled_in(chat: Chat, language: str, words: Words) -> Lead:
    """Ask question by question.

    `Back` returns to the previous question; a "no" at the end starts over.
    """
    questions = (ask_name, ask_mail, ask_size)
    given: list[str] = []
    while True:
        try:
            if len(given) < len(questions):
                given.append(await questions[len(given)](chat, words))
                continue
            name, mail, size = given
            check = words.sure.format(name=name, mail=mail, size=size)
            answer = await chat.ask(check, choices=[words.yes, words.no], timeout=ANSWER_TIMEOUT)
            if answer.choice == Choice(words.yes):
                return Lead(name, mail, size, language)
            given.clear()
        except Back:
            del given[-1:]


async def ask_name(chat: Chat, words: Words) -> str:
    """Ask for the name."""
    return (await chat.ask(words.name, timeout=ANSWER_TIMEOUT)).text


async def ask_mail(chat: Chat, words: Words) -> str:
    """Ask for the e-mail address until it looks like one."""
    answer = await chat.ask(words.mail, timeout=ANSWER_TIMEOUT)
    while not E_MAIL.fullmatch(answer.text.strip()):
        answer = await chat.ask(words.no_mail, timeout=ANSWER_TIMEOUT)
    return answer.text.strip()


async def ask_size(chat: Chat, words: Words) -> str:
    """Ask for the company's size, until a choice is tapped or typed."""
    while True:
        answer = await chat.ask(words.size, choices=SIZES, timeout=ANSWER_TIMEOUT)
        if answer.choice is not None:
            return answer.choice.text
