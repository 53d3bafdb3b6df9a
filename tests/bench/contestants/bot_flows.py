"""The flow that the turns of the bot are measured with: it answers each message with a question."""

from __future__ import annotations

from bot import Chat, flow


@flow("endless")
async def endless(chat: Chat) -> None:
    """One outgoing message for each message of the user."""
    question = "Hello! What can I do for you?"
    while True:
        answer = await chat.ask(question)
        question = f"Thank you, I noted {len(answer.text)} characters. What else?"
