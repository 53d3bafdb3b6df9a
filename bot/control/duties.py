"""Carries each duty through to its proof: act, read, act again; and what each answer means.

A duty is a control action that the bot owes. A 200 doesn't close it: an event or a read
does.
"""

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
    """Issue the duty's next stage if it is due and nothing else is pending."""
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
    """Postpone the duty until the pending effect or the doubt is resolved.

    An unguarded action starts over with a read, as the last one may be stale by then.
    """
    pending = draft.state.pending
    is_others = pending is None or pending.what in (What.READ_FOR_END, What.READ_TO_WATCH)
    wait = RETRY_FIRST if draft.state.in_doubt or is_others else ANSWER_PATIENCE
    draft.set_duty(
        next_attempt=draft.now + wait,
        stage=duty.stage if duty.is_guarded else Stage.CHECK,
    )


def _act(draft: Draft, duty: Duty) -> None:
    """Queue the action; an unguarded one only while the read before it is fresh."""
    before = None if duty.is_guarded else draft.read_began + min(FRESH * int(2 ** min(duty.stale, 10)), FRESH_CAP)
    if before and before <= draft.now:
        _read_anew(draft, duty)
        return
    draft.set_duty(stage=Stage.CHECK, attempts=duty.attempts + 1)
    draft.pend(What.RELEASE if duty.action is Action.RELEASE else What.PASS, before=before)


def _read_anew(draft: Draft, duty: Duty) -> None:
    """Read again, and allow more time before the action.

    Someone may have taken control between the stale read and now.
    """
    draft.set_duty(
        stage=Stage.CHECK,
        stale=duty.stale + 1,
        next_attempt=draft.now + backoff(duty.stale + 1, draft.state.id),
        last_answer="not sent: the read before it had become too old",
    )


def _report_if_overdue(draft: Draft, duty: Duty) -> None:
    """Report an overdue duty: after one minute, then ever more rarely."""
    if draft.now < duty.overdue_at:
        return
    draft.report(
        "duty_overdue",
        f"{duty.action} owed since {duty.since.isoformat()}: {duty.reason}",
    )
    while draft.now >= duty.overdue_at:
        duty = replace(duty, overdue_reports=duty.overdue_reports + 1)
    draft.set_duty(overdue_reports=duty.overdue_reports)


def answered(draft: Draft, duty: Duty, what: What, fact: Answered) -> None:
    """Schedule the next stage by the platform's answer to an action or a read."""
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
    """Schedule a retry with backoff, and honour Retry-After.

    A read comes first, unless the answer shows that the action did not happen and the
    platform guards it.
    """
    failures, is_read = duty.failures + 1, what is What.READ_FOR_DUTY
    # A successful read resets `failures`, so actions without effect back off by `attempts`.
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
    """Handle a 403: the bot no longer holds control.

    This is proof enough for a flow that is over. After an end, a read must tell who is
    active.
    """
    if draft.state.ended:
        again = draft.now + backoff(duty.attempts - 1, draft.state.id)
        draft.set_duty(stage=Stage.CHECK, next_attempt=again, last_answer="release: not ours")
        return
    draft.close_duty("the platform refused the release: control is not ours any more (403)")
    draft.set(
        holder=Holder(Who.UNKNOWN, since=draft.state.holder.since, how="a refused release"),
        watches=0,
    )


def checked(draft: Draft) -> None:
    """Decide after a read whether the duty needs another action. The holder is updated already."""
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
            pass  # `obligations.settle` closes the duty


def _bot_holds(draft: Draft, duty: Duty) -> None:
    """Act again because the bot is still active, or differently after several attempts."""
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
        _fall_back(draft, duty)


def _is_superseded(draft: Draft, duty: Duty) -> bool:
    """Return whether later user input makes an accepted release obsolete.

    The bot became active again, or stayed so, and a new run can serve the user.
    """
    state, accepted = draft.state, duty.action is Action.RELEASE and duty.accepted_at is not None
    return accepted and not state.ended and bool(state.inputs) and draft.policy.opens


def _another_holds_after_the_end(draft: Draft, duty: Duty) -> None:
    """Repeat a release with the app key; otherwise close the duty and check after the grace."""
    if duty.key is Key.APP and duty.attempts:
        draft.set_duty(stage=Stage.ACT, next_attempt=draft.now)
        return
    draft.close_duty(f"void: {draft.state.holder} is active, shown by {draft.state.holder.how}")
    draft.set_ended(check_at=draft.now + draft.policy.grace, held_after_grace=False)


def _still_held_by_another(draft: Draft, duty: Duty) -> None:
    """Take control from another integration at most once, as an operator asked.

    Whoever is active after that may have received control anew, and rightfully.
    """
    if duty.accepted_at is None and duty.attempts < AGAINST_ATTEMPTS:
        draft.set_duty(stage=Stage.ACT, next_attempt=draft.now)
        return
    how = "was accepted" if duty.accepted_at else f"failed {duty.attempts} times"
    draft.report("release_by_hand_failed", f"the release {how}, and {draft.state.holder} is active")
    draft.close_duty(
        f"given up: the release {how}, and {draft.state.holder} is active, shown by {draft.state.holder.how}"
    )


def fall_back_from_pass(draft: Draft) -> None:
    """Fall back from a pass that the platform has declined often enough."""
    duty = draft.state.duty
    if duty is None or duty.action is not Action.PASS:
        return
    mode = draft.policy.mode
    retries = mode.retries_named_target or duty.target == mode.pass_to
    if duty.refusals >= (PASS_ATTEMPTS if retries else 1):
        _fall_back(draft, duty)


def _fall_back(draft: Draft, duty: Duty) -> None:
    """Fall back from the flow's target to PASS_TO, and from PASS_TO to a release.

    Each step is reported once. PASS_TO gets the ticket fields and as many attempts as
    any target, because a person may have been promised.
    """
    pass_to, reason = draft.policy.mode.pass_to, f"pass to {duty.target!r} declined"
    is_last = duty.target == pass_to
    then = "releasing" if is_last else f"passing to {pass_to!r}"
    tries = "1 attempt" if duty.attempts == 1 else f"{duty.attempts} attempts"
    draft.report(
        "pass_refused",
        f"no pass to {duty.target!r} after {tries} ({duty.last_answer}): {then} instead",
    )
    draft.close_duty(f"given up after {tries}: the platform declines it")
    if is_last:
        draft.owe(Action.RELEASE, reason)
    else:
        draft.owe(Action.PASS, reason, pass_to, duty.metadata)


def owe_with_app_key(draft: Draft, reason: str) -> None:
    """Owe a release with the app key, the last resort when another holds an ended conversation.

    The caller has just read who is active.
    """
    draft.owe(Action.RELEASE, reason)
    draft.set_duty(stage=Stage.ACT, key=Key.APP, next_attempt=draft.now)


def owe_against(draft: Draft, reason: str, holder_id: str) -> None:
    """Owe a release that takes a live conversation from `holder_id`, as an operator confirmed.

    It begins with a read.
    """
    draft.owe(Action.RELEASE, reason)
    draft.set_duty(stage=Stage.CHECK, key=Key.APP, next_attempt=draft.now, against=holder_id)
