"""How a duty is carried out: act, check, act again, until there is proof. And what each answer means for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bot.control import starts
from bot.control.draft import Draft
from bot.control.facts import Answer, Answered
from bot.control.policy import (
    AGAINST_ATTEMPTS,
    ANSWER_PATIENCE,
    FRESH,
    FRESH_CAP,
    GUARDED_ATTEMPTS,
    PASS_ATTEMPTS,
    PROOF_WAIT,
    RETRY_CAP,
    RETRY_FIRST,
    backoff,
)
from bot.control.state import Action, Duty, Holder, Key, Stage, What, Who


def advance(draft: Draft) -> None:
    """Command the next stage of the duty if it is due and nothing else is on its way."""
    duty = draft.state.duty
    if duty is None:
        return
    if duty.is_owed:
        _report_if_overdue(draft, duty)
    if duty.next_attempt > draft.now:
        return
    if draft.state.pending or draft.state.in_doubt:
        _wait(draft, duty)
        return
    draft.set_duty(next_attempt=draft.now + ANSWER_PATIENCE)
    if duty.stage is Stage.CHECK:
        draft.read(What.READ_FOR_DUTY)
    else:
        _act(draft, duty)


def _wait(draft: Draft, duty: Duty) -> None:
    """Look soon again, unless it is the duty's own answer that is waited for; a read may have become old by then."""
    pending = draft.state.pending
    is_others = pending is None or pending.what in (What.READ_FOR_END, What.READ_TO_WATCH)
    wait = RETRY_FIRST if draft.state.in_doubt or is_others else ANSWER_PATIENCE
    draft.set_duty(next_attempt=draft.now + wait, stage=duty.stage if duty.is_guarded else Stage.CHECK)


def _act(draft: Draft, duty: Duty) -> None:
    """Put the action on its way: one that nothing guards only as long as the read before it is fresh."""
    before = None if duty.is_guarded else draft.read_began + min(FRESH * int(2 ** min(duty.stale, 10)), FRESH_CAP)
    if before and before <= draft.now:
        _read_anew(draft, duty)
        return
    draft.set_duty(stage=Stage.CHECK, attempts=duty.attempts + 1)
    draft.pend(What.RELEASE if duty.action is Action.RELEASE else What.PASS, before=before)


def _read_anew(draft: Draft, duty: Duty) -> None:
    """Between the read and the action somebody may have taken control: read again, and allow for more time."""
    draft.set_duty(
        stage=Stage.CHECK,
        stale=duty.stale + 1,
        next_attempt=draft.now + backoff(duty.stale + 1, draft.state.id),
        last_answer="not sent: the read before it had become too old",
    )


def _report_if_overdue(draft: Draft, duty: Duty) -> None:
    if draft.now < duty.overdue_at:
        return
    draft.report("duty_overdue", f"{duty.action} owed since {duty.since.isoformat()}: {duty.reason}")
    while draft.now >= duty.overdue_at:
        duty = replace(duty, overdue_reports=duty.overdue_reports + 1)
    draft.set_duty(overdue_reports=duty.overdue_reports)


def answered(draft: Draft, duty: Duty, what: What, fact: Answered) -> None:
    """The platform answered an action or a read for the duty: when to do what next."""
    if fact.answer is Answer.NOT_OURS and what is What.RELEASE and duty.key is Key.INTEGRATION:
        _not_ours(draft, duty)
        return
    if fact.answer is Answer.STALE:
        _read_anew(draft, duty)
        draft.set_duty(attempts=duty.attempts - 1)
        return
    draft.set_duty(last_answer=f"{what}: {fact.answer}" + (f" ({fact.detail})" if fact.detail else ""))
    if fact.answer is Answer.ACCEPTED:
        wait = max(PROOF_WAIT, backoff(duty.attempts - 1, draft.state.id))
        draft.set_duty(stage=Stage.CHECK, accepted_at=draft.now, next_attempt=draft.now + wait)
        return
    _failed(draft, duty, what, fact)
    fall_back_from_pass(draft)


def _failed(draft: Draft, duty: Duty, what: What, fact: Answered) -> None:
    """It did not help, as far as the answer tells: a read comes next, or the same once more, after a while."""
    failures, is_read = duty.failures + 1, what is What.READ_FOR_DUTY
    # A read that succeeds starts the failures anew; acts that change nothing still come at growing intervals.
    wait = backoff(failures if is_read else max(failures, duty.attempts), draft.state.id)
    declined = fact.answer in (Answer.REFUSED, Answer.NOT_OURS)
    did_not_happen = fact.answer in (Answer.RATE_LIMITED, Answer.NOT_SENT) and not is_read and duty.is_guarded
    asked = timedelta(0) if declined else min(fact.retry_after or timedelta(0), RETRY_CAP)
    draft.set_duty(
        stage=Stage.ACT if did_not_happen else Stage.CHECK,
        next_attempt=draft.now + max(wait, asked),
        failures=failures,
        refusals=duty.refusals + (declined and what is What.PASS),
    )


def _not_ours(draft: Draft, duty: Duty) -> None:
    """403: control is not the bot's any more. Proof enough for a flow that is over; after an end it asks for a read."""
    if draft.state.ended:
        again = draft.now + backoff(duty.attempts - 1, draft.state.id)
        draft.set_duty(stage=Stage.CHECK, next_attempt=again, last_answer="release: not ours")
        return
    draft.close_duty("the platform refused the release: control is not ours any more (403)")
    draft.set(holder=Holder(Who.UNKNOWN, since=draft.state.holder.since, how="a refused release"), watches=0)


def checked(draft: Draft) -> None:
    """A read showed how things stand, and the holder has been taken in: does the duty need another act?"""
    duty = draft.state.duty
    if duty is None:
        return
    draft.set_duty(failures=0)
    match draft.state.holder.who:
        case Who.BOT:
            _bot_holds(draft, duty)
        case Who.NOBODY if duty.action is Action.TAKE:
            starts.nobody_is_active(draft, duty)
        case Who.OTHER if duty.against:
            _still_held_by_another(draft, duty)
        case Who.OTHER if draft.state.ended:
            _another_holds_after_the_end(draft, duty)
        case _:
            pass  # nothing to do here: settling closes the duty


def _bot_holds(draft: Draft, duty: Duty) -> None:
    """The bot is active: act once more, or in another way after some attempts."""
    if duty.action is Action.TAKE:
        starts.begin(draft)
        return
    if _is_superseded(draft, duty):
        draft.close_duty("void: the user wrote on after the release was accepted, and the bot is active")
        return
    draft.set_duty(stage=Stage.ACT, next_attempt=draft.now, last_answer="read: the bot is active")
    if draft.state.ended and draft.policy.app_key and duty.attempts >= GUARDED_ATTEMPTS:
        draft.set_duty(key=Key.APP)
    if duty.attempts >= PASS_ATTEMPTS and duty.action is Action.PASS:
        _pass_another_way(draft, duty)


def _is_superseded(draft: Draft, duty: Duty) -> bool:
    """Did the user write on after the flow was over, and the bot become active again after the release, or stay so?"""
    state, accepted = draft.state, duty.action is Action.RELEASE and duty.accepted_at is not None
    return accepted and not state.ended and bool(state.inputs) and draft.policy.opens


def _another_holds_after_the_end(draft: Draft, duty: Duty) -> None:
    if duty.key is Key.APP and duty.attempts:
        draft.set_duty(stage=Stage.ACT, next_attempt=draft.now)
        return
    draft.close_duty(f"void: {draft.state.holder} is active, shown by {draft.state.holder.how}")
    draft.set_ended(check_at=draft.now + draft.policy.grace, held_after_grace=False)


def _still_held_by_another(draft: Draft, duty: Duty) -> None:
    """What an operator wants taken is taken once: whoever is active after that may have it anew, and rightfully."""
    if duty.accepted_at is None and duty.attempts < AGAINST_ATTEMPTS:
        draft.set_duty(stage=Stage.ACT, next_attempt=draft.now)
        return
    how = "was accepted" if duty.accepted_at else f"failed {duty.attempts} times"
    draft.report("release_by_hand_failed", f"the release {how}, and {draft.state.holder} is active")
    draft.close_duty(
        f"given up: the release {how}, and {draft.state.holder} is active, shown by {draft.state.holder.how}"
    )


def fall_back_from_pass(draft: Draft) -> None:
    """Go the next way down from a pass that the platform has declined often enough."""
    duty = draft.state.duty
    if duty is None or duty.action is not Action.PASS:
        return
    mode = draft.policy.mode
    retries = mode.retries_named_target or duty.target == mode.pass_to
    if duty.refusals >= (PASS_ATTEMPTS if retries else 1):
        _pass_another_way(draft, duty)


def _pass_another_way(draft: Draft, duty: Duty) -> None:
    """Fall back from the target that a flow named to PASS_TO, and from there to a release. Report each step once.

    A person may have been promised, so PASS_TO gets the ticket's fields too, and as many attempts as any target.
    """
    pass_to, reason = draft.policy.mode.pass_to, f"pass to {duty.target!r} declined"
    is_last = duty.target == pass_to
    then = "releasing" if is_last else f"passing to {pass_to!r}"
    tries = "1 attempt" if duty.attempts == 1 else f"{duty.attempts} attempts"
    draft.report("pass_refused", f"no pass to {duty.target!r} after {tries} ({duty.last_answer}): {then} instead")
    draft.close_duty(f"given up after {tries}: the platform declines it")
    if is_last:
        draft.owe(Action.RELEASE, reason)
    else:
        draft.owe(Action.PASS, reason, pass_to, duty.metadata)


def owe_with_app_key(draft: Draft, reason: str) -> None:
    """After a read: the last resort for a conversation that has ended and that another integration holds."""
    draft.owe(Action.RELEASE, reason)
    draft.set_duty(stage=Stage.ACT, key=Key.APP, next_attempt=draft.now)


def owe_against(draft: Draft, reason: str, holder_id: str) -> None:
    """An operator wants it taken from another in a live conversation: a read comes first."""
    draft.owe(Action.RELEASE, reason)
    draft.set_duty(stage=Stage.CHECK, key=Key.APP, next_attempt=draft.now, against=holder_id)
