"""The stable names of log lines: each is the `event` of a line, and a value of `switchboard_signals_total{event}`.

A line about one conversation has its `conversation_id`. What else it has is beside it; never what somebody said.
"""

from __future__ import annotations

EVENTS = {
    # a process
    "started": "it is up: `web`, `worker`, `port`, `console`",
    "stopping": "it was told to stop",
    "store_unavailable": "the database is out of reach: `error`; what was to be done is tried again",
    "worker_failed": "a bug in the worker: `error`; it goes on",
    "task_failed": "something that nobody waits for has raised: `problem`, `error`, `place`",
    "not_listening": "PostgreSQL wakes this worker no more: `error`; it looks for itself, and tries again",
    "left_by_dead_worker": "leases of a worker that died were cut short: `conversations`",
    "reconciling": "conversations are read again after a pause without webhooks: `conversations`, `pause_seconds`",
    "purged": "retention deleted what is old: `looked_at`, `before`",
    "purge_failed": "retention could not delete: `error`; it tries again in an hour",
    # deliveries
    "delivery_not_stored": "answered 503, so that it comes again: `events`, `reason`",
    "workers_not_woken": "events were stored, but no worker was told; it looks for itself",
    "event_set_aside": "an event could not be understood: `reason`",
    "tape_incomplete": "deliveries are not on the tape: `lost`, `tape`, `reason`",
    # a conversation at work
    "session_failed": "a bug met one conversation: `error`; it is taken up again",
    "lease_lost": "another worker has the conversation now",
    "state_salvaged": "a stored state could be read in part only: `unreadable`; the platform is read",
    "effect_unreadable": "a stored effect could not be read, and is given up: `effect_id`, `problem`",
    # flows
    "flow_failed": "a flow raised; control is given up: `detail`",
    "flow_timed_out": "a flow took too long; control is given up: `detail`",
    "turn_over": "a turn of a flow is over (debug): `seconds`, `outcome`",
    "message_given_up": "a message could not be delivered: `outcome`",
    "clean_up_failed": "an `on_end` function failed for good: `error`",
    # control
    "effect_tried": "one call for one effect (debug): `effect`, `outcome`",
    "delivery_failed": "a bug while an effect was carried out: `effect`, `error`",
    "duty_closed": "a control action is done, or not owed any more: `action`, `attempts`, `proof`, `seconds`",
    "duty_overdue": "a control action is owed for 1, 4, 16, … minutes: `detail`",
    "ended_proven": "an ended conversation is proven released: `seconds` since the end, `proof`",
    "pass_refused": "a pass was refused; the bot releases instead: `detail`",
    "release_by_hand_failed": "what an operator asked for could not be done: `detail`",
    "no_app_key": "only an app key could release what another holds after an end: `detail`",
    "mode_mismatch": "the platform acts as in the other control mode: check CONTROL_MODE: `detail`",
    "conversation_gone": "the platform does not know the conversation any more: `detail`",
    # operators
    "console_sign_in": "somebody signed in to the console: `address`",
    "console_sign_in_refused": "a wrong token, or too many tries: `address`",
    "console_failed": "a bug in a page of the console: `error`",
    "release_by_hand": "an operator asked for a release in the console: `outcome`",
}
"""What each name means."""
